"""Where a Kustomization and a source stand, from what they say of themselves."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sf.backends.flux.blockers import Blocker, Prospect, find_blocker
from sf.backends.flux.revision import Relation
from sf.backends.flux.state import Condition, State
from sf.backends.flux.verdict import Standing, Wanted, judge, judge_source

PLANNED: Final = "1" * 40
OTHER: Final = "2" * 40
REVISION: Final = f"main@sha1:{PLANNED}"
BEFORE: Final = f"main@sha1:{OTHER}"
WANTED: Final = Wanted(commit=PLANNED, revision=REVISION, request="now", asked=1)
SOURCE: Final = {"kind": "GitRepository", "name": "fleet"}


def condition(kind: str, status: str, reason: str = "Tested", message: str = "words") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def kustomization(
    *conditions: dict[str, str], spec: dict[str, Any] | None = None, generation: int = 2, **status: Any
) -> State:
    return State(
        {
            "kind": "Kustomization",
            "metadata": {"name": "web", "namespace": "apps", "generation": generation},
            "spec": {"sourceRef": SOURCE, **(spec or {})},
            "status": {"conditions": list(conditions), "observedGeneration": 2, **status},
        }
    )


READY: Final = condition("Ready", "True")
HANDLED: Final[dict[str, Any]] = {"lastHandledReconcileAt": "now", "lastAttemptedRevision": REVISION}


@pytest.mark.parametrize(
    ("state", "standing"),
    [
        (None, Standing.MISSING),
        (kustomization(READY, spec={"suspend": True}), Standing.SUSPENDED),
        (kustomization(READY, **HANDLED, lastAppliedRevision=REVISION), Standing.THERE),
        # Of each thing that has to be there, one is not.
        (kustomization(READY, lastAppliedRevision=REVISION), Standing.UNDERWAY),
        (kustomization(READY, **HANDLED, lastAppliedRevision=BEFORE), Standing.ELSEWHERE),
        (kustomization(READY, generation=3, **HANDLED, lastAppliedRevision=REVISION), Standing.UNDERWAY),
        (
            kustomization(condition("Ready", "Unknown"), **HANDLED, lastAppliedRevision=REVISION),
            Standing.UNDERWAY,
        ),
        # Failures, by what they are about.
        (kustomization(condition("Ready", "False", "BuildFailed"), **HANDLED), Standing.FAILED),
        (
            kustomization(
                condition("Ready", "False", "BuildFailed"),
                lastHandledReconcileAt="now",
                lastAttemptedRevision=BEFORE,
            ),
            Standing.STALE,
        ),
        (
            kustomization(condition("Ready", "False", "BuildFailed"), lastAttemptedRevision=REVISION),
            Standing.UNDERWAY,
        ),
        (
            kustomization(condition("Ready", "False", "HealthCheckFailed"), lastAttemptedRevision=REVISION),
            Standing.FAILED,
        ),
        (
            kustomization(condition("Ready", "False", "HealthCheckFailed"), lastAttemptedRevision=BEFORE),
            Standing.UNDERWAY,
        ),
        (kustomization(condition("Ready", "False", "HealthCheckCanceled"), **HANDLED), Standing.UNDERWAY),
        (kustomization(condition("Ready", "False", "DependencyNotReady"), **HANDLED), Standing.BLOCKED),
        (
            kustomization(
                condition("Ready", "False", "ArtifactFailed", "Source artifact not found, retrying in 30s"),
                **HANDLED,
            ),
            Standing.STALE,
        ),
    ],
)
def test_a_kustomization(state: State | None, standing: Standing) -> None:
    assert judge(state, WANTED).standing is standing


def test_an_earlier_failure_is_not_taken_for_a_new_one() -> None:
    failed = kustomization(condition("Ready", "False", "HealthCheckFailed"), lastAttemptedRevision=REVISION)
    before = Condition(status="False", reason="HealthCheckFailed", message="words")
    wanted = Wanted(commit=PLANNED, revision=REVISION, request="now", asked=1, before=before)
    assert judge(failed, wanted).standing is Standing.UNDERWAY


def test_an_artifact_without_a_commit_in_its_revision_counts_by_its_revision() -> None:
    digest = f"latest@sha256:{'3' * 64}"
    wanted = Wanted(commit=PLANNED, revision=digest, request="now", asked=1)
    oci = {"sourceRef": {"kind": "OCIRepository", "name": "fleet"}}
    there = kustomization(READY, spec=oci, lastHandledReconcileAt="now", lastAppliedRevision=digest)
    assert judge(there, wanted).standing is Standing.THERE
    other = kustomization(
        READY, spec=oci, lastHandledReconcileAt="now", lastAppliedRevision="latest@sha256:4"
    )
    assert judge(other, wanted).standing is Standing.ELSEWHERE


def source(*conditions: dict[str, str], kind: str = "GitRepository", **status: Any) -> State:
    return State(
        {
            "kind": kind,
            "metadata": {"name": "fleet", "namespace": "apps"},
            "spec": {"suspend": status.pop("suspend", False)},
            "status": {"conditions": list(conditions), "lastHandledReconcileAt": "now", **status},
        }
    )


def artifact(revision: str, origin: str = "") -> dict[str, Any]:
    return {
        "revision": revision,
        "metadata": {"org.opencontainers.image.revision": origin} if origin else {},
    }


FAILING: Final = condition("Ready", "False", "GitOperationFailed")


@pytest.mark.parametrize(
    ("state", "relation", "standing", "words"),
    [
        (None, Relation.UNKNOWN, Standing.MISSING, "fleet is not in the cluster"),
        (source(READY, artifact=artifact(REVISION)), Relation.SAME, Standing.THERE, "fleet is at main@"),
        (
            source(READY, kind="OCIRepository", artifact=artifact("latest@sha256:4", REVISION)),
            Relation.SAME,
            Standing.THERE,
            "fleet is at latest@sha256:4",
        ),
        (
            source(READY, kind="OCIRepository", artifact=artifact(f"latest@sha256:{'4' * 64}")),
            Relation.SAME,
            Standing.FAILED,
            "does not say of which commit it was made",
        ),
        (
            source(READY, artifact=artifact(BEFORE)),
            Relation.NEWER,
            Standing.SUPERSEDED,
            f"superseded by {OTHER}",
        ),
        (source(READY, artifact=artifact(BEFORE)), Relation.OLDER, Standing.STALE, "is behind"),
        (source(READY, artifact=artifact(BEFORE)), Relation.FOREIGN, Standing.FAILED, "does not contain"),
        (source(READY, artifact=artifact(BEFORE)), Relation.UNKNOWN, Standing.STALE, "does not have"),
        (
            source(READY, artifact=artifact(BEFORE), suspend=True),
            Relation.OLDER,
            Standing.SUSPENDED,
            "is suspended at",
        ),
        (source(FAILING, artifact=artifact(BEFORE)), Relation.OLDER, Standing.STALE, "GitOperationFailed"),
        (
            source(condition("Ready", "Unknown"), artifact=artifact(BEFORE)),
            Relation.OLDER,
            Standing.UNDERWAY,
            "to get from main@",
        ),
    ],
)
def test_a_source(state: State | None, relation: Relation, standing: Standing, words: str) -> None:
    found = judge_source(state, "fleet", PLANNED, "now", lambda _: relation)
    assert found.standing is standing
    assert words in found.message


def test_a_source_that_was_not_asked_is_underway() -> None:
    at = source(READY, artifact=artifact(BEFORE))
    assert judge_source(at, "fleet", PLANNED, "", lambda _: Relation.FOREIGN).standing is Standing.UNDERWAY
    assert judge_source(at, "fleet", PLANNED, "later", lambda _: Relation.OLDER).standing is Standing.UNDERWAY


def waiting(*names: str) -> dict[str, Any]:
    return {"dependsOn": [{"name": name} for name in names]}


def blocker(**others: State) -> Blocker:
    state = kustomization(spec=waiting("a", "b"))
    ready = kustomization(READY, lastAppliedRevision=REVISION)
    known = {"apps/a": ready, "apps/b": ready} | {f"apps/{name}": other for name, other in others.items()}
    return find_blocker(state, REVISION, known.get)


@pytest.mark.parametrize(
    ("other", "prospect", "words"),
    [
        (kustomization(READY, lastAppliedRevision=REVISION), Prospect.AGAIN, ""),
        (kustomization(READY, lastAppliedRevision=BEFORE), Prospect.LATER, "apps/b: words"),
        (
            kustomization(
                READY, spec={"sourceRef": {"kind": "Bucket", "name": "x"}}, lastAppliedRevision="x"
            ),
            Prospect.AGAIN,
            "",
        ),
        (
            kustomization(READY, spec={"suspend": True}, lastAppliedRevision=BEFORE),
            Prospect.NEVER,
            f"apps/b is suspended at {BEFORE}",
        ),
        (
            kustomization(condition("Ready", "False", "BuildFailed"), lastAttemptedRevision=REVISION),
            Prospect.NEVER,
            "apps/b fails: BuildFailed: words",
        ),
        (
            kustomization(condition("Ready", "False", "BuildFailed"), lastAttemptedRevision=BEFORE),
            Prospect.LATER,
            "apps/b: words",
        ),
        (
            kustomization(condition("Ready", "False", "DependencyNotReady"), spec=waiting("gone")),
            Prospect.NEVER,
            "apps/gone is not in the cluster",
        ),
        (
            kustomization(condition("Ready", "False", "DependencyNotReady"), spec=waiting("a")),
            Prospect.LATER,
            "apps/b: words",
        ),
    ],
)
def test_a_blocker(other: State, prospect: Prospect, words: str) -> None:
    assert blocker(b=other) == Blocker(prospect=prospect, message=words)


def test_what_can_never_be_goes_before_what_only_takes_time() -> None:
    later = kustomization(READY, lastAppliedRevision=BEFORE)
    never = kustomization(spec={"suspend": True})
    assert blocker(a=later, b=never).prospect is Prospect.NEVER


def test_those_that_wait_for_each_other_are_gone_through_once() -> None:
    loop = kustomization(condition("Ready", "False", "DependencyNotReady"), spec=waiting("b"))
    assert blocker(b=loop).prospect is Prospect.LATER
