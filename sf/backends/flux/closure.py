"""Everything one kustomize build reads, found in the kustomization files themselves and named by object ids.

Two builds with equal closures give equal output, so a closure's hash decides whether anything has to be built. A
closure may hold more than a build reads, which costs a build whose output is equal; it must never hold less.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sf.backends.flux.remote import is_on_the_web, is_remote
from sf.backends.flux.tree import KUSTOMIZATION_FILES, Escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sf.backends.flux.fetch import Remotes
    from sf.backends.flux.names import Name, Names
    from sf.backends.flux.tree import Tree


@dataclass(slots=True)
class _Step:
    """What the kustomization of one folder leads to, one step far."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    kustomizations: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    remote: set[tuple[str, str]] = field(default_factory=set)
    escapes: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    unchecked: set[str] = field(default_factory=set)

    def add(self, other: _Step) -> None:
        self.files |= other.files
        self.kustomizations |= other.kustomizations
        self.missing |= other.missing
        self.remote |= other.remote
        self.escapes |= other.escapes
        self.unreadable |= other.unreadable
        self.unchecked |= other.unchecked


@dataclass(frozen=True, slots=True)
class Closure:
    """The files of one build, found in ``tree``.

    ``files`` maps every path to its object id; ``kustomizations`` are those of them that kustomize loads as such.
    ``missing`` are paths that stand for nothing: something would change if they appeared. ``remote`` pairs a
    file with an address it wants to load and that is not at hand, for one of ``reasons`` by address; what is, is
    in ``fetched`` by the same pairs. ``escapes`` are names that lead out of the source. ``unreadable`` files
    and ``unchecked`` kustomizations, which change the configuration of plugins, may name files not listed here.
    """

    tree: Tree = field(repr=False, compare=False)
    files: dict[str, str]
    kustomizations: frozenset[str]
    missing: frozenset[str]
    remote: frozenset[tuple[str, str]]
    escapes: frozenset[str]
    unreadable: frozenset[str] = frozenset()
    unchecked: frozenset[str] = frozenset()
    fetched: Mapping[tuple[str, str], RemoteFile | RemoteFolder] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """sha256 (hex) over every path with its object id, over what is missing, and over what was fetched."""
        lines = [f"{path}\0{oid}" for path, oid in sorted(self.files.items())]
        lines += [f"{path}\0missing" for path in sorted(self.missing)]
        lines += [
            f"{file}\0{address}\0{content.fingerprint}"
            for (file, address), content in sorted(self.fetched.items())
        ]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def foreign(self) -> Iterator[RemoteFolder]:
        """Every folder of another repository that the build reads, those that such folders name included."""
        for content in self.fetched.values():
            if isinstance(content, RemoteFolder):
                yield content
                yield from content.closure.foreign


class RemoteFile(NamedTuple):
    """A file from the web; ``fingerprint`` is the sha256 (hex) of its ``data``."""

    fingerprint: str
    name: str
    data: bytes


class RemoteFolder(NamedTuple):
    """A folder of another repository, which ``origin`` (``address@commit``) names, with what its build reads."""

    origin: str
    path: str
    closure: Closure

    @property
    def fingerprint(self) -> str:
        return f"{self.origin}\0{self.path}\0{self.closure.hash}"


class Closures:
    """The closures of one tree. Folders that several builds share are looked at once."""

    def __init__(
        self,
        tree: Tree,
        names: Names,
        remotes: Remotes | None = None,
        *,
        is_contained: bool = False,
        like: Closures | None = None,
    ) -> None:
        """`remotes` fetches what is named by address, if given. `is_contained`: files have to be below the folder
        that names them, as kustomize wants it in what it cloned. `like`: those of another tree, with the same
        `remotes`, most of whose files are probably the same.
        """
        self.tree = tree
        self._names = names
        self._remotes = remotes
        self._is_contained = is_contained
        self._steps: dict[str, _Step] = {}
        #: By path and components.
        self.known: dict[tuple[str, tuple[str, ...]], Closure] = {}
        # Where a path is a file or a folder in one tree only, it may be missed or found in any closure.
        self._like = like.known if like is not None and tree.has_paths_of(like.tree) else {}

    def explore(self, roots: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Prepare `of` for many (path, components) at once, reading files level by level instead of one by one."""
        frontier: set[str] = set()
        for path, components in roots:
            key = path, tuple(components)
            if same := self._same(*key):
                self.known[key] = same
            else:
                frontier.update(self._starts(*key))
        seen = set(frontier)
        while frontier:
            self._fetch(frontier)
            frontier = {folder for start in frontier for folder in self._step(start).folders} - seen
            seen |= frontier

    def of(self, path: str, components: Iterable[str] = ()) -> Closure:
        """The closure of the build of folder `path` with the components a Flux Kustomization adds to it."""
        key = path, tuple(components)
        if key not in self.known:
            self.known[key] = self._same(*key) or self._collected(*key)
        return self.known[key]

    def _same(self, path: str, components: tuple[str, ...]) -> Closure | None:
        """The closure from the other tree, when all that decides it is the same in this one."""
        closure = self._like.get((path, components))
        if closure is None or any(self.tree.oid(name) != oid for name, oid in closure.files.items()):
            return None
        return closure

    def _collected(self, path: str, components: tuple[str, ...]) -> Closure:
        total = _Step()
        seen: set[str] = set()
        waiting = list(self._starts(path, components))
        while waiting:
            folder = waiting.pop()
            if folder in seen:
                continue
            seen.add(folder)
            step = self._step(folder)
            total.add(step)
            waiting.extend(step.folders)
        found = {pair: self._found(pair[0], pair[1], total) for pair in sorted(total.remote)}
        return Closure(
            tree=self.tree,
            fetched={pair: content for pair, content in found.items() if not isinstance(content, str)},
            reasons={address: why for (_, address), why in found.items() if isinstance(why, str)},
            files={name: oid for name in total.files if (oid := self.tree.oid(name)) is not None},
            kustomizations=frozenset(total.kustomizations),
            missing=frozenset(total.missing),
            remote=frozenset(pair for pair, content in found.items() if isinstance(content, str)),
            escapes=frozenset(total.escapes),
            unreadable=frozenset(total.unreadable),
            unchecked=frozenset(total.unchecked),
        )

    def _found(self, file: str, address: str, total: _Step) -> RemoteFile | RemoteFolder | str:
        """What `file` names by `address`, or why that is not at hand."""
        if self._remotes is None or file not in total.kustomizations or file in total.unchecked:
            # An address inside the configuration of a plugin cannot be made a path.
            return ""
        return self._remotes.find(address)

    def _starts(self, path: str, components: Iterable[str]) -> Iterator[str]:
        yield path
        for component in components:
            folder = self._inside(path, component)
            if folder is not None and self.tree.is_folder(folder):
                yield folder

    def _fetch(self, folders: Iterable[str]) -> None:
        oids = (
            self.tree.oid(path) for folder in folders if (path := self.tree.kustomization(folder)) is not None
        )
        self.tree.blobs.fetch(oid for oid in oids if oid is not None and not self._names.knows(oid))

    def _step(self, folder: str) -> _Step:
        if folder not in self._steps:
            # Known before it is complete: plugins may lead back to where they are named.
            step = self._steps[folder] = _Step()
            self._look(folder, step)
        return self._steps[folder]

    def _look(self, folder: str, step: _Step) -> None:
        tree = self.tree
        kustomization = tree.kustomization(folder)
        if kustomization is None:
            # As the start of a build, Flux makes a kustomization for it from what lies there.
            step.missing |= {_in(folder, name) for name in KUSTOMIZATION_FILES}
            for path in tree.manifests(folder):
                (step.folders if tree.is_folder(path) else step.files).add(path)
            return
        # A second file of that kind makes kustomize fail, so it belongs here as well.
        step.files |= {
            path for name in KUSTOMIZATION_FILES if tree.oid(path := _in(folder, name)) is not None
        }
        step.kustomizations.add(kustomization)
        contents = self._names.of(tree, kustomization)
        if contents is None:
            step.unreadable.add(kustomization)
            return
        for name in contents.names:
            self._follow(folder, kustomization, name, step)

    def _follow(self, folder: str, file: str, name: Name, step: _Step) -> None:
        """Add what `name`, which stands in `file`, means in `folder`."""
        tree = self.tree
        path = None if is_on_the_web(name.text) else self._inside(folder, name.text)
        if path is not None and tree.oid(path) is not None:
            (step.files if self._may_read(folder, path) else step.escapes).add(path)
            if name.plugin:
                self._add_configuration(folder, path, step)
        elif is_remote(name.text):
            if name.certain:
                step.remote.add((file, name.text))
            if name.certain and name.inline:
                # It cannot be left out of that text.
                step.unchecked.add(file)
        elif path is not None and tree.is_folder(path):
            step.folders.add(path)
            if name.plugin:
                self._add_configurations(folder, path, step)
        elif name.certain and path is not None:
            step.missing.add(path)
        elif name.certain:
            step.escapes.add(name.text)

    def _may_read(self, folder: str, path: str) -> bool:
        return not (self._is_contained and folder) or path.startswith(f"{folder}/")

    def _inside(self, folder: str, name: str) -> str | None:
        try:
            return self.tree.join(folder, name)
        except Escape:
            return None

    def _add_configurations(self, folder: str, start: str, step: _Step) -> None:
        """Add what the configurations that folder `start` builds to name, relative to `folder`."""
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            inner = waiting.pop()
            if inner in seen:
                continue
            seen.add(inner)
            found = self._step(inner)
            waiting.extend(found.folders)
            for path in sorted(found.files - found.kustomizations):
                self._add_configuration(folder, path, step)
            for path in found.kustomizations:
                contents = self._names.of(self.tree, path)
                if contents is not None and not contents.verbatim:
                    step.unchecked.add(path)

    def _add_configuration(self, folder: str, path: str, step: _Step) -> None:
        names = self._names.of_configuration(self.tree, path)
        if names is None:
            step.unreadable.add(path)
            return
        for name in names:
            self._follow(folder, path, name, step)


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
