"""Everything one kustomize build reads, found in the kustomization files themselves and named by object ids.

Two builds with equal closures give equal output, so a closure's hash decides whether anything has to be built. A
closure may hold more than a build reads, which costs a build whose output is equal; it must never hold less.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sf import documents
from sf.backends.flux.tree import KUSTOMIZATION_FILES, Escape
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sf.backends.flux.tree import Tree

# What kustomize takes for an address when nothing local has the name
# (sigs.k8s.io/kustomize/api/internal/git/repospec.go).
_REMOTE_STARTS: Final = (
    "git::",
    "gh:",
    "ssh://",
    "https://",
    "http://",
    "git@",
    "github.com:",
    "github.com/",
    "file://",
)

# How each field of a kustomization names files (sigs.k8s.io/kustomize/api/types, Kustomization). Fields that are
# in none of these sets, such as those of future versions, are searched for anything that exists.
_PATHS: Final = frozenset(
    {"resources", "bases", "components", "crds", "configurations", "patchesStrategicMerge"}
)
_PLUGINS: Final = frozenset({"generators", "transformers", "validators"})
_WITH_PATH: Final = frozenset({"patches", "patchesJson6902", "replacements"})
_GENERATORS: Final = frozenset({"configMapGenerator", "secretGenerator"})
_NO_PATHS: Final = frozenset(
    {
        "apiVersion",
        "buildMetadata",
        "commonAnnotations",
        "commonLabels",
        "generatorOptions",
        "images",
        "kind",
        "labels",
        "metadata",
        "namePrefix",
        "nameSuffix",
        "namespace",
        "replicas",
        "sortOptions",
        "vars",
    }
)


class Name(NamedTuple):
    """One name of a file or folder in a kustomization.

    ``certain``: kustomize will look for it, so that its absence matters. ``plugin``: what it names may itself name
    files, relative to the same folder.
    """

    text: str
    certain: bool = True
    plugin: bool = False


@dataclass(slots=True)
class _Step:
    """What the kustomization of one folder leads to, one step far."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    kustomizations: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    remote: set[tuple[str, str]] = field(default_factory=set)
    escapes: set[str] = field(default_factory=set)

    def add(self, other: _Step) -> None:
        self.files |= other.files
        self.kustomizations |= other.kustomizations
        self.missing |= other.missing
        self.remote |= other.remote
        self.escapes |= other.escapes


@dataclass(frozen=True, slots=True)
class Closure:
    """The files of one build.

    ``files`` maps every path to its object id; ``kustomizations`` are those of them that kustomize loads as such.
    ``missing`` are paths that stand for nothing: something would change if they appeared. ``remote`` pairs a
    kustomization with an address it wants to load. ``escapes`` are names that lead out of the source.
    """

    files: dict[str, str]
    kustomizations: frozenset[str]
    missing: frozenset[str]
    remote: frozenset[tuple[str, str]]
    escapes: frozenset[str]

    @property
    def hash(self) -> str:
        """sha256 (hex) over every path with its object id, and over what is missing."""
        lines = [f"{path}\0{oid}" for path, oid in sorted(self.files.items())]
        lines += [f"{path}\0missing" for path in sorted(self.missing)]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class Names:
    """What kustomization files name, by object id: the same file is read and parsed once for all trees."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Name, ...]] = {}

    def of(self, tree: Tree, path: str) -> tuple[Name, ...]:
        oid = tree.oid(path)
        if oid is None:
            return ()
        if oid not in self._known:
            self._known[oid] = tuple(names_in(tree.blobs[oid]))
        return self._known[oid]

    def knows(self, oid: str) -> bool:
        return oid in self._known


class Closures:
    """The closures of one tree. Folders that several builds share are looked at once."""

    def __init__(self, tree: Tree, names: Names) -> None:
        self._tree = tree
        self._names = names
        self._steps: dict[str, _Step] = {}

    def explore(self, roots: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Prepare `of` for many (path, components) at once, reading files level by level instead of one by one."""
        frontier = {folder for path, components in roots for folder in self._starts(path, components)}
        seen = set(frontier)
        while frontier:
            self._fetch(frontier)
            frontier = {folder for start in frontier for folder in self._step(start).folders} - seen
            seen |= frontier

    def of(self, path: str, components: Iterable[str] = ()) -> Closure:
        """The closure of the build of folder `path` with the components a Flux Kustomization adds to it."""
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
        return Closure(
            files={name: oid for name in total.files if (oid := self._tree.oid(name)) is not None},
            kustomizations=frozenset(total.kustomizations),
            missing=frozenset(total.missing),
            remote=frozenset(total.remote),
            escapes=frozenset(total.escapes),
        )

    def _starts(self, path: str, components: Iterable[str]) -> Iterator[str]:
        yield path
        for component in components:
            try:
                folder = self._tree.join(path, component)
            except Escape:
                continue
            if self._tree.is_folder(folder):
                yield folder

    def _fetch(self, folders: Iterable[str]) -> None:
        oids = (
            self._tree.oid(path)
            for folder in folders
            if (path := self._tree.kustomization(folder)) is not None
        )
        self._tree.blobs.fetch(oid for oid in oids if oid is not None and not self._names.knows(oid))

    def _step(self, folder: str) -> _Step:
        if folder not in self._steps:
            self._steps[folder] = self._look(folder)
        return self._steps[folder]

    def _look(self, folder: str) -> _Step:
        tree = self._tree
        step = _Step()
        kustomization = tree.kustomization(folder)
        if kustomization is None:
            # As the start of a build, Flux makes a kustomization for it from what lies there.
            step.missing |= {_in(folder, name) for name in KUSTOMIZATION_FILES}
            for path in tree.manifests(folder):
                (step.folders if tree.is_folder(path) else step.files).add(path)
            return step
        # A second file of that kind makes kustomize fail, so it belongs here as well.
        step.files |= {
            path for name in KUSTOMIZATION_FILES if tree.oid(path := _in(folder, name)) is not None
        }
        step.kustomizations.add(kustomization)
        for name in self._names.of(tree, kustomization):
            self._follow(folder, kustomization, name, step)
        return step

    def _follow(self, folder: str, kustomization: str, name: Name, step: _Step) -> None:
        tree = self._tree
        try:
            path = tree.join(folder, name.text)
            if tree.oid(path) is not None:
                self._add_file(folder, path, name, step)
                return
            if tree.is_folder(path):
                step.folders.add(path)
                return
        except Escape:
            if name.certain and not is_remote(name.text):
                step.escapes.add(name.text)
        else:
            if name.certain and not is_remote(name.text):
                step.missing.add(path)
        if name.certain and is_remote(name.text):
            step.remote.add((kustomization, name.text))

    def _add_file(self, folder: str, path: str, name: Name, step: _Step) -> None:
        step.files.add(path)
        # kustomize follows a link, and so does the hash: the link itself may come to mean another file.
        if (real := self._tree.real(path)) != path:
            step.files.add(real)
        if name.plugin and path not in step.kustomizations:
            for inner in plugin_names(self._tree.read(path)):
                self._follow(folder, path, inner, step)


def is_remote(name: str) -> bool:
    """Whether kustomize would load `name` from the network when there is no such file."""
    return name.lower().startswith(_REMOTE_STARTS) or "?ref=" in name or ".git//" in name


def names_in(data: bytes) -> Iterator[Name]:
    """Every file or folder that the kustomization `data` names. A file that cannot be read names nothing."""
    try:
        document = documents.load(data, path="")
    except Problem:
        return
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        if key in _PATHS:
            yield from _certain(value)
        elif key in _PLUGINS:
            yield from (Name(text, plugin=True) for text in _strings(value) if _is_name(text))
        elif key in _WITH_PATH:
            yield from _certain(item.get("path") for item in _dicts(value))
        elif key in _GENERATORS:
            yield from _certain(_generator_files(value))
        elif key == "openapi":
            yield from _certain(item.get("path") for item in _dicts([value]))
        elif key not in _NO_PATHS:
            yield from _possible(value)


def plugin_names(data: bytes) -> Iterator[Name]:
    """What the configuration of a generator or transformer might name."""
    try:
        loaded = documents.load_all(data, path="")
    except Problem:
        return
    for document in loaded:
        yield from _possible(document.value)


def _certain(values: Any) -> Iterator[Name]:
    return (Name(text) for text in _strings(values) if _is_name(text))


def _possible(value: Any) -> Iterator[Name]:
    for text in _strings(value):
        # `key=path` is how generators spell the name under which a file is stored.
        for candidate in {text, text.rpartition("=")[2]}:
            if _is_name(candidate):
                yield Name(candidate, certain=False)


def _generator_files(value: Any) -> Iterator[Any]:
    for item in _dicts(value):
        yield from (text.partition("=")[2] if "=" in text else text for text in _strings(item.get("files")))
        yield from _strings(item.get("envs"))
        yield from _strings(item.get("env"))


def _is_name(text: str) -> bool:
    """Inline patches stand where paths do; a path has one line and fits into a path."""
    return bool(text) and len(text) < 4096 and not any(character in text for character in "\n\0{")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif value is not None and not isinstance(value, (bool, int, float)):
        for item in value:
            yield from _strings(item)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
