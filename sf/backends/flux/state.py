"""What an object of Flux says of itself: its state, as the API server has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.revision import commit_of

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUESTED_AT: Final = "reconcile.fluxcd.io/requestedAt"
"""The annotation that asks a controller to reconcile now; any new value does."""
# Where an artifact says of which commit it was made (OCI image specification, annotations).
_ORIGIN: Final = "org.opencontainers.image.revision"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One of ``status.conditions``; ``since`` is when its status last changed (RFC 3339)."""

    status: str = ""
    reason: str = ""
    message: str = ""
    since: str = ""

    @property
    def told(self) -> str:
        """Reason and message in one sentence."""
        return f"{self.reason}: {self.message}" if self.message else self.reason


class State:
    """A Kustomization or a source, read from the JSON of the API."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.kind = str(document.get("kind", ""))
        self.metadata = _mapping(document.get("metadata"))
        self.spec = _mapping(document.get("spec"))
        self._status = _mapping(document.get("status"))

    @property
    def namespace(self) -> str:
        return str(self.metadata.get("namespace", ""))

    @property
    def name(self) -> str:
        return str(self.metadata.get("name", ""))

    @property
    def suspended(self) -> bool:
        return self.spec.get("suspend") is True

    @property
    def deleting(self) -> bool:
        return bool(self.metadata.get("deletionTimestamp"))

    @property
    def observed(self) -> bool:
        """Whether the controller has come to an end with the spec as it is now."""
        return self._status.get("observedGeneration") == self.metadata.get("generation")

    @property
    def handled(self) -> str:
        """The last request that was dealt with, whatever came of it."""
        return self._text("lastHandledReconcileAt")

    def condition(self, kind: str) -> Condition:
        """The condition of that type, an empty one where there is none."""
        for item in self._status.get("conditions") or ():
            if isinstance(item, dict) and item.get("type") == kind:
                return Condition(
                    status=str(item.get("status", "")),
                    reason=str(item.get("reason", "")),
                    message=str(item.get("message", "")),
                    since=str(item.get("lastTransitionTime", "")),
                )
        return Condition()

    @property
    def doing(self) -> str:
        """What the controller is at, in its own words."""
        reconciling = self.condition("Reconciling")
        return reconciling.message if reconciling.status == "True" else self.condition("Ready").message

    @property
    def checks_health(self) -> bool:
        """Kustomization: whether what it attempted is applied, and its objects are or were waited for."""
        return self.condition("Healthy").status in {"Unknown", "False"}

    @property
    def source(self) -> tuple[str, str, str]:
        """Kustomization: kind, namespace and name of its source."""
        reference = _mapping(self.spec.get("sourceRef"))
        return (
            str(reference.get("kind", "")),
            str(reference.get("namespace") or self.namespace),
            str(reference.get("name", "")),
        )

    @property
    def applied(self) -> str:
        """Kustomization: the revision that was applied last and became healthy."""
        return self._text("lastAppliedRevision")

    @property
    def applied_commit(self) -> str:
        """Kustomization: the commit of that revision; empty where it does not say."""
        kind, _, _ = self.source
        return _commit(kind, self.applied, self._text("lastAppliedOriginRevision"))

    @property
    def attempted(self) -> str:
        """Kustomization: the revision that the controller last began to apply."""
        return self._text("lastAttemptedRevision")

    @property
    def inventory(self) -> frozenset[str]:
        """Kustomization: the objects it has in the cluster, as ``namespace_name_group_kind``."""
        entries = _mapping(self._status.get("inventory")).get("entries") or ()
        return frozenset(str(entry.get("id", "")) for entry in entries if isinstance(entry, dict))

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Kustomization: the ids of those it waits for."""
        listed = self.spec.get("dependsOn") or ()
        return tuple(
            f"{item.get('namespace') or self.namespace}/{item.get('name')}"
            for item in listed
            if isinstance(item, dict)
        )

    @property
    def artifact(self) -> str:
        """Source: the revision of what it offers; empty while it offers nothing."""
        return str(_mapping(self._status.get("artifact")).get("revision", ""))

    @property
    def artifact_commit(self) -> str:
        """Source: the commit that its artifact was made of; empty where it does not say."""
        metadata = _mapping(_mapping(self._status.get("artifact")).get("metadata"))
        return _commit(self.kind, self.artifact, str(metadata.get(_ORIGIN) or ""))

    def _text(self, name: str) -> str:
        return str(self._status.get(name) or "")


def _commit(kind: str, revision: str, origin: str) -> str:
    """The commit that content of a source of `kind` was made of. Only git's own revisions name it themselves."""
    return commit_of(origin or (revision if kind == "GitRepository" else ""))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
