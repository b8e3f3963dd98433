"""A Flux Kustomization as the graph knows it: who it is, what it builds from, what it waits for."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from sf.models import canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sf.backends.flux.closure import Closure
    from sf.backends.flux.substitute import Variables

GROUP: Final = "kustomize.toolkit.fluxcd.io"
KIND: Final = "Kustomization"
#: That of Flux Operator.
OPERATOR_GROUP: Final = "fluxcd.controlplane.io"


@dataclass(frozen=True, slots=True, order=True)
class SourceRef:
    """The source object a Kustomization takes its files from."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """One entry of ``dependsOn``; ``ready`` is its CEL expression, if it has one."""

    id: str
    ready: str = ""


@dataclass(frozen=True, kw_only=True)
class Kustomization:
    """One node of the graph.

    ``path`` is normalised within the source (empty: its root). ``parent`` is the id of the Kustomization that
    renders this one. ``external``: its source is not this repository, so there is no ``closure``. ``variables``
    is None without ``postBuild``. ``problem`` says why it cannot be built, before anything was tried.
    """

    namespace: str
    name: str
    spec: Mapping[str, Any]
    path: str = ""
    parent: str | None = None
    external: bool = False
    closure: Closure | None = None
    variables: Variables | None = None
    problem: str = ""

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @cached_property
    def spec_path(self) -> str:
        """``spec.path`` as a folder of the source (empty: its root).

        As for Flux (`securejoin`), a path that leads out of the source ends at its root.
        """
        path = str(self.spec.get("path") or "")
        return posixpath.normpath(f"/{path.lstrip('/')}").lstrip("/")

    @cached_property
    def source(self) -> SourceRef:
        reference = _mapping(self.spec.get("sourceRef"))
        return SourceRef(
            str(reference.get("kind", "")),
            str(reference.get("namespace") or self.namespace),
            str(reference.get("name", "")),
        )

    @cached_property
    def depends_on(self) -> tuple[Dependency, ...]:
        found = []
        for item in _mappings(self.spec.get("dependsOn")):
            namespace = item.get("namespace") or self.namespace
            name = item.get("name", "")
            found.append(
                Dependency(
                    id=f"{namespace}/{name}" if namespace else str(name), ready=str(item.get("readyExpr", ""))
                )
            )
        return tuple(found)

    @property
    def components(self) -> tuple[str, ...]:
        listed = self.spec.get("components")
        return tuple(map(str, listed)) if isinstance(listed, list) else ()

    @property
    def suspended(self) -> bool:
        return self.spec.get("suspend") is True

    @property
    def prune(self) -> bool:
        return self.spec.get("prune") is True

    @property
    def deletes_objects(self) -> bool:
        """Whether Flux deletes its objects when the Kustomization itself is removed.

        ``deletionPolicy`` MirrorPrune, the default, follows ``prune`` (kustomize-controller API v1).
        """
        policy = self.spec.get("deletionPolicy") or "MirrorPrune"
        return policy in {"Delete", "WaitForTermination"} or (policy == "MirrorPrune" and self.prune)

    @property
    def substitute_from(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(_mappings(_mapping(self.spec.get("postBuild")).get("substituteFrom")))

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) over the spec, the closure and the variables: all that its reconciliation depends on."""
        inputs = {
            "spec": self.spec,
            "closure": self.closure.hash if self.closure else None,
            "variables": self.variables.identity if self.variables else None,
        }
        return hashlib.sha256(canonical_json(inputs)).hexdigest()

    def reconciles_as(self, other: Kustomization) -> bool:
        """Whether `other` has the same fingerprint, found without making it where everything is the same."""
        is_same = (
            self.spec is other.spec and self.closure == other.closure and self.variables == other.variables
        )
        return is_same or self.fingerprint == other.fingerprint


def is_kustomization(document: Any) -> bool:
    """Whether `document` is an object of the kind Flux reconciles, by group and kind."""
    return kind_of(document) == (GROUP, KIND)


def kind_of(document: Any) -> tuple[str, str]:
    """The (group, kind) of an object; empty strings where it has none."""
    if not isinstance(document, dict):
        return "", ""
    group, slash, _ = str(document.get("apiVersion", "")).rpartition("/")
    return (group if slash else ""), str(document.get("kind", ""))


def waves(nodes: Mapping[str, Kustomization], chosen: Iterable[str]) -> list[list[str]]:
    """The `chosen` ids in waves: each waits only for members of earlier ones. Members of a cycle share one.

    A dependency counts also when it leads through Kustomizations that were not chosen.
    """
    targets = _targets(nodes)
    wanted = set(chosen)
    ordered: dict[int, list[str]] = {}
    # In how many waves a node and all it depends on are done.
    done: dict[str, int] = {}
    for group in _groups(targets):
        wave = max((done[target] for node in group for target in targets[node] if target in done), default=0)
        waiting = wanted.intersection(group)
        done.update(dict.fromkeys(group, wave + bool(waiting)))
        if waiting:
            ordered.setdefault(wave, []).extend(waiting)
    return [sorted(ordered[wave]) for wave in sorted(ordered)]


def cycles(nodes: Mapping[str, Kustomization]) -> list[list[str]]:
    """Every group of Kustomizations that wait for each other, sorted, each group whole."""
    targets = _targets(nodes)
    return sorted(
        sorted(group) for group in _groups(targets) if len(group) > 1 or group[0] in targets[group[0]]
    )


def _targets(nodes: Mapping[str, Kustomization]) -> dict[str, list[str]]:
    """Every id, sorted, with those among `nodes` that it depends on."""
    return {
        node: [dependency.id for dependency in nodes[node].depends_on if dependency.id in nodes]
        for node in sorted(nodes)
    }


def _groups(targets: Mapping[str, list[str]]) -> list[list[str]]:
    """The strongly connected components, each after all it depends on (Kosaraju's algorithm)."""
    sources: dict[str, list[str]] = {node: [] for node in targets}
    for node, found in targets.items():
        for target in found:
            sources[target].append(node)
    seen: set[str] = set()
    return [_reached(targets, start, seen) for start in _by_completion(sources) if start not in seen]


def _by_completion(edges: Mapping[str, list[str]]) -> list[str]:
    """Every node of a graph, those first whose depth-first search ends last."""
    order: list[str] = []
    seen: set[str] = set()
    for start in edges:
        trail = [(start, iter(edges[start]))] if start not in seen else []
        seen.add(start)
        while trail:
            node, onward = trail[-1]
            new = next((other for other in onward if other not in seen), None)
            if new is None:
                order.append(node)
                trail.pop()
            else:
                seen.add(new)
                trail.append((new, iter(edges[new])))
    return order[::-1]


def _reached(edges: Mapping[str, list[str]], start: str, seen: set[str]) -> list[str]:
    """What can be reached from `start` without those `seen`, which it then are."""
    seen.add(start)
    found = [start]
    for node in found:
        for other in edges[node]:
            if other not in seen:
                seen.add(other)
                found.append(other)
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
