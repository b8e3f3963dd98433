"""Reading Kubernetes objects whose shape nobody has checked: every function accepts any JSON value.

Which objects exist on both sides of a change, what Flux is told to do with them, and where their pods are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sf.models import Change, ObjectChange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KUSTOMIZE_GROUP: Final = "kustomize.toolkit.fluxcd.io"
HELM_GROUP: Final = "helm.toolkit.fluxcd.io"

_POD_SPECS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "Pod"): ("spec",),
    ("", "PodTemplate"): ("template", "spec"),
    ("", "ReplicationController"): ("spec", "template", "spec"),
    ("apps", "DaemonSet"): ("spec", "template", "spec"),
    ("apps", "Deployment"): ("spec", "template", "spec"),
    ("apps", "ReplicaSet"): ("spec", "template", "spec"),
    ("apps", "StatefulSet"): ("spec", "template", "spec"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template", "spec"),
    ("batch", "Job"): ("spec", "template", "spec"),
}


class Identity(NamedTuple):
    """What makes an object the same one before and after. The version of the API is no part of it."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return ObjectChange(change=Change.UNCHANGED, **self._asdict()).identity

    @property
    def group_kind(self) -> tuple[str, str]:
        return self.group, self.kind

    @property
    def pod_spec(self) -> tuple[str, ...]:
        """Where objects of a built-in kind keep the specification of their pods; empty for all others."""
        return _POD_SPECS.get(self.group_kind, ())


@dataclass(frozen=True, slots=True)
class Pair:
    """One object in both states; at least one of them exists."""

    identity: Identity
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def is_same(self) -> bool:
        return self.before is not None and self.after is not None and same(self.before, self.after)


def pairs(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """The objects of both states, sorted by identity. Of several with one identity the last counts."""
    old = {identity(item): item for item in before}
    new = {identity(item): item for item in after}
    return [Pair(key, old.get(key), new.get(key)) for key in sorted({*old, *new})]


def identity(item: Mapping[str, Any]) -> Identity:
    group = text(item.get("apiVersion")).rpartition("/")[0]
    metadata = mapping(item.get("metadata"))
    return Identity(
        group, text(item.get("kind")), text(metadata.get("namespace")), text(metadata.get("name"))
    )


def flux_setting(item: Mapping[str, Any], name: str) -> str:
    """What the label or annotation ``kustomize.toolkit.fluxcd.io/<name>`` says, in lower case.

    Flux reads both and ignores the case (AnyInMetadata in github.com/fluxcd/pkg/ssa/utils).
    """
    key = f"{KUSTOMIZE_GROUP}/{name}"
    values = (text(at(item, "metadata", place, key)) for place in ("labels", "annotations"))
    return next(filter(None, values), "").lower()


def at(value: Any, *path: str) -> Any:
    """What stands at `path`; None where nothing does."""
    for key in path:
        value = mapping(value).get(key)
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> Iterator[Mapping[str, Any]]:
    """The mappings in a list."""
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def strings(value: Any) -> list[str]:
    """The strings in a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """A scalar as text; empty for everything else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON. Unlike ``==`` it tells ``true`` from ``1``."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
