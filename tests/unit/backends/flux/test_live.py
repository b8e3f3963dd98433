"""How the state of Flux's own objects reads beside what a change would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.backends.flux.kustomization import Kustomization, SourceRef
from sf.backends.flux.live import Expectation, Observer
from sf.backends.flux.outline import Rendering
from sf.backends.flux.preview import Preview
from sf.backends.flux.revision import Lineage
from sf.backends.flux.sight import Sight, held
from sf.backends.flux.state import State
from sf.changes.manifest import Identity
from sf.models import ActionKind, Cause, Change, PlannedAction, Reason
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from sf.backends.flux.live import Observation

SOURCE: Final = SourceRef("GitRepository", "flux-system", "fleet")
GIT: Final = (Reason(cause=Cause.GIT, message="changed"),)


class History:
    """A repository with four commits: old, before, now, and one beside them."""

    def __init__(self, root: Path) -> None:
        self.repository = Repository.init(root)
        self.old, self.before, self.now, self.newer = (
            self.repository.commit(message=name) for name in "abcd"
        )
        self.repository.git("switch", "--quiet", "--orphan", "other")
        self.foreign = self.repository.commit(message="e")

    def expected(self, *, merged: bool = True) -> Expectation:
        planned = self.now if merged else self.before
        return Expectation(
            lineage=Lineage(self.repository.open(), planned),
            before=self.before if merged else "",
            merged=merged,
        )


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(tmp_path_factory.mktemp("history") / "repository")


def state(
    commit: str,
    ready: str = "True",
    *,
    inventory: tuple[str, ...] = (),
    reason: str = "",
    message: str = "",
    generation: int = 1,
    **spec: Any,
) -> State:
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message}
    return State(
        {
            "metadata": {"name": "apps", "namespace": "flux-system", "generation": generation},
            "spec": {"prune": True, "sourceRef": {"kind": "GitRepository"}, **spec},
            "status": {
                "observedGeneration": 1,
                "conditions": [condition] if ready else [],
                "lastAppliedRevision": f"main@sha1:{commit}" if commit else "",
                "inventory": {"entries": [{"id": entry, "v": "v1"} for entry in inventory]},
            },
        }
    )


def observed(
    seen: State | None,
    expected: Expectation,
    change: Change = Change.CHANGE,
    *,
    reasons: tuple[Reason, ...] = GIT,
    objects: tuple[dict[str, Any], ...] | None = None,
    source: State | None = None,
) -> Observation:
    node = Kustomization(
        namespace="flux-system", name="apps", spec={"sourceRef": {"kind": "GitRepository", "name": "fleet"}}
    )
    kind = ActionKind.NONE if change is Change.REMOVE else ActionKind.RECONCILE
    action = PlannedAction(name=node.id, description="", order=0, action=kind, change=change, reasons=reasons)
    after = {} if objects is None else {node.id: Rendering(objects=objects)}
    return Observer(
        sight=Sight(
            kustomizations={node.id: seen} if seen else {}, sources={SOURCE: source} if source else {}
        ),
        nodes={node.id: node},
        expected=expected,
        preview=Preview(actions=(action,), findings=(), unknown=(), before={}, after=after),
        drifts={},
    ).observe()


def told(found: Observation) -> tuple[Change, ActionKind, list[str]]:
    [action] = found.actions
    assert action.live is not None
    assert all(reason.cause is Cause.LIVE for reason in action.live.reasons)
    return action.effect, action.action, [reason.message for reason in action.live.reasons]


def test_a_unit_at_the_commit_has_nothing_left_to_do(history: History) -> None:
    found = observed(state(history.now), history.expected())
    assert told(found) == (Change.UNCHANGED, ActionKind.NONE, ["is at this commit already, and ready"])


def test_a_unit_at_the_commit_before_is_what_a_push_expects(history: History) -> None:
    assert told(observed(state(history.before), history.expected())) == (
        Change.CHANGE,
        ActionKind.RECONCILE,
        [],
    )


def test_a_newer_commit_that_contains_the_planned_one_is_enough(history: History) -> None:
    effect, kind, [newer, done] = told(observed(state(history.newer), history.expected()))
    assert (effect, kind) == (Change.UNCHANGED, ActionKind.NONE)
    assert newer == f"runs {history.newer[:12]}, which contains this commit and is newer"
    assert done == "is at this commit already, and ready"


@pytest.mark.parametrize("merged", [True, False])
def test_commits_that_are_not_expected(history: History, merged: bool) -> None:
    expected = history.expected(merged=merged)
    what = "this commit" if merged else f"the base of this plan, {history.before[:12]}"
    assert told(observed(state(history.old), expected))[2] == [
        f"runs {history.old[:12]}, which is older than {what}"
    ]
    assert told(observed(state(history.foreign), expected))[2] == [
        f"runs {history.foreign[:12]}, which is not in the history of {what}"
    ]
    assert told(observed(state("f" * 40), expected)) == (
        Change.CHANGE,
        ActionKind.RECONCILE,
        ["runs ffffffffffff, which this clone lacks, so it cannot be compared"],
    )


def test_a_change_that_is_not_merged_yet_is_not_live(history: History) -> None:
    found = observed(state(history.before), history.expected(merged=False))
    assert told(found) == (Change.CHANGE, ActionKind.RECONCILE, [])


@pytest.mark.parametrize(
    ("change", "effect", "words"),
    [
        (Change.ADD, Change.ADD, []),
        (Change.CHANGE, Change.ADD, ["is not in the cluster"]),
        (Change.UNCHANGED, Change.ADD, ["is not in the cluster"]),
        (Change.UNKNOWN, Change.UNKNOWN, ["is not in the cluster"]),
        (Change.REMOVE, Change.UNCHANGED, ["is not in the cluster any more"]),
    ],
)
def test_a_unit_that_is_not_there(history: History, change: Change, effect: Change, words: list[str]) -> None:
    found = told(observed(None, history.expected(), change))
    assert (found[0], found[2]) == (effect, words)


@pytest.mark.parametrize(
    ("seen", "effect", "words"),
    [
        (
            {"ready": "False", "reason": "HealthCheckFailed", "message": "failed after 1m30.5s: timeout"},
            Change.CHANGE,
            "is failing: HealthCheckFailed: failed after some time: timeout",
        ),
        (
            {"ready": "False", "reason": "DependencyNotReady", "message": "dependency 'a/b' is not ready"},
            Change.CHANGE,
            "is waiting: dependency 'a/b' is not ready",
        ),
        ({"ready": "Unknown", "message": "building"}, Change.UNKNOWN, "is being reconciled: building"),
        ({"ready": ""}, Change.UNKNOWN, "is being reconciled"),
        ({"generation": 2}, Change.CHANGE, "was changed since Flux last looked at it"),
        (
            {"suspend": True},
            Change.UNCHANGED,
            "is suspended in the cluster: Flux applies nothing until it is resumed",
        ),
    ],
)
def test_what_stands_in_the_way(history: History, seen: dict[str, Any], effect: Change, words: str) -> None:
    found = told(observed(state(history.now, **seen), history.expected(), Change.UNCHANGED, reasons=()))
    assert (found[0], found[2]) == (effect, [words])


def test_a_suspended_unit_is_left_alone_and_its_change_still_shown(history: History) -> None:
    effect, kind, _ = told(observed(state(history.before, suspend=True), history.expected()))
    assert (effect, kind) == (Change.CHANGE, ActionKind.NONE)


def test_a_long_message_is_cut(history: History) -> None:
    seen = state(history.now, "False", reason="BuildFailed", message="x" * 10_000)
    [words] = told(observed(seen, history.expected()))[2]
    assert len(words) < 600


KEPT: Final = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "namespace": "a"}}


@pytest.mark.parametrize("prune", [True, False])
def test_what_is_left_over_in_the_inventory(history: History, prune: bool) -> None:
    seen = state(history.now, inventory=("a_kept__ConfigMap", "a_gone_apps_Deployment"), prune=prune)
    found = observed(seen, history.expected(), Change.UNCHANGED, reasons=(), objects=(KEPT,))
    [action] = found.actions
    assert action.live is not None
    [leftover] = action.live.objects
    assert (leftover.identity, leftover.change) == ("apps/Deployment a/gone", Change.REMOVE)
    assert action.effect is (Change.CHANGE if prune else Change.UNCHANGED)
    stays = [reason.message for reason in leftover.reasons if reason.cause is Cause.LIVE]
    assert stays == ([] if prune else ["stays in the cluster: Flux does not delete it"])


@pytest.mark.parametrize(
    ("spec", "deletes"),
    [
        ({}, True),
        ({"prune": False}, False),
        ({"suspend": True}, False),
        ({"deletionPolicy": "Orphan"}, False),
        ({"prune": False, "deletionPolicy": "Delete"}, True),
        ({"prune": False, "deletionPolicy": "WaitForTermination"}, True),
    ],
)
def test_what_becomes_of_the_objects_of_a_removed_unit(
    history: History, spec: dict[str, Any], deletes: bool
) -> None:
    seen = state(history.before, inventory=("a_one__ConfigMap",), **spec)
    [action] = observed(seen, history.expected(), Change.REMOVE).actions
    assert action.live is not None
    [change] = action.live.objects
    assert (len(change.reasons) == 1) is deletes


def test_without_a_whole_rendering_nothing_is_left_over(history: History) -> None:
    seen = state(history.now, inventory=("a_kept__ConfigMap",))
    [action] = observed(seen, history.expected(), Change.UNCHANGED).actions
    assert action.live is not None
    assert action.live.objects == ()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (None, "source-missing"),
        (State({"spec": {"suspend": True}}), "source-suspended"),
        (
            State({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no route"}]}}),
            "source-failing",
        ),
    ],
)
def test_what_is_wrong_with_a_source_is_said_once(history: History, source: State | None, code: str) -> None:
    [finding] = observed(state(history.now), history.expected(), source=source).findings
    assert (finding.code, finding.subject) == (code, "GitRepository flux-system/fleet")


def test_the_inventory_is_read_as_flux_writes_it() -> None:
    entries = (
        "a_name_apps_Deployment",
        "_system__view_rbac.authorization.k8s.io_ClusterRole",
        "odd",
        "_a__b",
    )
    assert held(state("", inventory=entries)) == {
        Identity("apps", "Deployment", "a", "name"),
        Identity("rbac.authorization.k8s.io", "ClusterRole", "", "system:view"),
        Identity("", "b", "", "a"),
    }
