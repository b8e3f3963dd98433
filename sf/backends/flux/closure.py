"""Everything one kustomize build reads, found in the kustomization files themselves and named by object ids.

Two builds with equal closures give equal output, so a closure's hash decides whether anything has to be built. A
closure may hold more than a build reads, which costs a build whose output is equal; it must never hold less.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sf import documents
from sf.backends.flux.fields import canonical_name
from sf.backends.flux.remote import is_on_the_web, is_remote
from sf.backends.flux.tree import KUSTOMIZATION_FILES, Escape
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sf.backends.flux.fetch import Remotes
    from sf.backends.flux.tree import Tree

# How each field of a kustomization names files (sigs.k8s.io/kustomize/api/types, Kustomization). Fields that are
# in none of these sets, such as those of future versions, are searched for anything that exists.
_PATHS: Final = frozenset({"resources", "bases", "components", "crds", "configurations"})
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
        "imageTags",
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
# All that may be in a kustomization whose objects are what its files say.
_VERBATIM: Final = frozenset({"apiVersion", "kind", "metadata", "resources"})
# The keys under which configurations of kustomize's own generators and transformers name files.
_CONFIG_PATHS: Final = frozenset(
    {"path", "paths", "files", "envs", "env", "valuesfile", "additionalvaluesfiles"}
)
# There, and only there, `path` means a field of an object.
_FIELD_PATHS: Final = frozenset({"fieldspecs", "fields"})
_LONGEST: Final = 4096


class Name(NamedTuple):
    """One name of a file or folder in a kustomization.

    ``certain``: kustomize will look for it, so that its absence matters. ``plugin``: what it names may itself name
    files, relative to the same folder. ``inline``: it stands in a text inside the kustomization.
    """

    text: str
    certain: bool = True
    plugin: bool = False
    inline: bool = False


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


class Contents(NamedTuple):
    """What one kustomization file names. ``verbatim``: its objects are what its resources say."""

    names: tuple[Name, ...] = ()
    verbatim: bool = False


class Names:
    """What kustomization files name, by object id: the same file is read and parsed once for all trees."""

    def __init__(self) -> None:
        self._known: dict[str, Contents | None] = {}

    def of(self, tree: Tree, path: str) -> Contents | None:
        """What the kustomization file at `path` names; None when it cannot be read."""
        oid = tree.oids[path]
        if oid not in self._known:
            self._known[oid] = _contents(tree.blobs[oid])
        return self._known[oid]

    def knows(self, oid: str) -> bool:
        return oid in self._known


class Closures:
    """The closures of one tree. Folders that several builds share are looked at once."""

    def __init__(
        self, tree: Tree, names: Names, remotes: Remotes | None = None, *, is_contained: bool = False
    ) -> None:
        """`remotes` fetches what is named by address, if given. `is_contained`: files have to be below the folder
        that names them, as kustomize wants it in what it cloned.
        """
        self.tree = tree
        self._names = names
        self._remotes = remotes
        self._is_contained = is_contained
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
        try:
            names = list(configuration_names(self.tree.read(path)))
        except Problem:
            step.unreadable.add(path)
            return
        for name in names:
            self._follow(folder, path, name, step)


def _contents(data: bytes) -> Contents | None:
    try:
        document = documents.load_yaml11(data, path="")
    except Problem:
        return None
    if not isinstance(document, dict):
        return Contents()
    try:
        names = tuple(names_in(document))
    except Problem:
        return None
    return Contents(names, verbatim=_VERBATIM.issuperset(map(canonical_name, document)))


def names_in(kustomization: Mapping[str, Any]) -> Iterator[Name]:
    """Every file or folder that `kustomization`, the value of such a file, names.

    Raises `Problem` for an inline configuration that cannot be read.
    """
    for key, value in kustomization.items():
        field_name = canonical_name(key)
        if field_name in _PATHS:
            yield from _certain(value)
        elif field_name == "patchesStrategicMerge":
            yield from (Name(text, certain=not _is_inline(text)) for text in _texts(value))
        elif field_name in _PLUGINS:
            yield from _plugins(value)
        elif field_name in _WITH_PATH:
            yield from _certain(item.get("path") for item in _mappings(value))
        elif field_name in _GENERATORS:
            yield from _certain(_generator_files(value))
        elif field_name == "openapi":
            yield from _certain(item.get("path") for item in _mappings([value]))
        elif field_name not in _NO_PATHS:
            yield from _possible(value)


def configuration_names(data: bytes | str) -> Iterator[Name]:
    """What the configurations of generators or transformers in `data` name.

    Raises `Problem` when it cannot be read.
    """
    for document in documents.load_all(data, path=""):
        if document.error:
            raise document.error
        yield from _configured(document.value)
        yield from _possible(document.value)


def _plugins(value: Any) -> Iterator[Name]:
    for text in _strings(value):
        if _is_inline(text):
            yield from (name._replace(inline=True) for name in configuration_names(text))
    for text in _texts(value):
        yield Name(text, certain=not _is_inline(text), plugin=True)


def _configured(value: Any) -> Iterator[Name]:
    if isinstance(value, list):
        for item in value:
            yield from _configured(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key.lower() in _CONFIG_PATHS:
                yield from _certain(map(_source, _texts(item)))
            elif key.lower() not in _FIELD_PATHS:
                yield from _configured(item)


def _certain(values: Any) -> Iterator[Name]:
    return (Name(text) for text in _texts(values))


def _possible(value: Any) -> Iterator[Name]:
    for text in _texts(value):
        for candidate in {text, _source(text)}:
            yield Name(candidate, certain=False)


def _generator_files(value: Any) -> Iterator[Any]:
    for item in _mappings(value):
        yield from map(_source, _texts(item.get("files")))
        yield from _texts(item.get("envs"))
        yield from _texts(item.get("env"))


def _source(text: str) -> str:
    """The path in ``key=path``, which is how generators spell the name under which a file is stored."""
    return text.partition("=")[2] if "=" in text else text


def _is_inline(text: str) -> bool:
    """Whether `text`, which stands where a path may stand, is rather the thing itself."""
    return any(mark in text for mark in ("\n", "{", ": "))


def _texts(value: Any) -> Iterator[str]:
    """Every text in `value` that could be a path."""
    return (text for text in _strings(value) if text and len(text) < _LONGEST and "\0" not in text)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif value is not None and not isinstance(value, (bool, int, float)):
        for item in value:
            yield from _strings(item)


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    """The mappings in the list `value`, keys in lower case: kustomize takes the names of fields in any case."""
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            yield {key.lower(): inner for key, inner in item.items()}


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
