"""What a change does to Kubernetes objects, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sf.changes.diff import unified
from sf.changes.masking import masked
from sf.models import Cause, Change, ObjectChange, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sf.changes.masking import Fingerprints

    Key = tuple[str, str, str, str]

_KUSTOMIZE: Final = "kustomize.toolkit.fluxcd.io"


def compare(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    fingerprints: Fingerprints,
    *,
    deletes: bool,
) -> tuple[ObjectChange, ...]:
    """Every object that is added, changed or removed, in order of its identity.

    `deletes` says whether Flux deletes what is removed. Of two objects with one identity the last one counts.
    """
    old = {key(item): item for item in before}
    new = {key(item): item for item in after}
    return tuple(
        _change(identity, old.get(identity), new.get(identity), fingerprints, deletes=deletes)
        for identity in sorted(old.keys() | new.keys())
        if old.get(identity) != new.get(identity)
    )


def key(item: Mapping[str, Any]) -> Key:
    """(group, kind, namespace, name): what makes an object the same object, whatever its version."""
    group, slash, _ = str(item.get("apiVersion", "")).rpartition("/")
    metadata = item.get("metadata")
    names = metadata if isinstance(metadata, dict) else {}
    return (
        group if slash else "",
        str(item.get("kind", "")),
        str(names.get("namespace") or ""),
        str(names.get("name") or ""),
    )


def _change(
    identity: Key,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    fingerprints: Fingerprints,
    *,
    deletes: bool,
) -> ObjectChange:
    group, kind, namespace, name = identity
    change = Change.ADD if old is None else Change.REMOVE if new is None else Change.CHANGE
    return ObjectChange(
        change=change,
        kind=kind,
        name=name,
        group=group,
        namespace=namespace,
        diff=unified(*masked(old, new, fingerprints)),
        reasons=tuple(_reasons(old, new, deletes=deletes)),
    )


def _reasons(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, *, deletes: bool
) -> Iterator[Reason]:
    """What Flux does otherwise than the difference suggests."""
    if new is None:
        if not deletes or (old is not None and _marked(old, "prune", "disabled")):
            yield Reason(cause=Cause.GIT, message="stays in the cluster: Flux does not delete it")
        return
    if _marked(new, "reconcile", "disabled") or _marked(new, "ssa", "Ignore"):
        yield Reason(cause=Cause.GIT, message="is not applied: an annotation tells Flux to leave it alone")
    elif _marked(new, "ssa", "IfNotPresent"):
        yield Reason(cause=Cause.GIT, message="is applied only if it does not exist yet")


def _marked(item: Mapping[str, Any], name: str, value: str) -> bool:
    """Whether a label or annotation of kustomize-controller has this value."""
    metadata = item.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    return any(
        isinstance(found := fields.get(field), dict)
        and str(found.get(f"{_KUSTOMIZE}/{name}", "")).lower() == value.lower()
        for field in ("labels", "annotations")
    )
