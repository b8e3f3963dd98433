from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sf.models import ActionKind, Cause, Change, LifecyclePlan, PlannedAction, Reason, Record
from sf.report.dependencies import affected, mermaid
from sf.report.markdown import summary


def action(
    name: str, *depends_on: str, change: Change = Change.CHANGE, why: tuple[Reason, ...] = ()
) -> PlannedAction:
    return PlannedAction(
        name=name,
        description="",
        order=0,
        action=ActionKind.RECONCILE,
        change=change,
        reasons=why,
        depends_on=depends_on,
    )


def plan(*actions: PlannedAction) -> LifecyclePlan:
    return LifecyclePlan(mode="gitops", backend="flux", actions=actions)


def test_only_the_affected_and_what_they_wait_for_are_shown() -> None:
    because = (Reason(cause=Cause.DEPENDENCY, message="depends on b"),)
    found = affected(
        plan(
            action("far", change=Change.UNCHANGED),
            action("near", "far", change=Change.UNCHANGED),
            action("b", "near", "elsewhere"),
            action("c", "b", change=Change.UNCHANGED, why=because),
        )
    )
    assert found.nodes == {
        "near": Change.UNCHANGED,
        "elsewhere": Change.UNKNOWN,
        "b": Change.CHANGE,
        "c": Change.UNCHANGED,
    }
    assert found.edges == (("near", "b"), ("elsewhere", "b"), ("b", "c"))


def test_without_dependencies_there_is_no_picture() -> None:
    record = Record(mode="gitops", backend="flux", dry_run=True, plan=plan(action("a"), action("b")))
    assert "mermaid" not in summary(record)
    assert affected(None).nodes == {}


def test_what_is_too_much_is_not_drawn_and_said() -> None:
    many = plan(*[action(f"ns/{number}", f"ns/{number - 1}") for number in range(61)])
    assert mermaid(affected(many)) is None
    shown = summary(Record(mode="gitops", backend="flux", dry_run=True, plan=many))
    assert "62 units are too many to be drawn here: see plan.json in the artifacts." in shown


@given(st.text(), st.text())
def test_a_name_is_a_label_and_nothing_else(one: str, other: str) -> None:
    chart = mermaid(affected(plan(action(f"a{one}"), action(f"b{other}", f"a{one}"))))
    assert chart is not None
    lines = chart.splitlines()
    assert len(lines) == 6
    assert lines[3] == "    n0 --> n1"
    assert all(re.fullmatch(r'    n\d\["(?:[A-Za-z0-9 ./_-]|#\d+;)*"\]', line) for line in lines[1:3])
