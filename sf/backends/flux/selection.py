"""What a run is for when it is told so: everything there is, or only some Kustomizations."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from sf.backends.flux.kustomization import waves
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Collection

    from sf.backends.flux.impact import Impact


def select_all(impact: Impact) -> Impact:
    """`impact` with every Kustomization in it, changed or not."""
    names = sorted(impact.after)
    return replace(impact, affected=tuple(names), order=_order(impact, names))


def select_only(impact: Impact, only: Collection[str]) -> Impact:
    """`impact` on the Kustomizations with the ids `only`; what they depend on is shown beside them.

    Raises `Problem` for an id that the newer state does not have.
    """
    for name in only:
        if name not in impact.after:
            near = difflib.get_close_matches(name, impact.after, n=1, cutoff=0.5)
            raise Problem(
                f"there is no Kustomization {name} in this commit",
                hint=f"did you mean {near[0]}?" if near else "`sf gitops inspect` lists all that there are",
            )
    names = set(only)
    waiting = list(only)
    while waiting:
        for dependency in impact.after[waiting.pop()].depends_on:
            if dependency.id in impact.after and dependency.id not in names:
                names.add(dependency.id)
                waiting.append(dependency.id)
    return replace(
        impact,
        added=_among(impact.added, names),
        removed=(),
        direct=_among(impact.direct, names),
        affected=tuple(sorted(names)),
        order=_order(impact, names),
        shown=frozenset(names.difference(only)),
    )


def _order(impact: Impact, names: Collection[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, waves(impact.after, names)))


def _among(some: tuple[str, ...], names: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in some if name in names)
