"""Which Kustomizations a cluster runs, found the way Flux finds them: build one, look what is in it, go on.

Only builds that can hold further Kustomizations are run: those with a file in their closure that mentions the
API group. Everything else about a Kustomization (its closure, its variables, its fingerprint) needs no build.
"""

from __future__ import annotations

import os
import posixpath
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from sf.backends.flux.closure import Closures
from sf.backends.flux.declarations import Declarations
from sf.backends.flux.foreign import needs
from sf.backends.flux.ignore import IGNORE_FILE, ignore_files, rules
from sf.backends.flux.kustomization import (
    GROUP,
    OPERATOR_GROUP,
    Kustomization,
    SourceRef,
    cycles,
    is_kustomization,
)
from sf.backends.flux.outline import Outline, Rendering, key_of
from sf.backends.flux.render import Build
from sf.backends.flux.variables import variable_sources, variables_from
from sf.models import Finding, Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sf.backends.flux.closure import Closure
    from sf.backends.flux.fetch import Remotes
    from sf.backends.flux.names import Names
    from sf.backends.flux.outline import ObjectKey
    from sf.backends.flux.render import Renderer
    from sf.backends.flux.substitute import Variables
    from sf.backends.flux.tree import Tree
    from sf.models import Location

    Mentions = Callable[[Tree, str], frozenset[str]]

# What a file has to hold to define a Kustomization. The group alone also stands in annotations.
API_VERSION: Final = f"{GROUP}/v"
SOURCE_API_VERSION: Final = "source.toolkit.fluxcd.io/v"
OPERATOR_API_VERSION: Final = f"{OPERATOR_GROUP}/v"
_VARIABLE_SOURCES: Final = frozenset({"ConfigMap", "Secret"})
# The fields of a kustomization that make other names out of those in its files.
_AFFIXES: Final = ("namePrefix", "nameSuffix")
# How often what comes to light late, or in its own build, is taken into account.
_MOST_PASSES: Final = 3
_WORKERS: Final = max(2, os.cpu_count() or 2)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a cluster begins: a path, and the Kustomization there when its document is not part of the path.

    ``source`` is known when the start says which source object is this repository. ``made``: objects that are made
    for the cluster and stand in no file.
    """

    path: str
    root: Kustomization | None = None
    source: SourceRef | None = None
    made: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class Entry:
    """One cluster: every Kustomization that Flux would come to from ``path``, by id, and what was noticed."""

    path: str
    nodes: dict[str, Kustomization] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


class Sight(NamedTuple):
    """What a source is told to see: ``spec.ignore``, and the beginnings of paths in ``spec.sparseCheckout``."""

    ignore: str = ""
    sparse: tuple[str, ...] = ()


def sight_of(spec: Mapping[str, Any]) -> Sight:
    """What a source with this `spec` is told to see (source-controller, GitRepository, gitCheckout)."""
    ignore, sparse = spec.get("ignore"), spec.get("sparseCheckout")
    folders = (
        [text.removeprefix("./") for text in sparse if isinstance(text, str)]
        if isinstance(sparse, list)
        else []
    )
    return Sight(ignore if isinstance(ignore, str) else "", tuple(folders))


class Graph:
    """The Kustomizations of one tree, entry by entry."""

    def __init__(
        self,
        tree: Tree,
        renderer: Renderer,
        names: Names,
        mentions: Mentions,
        is_this_repository: Callable[[str], bool],
        *,
        declarations: Declarations | None = None,
        remotes: Remotes | None = None,
        like: Graph | None = None,
    ) -> None:
        """`mentions(tree, text)` gives the files that contain `text`; `is_this_repository` judges a source URL.
        `like` is the graph of another commit, for what is the same in both.
        """
        self.declarations = declarations or Declarations()
        self._remotes = remotes
        self._like = like
        self.whole_tree = tree
        self._names = names
        self.ignore_files = ignore_files(tree)
        #: What was looked at of what sources have in their artifacts.
        self.seen: dict[Sight, Closures] = {}
        self.closures = self.seen_by(Sight())
        self.tree = self.closures.tree
        self.renderer = renderer
        self.mentions = mentions
        self.is_this_repository = cache(is_this_repository)

    def seen_by(self, sight: Sight) -> Closures:
        """The closures of the files that a source with this `sight` has in its artifact."""
        if sight not in self.seen:
            tree, files = self.whole_tree, self.ignore_files
            if sight.sparse:
                tree = tree.without(lambda path: not path.startswith(sight.sparse), lambda _: True)
                files = ignore_files(tree)
            ignored = rules(frozenset(files.contents.items()), sight.ignore)
            seen = tree.without(ignored, ignored.folder)
            like = self._like.seen.get(sight) if self._like else None
            self.seen[sight] = Closures(seen, self._names, self._remotes, like=like)
        return self.seen[sight]

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
                unknown=(f"{node.id} is built from content of {node.source} that is not in this repository",)
            )
        return self.renderer.render(_build(node, node.closure))

    def outline(self, node: Kustomization) -> Outline:
        """What the graph needs of one Kustomization."""
        if node.problem or node.closure is None:
            rendering = self.render(node)
            return Outline(error=rendering.error, unknown=rendering.unknown)
        return self.renderer.outline(_build(node, node.closure))

    def render_all(self, nodes: Iterable[Kustomization]) -> list[Rendering]:
        """As `render`, several at a time."""
        return self._at_once(self.render, nodes, self.renderer.is_kept)

    def outline_all(self, nodes: Iterable[Kustomization]) -> list[Outline]:
        """As `outline`, several at a time."""
        return self._at_once(self.outline, nodes, self.renderer.is_outlined)

    def _at_once(
        self,
        function: Callable[[Kustomization], _Result],
        nodes: Iterable[Kustomization],
        is_done: Callable[[Build], bool],
    ) -> list[_Result]:
        """What `function` makes of each of `nodes`; the files of those that are not done yet are read together."""
        listed = list(nodes)
        waiting = (
            node.closure
            for node in listed
            if node.closure and not (node.problem or is_done(_build(node, node.closure)))
        )
        self.tree.blobs.fetch(oid for closure in waiting for oid in closure.files.values())
        if len(listed) == 1:
            return [function(listed[0])]
        with ThreadPoolExecutor(max_workers=_WORKERS) as pool:
            return list(pool.map(function, listed))


def _build(node: Kustomization, closure: Closure) -> Build:
    return Build(tree=closure.tree, path=node.path, spec=node.spec, closure=closure, variables=node.variables)


class _Walk:
    """One pass through one cluster."""

    def __init__(self, graph: Graph, start: Start) -> None:
        self._graph = graph
        self._tree = graph.whole_tree
        self._start = start
        self._entry = Entry(path=start.path)
        self._own_sources = {start.source} if start.source else set()
        self._itself = ""
        self._objects: dict[ObjectKey, Mapping[str, Any]] = {key_of(item): item for item in start.made}
        self._concealed: dict[ObjectKey, Callable[[], Rendering]] = {}
        self._sights: dict[SourceRef, tuple[Mapping[str, Any], Sight]] = {}
        self._rendered: set[str] = set()
        self._assumed: set[ObjectKey] = set()
        self._undefined_sources: dict[str, set[str]] = {}

    def run(self) -> Entry:
        closures = self._own_closures()
        self._walk(closures)
        for _ in range(_MOST_PASSES):
            # What was taken for the cluster's own may have come to light since, as may what the source ignores.
            self._search(self._assumed)
            before, closures = closures, self._own_closures()
            if closures is before and self._assumed.isdisjoint(self._objects):
                break
            self._entry = Entry(path=self._start.path)
            self._rendered, self._assumed, self._undefined_sources = set(), set(), {}
            self._walk(closures)
        self._check()
        self._check_source()
        self._name_included()
        self._name_lacking()
        return self._entry

    def _walk(self, closures: Closures) -> None:
        self._require_start(closures.tree)
        closures.explore([(self._start.path, ())])
        waiting = self._root(closures)
        while waiting:
            settled = [node for node in map(self._settled, waiting) if node]
            if not settled:
                self._search({key for node in waiting for key in self._lacking(node)})
                settled = [node for node in map(self._settled, waiting) if node]
            if not settled:
                # Nobody can go on: what is lacking is in the cluster and not in the repository.
                self._assumed |= {key for node in waiting for key in self._lacking(node)}
                settled = list(map(self._complete, waiting))
            for node in settled:
                self._entry.nodes[node.id] = node
            unsettled = {node.id for node in waiting} - {node.id for node in settled}
            waiting = [node for node in waiting if node.id in unsettled]
            waiting += self._children(settled)

    def _require_start(self, tree: Tree) -> None:
        path = self._start.path or "."
        if not self._tree.is_folder(self._start.path):
            raise Problem(
                f"there is no folder {path!r} in this commit",
                hint="set `gitops.path` to the folder that Flux synchronises, such as clusters/production",
            )
        if not tree.is_folder(self._start.path):
            raise Problem(
                f"the folder {path!r} is in this commit, but Flux leaves it out: "
                f"{IGNORE_FILE}, spec.ignore or spec.sparseCheckout of its source hides it",
                hint=f"take it back with a later pattern: `!/{path}`",
            )

    def _root(self, closures: Closures) -> list[Kustomization]:
        """The first Kustomizations: the one that stands for the path itself, or all that lie there."""
        if self._start.root:
            self._own_sources.add(self._start.root.source)
            return [self._start.root]
        plain = Build(
            tree=closures.tree,
            path=self._start.path,
            spec={"path": self._start.path},
            closure=closures.of(self._start.path),
        )
        outline = self._graph.renderer.outline(plain)
        itself = next(
            (node for node in _kustomizations(outline, None) if node.spec_path == self._start.path), None
        )
        if itself is None:
            self._remember(outline, lambda: self._graph.renderer.render(plain))
            self._report(outline, self._start.path)
            return self._new(_kustomizations(outline, None))
        self._own_sources.add(itself.source)
        self._itself = itself.id
        return [self._in_its_own_words(itself)]

    def _in_its_own_words(self, root: Kustomization) -> Kustomization:
        """`root` as its own build defines it: its patches and variables apply to itself as well."""
        for _ in range(_MOST_PASSES):
            if self._lacking(root):
                break
            outline = self._graph.outline(self._complete(root))
            again = next((node for node in _kustomizations(outline, None) if node.id == root.id), root)
            if again.spec == root.spec:
                break
            root = again
        return root

    def _children(self, nodes: list[Kustomization]) -> list[Kustomization]:
        """What the builds of `nodes` bring to light. Only those are built that can bring anything."""
        flux_files = self._graph.mentions(self._tree, API_VERSION)
        flux_files |= self._graph.mentions(self._tree, OPERATOR_API_VERSION)
        parents = [
            node
            for node in nodes
            if node.closure and (node.closure.fetched or not flux_files.isdisjoint(node.closure.files))
        ]
        outlines = self._graph.outline_all(parents)
        for node, outline in zip(parents, outlines, strict=True):
            self._rendered.add(node.id)
            self._remember(outline, partial(self._graph.render, node))
            self._report(outline, node.id)
        return self._new(
            child
            for node, outline in zip(parents, outlines, strict=True)
            for child in _kustomizations(outline, node.id)
        )

    def _new(self, nodes: Iterable[Kustomization]) -> list[Kustomization]:
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
        # Their kustomization files are read together.
        alike: dict[Sight, list[Kustomization]] = {}
        for node in new.values():
            alike.setdefault(self._sight(node.source), []).append(node)
        for sight, members in alike.items():
            closures = self._graph.seen_by(sight)
            closures.explore(
                (path, node.components) for node in members if closures.tree.is_folder(path := node.spec_path)
            )
        return list(new.values())

    def _is_root(self, node: str) -> bool:
        return self._entry.nodes[node].parent is None

    def _placed(self, node: Kustomization) -> Kustomization:
        """`node` with its path and closure, or with the reason why it has none."""
        if self._is_external(node):
            return replace(node, external=True)
        path = node.spec_path
        if _leads_out(node):
            self._find(
                "escaping-path",
                Severity.WARNING,
                f"{node.id}: spec.path {node.spec.get('path')!r} leads out of the source; "
                f"Flux takes it for {path or '.'!r}",
                node.id,
            )
        closures = self._graph.seen_by(self._sight(node.source))
        if closures.tree.is_folder(path):
            return replace(node, path=path, closure=closures.of(path, node.components))
        if self._is_included(node.source, path):
            return replace(node, path=path, external=True)
        why = f"is ignored by {node.source}" if self._tree.is_folder(path) else "does not exist"
        return self._broken(node, "missing-path", f"spec.path {path} {why}")

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
        if (source.kind, source.namespace, source.name) not in self._objects:
            return False
        url = self._source_spec(source).get("url")
        return not (
            source.kind == "GitRepository" and isinstance(url, str) and self._graph.is_this_repository(url)
        )

    def _own_closures(self) -> Closures:
        """What is in the artifact of the entry's own source, as far as that is known."""
        told = (sight for source in sorted(self._own_sources) if any(sight := self._sight(source)))
        return self._graph.seen_by(next(told, Sight()))

    def _sight(self, source: SourceRef) -> Sight:
        spec = self._source_spec(source)
        known, sight = self._sights.get(source, (None, Sight()))
        # The object may have come to light since, and nearly all Kustomizations have the same source.
        if spec is not known:
            sight = sight_of(spec)
            self._sights[source] = spec, sight
        return sight

    def _is_included(self, source: SourceRef, path: str) -> bool:
        """Whether `path` is where `source` puts the content of another one (GitRepository ``spec.include``)."""
        return any(f"{path}/".startswith(f"{folder}/") for folder in _included(self._source_spec(source)))

    def _source_spec(self, source: SourceRef) -> Mapping[str, Any]:
        """The spec of a source object that came to light; empty when none did."""
        spec = (self._object((source.kind, source.namespace, source.name)) or {}).get("spec")
        return spec if isinstance(spec, dict) else {}

    def _settled(self, node: Kustomization) -> Kustomization | None:
        """`node` with its closure and variables, or None while something that decides them has not been seen."""
        return None if self._lacking(node) else self._complete(node)

    def _lacking(self, node: Kustomization) -> list[ObjectKey]:
        """The objects that `node` names and no build so far has brought to light."""
        keys = variable_sources(node)
        source = node.source
        if source not in self._own_sources and source.kind != "ExternalArtifact":
            keys.append((source.kind, source.namespace, source.name))
        return [key for key in keys if key not in self._objects and key not in self._assumed]

    def _complete(self, node: Kustomization) -> Kustomization:
        return self._substituting(self._placed(node))

    def _substituting(self, node: Kustomization) -> Kustomization:
        """`node` with its variables, as far as this repository defines them."""
        post_build = node.spec.get("postBuild")
        if not isinstance(post_build, dict) or node.closure is None:
            return node
        try:
            variables = self._variables(node, post_build.get("substitute"))
        except Problem as problem:
            return self._broken(node, "invalid-variable", problem.message)
        is_empty = not (variables.values or variables.open or variables.hidden)
        if is_empty and post_build.get("substituteStrategy") != "Always":
            return node
        return replace(node, variables=variables)

    def _variables(self, node: Kustomization, inline: Any) -> Variables:
        sources = [self._object(key) for key in variable_sources(node)]
        for reference, source in zip(node.substitute_from, sources, strict=True):
            if source is None and reference.get("optional") is not True:
                name = f"{reference.get('kind')} {reference.get('name')}"
                self._undefined_sources.setdefault(name, set()).add(node.id)
        return variables_from(sources, inline if isinstance(inline, dict) else {})

    def _search(self, missing: Iterable[ObjectKey]) -> None:
        """Build what may define the objects `missing` and was not built yet."""
        files = {path for key in missing for path in self._files_that_may_define(key)}
        candidates = [
            node
            for node in self._entry.nodes.values()
            if node.id not in self._rendered
            and node.closure
            and (node.closure.fetched or not files.isdisjoint(node.closure.files))
        ]
        for node, outline in zip(candidates, self._graph.outline_all(candidates), strict=True):
            self._rendered.add(node.id)
            self._remember(outline, partial(self._graph.render, node))

    def _files_that_may_define(self, key: ObjectKey) -> frozenset[str]:
        kind, _, name = key
        named = self._graph.mentions(self._tree, name)
        if kind in _VARIABLE_SOURCES:
            # Its name may also be put together.
            return named.union(*(self._graph.mentions(self._tree, field) for field in _AFFIXES))
        return named & self._graph.mentions(self._tree, SOURCE_API_VERSION)

    def _remember(self, outline: Outline, build: Callable[[], Rendering]) -> None:
        """Take the objects of `outline` into account; `build` gives the whole they are a part of."""
        for item in outline.objects:
            self._objects[key_of(item)] = item
        for key in outline.concealed:
            self._objects[key] = {}
            self._concealed[key] = build

    def _object(self, key: ObjectKey) -> Mapping[str, Any] | None:
        """The object with this `key` that came to light; one with secrets is built for it."""
        if build := self._concealed.pop(key, None):
            self._objects |= {key_of(item): item for item in build().objects if key_of(item) == key}
        return self._objects.get(key)

    def _report(self, outline: Outline, subject: str) -> None:
        self._entry.unknown += [f"{subject}: {sentence}" for sentence in outline.unknown]
        keys = (*map(key_of, outline.objects), *outline.concealed)
        sets = {name for kind, _, name in keys if kind == "ResourceSet"}
        if sets:
            self._find(
                "not-rendered",
                Severity.INFO,
                f"{subject}: what Flux Operator makes of ResourceSet {_some(sets)} is not rendered here",
                subject,
            )
        if outline.error:
            self._find(
                "build-failed",
                Severity.ERROR,
                f"{subject}: the build fails: {outline.error.message}",
                subject,
                hint=outline.error.hint,
                location=outline.error.location,
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
        for source, users in sorted(self._undefined_sources.items()):
            self._find(
                "unknown-variables",
                Severity.WARNING,
                f"no file here defines the {source} that {_some(users)} take variables from: defaults are shown, "
                "and names without one stay as they are",
                min(users),
            )
        for group in cycles(nodes):
            self._find(
                "dependency-cycle",
                Severity.ERROR,
                f"{', '.join(group)} wait for each other and will never be reconciled",
                group[0],
            )

    def _check_source(self) -> None:
        """What source-controller cannot read, or is told to leave out although it should not."""
        for why in self._graph.ignore_files.broken:
            self._find(
                "broken-ignore", Severity.ERROR, f"{why}; Flux makes no artifact of the repository", ""
            )
        if self._itself and self._itself not in self._entry.nodes:
            self._find(
                "self-ignored",
                Severity.WARNING,
                f"its source is told not to see the file that defines {self._itself} itself: Flux no longer "
                "manages it and, where it did so before, deletes it with all that it made",
                self._itself,
                hint="take the file back in spec.ignore, or add its folder to spec.sparseCheckout",
            )
        self._entry.unknown += [
            f"{why}: what it makes Flux leave out is not known" for why in self._graph.ignore_files.unknown
        ]

    def _name_lacking(self) -> None:
        """Say what was not at hand for the builds that nobody had to run: it could hold further Kustomizations."""
        for node in self._entry.nodes.values():
            if node.closure and node.id not in self._rendered:
                self._entry.unknown += [f"{node.id}: {sentence}" for sentence in needs(node.closure)]

    def _name_included(self) -> None:
        """Say where files of other sources lie among those that were looked at."""
        sources = {node.source for node in self._entry.nodes.values() if node.closure}
        for source in sorted(sources):
            self._entry.unknown += [
                f"{source} has content of another source at {folder} (spec.include), which was not looked at"
                for folder in _included(self._source_spec(source))
            ]

    def _find(
        self,
        code: str,
        severity: Severity,
        message: str,
        subject: str,
        *,
        hint: str = "",
        location: Location | None = None,
    ) -> None:
        finding = Finding(
            code=code, severity=severity, message=message, subject=subject, hint=hint, location=location
        )
        # The root is looked at more than once.
        if finding not in self._entry.findings:
            self._entry.findings.append(finding)


def _included(spec: Mapping[str, Any]) -> list[str]:
    """The folders at which a GitRepository with this `spec` has the content of others (GetToPath of its API)."""
    listed = spec.get("include")
    found = []
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict):
            repository = item.get("repository")
            name = repository.get("name") if isinstance(repository, dict) else None
            path = str(item.get("toPath") or name or "")
            found.append(posixpath.normpath(f"/{path}").lstrip("/"))
    return found


def _leads_out(node: Kustomization) -> bool:
    path = str(node.spec.get("path") or "").lstrip("/")
    return posixpath.normpath(path).split("/")[0] == ".."


def _kustomizations(outline: Outline, parent: str | None) -> Iterator[Kustomization]:
    """The Kustomizations among the objects of `outline`."""
    return (_node(document, parent) for document in outline.objects if is_kustomization(document))


def _node(document: dict[str, Any], parent: str | None) -> Kustomization:
    metadata = document["metadata"]
    spec = document.get("spec")
    return Kustomization(
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata["name"]),
        spec=spec if isinstance(spec, dict) else {},
        parent=parent,
    )


def _some(ids: set[str]) -> str:
    listed = sorted(ids)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more
