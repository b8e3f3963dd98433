"""Where clusters begin in a repository: found in its files when the configuration does not name one.

A start is a Kustomization whose own build contains it (``gotk-sync.yaml``), the sync path of a Flux Operator
``FluxInstance`` (also in the values of its Helm chart), or a Kustomization that no other one builds and that
builds others.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sf import documents
from sf.backends.flux.closure import Closures
from sf.backends.flux.declarations import INSTANCE_CHART, documents_in
from sf.backends.flux.graph import (
    API_VERSION,
    OPERATOR_API_VERSION,
    SOURCE_API_VERSION,
    Start,
    sight_of,
)
from sf.backends.flux.kustomization import KIND, Kustomization, is_kustomization, kind_of
from sf.backends.flux.names import Names
from sf.backends.flux.render import Build
from sf.backends.flux.tree import MANIFEST_SUFFIXES, Blobs, Tree
from sf.changes.manifest import at
from sf.models import Finding, Location, Severity
from sf.tools.git import TreeEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sf.backends.flux.declarations import Declaration
    from sf.backends.flux.graph import Entry, Graph

_INSTANCE_TEXTS: Final = (OPERATOR_API_VERSION, INSTANCE_CHART)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A document in a file that may be the beginning of a cluster: its Kustomization, or the one made of it.

    ``source``: the source object that Flux Operator makes for that one.
    """

    location: Location
    root: Kustomization
    path: str
    is_instance: bool
    source: Mapping[str, Any] | None = None

    @property
    def start(self) -> Start:
        return Start(path=self.path, root=self.root, made=(self.source,) if self.source else ())


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
    """Whether the source that `candidate` names does not see its path, wherever that source is defined."""
    source = candidate.root.source
    files = graph.mentions(graph.tree, SOURCE_API_VERSION) & graph.mentions(graph.tree, source.name)
    specs = [
        at(document.value, "spec")
        for file in sorted(files)
        if file.endswith(MANIFEST_SUFFIXES) and graph.tree.oid(file) is not None
        for document in documents_in(graph.tree.read(file), file)
        if (at(document.value, "kind"), at(document.value, "metadata", "name")) == (source.kind, source.name)
    ]
    return bool(specs) and not any(
        graph.seen_by(sight_of(spec)).tree.is_folder(candidate.path)
        for spec in specs
        if isinstance(spec, dict)
    )


def _candidate(graph: Graph, file: str, declaration: Declaration) -> Candidate | None:
    root, source = declaration.root, None
    if declaration.made:
        document, source = _patched(graph, *declaration.made, declaration.patches)
        metadata, spec = document["metadata"], document["spec"]
        root = Kustomization(namespace=str(metadata["namespace"]), name=str(metadata["name"]), spec=spec)
    path = root.spec_path
    if not graph.tree.is_folder(path):
        return None
    return Candidate(
        location=Location(file, declaration.line),
        root=root,
        path=path,
        is_instance=declaration.is_instance,
        source=source,
    )


def _patched(
    graph: Graph, root: dict[str, Any], source: dict[str, Any], patches: Iterable[Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`root` and `source` with those `patches` that select one of them by kind; as they are if that fails.

    Flux Operator patches them like all that it makes (FluxInstance API reference, ``kustomize.patches``).
    """
    kinds = (KIND, source["kind"])
    chosen = [patch for patch in patches if _selects(at(patch, "target", "kind"), kinds)]
    if not chosen:
        return root, source
    contents = {
        hashlib.sha1(data, usedforsecurity=False).hexdigest(): data
        for data in (documents.dump(item).encode() for item in (root, source))
    }
    entries = [TreeEntry("100644", "blob", oid, f"{oid}.yaml") for oid in contents]
    tree = Tree(entries, Blobs(lambda oids: {oid: contents[oid] for oid in oids}))
    rendering = graph.renderer.render(
        Build(tree=tree, path="", spec={"patches": chosen}, closure=Closures(tree, Names()).of(""))
    )
    made = {kind_of(item)[1]: item for item in rendering.objects}
    return made.get(KIND, root), made.get(source["kind"], source)


def _selects(pattern: Any, kinds: Iterable[str]) -> bool:
    """Whether the `pattern` for kinds in the target of a patch, a regular expression of the whole, fits one."""
    try:
        return isinstance(pattern, str) and any(re.fullmatch(pattern, kind) for kind in kinds)
    except re.error:
        return False


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
