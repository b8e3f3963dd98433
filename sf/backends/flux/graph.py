"""Which Kustomizations a cluster runs, found the way Flux finds them: build one, look what is in it, go on.

Only builds that can hold further Kustomizations are run: those with a file in their closure that mentions the
API group. Everything else about a Kustomization (its closure, its variables, its fingerprint) needs no build.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.closure import Closures
from sf.backends.flux.kustomization import (
    GROUP,
    Kustomization,
    SourceRef,
    cycles,
    is_kustomization,
    kind_of,
)
from sf.backends.flux.render import Build, Rendering
from sf.backends.flux.substitute import Variables
from sf.backends.flux.tree import Escape
from sf.models import Finding, Problem, Severity, canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sf.backends.flux.closure import Names
    from sf.backends.flux.render import Renderer
    from sf.backends.flux.tree import Tree

    Mentions = Callable[[Tree, str], frozenset[str]]
    ObjectKey = tuple[str, str, str]

# What a file has to hold to define a Kustomization. The group alone also stands in annotations.
API_VERSION: Final = f"{GROUP}/v"
_WORKERS: Final = max(2, os.cpu_count() or 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a cluster begins: a path, and the Kustomization there when its document is not part of the path.

    ``source`` is known when the start says which source object is this repository.
    """

    path: str
    root: Kustomization | None = None
    source: SourceRef | None = None


@dataclass(slots=True)
class Entry:
    """One cluster: every Kustomization that Flux would come to from ``path``, by id, and what was noticed."""

    path: str
    nodes: dict[str, Kustomization] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Graph:
    """The Kustomizations of one tree, entry by entry."""

    def __init__(
        self,
        tree: Tree,
        renderer: Renderer,
        names: Names,
        mentions: Mentions,
        is_this_repository: Callable[[str], bool],
    ) -> None:
        """`mentions(tree, text)` gives the files that contain `text`; `is_this_repository` judges a source URL."""
        self.tree = tree
        self.closures = Closures(tree, names)
        self.renderer = renderer
        self.mentions = mentions
        self.is_this_repository = is_this_repository

    def entry(self, start: Start) -> Entry:
        """Walk the whole cluster from `start`.

        Raises `Problem` when there is nothing at that path.
        """
        return _Walk(self, start).run()

    def render(self, node: Kustomization) -> Rendering:
        """The objects of one Kustomization."""
        if node.problem:
            return Rendering(error=Problem(node.problem))
        if node.closure is None:
            return Rendering(
                unknown=(f"{node.id} is built from {node.source}, which is not this repository",)
            )
        return self.renderer.render(
            Build(
                tree=self.tree,
                path=node.path,
                spec=node.spec,
                closure=node.closure,
                variables=node.variables,
            )
        )

    def render_all(self, nodes: Iterable[Kustomization]) -> list[Rendering]:
        """As `render`, several at a time."""
        listed = list(nodes)
        self.tree.blobs.fetch(oid for node in listed if node.closure for oid in node.closure.files.values())
        with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
            return list(pool.map(self.render, listed))


class _Walk:
    """One pass through one cluster."""

    def __init__(self, graph: Graph, start: Start) -> None:
        self._graph = graph
        self._tree = graph.tree
        self._start = start
        self._entry = Entry(path=start.path)
        self._own_sources = {start.source} if start.source else set()
        self._objects: dict[ObjectKey, dict[str, Any]] = {}
        self._rendered: set[str] = set()
        self._undefined_sources: dict[str, list[str]] = {}

    def run(self) -> Entry:
        if not self._tree.is_folder(self._start.path):
            raise Problem(
                f"there is no folder {self._start.path or '.'!r} in this commit",
                hint="set `gitops.path` to the folder that Flux synchronises, such as clusters/production",
            )
        self._graph.closures.explore([(self._start.path, ())])
        waiting = self._root()
        while waiting:
            settled = [node for node in map(self._with_variables, waiting) if node]
            if not settled:
                # Nobody can go on: look for the missing variables, then take them for the cluster's own.
                settled = self._searched(waiting)
            for node in settled:
                self._entry.nodes[node.id] = node
            unsettled = {node.id for node in waiting} - {node.id for node in settled}
            waiting = [node for node in waiting if node.id in unsettled]
            waiting += self._children(settled)
        self._check()
        return self._entry

    def _root(self) -> list[Kustomization]:
        """The first Kustomizations: the one that stands for the path itself, or all that lie there."""
        if self._start.root:
            root = self._start.root
            self._own_sources.add(root.source)
            return [self._placed(root)]
        plain = Build(
            tree=self._tree,
            path=self._start.path,
            spec={"path": self._start.path},
            closure=self._graph.closures.of(self._start.path),
        )
        rendering = self._graph.renderer.render(plain)
        self._remember(rendering)
        found = [self._node(document, None) for document in rendering.objects if is_kustomization(document)]
        itself = next((node for node in found if self._path_of(node) == self._start.path), None)
        if itself is None:
            self._report(rendering, self._start.path)
            return self._placed_all(found)
        # Its own fields apply to the build it is found in, so that build counts, not this one.
        self._objects.clear()
        self._own_sources.add(itself.source)
        return [self._placed(itself)]

    def _children(self, nodes: list[Kustomization]) -> list[Kustomization]:
        """What the builds of `nodes` bring to light. Only those are built that can bring anything."""
        flux_files = self._graph.mentions(self._tree, API_VERSION)
        parents = [node for node in nodes if node.closure and not flux_files.isdisjoint(node.closure.files)]
        renderings = self._graph.render_all(parents)
        for node, rendering in zip(parents, renderings, strict=True):
            self._rendered.add(node.id)
            self._remember(rendering)
            self._report(rendering, node.id)
        found = [
            self._node(document, node.id)
            for node, rendering in zip(parents, renderings, strict=True)
            for document in rendering.objects
            if is_kustomization(document)
        ]
        return self._placed_all(found)

    def _placed_all(self, found: list[Kustomization]) -> list[Kustomization]:
        new = self._distinct(found)
        # Their kustomization files are read together; a path that cannot be used is judged one by one below.
        usable = [
            (path, node.components)
            for node in new
            if not self._is_external(node) and (path := self._path_of(node)) is not None
        ]
        self._graph.closures.explore(usable)
        return [self._placed(node) for node in new]

    def _path_of(self, node: Kustomization) -> str | None:
        """The folder of `node` in the tree; None when it leads out of it."""
        try:
            return self._tree.join("", spec_path(node))
        except Escape:
            return None

    def _distinct(self, nodes: Iterable[Kustomization]) -> list[Kustomization]:
        """`nodes` less those whose identity is taken, each of which is a finding."""
        new: dict[str, Kustomization] = {}
        for node in nodes:
            taken = self._entry.nodes.get(node.id) or new.get(node.id)
            if taken is None:
                new[node.id] = node
            elif not (node.id in self._entry.nodes and self._is_root(node.id)):
                self._find(
                    "duplicate-identity",
                    Severity.ERROR,
                    f"{node.id} is defined by {taken.parent or self._start.path} and again by "
                    f"{node.parent or self._start.path}; the two will overwrite each other",
                    node.id,
                )
        return list(new.values())

    def _is_root(self, node: str) -> bool:
        return self._entry.nodes[node].parent is None

    def _node(self, document: dict[str, Any], parent: str | None) -> Kustomization:
        metadata = document["metadata"]
        spec = document.get("spec")
        return Kustomization(
            namespace=str(metadata.get("namespace") or ""),
            name=str(metadata["name"]),
            spec=spec if isinstance(spec, dict) else {},
            parent=parent,
        )

    def _placed(self, node: Kustomization) -> Kustomization:
        """`node` with its path and closure, or with the reason why it has none."""
        if self._is_external(node):
            return replace(node, external=True)
        try:
            path = self._tree.join("", spec_path(node))
        except Escape:
            return self._broken(
                node, "escaping-path", f"spec.path {node.spec.get('path')!r} leads out of the source"
            )
        if not self._tree.is_folder(path):
            return self._broken(node, "missing-path", f"spec.path {path} does not exist")
        return replace(node, path=path, closure=self._graph.closures.of(path, node.components))

    def _broken(self, node: Kustomization, code: str, message: str) -> Kustomization:
        self._find(code, Severity.ERROR, f"{node.id}: {message}", node.id)
        return replace(node, problem=message)

    def _is_external(self, node: Kustomization) -> bool:
        """Whether the files of `node` come from elsewhere.

        This repository is the source of the entry itself, and every GitRepository with its address. A source that
        no file here defines was put into the cluster by hand, as the entry's own is.
        """
        source = node.source
        if source in self._own_sources:
            return False
        if source.kind == "ExternalArtifact":
            return True
        defined = self._objects.get((source.kind, source.namespace, source.name))
        if defined is None:
            return False
        url = defined.get("spec", {}).get("url")
        return not (
            source.kind == "GitRepository" and isinstance(url, str) and self._graph.is_this_repository(url)
        )

    def _with_variables(self, node: Kustomization) -> Kustomization | None:
        """`node` with its variables, or None while one of their sources has not been seen."""
        sources = [self._objects.get(_variable_source(node, reference)) for reference in node.substitute_from]
        return self._substituting(node) if all(sources) else None

    def _substituting(self, node: Kustomization) -> Kustomization:
        """`node` with its variables, as far as this repository defines them."""
        post_build = node.spec.get("postBuild")
        if not isinstance(post_build, dict) or node.closure is None:
            return node
        values: dict[str, str] = {}
        encrypted: list[Any] = []
        absent: list[Mapping[str, Any]] = []
        for reference in node.substitute_from:
            source = self._objects.get(_variable_source(node, reference))
            if source is None:
                absent.append(reference)
            elif "sops" in source:
                encrypted.append(source)
            else:
                values |= _data(source)
        inline = post_build.get("substitute")
        values |= _without_line_breaks(inline if isinstance(inline, dict) else {})
        is_open = bool(absent or encrypted)
        if not (values or is_open or post_build.get("substituteStrategy") == "Always"):
            return node
        for reference in absent:
            if reference.get("optional") is not True:
                name = f"{reference.get('kind')} {reference.get('name')}"
                self._undefined_sources.setdefault(name, []).append(node.id)
        try:
            variables = Variables(
                values,
                open=is_open,
                origin=hashlib.sha256(canonical_json(encrypted)).hexdigest() if encrypted else "",
            )
        except Problem as problem:
            return self._broken(node, "invalid-variable", problem.message)
        return replace(node, variables=variables)

    def _searched(self, waiting: list[Kustomization]) -> list[Kustomization]:
        """Build what may define the variables that `waiting` lacks; what is not found is the cluster's own."""
        missing = {
            key
            for node in waiting
            for reference in node.substitute_from
            if (key := _variable_source(node, reference)) not in self._objects
        }
        files = {path for _, _, name in missing for path in self._graph.mentions(self._tree, name)}
        candidates = [
            node
            for node in self._entry.nodes.values()
            if node.id not in self._rendered and node.closure and not files.isdisjoint(node.closure.files)
        ]
        for node, rendering in zip(candidates, self._graph.render_all(candidates), strict=True):
            self._rendered.add(node.id)
            self._remember(rendering)
        found = [node for node in map(self._with_variables, waiting) if node]
        return found or [self._substituting(node) for node in waiting]

    def _remember(self, rendering: Rendering) -> None:
        for item in rendering.objects:
            _, kind = kind_of(item)
            metadata = item["metadata"]
            self._objects[kind, str(metadata.get("namespace") or ""), str(metadata["name"])] = item

    def _report(self, rendering: Rendering, subject: str) -> None:
        self._entry.unknown += [f"{subject}: {sentence}" for sentence in rendering.unknown]
        if rendering.error:
            self._find(
                "build-failed",
                Severity.ERROR,
                f"{subject}: the build fails: {rendering.error.message}",
                subject,
                rendering.error.hint,
            )

    def _check(self) -> None:
        """What is wrong between Kustomizations rather than inside one."""
        nodes = self._entry.nodes
        owners: dict[str, list[str]] = {}
        for node in nodes.values():
            if node.closure:
                owners.setdefault(node.path, []).append(node.id)
            for dependency in node.depends_on:
                if dependency.id not in nodes:
                    self._find(
                        "dangling-dependency",
                        Severity.ERROR,
                        f"{node.id} depends on {dependency.id}, which does not exist",
                        node.id,
                    )
            if not node.namespace:
                self._find(
                    "missing-namespace",
                    Severity.ERROR,
                    f"the Kustomization {node.name} has no namespace; Flux refuses to apply it",
                    node.id,
                )
        for path, ids in sorted(owners.items()):
            if len(ids) > 1:
                self._find(
                    "shared-path",
                    Severity.WARNING,
                    f"{', '.join(sorted(ids))} are built from the same path {path or '.'}",
                    min(ids),
                )
        for source, ids in sorted(self._undefined_sources.items()):
            self._find(
                "unknown-variables",
                Severity.WARNING,
                f"no file here defines the {source} that {_some(ids)} take variables from: defaults are shown, "
                "and names without one stay as they are",
                min(ids),
            )
        for group in cycles(nodes):
            self._find(
                "dependency-cycle",
                Severity.ERROR,
                f"{', '.join(group)} wait for each other and will never be reconciled",
                group[0],
            )

    def _find(self, code: str, severity: Severity, message: str, subject: str, hint: str = "") -> None:
        self._entry.findings.append(
            Finding(code=code, severity=severity, message=message, subject=subject, hint=hint)
        )


def spec_path(node: Kustomization) -> str:
    """``spec.path`` without the leading slashes and dots that Flux ignores (`securejoin` below the source)."""
    path = node.spec.get("path") or "./"
    return str(path).lstrip("/") or "."


def _variable_source(node: Kustomization, reference: Mapping[str, Any]) -> ObjectKey:
    return str(reference.get("kind", "")), node.namespace, str(reference.get("name", ""))


def _some(ids: list[str]) -> str:
    listed = sorted(ids)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def _data(source: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a ConfigMap or Secret defines. Line breaks are dropped, as Flux does."""
    data = source.get("data") or {}
    if source.get("kind") == "Secret":
        data = {**_decoded(data), **(source.get("stringData") or {})}
    return _without_line_breaks(data)


def _decoded(data: Mapping[str, Any]) -> dict[str, str]:
    """The values of a Secret; one that is not base64 of text is no variable Flux could use either."""
    decoded = {}
    for name, value in data.items():
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            decoded[name] = base64.b64decode(str(value), validate=True).decode()
    return decoded


def _without_line_breaks(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value).replace("\n", "") for name, value in values.items()}
