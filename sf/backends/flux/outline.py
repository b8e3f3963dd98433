"""What comes out of a build, and what the graph needs of it: Kustomizations, sources, variables, nothing secret.

An outline is small, and may be kept between runs also where the build as a whole may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.kustomization import OPERATOR_GROUP, is_kustomization, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sf.models import Problem

#: Kind, namespace and name.
ObjectKey = tuple[str, str, str]

_VARIABLE_SOURCES: Final = frozenset({"ConfigMap", "Secret"})
_SOURCE_GROUP: Final = "source.toolkit.fluxcd.io"


@dataclass(frozen=True, slots=True)
class Rendering:
    """What came out of one build.

    ``objects`` in kustomize's order. ``error`` is set when Flux could not build it either; ``unknown`` says what
    could not be determined here, one sentence each. ``withheld``: for one of those reasons there are no objects.
    """

    objects: tuple[dict[str, Any], ...] = ()
    error: Problem | None = None
    unknown: tuple[str, ...] = ()
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """The ``objects`` of a build that the graph is made of, in its order, with those it cannot see through.

    ``concealed``: the (kind, namespace, name) of those that hold a secret, which only the build itself has. A
    Kustomization is never concealed.
    ``error``, ``unknown`` and ``withheld`` are those of the build.
    """

    objects: tuple[dict[str, Any], ...] = ()
    concealed: tuple[ObjectKey, ...] = ()
    error: Problem | None = None
    unknown: tuple[str, ...] = ()
    withheld: bool = False


def outline_of(rendering: Rendering, secrets: Iterable[dict[str, Any]] = ()) -> Outline:
    """The outline of `rendering`; `secrets` are those of its objects that hold one."""
    hidden = set(map(id, secrets))
    kept, concealed = [], []
    for item in rendering.objects:
        if is_kustomization(item):
            kept.append(item)
        elif _is_source(item):
            if id(item) in hidden:
                concealed.append(key_of(item))
            else:
                kept.append(item)
    return Outline(tuple(kept), tuple(concealed), rendering.error, rendering.unknown, rendering.withheld)


def key_of(item: Mapping[str, Any]) -> ObjectKey:
    """The (kind, namespace, name) of an object that a build made."""
    metadata = item["metadata"]
    return str(item["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"])


def _is_source(item: Mapping[str, Any]) -> bool:
    """Whether Kustomizations take files or variables from objects like `item`, or are made of it."""
    group, kind = kind_of(item)
    is_set = (group, kind) == (OPERATOR_GROUP, "ResourceSet")
    return is_set or group == _SOURCE_GROUP or (group == "" and kind in _VARIABLE_SOURCES)
