"""What differs in the cluster from what Flux applied: the answer of the API server itself, object by object.

As Flux does it: read the object, have the API server try a server-side apply of the rendered one, compare. Two
requests for each object, none of which changes anything.
"""

from __future__ import annotations

import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sf.backends.flux.ownership import MANAGER, without_strangers
from sf.backends.flux.rights import described
from sf.backends.flux.state import REQUESTED_AT
from sf.changes.diff import unified
from sf.changes.manifest import KUSTOMIZE_GROUP, at, flux_setting, identity, mapping, same
from sf.changes.masking import mask_pair
from sf.changes.ordering import aligned
from sf.models import Cause, Change, ObjectChange, Problem, Reason, canonical_json
from sf.tools.kubernetes import ApiProblem, Collection, Right

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sf.backends.flux.kustomization import Kustomization
    from sf.backends.flux.outline import Rendering
    from sf.changes.manifest import Identity
    from sf.changes.masking import Fingerprints
    from sf.tools.kubernetes import Api, Resource, User

_Answer = TypeVar("_Answer")

_WORKERS: Final = 8
_MOST_NAMED: Final = 5
MOST_OBJECTS: Final = 5_000
_SECONDS: Final = 120.0
_FORBIDDEN: Final = 403
_CIPHERTEXT: Final = "ENC[AES256_GCM,"
# What the API server adds, and what a controller says of the object.
_SERVERS_OWN: Final = frozenset(
    {"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}
)
# What `kubectl apply` leaves, which Flux removes and which says nothing that the object does not; and what
# somebody asked Flux for.
_PASSING: Final = frozenset({"kubectl.kubernetes.io/last-applied-configuration", REQUESTED_AT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What differs for one Kustomization, and what could not be compared, a sentence each."""

    objects: tuple[ObjectChange, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Item:
    """A rendered object of a Kustomization, as Flux applies it."""

    unit: str
    key: Identity
    desired: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Verdict:
    """``change`` is None when nothing differs. ``unknown``: why that is not known; ``right``: the one it takes."""

    change: ObjectChange | None = None
    unknown: str = ""
    right: Right | None = None


_SAME: Final = _Verdict()


class _Denied(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, right: Right) -> None:
        super().__init__(right)
        self.right = right


def find_drift(
    api: Api, user: User, units: Iterable[tuple[Kustomization, Rendering]], fingerprints: Fingerprints
) -> dict[str, Drift]:
    """What differs for each of `units`, whose renderings are what Flux applied last.

    Ends after 5,000 objects or two minutes; what was not compared by then is unknown. Raises `Problem` when the
    API server does not answer.
    """
    comparison = _Comparison(api, fingerprints)
    found: dict[str, Drift] = {}
    items: list[_Item] = []
    for node, rendering in units:
        if why := _incomparable(node, rendering):
            found[node.id] = Drift(
                unknown=(f"its objects are not compared with those in the cluster: {why}",)
            )
        else:
            items += [_Item(node.id, identity(item), _owned(item, node)) for item in rendering.objects]
    verdicts = comparison.of_all(items[:MOST_OBJECTS])
    verdicts += [_Verdict(unknown=f"only {MOST_OBJECTS:,} objects are compared")] * (
        len(items) - len(verdicts)
    )
    by_unit: dict[str, list[tuple[_Item, _Verdict]]] = {}
    for item, verdict in zip(items, verdicts, strict=True):
        by_unit.setdefault(item.unit, []).append((item, verdict))
    return found | {unit: _summed(some, user) for unit, some in by_unit.items()}


class _Comparison:
    """Compares with one cluster. Safe to use from several threads."""

    def __init__(self, api: Api, fingerprints: Fingerprints) -> None:
        self._api = api
        self._fingerprints = fingerprints
        self._ends = time.monotonic() + _SECONDS
        self._lock = threading.Lock()
        self._kinds: dict[tuple[str, str], dict[str, Resource]] = {}
        self._denied: set[Right] = set()

    def of_all(self, items: Sequence[_Item]) -> list[_Verdict]:
        self._discover(items)
        pool = ThreadPoolExecutor(max_workers=_WORKERS)
        try:
            return list(pool.map(self._of, items))
        finally:
            # After an error or a signal nobody waits for the rest.
            pool.shutdown(wait=False, cancel_futures=True)

    def _discover(self, items: Sequence[_Item]) -> None:
        for version in sorted({_group_version(item.desired) for item in items}):
            self._kinds[version] = self._api.resources(*version)

    def _of(self, item: _Item) -> _Verdict:
        if _is_left_alone(item.desired):
            return _SAME
        if _is_encrypted(item.desired):
            return _Verdict(unknown="it is encrypted in the repository")
        if time.monotonic() > self._ends:
            return _Verdict(unknown=f"comparing all objects takes longer than {_SECONDS:g} s")
        version = _group_version(item.desired)
        resource = self._kinds[version].get(item.key.kind)
        if resource is None:
            return _Verdict(change=self._missing(item, "the cluster does not know its kind"))
        if resource.namespaced and not item.key.namespace:
            return _Verdict(unknown="it has no namespace")
        namespace = item.key.namespace if resource.namespaced else ""
        return self._compared(item, Collection(*version, resource.plural, namespace))

    def _compared(self, item: _Item, collection: Collection) -> _Verdict:
        name = item.key.name
        try:
            live = self._allowed(collection, "get", lambda: self._api.read(collection, name))
            if live is None:
                return _Verdict(change=self._missing(item, "it is missing in the cluster"))
            if flux_setting(item.desired, "ssa") == "ifnotpresent" or _is_left_alone(live):
                return _SAME
            tried = self._allowed(
                collection, "patch", lambda: self._api.applied(collection, name, item.desired, MANAGER)
            )
        except _Denied as denied:
            return _Verdict(right=denied.right)
        except ApiProblem as problem:
            if not problem.status:
                raise
            return _Verdict(unknown=f"the API server refuses to apply it: {_said(item, problem)}")
        return self._judged(item, live, tried)

    def _allowed(self, collection: Collection, verb: str, ask: Callable[[], _Answer]) -> _Answer:
        """What `ask` returns, unless it was, or now is, denied."""
        right = Right(collection.namespace, collection.group, collection.resource, verb)
        if right in self._denied:
            raise _Denied(right)
        try:
            return ask()
        except ApiProblem as problem:
            if problem.status != _FORBIDDEN:
                raise
            with self._lock:
                self._denied.add(right)
            raise _Denied(right) from problem

    def _judged(self, item: _Item, live: Mapping[str, Any], tried: Mapping[str, Any]) -> _Verdict:
        merges = "merge" in {flux_setting(item.desired, "ssa"), flux_setting(live, "ssa")}
        before, after = _stripped(live), _stripped(tried if merges else without_strangers(tried))
        if same(before, after):
            return _SAME
        masked = mask_pair(before, after, self._fingerprints)
        shown_before, shown_after = masked.before, masked.after
        if shown_before is not None and shown_after is not None:
            shown_before, shown_after = aligned(item.key, shown_before, shown_after)
        why = "differs in the cluster from what Flux applied"
        return _Verdict(change=_drifted(item, Change.CHANGE, unified(shown_before, shown_after), why))

    def _missing(self, item: _Item, why: str) -> ObjectChange:
        masked = mask_pair(None, item.desired, self._fingerprints)
        return _drifted(item, Change.ADD, unified(None, masked.after), why)


def _incomparable(node: Kustomization, rendering: Rendering) -> str:
    """Why what was rendered for `node` is not what Flux applied; empty when it is."""
    if node.spec.get("kubeConfig"):
        return "they are in another cluster (spec.kubeConfig)"
    if node.spec.get("ignore"):
        return "it ignores some of their fields (spec.ignore)"
    if rendering.error:
        return f"the build fails: {rendering.error.message}"
    return "; ".join(rendering.unknown)


def _owned(item: Mapping[str, Any], node: Kustomization) -> dict[str, Any]:
    """`item` as Flux applies it: labelled with its Kustomization, the text of a Secret encoded."""
    metadata = mapping(item.get("metadata"))
    own = {f"{KUSTOMIZE_GROUP}/name": node.name, f"{KUSTOMIZE_GROUP}/namespace": node.namespace}
    labelled = {**metadata, "labels": {**mapping(metadata.get("labels")), **own}}
    applied = {key: value for key, value in item.items() if key != "status"} | {"metadata": labelled}
    plain = mapping(applied.get("stringData"))
    if item.get("kind") == "Secret" and plain:
        encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in plain.items()}
        applied["data"] = {**mapping(applied.get("data")), **encoded}
        del applied["stringData"]
    return applied


def _is_left_alone(item: Mapping[str, Any]) -> bool:
    """Whether Flux does not apply the object, as it or the one in the cluster says itself."""
    return flux_setting(item, "reconcile") == "disabled" or flux_setting(item, "ssa") == "ignore"


def _is_encrypted(item: Mapping[str, Any]) -> bool:
    """Whether a value is one that SOPS encrypted, be it in a file that a Secret is made of."""
    if "sops" in item or _CIPHERTEXT in canonical_json(item).decode():
        return True
    data = mapping(item.get("data")) if item.get("kind") == "Secret" else {}
    return any(_CIPHERTEXT.encode() in _decoded(value) for value in data.values())


def _decoded(value: Any) -> bytes:
    try:
        return base64.b64decode(str(value))
    except ValueError:
        return b""


def _stripped(item: Mapping[str, Any]) -> dict[str, Any]:
    """`item` without what nobody declares."""
    metadata = {key: value for key, value in mapping(item.get("metadata")).items() if key not in _SERVERS_OWN}
    if annotations := mapping(metadata.get("annotations")):
        lasting = {key: value for key, value in annotations.items() if key not in _PASSING}
        metadata = {**metadata, "annotations": lasting}
    kept = {key: value for key, value in metadata.items() if value not in ({}, [])}
    return {key: value for key, value in item.items() if key != "status"} | {"metadata": kept}


def _drifted(item: _Item, change: Change, diff: str, why: str) -> ObjectChange:
    reason = Reason(cause=Cause.DRIFT, message=why)
    return ObjectChange(change=change, **item.key._asdict(), diff=diff, reasons=(reason,))


def _said(item: _Item, problem: Problem) -> str:
    """What the API server says, which for a Secret may hold its values."""
    if item.key.kind == "Secret" and isinstance(problem, ApiProblem):
        return problem.reason or f"status {problem.status}"
    return problem.message


def _summed(found: Iterable[tuple[_Item, _Verdict]], user: User) -> Drift:
    changes: list[ObjectChange] = []
    rights: set[Right] = set()
    unknown: dict[str, list[str]] = {}
    for item, verdict in found:
        if verdict.change:
            changes.append(verdict.change)
        elif verdict.right:
            rights.add(verdict.right)
        elif verdict.unknown:
            unknown.setdefault(verdict.unknown, []).append(str(item.key))
    sentences = [f"drift of {_some(names)} is not known: {why}" for why, names in unknown.items()]
    if rights:
        sentences.append(f"drift: the cluster does not let {user.name} {described(rights)}")
    return Drift(objects=tuple(changes), unknown=tuple(sentences))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _group_version(item: Mapping[str, Any]) -> tuple[str, str]:
    group, _, version = str(at(item, "apiVersion")).rpartition("/")
    return group, version
