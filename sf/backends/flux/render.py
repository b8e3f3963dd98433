"""One build: the objects a Flux Kustomization stands for, as kustomize-controller would make them.

Follows fluxcd/pkg/kustomize (`Generator.GenerateManifest`, `SubstituteVariables`) and the build function of
kustomize-controller 1.9: the fields of the Kustomization are merged into the kustomization file of its path,
kustomize builds it, variables are substituted object by object, common metadata is set.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from sf import documents
from sf.backends.flux import schema
from sf.backends.flux.foreign import home, localised, needs, root, tells_origins, web_files
from sf.backends.flux.kustomization import is_kustomization
from sf.backends.flux.merging import mapping, merged_kustomization
from sf.backends.flux.outline import Outline, Rendering, outline_of
from sf.backends.flux.substitute import Beyond, expand
from sf.backends.flux.tree import KUSTOMIZATION_FILES
from sf.cache import Cache
from sf.changes.masking import holds_secrets
from sf.models import Problem, canonical_json
from sf.process import ProgramMissing
from sf.workspace import drop_tree, write_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sf.backends.flux.closure import Closure
    from sf.backends.flux.substitute import Fallback, Variables
    from sf.backends.flux.tree import Tree
    from sf.tools.kustomize import Kustomize

# Part of every cache key: raise it when equal inputs may give other objects than before.
RENDERER: Final = "3"
# The spec fields that change what is built. Everything else changes how it is applied.
_BUILT_FROM: Final = (
    "buildMetadata",
    "commonMetadata",
    "components",
    "ignoreMissingComponents",
    "images",
    "namePrefix",
    "nameSuffix",
    "patches",
    "postBuild",
    "targetNamespace",
)
_MAPS: Final = ("labels", "annotations")
_SUBSTITUTE: Final = "kustomize.toolkit.fluxcd.io/substitute"
_ANCHOR: Final = re.compile(rb"[\s\[{,]&[^\s\[\]{},]")
_ALIAS: Final = re.compile(rb"[\s\[{,]\*[^\s\[\]{},]")
_SEPARATOR: Final = re.compile(r"^---\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What one build is made of: a Kustomization's ``spec``, its normalised ``path`` in ``tree``, the closure of
    that path, and its variables, which are None when the spec has no ``postBuild``.
    """

    tree: Tree
    path: str
    spec: Mapping[str, Any]
    closure: Closure
    variables: Variables | None = None


class Renderer:
    """Builds, each distinct input once. Safe to use from several threads."""

    def __init__(
        self, kustomize: Kustomize, scratch: Path, fallback: Fallback, cache: Cache | None = None
    ) -> None:
        """`scratch`: a folder for the files of builds. `cache` keeps renderings between runs, if given."""
        self._kustomize = kustomize
        self._scratch = scratch
        self._fallback = fallback
        self._cache = cache or Cache(None)
        self._known: dict[str, Rendering] = {}
        self._outlines: dict[str, Outline] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        #: How many times kustomize ran: what benchmarks count.
        self.builds = 0

    def render(self, build: Build) -> Rendering:
        """The objects of `build`; what goes wrong is in the `Rendering`."""
        key = self._key(build)
        # Whoever asks for the same meanwhile waits, rather than write the same files.
        with self._turn(key):
            if key not in self._known:
                self._known[key] = self._kept(key) or self._run_and_keep(key, build)
            return self._known[key]

    def outline(self, build: Build) -> Outline:
        """What the graph needs of `build`, for which nothing has to be built if an earlier run did."""
        key = self._key(build)
        with self._turn(key):
            if key not in self._outlines and key not in self._known:
                self._recall_outline(key)
        if key not in self._outlines:
            # What an earlier run has kept as a whole holds no secret.
            self._outlines.setdefault(key, outline_of(self.render(build)))
        return self._outlines[key]

    def _recall_outline(self, key: str) -> None:
        if document := self._read(_outline_entry(key)):
            self._outlines[key] = Outline(
                tuple(document["objects"]),
                tuple(map(_object_key, document["concealed"])),
                unknown=tuple(document["unknown"]),
            )

    def is_kept(self, build: Build) -> bool:
        """Whether `render` has nothing to build."""
        key = self._key(build)
        return key in self._known or _entry(key) in self._cache

    def is_outlined(self, build: Build) -> bool:
        """Whether `outline` has nothing to build."""
        return _outline_entry(self._key(build)) in self._cache or self.is_kept(build)

    def _turn(self, key: str) -> threading.Lock:
        with self._lock:
            return self._turns.setdefault(key, threading.Lock())

    def _kept(self, key: str) -> Rendering | None:
        """What an earlier run built from the same."""
        document = self._read(_entry(key))
        if document is None:
            return None
        return Rendering(objects=tuple(document["objects"]), unknown=tuple(document["unknown"]))

    def _run_and_keep(self, key: str, build: Build) -> Rendering:
        rendering = self._run(build, self._scratch / key[:32])
        secrets = [item for item in rendering.objects if holds_secrets(item)]
        outline = self._outlines[key] = outline_of(rendering, secrets)
        if _is_final(rendering, build):
            unknown = rendering.unknown
            if not secrets:
                self._write(_entry(key), {"objects": rendering.objects, "unknown": unknown})
            if not any(map(is_kustomization, secrets)):
                kept = {"objects": outline.objects, "concealed": outline.concealed, "unknown": unknown}
                self._write(_outline_entry(key), kept)
        return rendering

    def _read(self, entry: str) -> dict[str, Any] | None:
        kept = self._cache.get(entry)
        if kept is None:
            return None
        document: dict[str, Any] = json.loads(zlib.decompress(kept))
        return document

    def _write(self, entry: str, document: dict[str, Any]) -> None:
        # In the order of the build, which is seen wherever objects are shown.
        self._cache.put(entry, zlib.compress(json.dumps(document).encode(), 1))

    def _key(self, build: Build) -> str:
        variables = build.variables
        inputs = {
            "renderer": RENDERER,
            "kustomize": self._kustomize.identity,
            "closure": build.closure.hash,
            "path": build.path,
            "spec": {field: build.spec[field] for field in _BUILT_FROM if field in build.spec},
            "variables": variables.identity if variables else None,
        }
        return hashlib.sha256(canonical_json(inputs)).hexdigest()

    def _run(self, build: Build, folder: Path) -> Rendering:
        closure = build.closure
        unknown = needs(closure)
        lacks = bool(unknown)
        unknown += [
            f"the plugins that {file} configures are not followed" for file in sorted(closure.unchecked)
        ]
        if closure.unchecked or any(file not in closure.kustomizations for file, _ in closure.remote):
            return Rendering(unknown=tuple(unknown), withheld=True)
        try:
            built = self._built(build, folder)
            objects = tuple(self._finished(built, build))
        except (Beyond, ProgramMissing) as beyond:
            return Rendering(unknown=(*unknown, beyond.message), withheld=True)
        except Problem as problem:
            if lacks:
                # What is left out here may be what it fails for.
                return Rendering(unknown=(*unknown, problem.message), withheld=True)
            return Rendering(error=_explained(problem, build))
        if closure.fetched and tells_origins(
            closure, merged_kustomization(build.tree, build.path, build.spec)
        ):
            unknown.append("where its objects come from, which buildMetadata has them say")
        if build.variables and build.variables.undefined:
            names = ", ".join(sorted(build.variables.undefined))
            unknown.append(f"the values of {names} are only in the cluster")
        return Rendering(objects=objects, unknown=tuple(unknown))

    def _built(self, build: Build, folder: Path) -> str:
        files = dict(_files(build))
        if schema.is_enough(files) and self._kustomize.description == schema.DESCRIPTION:
            files[_in(home(build.closure), _own(build))] += _dumped(schema.declaration())
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write_tree(folder, files)
            with self._lock:
                self.builds += 1
            path = _in(home(build.closure), build.path)
            return self._kustomize.build(folder, path, size=sum(map(len, files.values())))
        finally:
            drop_tree(folder)

    def _finished(self, built: str, build: Build) -> Iterator[dict[str, Any]]:
        for text in _SEPARATOR.split(built):
            if not text.strip():
                continue
            item = documents.load(text, path="")
            _check(item)
            if build.variables is not None and "$" in text and not _opted_out(item):
                item = self._substituted(text, item, build.variables)
                _check(item)
            yield _with_common_metadata(item, build.spec.get("commonMetadata"))

    def _substituted(self, text: str, item: dict[str, Any], variables: Variables) -> dict[str, Any]:
        try:
            value = documents.load_yaml11(expand(text, variables, self._fallback), path="")
        except (Beyond, ProgramMissing):
            raise
        except Problem as problem:
            kind, name = item["kind"], item["metadata"]["name"]
            raise Problem(f"substitution in {kind} {name}: {problem.message}", hint=problem.hint) from problem
        return value if isinstance(value, dict) else {}


def _entry(key: str) -> str:
    """The name of a rendering in the cache."""
    return f"{key}.render"


def _outline_entry(key: str) -> str:
    return f"{key}.outline"


def _object_key(values: list[str]) -> tuple[str, str, str]:
    kind, namespace, name = values
    return kind, namespace, name


def _is_final(rendering: Rendering, build: Build) -> bool:
    """Whether the same would come out of the same in any other run, and no variable is from a Secret."""
    uses_secrets = build.variables is not None and build.variables.secret
    return not (rendering.error or rendering.withheld or needs(build.closure) or uses_secrets)


def _files(build: Build) -> Iterator[tuple[str, bytes]]:
    """What has to lie on disk for the build: the closure, the merged kustomization, what was fetched for it."""
    tree, closure = build.tree, build.closure
    for part in (closure, *(folder.closure for folder in closure.foreign)):
        _require_whole(part)
    merged = merged_kustomization(tree, build.path, build.spec)
    yield from _placed(closure, home(closure), {_own(build): merged})
    for folder in closure.foreign:
        yield from _placed(folder.closure, root(folder), {})
    yield from web_files(closure)


def _own(build: Build) -> str:
    """The kustomization file at the path of `build`, be it there or not."""
    return build.tree.kustomization(build.path) or _in(build.path, KUSTOMIZATION_FILES[0])


def _require_whole(closure: Closure) -> None:
    if closure.escapes:
        raise Problem(f"{min(closure.escapes)!r} leads out of the source, which Flux refuses to build")
    for file in sorted(closure.unreadable):
        _require_readable(closure.tree, file)


def _placed(closure: Closure, base: str, merged: dict[str, dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """The files of `closure` in the folder `base`. Of its kustomizations, those in `merged` are given."""
    tree = closure.tree
    tree.blobs.fetch(closure.files.values())
    for name, oid in closure.files.items():
        _require_end(name, tree.blobs[oid])
        yield _in(base, name), tree.blobs[oid]
    for file in {*merged, *(file for file, _ in (*closure.remote, *closure.fetched))}:
        value = localised(merged.get(file) or mapping(tree, file), file, closure, base)
        lacking = {address for named_in, address in closure.remote if named_in == file}
        yield _in(base, file), _dumped(_without(value, lacking))


def _require_readable(tree: Tree, file: str) -> NoReturn:
    """Raise the `Problem` that `file` has: what it names cannot be known, so that nothing is built from it."""
    for document in documents.load_all(tree.read(file), path=file):
        if document.error:
            raise document.error
    raise Problem(f"{file} holds the configuration of a plugin that cannot be read")


def _require_end(name: str, data: bytes) -> None:
    """Raise `Problem` for aliases that kustomize would write out until no memory is left."""
    if not (_ANCHOR.search(data) and _ALIAS.search(data)):
        return
    try:
        endless = [
            document.error
            for document in documents.load_all(data, path=name)
            if isinstance(document.error, documents.EndlessAliases)
        ]
    except Problem:
        # Not YAML at all, such as a file for a generator.
        return
    if endless:
        raise endless[0]


def _dumped(value: dict[str, Any]) -> bytes:
    try:
        return documents.dump(value).encode()
    except UnicodeEncodeError as error:
        raise Problem(
            "the name of a file is not UTF-8, which a kustomization that lists it has to be"
        ) from error


def _without(value: dict[str, Any], remote: set[str]) -> dict[str, Any]:
    """`value` less every entry of its lists, and every field, that names one of `remote`."""
    kept = {
        key: [item for item in entries if not _names(item, remote)] if isinstance(entries, list) else entries
        for key, entries in value.items()
    }
    return {key: item for key, item in kept.items() if not _names(item, remote)}


def _names(value: Any, remote: set[str]) -> bool:
    if isinstance(value, dict):
        return any(_names(item, remote) for item in value.values())
    if isinstance(value, list):
        return any(_names(item, remote) for item in value)
    return isinstance(value, str) and (value in remote or value.partition("=")[2] in remote)


def _explained(problem: Problem, build: Build) -> Problem:
    """`problem`, with a hint where a symbolic link may be its cause."""
    links = sorted(build.closure.missing & build.tree.links.keys())
    if not links:
        return problem
    return Problem(
        problem.message,
        hint=f"{links[0]} is a symbolic link, and Flux leaves those out of what it builds from: put a file there",
        location=problem.location,
    )


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _check(item: Any) -> None:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    if not isinstance(metadata, dict):
        raise Problem("the build holds something that is no Kubernetes object")
    kind, name = item.get("kind"), metadata.get("name")
    if not (kind and item.get("apiVersion") and name):
        raise Problem(f"an object lacks its apiVersion, kind or name: kind {kind!r}, name {name!r}")
    for field in _MAPS:
        if not isinstance(metadata.get(field) or {}, dict):
            raise Problem(f"metadata.{field} of {kind} {name} is not a mapping")


def _opted_out(item: dict[str, Any]) -> bool:
    return any((item["metadata"].get(field) or {}).get(_SUBSTITUTE) == "disabled" for field in _MAPS)


def _with_common_metadata(item: dict[str, Any], common: Any) -> dict[str, Any]:
    for field in _MAPS if isinstance(common, dict) else ():
        more = common.get(field)
        if isinstance(more, dict) and more:
            item["metadata"][field] = {**(item["metadata"].get(field) or {}), **more}
    return item
