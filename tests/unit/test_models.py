"""The nouns: what follows from their fields, and what the two digests of a plan are about."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.models import (
    ActionKind,
    ActionResult,
    Cause,
    Change,
    Failure,
    Finding,
    Interrupted,
    LifecyclePlan,
    LifecycleResult,
    LiveState,
    Location,
    ObjectChange,
    Outcome,
    Phase,
    PlannedAction,
    Problem,
    Reason,
    Record,
    Severity,
    Verdict,
    canonical_json,
    plain,
    pretty_json,
)

ACTION: Final = PlannedAction(
    name="apps",
    description="the applications",
    order=1,
    action=ActionKind.RECONCILE,
    metadata={"path": "./apps"},
    change=Change.CHANGE,
    reasons=(Reason(cause=Cause.GIT, message="its files changed", subject="apps"),),
    objects=(ObjectChange(change=Change.ADD, kind="Service", name="web"),),
    depends_on=("infra",),
)
PLAN: Final = LifecyclePlan(mode="gitops", backend="flux", actions=(ACTION,), contents={"apps": "0a"})

# A different value for every field. One that is added to a dataclass and not to its table fails the test.
OTHER_PLAN: Final[dict[str, Any]] = {
    "mode": "docker",
    "backend": "other",
    "actions": (),
    "dry_run": True,
    "target": "staging",
    "repository": "forge.example/team/fleet",
    "commit": "1" * 40,
    "base": "2" * 40,
    "config_hash": "c0",
    "tools": {"flux": "2.7.0"},
    "contents": {"apps": "0b"},
    "findings": (Finding(code="dangling", severity=Severity.WARNING, message="nothing there"),),
    "unknown": ("the cluster was not asked",),
    "notes": {"entry": "clusters/a"},
    "fingerprint_key": "k1",
}
OTHER_ACTION: Final[dict[str, Any]] = {
    "name": "apps-2",
    "description": "others",
    "order": 2,
    "action": ActionKind.REPORT,
    "metadata": {"path": "./other"},
    "change": Change.REMOVE,
    "reasons": (),
    "objects": (),
    "depends_on": (),
    "live": LiveState(effect=Change.UNCHANGED, observed={"revision": "main@sha1:0"}),
}
# What a reviewer approves, and nothing else.
APPROVED_OF_PLAN: Final = {"mode", "backend", "actions", "target", "config_hash", "contents"}
APPROVED_OF_ACTION: Final = {"name", "change", "objects", "depends_on"}


def fields_of(kind: type[LifecyclePlan | PlannedAction]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def with_action(**changes: Any) -> LifecyclePlan:
    return dataclasses.replace(PLAN, actions=(dataclasses.replace(ACTION, **changes),))


@pytest.mark.parametrize("name", fields_of(LifecyclePlan))
def test_each_field_of_a_plan_is_part_of_its_digest_but_how_it_was_started(name: str) -> None:
    other = dataclasses.replace(PLAN, **{name: OTHER_PLAN[name]})

    assert (other.digest != PLAN.digest) is (name != "dry_run")
    assert (other.change_digest != PLAN.change_digest) is (name in APPROVED_OF_PLAN)


@pytest.mark.parametrize("name", fields_of(PlannedAction))
def test_each_field_of_an_action_is_part_of_the_digest(name: str) -> None:
    other = with_action(**{name: OTHER_ACTION[name]})

    assert other.digest != PLAN.digest
    assert (other.change_digest != PLAN.change_digest) is (name in APPROVED_OF_ACTION)


@pytest.mark.parametrize("effect", Change)
def test_live_state_never_changes_what_was_approved(effect: Change) -> None:
    live = LiveState(
        effect=effect,
        reasons=(Reason(cause=Cause.DRIFT, message="changed by hand"),),
        objects=(ObjectChange(change=effect, kind="Service", name="web"),),
        observed={"revision": "x"},
    )

    assert with_action(live=live).change_digest == PLAN.change_digest


def test_an_untouched_action_is_no_part_of_what_was_approved() -> None:
    idle = dataclasses.replace(ACTION, name="idle", change=Change.UNCHANGED, reasons=())
    more = dataclasses.replace(PLAN, actions=(ACTION, idle))

    assert more.change_digest == PLAN.change_digest
    assert more.digest != PLAN.digest


def test_the_document_of_a_plan_holds_both_digests_and_survives_json() -> None:
    document = PLAN.document()

    assert document["schema"] == "sf.plan/v1"
    assert (document["digest"], document["change_digest"]) == (PLAN.digest, PLAN.change_digest)
    assert "dry_run" not in document
    assert json.loads(pretty_json(document)) == document
    assert document["counts"] == {"add": 0, "change": 1, "remove": 0, "unchanged": 0, "unknown": 0}


ERROR: Final = Finding(code="broken", severity=Severity.ERROR, message="no")


@pytest.mark.parametrize(
    ("plan", "verdict"),
    [
        (with_action(change=Change.UNCHANGED), Verdict.NO_CHANGES),
        (PLAN, Verdict.CHANGES),
        (with_action(live=LiveState(effect=Change.UNCHANGED)), Verdict.NO_CHANGES),
        (with_action(change=Change.UNCHANGED, live=LiveState(effect=Change.ADD)), Verdict.CHANGES),
        (with_action(change=Change.UNKNOWN), Verdict.INCOMPLETE),
        (dataclasses.replace(PLAN, unknown=("what",)), Verdict.INCOMPLETE),
        (dataclasses.replace(PLAN, unknown=("what",), findings=(ERROR,)), Verdict.FAILED),
    ],
)
def test_the_verdict_of_a_plan(plan: LifecyclePlan, verdict: Verdict) -> None:
    assert plan.verdict is verdict


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        ({"plan": PLAN}, Verdict.CHANGES),
        ({}, Verdict.FAILED),
        ({"plan": PLAN, "failure": Failure(phase=Phase.REPORT, backend="", message="no")}, Verdict.FAILED),
        ({"plan": PLAN, "result": LifecycleResult()}, Verdict.CHANGES),
        (
            {"plan": PLAN, "result": LifecycleResult(actions=(ActionResult(name="a", success=False),))},
            Verdict.FAILED,
        ),
    ],
)
def test_a_run_that_failed_is_never_anything_else(record: dict[str, Any], verdict: Verdict) -> None:
    value = Record(mode="gitops", backend="flux", dry_run=False, **record)

    assert value.verdict is verdict
    assert value.result_document()["verdict"] == verdict
    assert value.result_document()["plan_digest"] == (PLAN.digest if "plan" in record else None)


def test_all_reasons_are_those_of_the_commits_and_then_those_of_what_was_seen() -> None:
    drift = Reason(cause=Cause.DRIFT, message="stopped")
    action = dataclasses.replace(ACTION, live=LiveState(effect=Change.CHANGE, reasons=(drift,)))

    assert ACTION.all_reasons == ACTION.reasons
    assert action.all_reasons == (*ACTION.reasons, drift)


@pytest.mark.parametrize(
    ("success", "outcome"),
    [(True, Outcome.FAILED), (True, Outcome.INTERRUPTED), (False, Outcome.DONE), (False, Outcome.SUPERSEDED)],
)
def test_an_outcome_cannot_contradict_its_success(success: bool, outcome: Outcome) -> None:
    with pytest.raises(ValueError, match="contradicts"):
        ActionResult(name="a", success=success, outcome=outcome)


@pytest.mark.parametrize(("success", "outcome"), [(True, Outcome.DONE), (False, Outcome.FAILED)])
def test_the_outcome_follows_from_the_success(success: bool, outcome: Outcome) -> None:
    assert ActionResult(name="a", success=success).outcome is outcome


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        (Location("a.yaml"), "a.yaml"),
        (Location("a.yaml", 3), "a.yaml:3"),
        (Location("a.yaml", 3, 7), "a.yaml:3:7"),
        (Location("a.yaml", column=7), "a.yaml"),
    ],
)
def test_a_location_never_shows_a_column_as_a_line(location: Location, shown: str) -> None:
    assert str(location) == shown
    assert str(Problem("odd", location=location)) == f"{shown}: odd"


@pytest.mark.parametrize(
    ("group", "namespace", "identity"),
    [("", "", "Node a"), ("apps", "web", "apps/Node web/a"), ("", "web", "Node web/a")],
)
def test_an_identity_leaves_out_what_is_empty(group: str, namespace: str, identity: str) -> None:
    change = ObjectChange(change=Change.ADD, kind="Node", name="a", group=group, namespace=namespace)

    assert change.identity == identity


def test_a_signal_is_not_swallowed_by_handlers_of_errors() -> None:
    assert not issubclass(Interrupted, Exception)


JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: Any) -> Any:
    """`value` with the keys of every mapping inserted in the opposite order."""
    if isinstance(value, dict):
        return MappingProxyType({key: shuffled(value[key]) for key in reversed(value)})
    return tuple(shuffled(item) for item in value) if isinstance(value, list) else value


@given(JSON_VALUES)
def test_canonical_json_knows_no_order_of_keys(value: Any) -> None:
    assert canonical_json(shuffled(value)) == canonical_json(value)


@given(JSON_VALUES)
def test_canonical_json_loses_nothing(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value
    assert json.loads(pretty_json(value)) == value


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters(exclude_categories=[])))
def test_different_strings_have_different_bytes_even_with_lone_surrogates(one: str, other: str) -> None:
    # Two halves that happen to stand side by side are the character they stand for.
    paired = [text.encode("utf-16", "surrogatepass") for text in (one, other)]

    assert (canonical_json(one) == canonical_json(other)) is (one == other or paired[0] == paired[1])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes"])
def test_what_json_does_not_know_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_json(value)


def test_plain_takes_enums_sets_and_dataclasses_apart() -> None:
    assert plain({Phase.PLAN: {"b", "a"}, 1: (Location("x"),)}) == {
        "plan": ["a", "b"],
        "1": [{"path": "x", "line": 0, "column": 0}],
    }
