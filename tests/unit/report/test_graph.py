"""The drawn dependencies: what a node is drawn as, and when there are too many."""

from __future__ import annotations

import re

from sf.models import (
    ActionKind,
    ActionResult,
    Change,
    LifecyclePlan,
    LifecycleResult,
    Outcome,
    PlannedAction,
    Record,
)
from sf.report.page.graph import graph


def unit(name: str, *depends_on: str) -> PlannedAction:
    return PlannedAction(
        name=name,
        description="",
        order=0,
        action=ActionKind.RECONCILE,
        change=Change.CHANGE,
        depends_on=depends_on,
    )


def record(*actions: PlannedAction, result: LifecycleResult | None = None) -> Record:
    plan = LifecyclePlan(mode="gitops", backend="flux", actions=actions)
    return Record(mode="gitops", backend="flux", dry_run=result is None, plan=plan, result=result)


def states(drawn: str) -> list[str]:
    return re.findall(r"<g class=\"node is-[a-z-]+\"[^>]*><title>([^<]*)</title>", drawn)


def test_only_units_that_wait_or_are_waited_for_are_drawn() -> None:
    assert graph(record(unit("a"), unit("b"))) == ""
    assert states(graph(record(unit("a"), unit("b", "a"), unit("alone")))) == ["a: change", "b: change"]


def test_a_unit_that_is_not_in_the_plan_is_not_said_to_be_unknown() -> None:
    drawn = graph(record(unit("b", "elsewhere")))
    assert states(drawn) == ["elsewhere: not-in-the-plan", "b: change"]
    assert "not in the plan" in drawn


def test_what_was_executed_shows_how_it_ended() -> None:
    result = LifecycleResult(
        actions=(
            ActionResult(name="a", success=False),
            ActionResult(name="b", success=False, outcome=Outcome.NOT_REACHED),
        )
    )
    drawn = graph(record(unit("a"), unit("b", "a"), result=result))
    assert states(drawn) == ["a: failed", "b: not-reached"]


def test_units_that_wait_for_each_other_in_a_circle_are_drawn() -> None:
    assert states(graph(record(unit("a", "b"), unit("b", "a"), unit("c", "c")))) == [
        "b: change",
        "a: change",
        "c: change",
    ]


def test_who_waits_is_told_in_words_too() -> None:
    assert "b waits for a; c waits for a" in graph(record(unit("a"), unit("b", "a"), unit("c", "a")))


def test_more_than_a_person_can_follow_is_not_drawn() -> None:
    drawn = graph(record(unit("a"), *(unit(f"b{at}", "a") for at in range(120))))
    assert drawn == "<p>121 units are too many to be drawn: plan.json names them.</p>"
