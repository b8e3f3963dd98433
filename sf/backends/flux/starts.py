"""Where clusters begin in a repository: found in its files when the configuration does not name one.

A start is a Kustomization whose own build contains it (``gotk-sync.yaml``), the sync path of a Flux Operator
``FluxInstance`` (also in the values of its Helm chart), or a Kustomization that no other one builds and that
builds others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.backends.flux.declarations import INSTANCE_CHART, OPERATOR_GROUP, at, documents_in
from sf.backends.flux.graph import API_VERSION, SOURCE_API_VERSION, Start, spec_path
from sf.backends.flux.kustomization import Kustomization, is_kustomization
from sf.backends.flux.render import Build
from sf.backends.flux.tree import MANIFEST_SUFFIXES
from sf.models import Finding, Location, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sf.backends.flux.declarations import Declaration
    from sf.backends.flux.graph import Entry, Graph

_INSTANCE_TEXTS: Final = (f"{OPERATOR_GROUP}/v", INSTANCE_CHART)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A document in a file that may be the beginning of a cluster: its Kustomization, or the one made of it."""

    location: Location
    root: Kustomization
    path: str
    is_instance: bool

    @property
    def start(self) -> Start:
        return Start(path=self.path, root=self.root)


def find_starts(graph: Graph) -> list[Start]:
    """Every start in the tree, one for each path, sorted by path."""
    candidates = find_candidates(graph, (API_VERSION, *_INSTANCE_TEXTS))
    graph.closures.explore((candidate.path, candidate.root.components) for candidate in candidates)
    files = [graph.closures.of(found.path, found.root.components).files for found in candidates]
    starts = {candidate.path: candidate.start for candidate in candidates if candidate.is_instance}
    built: set[str] = set()
    raw: list[Candidate] = []
    flux_files = graph.mentions(graph.tree, API_VERSION)
    for candidate, own in zip(candidates, files, strict=True):
        if candidate.is_instance or candidate.location.path not in own:
            built |= own.keys()
            if not flux_files.isdisjoint(own):
                raw.append(candidate)
        elif _builds_itself(graph, candidate):
            built |= own.keys()
            # The walk finds the Kustomization in what it builds itself, with all that was patched into it.
            starts.setdefault(candidate.path, Start(path=candidate.path))
        # Else it is some other repository's, and the path means nothing here.
    for candidate in raw:
        if candidate.location.path not in built and not _is_hidden(graph, candidate):
            starts.setdefault(candidate.path, candidate.start)
    return [starts[path] for path in sorted(starts)]


def start_at(graph: Graph, path: str) -> Start:
    """The start at `path`, which the configuration names. Only a FluxInstance is not found by the walk itself."""
    instances = find_candidates(graph, _INSTANCE_TEXTS)
    return next((found.start for found in instances if found.path == path), Start(path=path))


def find_candidates(graph: Graph, texts: Iterable[str]) -> list[Candidate]:
    """Every document with a whole Kustomization or a FluxInstance, in files that contain one of `texts`."""
    files = {
        path
        for text in texts
        for path in graph.mentions(graph.tree, text)
        if path.endswith(MANIFEST_SUFFIXES) and graph.tree.oid(path) is not None
    }
    declared = graph.declarations.of(graph.tree, sorted(files))
    return [
        found for file, declaration in declared if (found := _candidate(graph, file, declaration)) is not None
    ]


def unreached(candidates: Iterable[Candidate], entries: Iterable[Entry]) -> list[Finding]:
    """A finding for every Kustomization in a file that no cluster is built from, such as an archive."""
    nodes = [node for entry in entries for node in entry.nodes.values()]
    reached = {path for node in nodes if node.closure for path in node.closure.files}
    roots = {(node.id, node.path) for node in nodes if node.parent is None}
    return [
        Finding(
            code="unreached-kustomization",
            severity=Severity.INFO,
            message=f"the Kustomization {found.root.name} in this file belongs to no cluster",
            subject=found.root.id,
            location=found.location,
        )
        for found in candidates
        if not (found.is_instance or found.location.path in reached or (found.root.id, found.path) in roots)
    ]


def _is_hidden(graph: Graph, candidate: Candidate) -> bool:
    """Whether ``spec.ignore`` of the source that `candidate` names leaves its path out, wherever it is defined."""
    source = candidate.root.source
    files = graph.mentions(graph.tree, SOURCE_API_VERSION) & graph.mentions(graph.tree, source.name)
    ignores = [
        at(document.value, "spec", "ignore")
        for file in sorted(files)
        if file.endswith(MANIFEST_SUFFIXES) and graph.tree.oid(file) is not None
        for document in documents_in(graph.tree.read(file), file)
        if (at(document.value, "kind"), at(document.value, "metadata", "name")) == (source.kind, source.name)
    ]
    return bool(ignores) and not any(
        graph.seen_by(ignore if isinstance(ignore, str) else "").tree.is_folder(candidate.path)
        for ignore in ignores
    )


def _candidate(graph: Graph, file: str, declaration: Declaration) -> Candidate | None:
    path = spec_path(declaration.root)
    if not graph.tree.is_folder(path):
        return None
    return Candidate(
        location=Location(file, declaration.line),
        root=declaration.root,
        path=path,
        is_instance=declaration.is_instance,
    )


def _builds_itself(graph: Graph, candidate: Candidate) -> bool:
    """Whether its own build contains `candidate`. One that fails counts: a broken cluster did not vanish."""
    path = candidate.path
    outline = graph.renderer.outline(
        Build(tree=graph.tree, path=path, spec={}, closure=graph.closures.of(path))
    )
    return (
        outline.error is not None
        or outline.withheld
        or any(
            is_kustomization(item) and item["metadata"]["name"] == candidate.root.name
            for item in outline.objects
        )
    )
