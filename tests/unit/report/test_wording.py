from __future__ import annotations

import pytest

from sf.models import (
    ActionResult,
    Failure,
    LifecyclePlan,
    LifecycleResult,
    Outcome,
    Phase,
    Record,
)
from sf.report import wording


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (125.4, "2 min 05 s"), (3600, "60 min 00 s")],
)
def test_seconds(duration: float, expected: str) -> None:
    assert wording.seconds(duration) == expected


@pytest.mark.parametrize(
    ("actions", "unknown", "expected"),
    [
        ((), (), "Executed: nothing to do"),
        ((ActionResult(name="a", success=True),), (), "Executed: 1 done"),
        ((ActionResult(name="a", success=True),), ("host2",), "Incomplete: 1 done"),
        ((ActionResult(name="a", success=True, outcome=Outcome.SUPERSEDED),), (), "Executed: 1 superseded"),
        ((ActionResult(name="a", success=False, outcome=Outcome.NOT_REACHED),), (), "Failed: 1 not reached"),
        (
            (ActionResult(name="a", success=False, outcome=Outcome.INTERRUPTED),),
            (),
            "Interrupted: 1 interrupted",
        ),
    ],
)
def test_a_result_is_named_for_what_it_is(
    actions: tuple[ActionResult, ...], unknown: tuple[str, ...], expected: str
) -> None:
    plan = LifecyclePlan(mode="docker", backend="compose", unknown=unknown)
    result = LifecycleResult(actions=actions)
    record = Record(mode="docker", backend="compose", dry_run=False, plan=plan, result=result)
    assert wording.headline(record) == expected


def test_a_failure_after_a_good_result_is_never_called_executed() -> None:
    record = Record(
        mode="docker",
        backend="compose",
        dry_run=False,
        plan=LifecyclePlan(mode="docker", backend="compose"),
        result=LifecycleResult(actions=(ActionResult(name="a", success=True),)),
        failure=Failure(phase=Phase.EXECUTE, backend="compose", message="the lock was lost"),
    )
    assert wording.headline(record) == "Failed: 1 done"
    assert wording.untold_failure(record) is record.failure


def test_only_whole_ids_are_shortened() -> None:
    assert wording.short("a" * 40) == "a" * 12
    assert wording.short("release-2026.11") == "release-2026.11"
