"""The repository of one run: what its trees share, so that nothing is read, parsed or built twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.backends.flux.fetch import Means, Remotes
from sf.backends.flux.graph import Graph, Start
from sf.backends.flux.memory import Memory
from sf.backends.flux.remote import allowed_bases
from sf.backends.flux.render import Renderer
from sf.backends.flux.starts import find_starts, start_at
from sf.backends.flux.tree import Blobs, Tree
from sf.cache import Cache, cache_folder
from sf.ci.context import Provider
from sf.ci.values import repository_identity
from sf.models import Problem
from sf.tools.flux import Flux
from sf.tools.git import Git
from sf.tools.kustomize import Kustomize

if TYPE_CHECKING:
    from sf.config import Config
    from sf.http import Http
    from sf.runtime.context import RuntimeContext


class Repository:
    """Graphs of any tree of the repository that a run works on."""

    def __init__(self, config: Config, context: RuntimeContext) -> None:
        self.git = Git(context.launcher, context.repo_root, context.environ)
        self.kustomize = Kustomize(context.launcher, context.environ, timeout=config.deadlines.program)
        self.blobs = Blobs(self.git.read_blobs)
        flux = Flux(context.launcher, context.environ)
        on_laptop = context.ci.provider is Provider.LOCAL
        self.cache = Cache(cache_folder(context.environ, on_laptop=on_laptop))
        self.renderer = Renderer(
            self.kustomize, context.workspace.scratch / "builds", flux.envsubst, self.cache
        )
        self._memory = Memory(self.cache, self.git, self.blobs)
        self.remotes = Remotes(
            allowed_bases(config.gitops, context),
            self._memory.names,
            Means(
                launcher=context.launcher,
                http=lambda: _http(context),
                environ=context.environ,
                scratch=context.workspace.scratch / "bases",
                cache=self.cache,
                timeout=config.deadlines.program,
            ),
        )
        self._source_root = config.gitops.source_root
        self._path = config.gitops.path
        self._identity = context.ci.repository
        self._last: Graph | None = None

    def graph(self, tree: str) -> Graph:
        """The graph of the tree with the object id `tree`."""
        whole = Tree(self.git.ls_tree(tree), self.blobs)
        self._memory.recall(tree, whole.oids)
        self._last = Graph(
            whole.below(self._source_root),
            self.renderer,
            self._memory.names,
            mentions=lambda _, text: self._files_with(tree, text),
            is_this_repository=self._is_this,
            declarations=self._memory.declarations,
            remotes=self.remotes,
            like=self._last,
        )
        return self._last

    def close(self) -> None:
        """Keep for later runs what was found out, and the cache within its bounds."""
        self._memory.keep()
        self.cache.prune()

    def start(self, graph: Graph) -> Start:
        """The one cluster that this run is for.

        Raises `Problem` that lists the clusters when there are several, or says how to name one.
        """
        starts = self.starts(graph)
        if len(starts) == 1:
            return starts[0]
        if not starts:
            raise Problem(
                "no Flux cluster was found in this commit",
                hint="set `gitops.path` to the folder that Flux synchronises, such as clusters/production",
            )
        paths = ", ".join(start.path or "." for start in starts)
        raise Problem(
            f"this repository holds several clusters: {paths}",
            hint=f"choose one in .stagefreight.yml: `gitops: {{path: {starts[0].path}}}`",
        )

    def starts(self, graph: Graph) -> list[Start]:
        """The cluster that the configuration names, or every one there is."""
        if self._source_root and not graph.tree.oids:
            raise Problem(
                f"there is no folder {self._source_root!r} in this commit",
                hint="correct `gitops.source_root`: it is the folder that the artifact is made of",
            )
        return [start_at(graph, self._path)] if self._path else find_starts(graph)

    def starts_before(self, graph: Graph) -> list[Start]:
        """As `starts` for an older tree, in which there may have been nothing yet."""
        if not graph.tree.oids or (self._path and not graph.tree.is_folder(self._path)):
            return []
        return self.starts(graph)

    def in_repository(self, path: str) -> str:
        """A path of a graph's tree as a path of the repository."""
        return f"{self._source_root}/{path}" if self._source_root else path

    def in_source(self, path: str) -> str | None:
        """A path of the repository as a path of a graph's tree; None when it is outside of it."""
        if not self._source_root:
            return path
        prefix = f"{self._source_root}/"
        return path.removeprefix(prefix) if path.startswith(prefix) else None

    def _files_with(self, tree: str, text: str) -> frozenset[str]:
        found = self._memory.mentions.of(tree, text)
        if not self._source_root:
            return found
        return frozenset(path for path in map(self.in_source, found) if path is not None)

    def _is_this(self, url: str) -> bool:
        """Whether a source with this address is the repository itself. Without an address of our own, all are."""
        return not self._identity or repository_identity(url) == self._identity


def _http(context: RuntimeContext) -> Http:
    from sf.http import Http  # noqa: PLC0415 - start-up time, and few repositories name files on the web

    return Http(context.redactor, environ=context.environ)
