"""What a change means for one cluster: which Kustomizations differ between two trees, and who follows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.backends.flux.kustomization import waves

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sf.backends.flux.graph import Entry
    from sf.backends.flux.kustomization import Kustomization

_EMPTY: Final[Mapping[str, Kustomization]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """One cluster before and after. Everything is sorted by id.

    ``direct``: the spec, the closure or the variables differ; ``added`` ones are in it, ``removed`` ones are not.
    ``affected``: those and everything that waits for one of them. ``order`` holds ``affected`` in waves.
    """

    path: str
    before: Mapping[str, Kustomization]
    after: Mapping[str, Kustomization]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    direct: tuple[str, ...]
    affected: tuple[str, ...]
    order: tuple[tuple[str, ...], ...]


def compare(path: str, before: Entry | None, after: Entry | None) -> Impact:
    """The impact on one cluster. None stands for a tree in which it does not exist."""
    old = before.nodes if before else _EMPTY
    new = after.nodes if after else _EMPTY
    added = new.keys() - old.keys()
    changed = {node for node in new.keys() & old.keys() if not new[node].reconciles_as(old[node])}
    direct = added | changed
    affected = _with_dependents(new, direct)
    return Impact(
        path=path,
        before=old,
        after=new,
        added=tuple(sorted(added)),
        removed=tuple(sorted(old.keys() - new.keys())),
        direct=tuple(sorted(direct)),
        affected=tuple(sorted(affected)),
        order=tuple(map(tuple, waves(new, affected))),
    )


def unmapped(changed_files: Iterable[str], entries: Iterable[Entry]) -> tuple[str, ...]:
    """The changed files that no Kustomization of any of `entries` is built from."""
    rest = set(changed_files)
    for entry in entries:
        for node in entry.nodes.values():
            if node.closure:
                rest.difference_update(node.closure.files)
    return tuple(sorted(rest))


def _with_dependents(nodes: Mapping[str, Kustomization], start: set[str]) -> set[str]:
    dependents: dict[str, list[str]] = {}
    for node in nodes.values():
        for dependency in node.depends_on:
            dependents.setdefault(dependency.id, []).append(node.id)
    affected = set(start)
    waiting = list(start)
    while waiting:
        for dependent in dependents.get(waiting.pop(), ()):
            if dependent not in affected:
                affected.add(dependent)
                waiting.append(dependent)
    return affected
