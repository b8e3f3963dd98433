"""What a kustomization file names: read and parsed once for all trees, and remembered between runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sf import documents
from sf.backends.flux.fields import canonical_name
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

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


class Contents(NamedTuple):
    """What one kustomization file names. ``verbatim``: its objects are what its resources say."""

    names: tuple[Name, ...] = ()
    verbatim: bool = False


class Names:
    """What files name, by object id."""

    def __init__(self) -> None:
        self._known: dict[str, Contents | None] = {}
        self._configurations: dict[str, tuple[Name, ...] | None] = {}
        #: How many files were read in this run, beside what an earlier one knew.
        self.learned = 0

    def of(self, tree: Tree, path: str) -> Contents | None:
        """What the kustomization file at `path` names; None when it cannot be read."""
        oid = tree.oids[path]
        if oid not in self._known:
            self._known[oid] = _contents(tree.blobs[oid])
            self.learned += 1
        return self._known[oid]

    def of_configuration(self, tree: Tree, path: str) -> tuple[Name, ...] | None:
        """What the configuration of a generator or transformer at `path` names; None when it cannot be read."""
        oid = tree.oids[path]
        if oid not in self._configurations:
            self.learned += 1
            try:
                self._configurations[oid] = tuple(configuration_names(tree.blobs[oid]))
            except Problem:
                self._configurations[oid] = None
        return self._configurations[oid]

    def knows(self, oid: str) -> bool:
        return oid in self._known

    def remembered(self, oids: Collection[str]) -> dict[str, Any]:
        """What is known of the files `oids`, as JSON values for `remember`."""
        return {
            "kustomizations": {
                oid: contents and [contents.verbatim, contents.names]
                for oid, contents in self._known.items()
                if oid in oids
            },
            "configurations": {oid: names for oid, names in self._configurations.items() if oid in oids},
        }

    def remember(self, document: Mapping[str, Any]) -> None:
        """Know again what an earlier run knew."""
        for oid, contents in document["kustomizations"].items():
            self._known[oid] = contents and Contents(_names(contents[1]), verbatim=contents[0])
        for oid, names in document["configurations"].items():
            self._configurations[oid] = None if names is None else _names(names)


def _names(values: list[list[Any]]) -> tuple[Name, ...]:
    return tuple(Name(*value) for value in values)


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
