"""What a change does to Kubernetes objects, one by one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sf.changes.diff import unified
from sf.changes.manifest import KUSTOMIZE_GROUP, Identity, flux_setting, identity, pairs, same
from sf.changes.masking import mask_pair
from sf.changes.ordering import aligned
from sf.models import Cause, Change, ObjectChange, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sf.changes.manifest import Pair
    from sf.changes.masking import Fingerprints

_REORDERED: Final = "only the order of entries differs, and still its pods are replaced"
_STAYS: Final = "stays in the cluster: Flux does not delete it"


def compare(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    fingerprints: Fingerprints,
    *,
    deletes: bool,
) -> tuple[ObjectChange, ...]:
    """Every object that is added, changed or removed, in order of its identity.

    `deletes` says whether Flux deletes what is removed. Of several objects with one identity the last counts;
    `duplicates` names them. An order that means nothing to Kubernetes is no change, but for pods: the API
    server stores the new order, and a pod template that is stored differently is rolled out.
    """
    changes = (
        _change(pair, fingerprints, deletes=deletes) for pair in pairs(before, after) if not pair.is_same
    )
    return tuple(change for change in changes if change is not None)


def duplicates(objects: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The identities that more than one of `objects` has, as findings name them, sorted."""
    counts = Counter(identity(item) for item in objects)
    return tuple(str(key) for key, count in sorted(counts.items()) if count > 1)


def _change(pair: Pair, fingerprints: Fingerprints, *, deletes: bool) -> ObjectChange | None:
    """What happens to one object; None where the difference makes none."""
    masked = mask_pair(pair.before, pair.after, fingerprints)
    reasons = [_reason(note) for note in masked.notes]
    before, after = masked.before, masked.after
    if before is not None and after is not None:
        before, after = aligned(pair.identity, before, after)
        if same(before, after):
            reasons += _of_order(pair.identity, masked.before, masked.after)
            if not reasons:
                return None
    return ObjectChange(
        change=_kind_of_change(pair),
        **pair.identity._asdict(),
        diff=unified(before, after),
        reasons=(*reasons, *(_reason(message) for message in _fate(pair, deletes=deletes))),
    )


def _kind_of_change(pair: Pair) -> Change:
    if pair.before is None:
        return Change.ADD
    return Change.REMOVE if pair.after is None else Change.CHANGE


def _of_order(own: Identity, before: Any, after: Any) -> list[Reason]:
    """For two states that differ at most in the order of lists that have none."""
    return [_reason(_REORDERED)] if own.pod_spec and not same(before, after) else []


def _fate(pair: Pair, *, deletes: bool) -> Iterator[str]:
    """What Flux does otherwise than the difference suggests, a sentence each."""
    if pair.after is None:
        if stays(pair, deletes=deletes):
            yield _STAYS
        elif setting := pair.before and _exclusion(pair.before):
            # Flux looks at the object in the cluster, and does not bring it what it was told to leave alone.
            yield f"is deleted unless the object in the cluster itself says {setting}"
        return
    if setting := _exclusion(pair.after):
        yield f"is not applied: {setting}"
    elif flux_setting(pair.after, "ssa") == "ifnotpresent":
        yield f"is applied only if it does not exist yet: {KUSTOMIZE_GROUP}/ssa is IfNotPresent"
    elif flux_setting(pair.after, "ssa") == "merge":
        yield f"fields that others set in the cluster stay: {KUSTOMIZE_GROUP}/ssa is Merge"


def stays(pair: Pair, *, deletes: bool) -> bool:
    """Whether a removed object is left in the cluster for certain."""
    return not deletes or (pair.before is not None and flux_setting(pair.before, "prune") == "disabled")


def is_applied(pair: Pair) -> bool:
    """Whether Flux brings the newer state into the cluster, where an object exists already."""
    if pair.after is None or _exclusion(pair.after):
        return False
    return pair.before is None or flux_setting(pair.after, "ssa") != "ifnotpresent"


def _exclusion(item: Mapping[str, Any]) -> str:
    """The label or annotation that makes Flux skip the object (kustomize-controller 1.9, ExclusionSelector)."""
    if flux_setting(item, "reconcile") == "disabled":
        return f"{KUSTOMIZE_GROUP}/reconcile is disabled"
    return f"{KUSTOMIZE_GROUP}/ssa is Ignore" if flux_setting(item, "ssa") == "ignore" else ""


def _reason(message: str) -> Reason:
    return Reason(cause=Cause.GIT, message=message)
