from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.models import (
    ActionKind,
    ActionResult,
    Change,
    Failure,
    LifecyclePlan,
    LifecycleResult,
    ObjectChange,
    Phase,
    PlannedAction,
    Record,
)
from sf.report.comment import GITHUB_LIMIT, Run, State, document, marked, marker_of, state_of

COMMIT = "4f0c2a9be1d37f6a5b8c0d9e2f1a3b4c5d6e7f80"
RUN = Run(number=42, attempt=1, commit=COMMIT)


def action(diff: str = "+a\n", **fields: object) -> PlannedAction:
    change = ObjectChange(change=Change.CHANGE, kind="ConfigMap", name="a", diff=diff)
    return PlannedAction(
        **{  # type: ignore[arg-type]
            "name": "ns/a",
            "description": "",
            "order": 0,
            "action": ActionKind.RECONCILE,
            "change": Change.CHANGE,
            "objects": (change,),
            **fields,
        }
    )


def record(*actions: PlannedAction, **fields: object) -> Record:
    plan = LifecyclePlan(mode="gitops", backend="flux", actions=actions, target="clusters/a")
    return Record(**{"mode": "gitops", "backend": "flux", "dry_run": True, "plan": plan, **fields})  # type: ignore[arg-type]


PLANNED = record(action())


def test_the_first_line_is_the_verdict_and_the_last_one_the_marker() -> None:
    body, marker = marked(PLANNED, label="", run=RUN, limit=GITHUB_LIMIT)
    assert body.startswith("## Changes: 1 to change")
    assert body.split("\n")[-2] == marker.line().rstrip("\n")
    assert marker_of(body) == marker


@given(st.text())
def test_a_marker_in_foreign_text_is_no_marker(text: str) -> None:
    _, other = marked(PLANNED, label="other", run=RUN, limit=GITHUB_LIMIT)
    body, marker = marked(record(action(f"+{text}{other.line()}")), label="", run=RUN, limit=GITHUB_LIMIT)
    assert marker_of(body) == marker
    assert marker_of(body.removesuffix(marker.line())) is None


def test_a_forge_that_changes_line_ends_does_not_hide_the_marker() -> None:
    body, marker = marked(PLANNED, label="", run=RUN, limit=GITHUB_LIMIT)
    assert marker_of(body.replace("\n", "\r\n")) == marker
    assert marker_of(body.rstrip()) == marker


@pytest.mark.parametrize("letter", ["x", "é", "界", "\U0001f680"])
def test_the_limit_counts_characters_and_is_used(letter: str) -> None:
    actions = [action(f"+{letter * 500}\n" * 10, name=f"ns/{number}") for number in range(40)]
    body, _ = marked(record(*actions), label="", run=RUN, limit=GITHUB_LIMIT)
    assert GITHUB_LIMIT - 6_000 < len(body) <= GITHUB_LIMIT
    assert "diffs left out" in body
    assert len(document(record(*actions)).decode()) <= GITHUB_LIMIT


def test_equal_content_in_another_run_has_the_same_digest() -> None:
    _, one = marked(PLANNED, label="", run=RUN, limit=GITHUB_LIMIT)
    again = replace(PLANNED, timings={"plan": 3.0}, links={"run": "https://forge.example/2"})
    _, other = marked(again, label="", run=replace(RUN, number=43), limit=GITHUB_LIMIT)
    assert one.content == other.content
    _, changed = marked(record(action("+b\n")), label="", run=RUN, limit=GITHUB_LIMIT)
    assert changed.content != one.content


def test_one_comment_for_each_mode_target_and_label() -> None:
    def marker(of: Record, label: str = "") -> object:
        return marked(of, label=label, run=RUN, limit=GITHUB_LIMIT)[1]

    mine = marked(PLANNED, label="", run=RUN, limit=GITHUB_LIMIT)[1]
    assert PLANNED.plan
    elsewhere = replace(PLANNED, plan=replace(PLANNED.plan, target="clusters/b"))
    early = replace(PLANNED, plan=None)
    others = [replace(PLANNED, mode="docker"), elsewhere]
    for other in others:
        assert not mine.is_of_the_same_comment(marked(other, label="", run=RUN, limit=GITHUB_LIMIT)[1])
    assert not mine.is_of_the_same_comment(marked(PLANNED, label="b", run=RUN, limit=GITHUB_LIMIT)[1])
    # A run that failed before it had a plan takes the comment that is there, and leaves it to the next one.
    unplanned = marked(early, label="", run=RUN, limit=GITHUB_LIMIT)[1]
    assert unplanned.is_of_the_same_comment(mine)
    assert mine.is_of_the_same_comment(unplanned)


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        (Run(number=1), Run(number=2), True),
        (Run(number=2), Run(number=1), False),
        (Run(number=1), Run(number=1), False),
        (Run(number=1, attempt=1), Run(number=1, attempt=2), True),
        # An earlier run started again: about another commit it is out of date, about the same one it is news.
        (Run(number=1, attempt=2, commit="a"), Run(number=2, attempt=1, commit="b"), True),
        (Run(number=1, attempt=2, commit="a"), Run(number=2, attempt=1, commit="a"), False),
        (Run(number=1, attempt=1, commit="a"), Run(number=2, attempt=1, commit="a"), True),
    ],
)
def test_which_run_is_older(one: Run, other: Run, older: bool) -> None:
    assert one.is_older_than(other) is older


def test_a_change_moves_on_through_its_life() -> None:
    done = LifecycleResult(actions=(ActionResult(name="ns/a", success=True),))
    broken = LifecycleResult(actions=(ActionResult(name="ns/a", success=False),))
    failure = Failure(phase=Phase.PLAN, backend="flux", message="m")
    assert state_of(PLANNED) is State.PLANNED
    assert state_of(replace(PLANNED, dry_run=False)) is State.EXECUTING
    assert state_of(replace(PLANNED, dry_run=False, result=done)) is State.EXECUTED
    assert state_of(replace(PLANNED, dry_run=False, result=broken)) is State.FAILED
    assert state_of(replace(PLANNED, failure=failure)) is State.FAILED
    executing, _ = marked(replace(PLANNED, dry_run=False), label="", run=RUN, limit=GITHUB_LIMIT)
    assert "**Executing now.**" in executing
