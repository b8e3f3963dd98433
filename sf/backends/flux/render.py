"""One build: the objects a Flux Kustomization stands for, as kustomize-controller would make them.

Follows fluxcd/pkg/kustomize (`Generator.GenerateManifest`, `SubstituteVariables`) and the build function of
kustomize-controller 1.9: the fields of the Kustomization are merged into the kustomization file of its path,
kustomize builds it, variables are substituted object by object, common metadata is set.
"""

from __future__ import annotations

import hashlib
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sf import documents
from sf.backends.flux.closure import is_remote
from sf.backends.flux.substitute import Beyond, expand
from sf.models import Problem, canonical_json
from sf.workspace import write_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sf.backends.flux.closure import Closure
    from sf.backends.flux.substitute import Fallback, Variables
    from sf.backends.flux.tree import Tree
    from sf.tools.kustomize import Kustomize

# Part of every cache key: raise it when equal inputs may give other objects than before.
RENDERER: Final = "1"
# What the kustomization file of a build may hold; Flux drops the rest when it writes the file anew.
_FIELDS: Final = frozenset(
    (
        "apiVersion",
        "bases",
        "buildMetadata",
        "commonAnnotations",
        "commonLabels",
        "components",
        "configMapGenerator",
        "configurations",
        "crds",
        "generatorOptions",
        "generators",
        "helmChartInflationGenerator",
        "helmCharts",
        "helmGlobals",
        "imageTags",
        "images",
        "kind",
        "labels",
        "metadata",
        "namePrefix",
        "nameSuffix",
        "namespace",
        "openapi",
        "patches",
        "patchesJson6902",
        "patchesStrategicMerge",
        "replacements",
        "replicas",
        "resources",
        "secretGenerator",
        "sortOptions",
        "transformers",
        "validators",
        "vars",
    )
)
_KUSTOMIZATION: Final = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_SELECTOR: Final = ("group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector")
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
    "patchesJson6902",
    "patchesStrategicMerge",
    "postBuild",
    "targetNamespace",
)
_SUBSTITUTE: Final = "kustomize.toolkit.fluxcd.io/substitute"
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


@dataclass(frozen=True, slots=True)
class Rendering:
    """What came out of one build.

    ``objects`` in kustomize's order. ``error`` is set when Flux could not build it either; ``unknown`` says what
    could not be determined here, one sentence each. ``withheld``: for one of those reasons there are no objects.
    """

    objects: tuple[dict[str, Any], ...] = ()
    error: Problem | None = None
    unknown: tuple[str, ...] = ()
    withheld: bool = False


class Renderer:
    """Builds, each distinct input once. Safe to use from several threads."""

    def __init__(self, kustomize: Kustomize, scratch: Path, fallback: Fallback) -> None:
        self._kustomize = kustomize
        self._scratch = scratch
        self._fallback = fallback
        self._known: dict[str, Rendering] = {}
        self._lock = threading.Lock()
        #: How many times kustomize ran: what benchmarks count.
        self.builds = 0

    def render(self, build: Build) -> Rendering:
        """The objects of `build`; what goes wrong is in the `Rendering`."""
        key = self._key(build)
        with self._lock:
            if known := self._known.get(key):
                return known
        rendering = self._run(build, self._scratch / key[:32])
        with self._lock:
            return self._known.setdefault(key, rendering)

    def _key(self, build: Build) -> str:
        variables = build.variables
        inputs = {
            "renderer": RENDERER,
            "kustomize": self._kustomize.version,
            "closure": build.closure.hash,
            "path": build.path,
            "spec": {field: build.spec[field] for field in _BUILT_FROM if field in build.spec},
            "variables": variables.identity if variables else None,
        }
        return hashlib.sha256(canonical_json(inputs)).hexdigest()

    def _run(self, build: Build, root: Path) -> Rendering:
        unknown = [f"needs {address}, named in {file}" for file, address in sorted(build.closure.remote)]
        try:
            write_tree(root, dict(_files(build)))
            with self._lock:
                self.builds += 1
            built = self._kustomize.build(root, build.path)
            objects = tuple(self._finished(built, build))
        except Beyond as beyond:
            return Rendering(unknown=(*unknown, beyond.message), withheld=True)
        except Problem as problem:
            return Rendering(error=problem, unknown=tuple(unknown))
        if build.variables and build.variables.undefined:
            names = ", ".join(sorted(build.variables.undefined))
            unknown.append(f"the values of {names} are only in the cluster")
        return Rendering(objects=objects, unknown=tuple(unknown))

    def _finished(self, built: str, build: Build) -> Iterator[dict[str, Any]]:
        for text in _SEPARATOR.split(built):
            if not text.strip():
                continue
            item = documents.load(text, path="")
            if build.variables is not None and "$" in text and not _opted_out(item):
                item = self._substituted(text, item, build.variables)
            _check(item)
            yield _with_common_metadata(item, build.spec.get("commonMetadata"))

    def _substituted(self, text: str, item: dict[str, Any], variables: Variables) -> dict[str, Any]:
        try:
            value = documents.load(expand(text, variables, self._fallback), path="")
        except Beyond:
            raise
        except Problem as problem:
            kind, name = item.get("kind"), item.get("metadata", {}).get("name")
            raise Problem(f"substitution in {kind} {name}: {problem.message}", hint=problem.hint) from problem
        return value if isinstance(value, dict) else {}


def kustomization(tree: Tree, path: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The kustomization file that Flux would write for a Kustomization with this `spec` at `path`.

    Raises `Problem` when the file there cannot be read or a component is not a relative path.
    """
    merged = _own_kustomization(tree, path)
    if spec.get("targetNamespace"):
        merged["namespace"] = spec["targetNamespace"]
    for affix in ("namePrefix", "nameSuffix"):
        if spec.get(affix):
            merged[affix] = spec[affix]
    _extend(merged, "patches", [_patch(patch) for patch in spec.get("patches") or []])
    _extend(merged, "components", list(_components(tree, path, spec)))
    _extend(
        merged, "patchesStrategicMerge", list(map(documents.dump, spec.get("patchesStrategicMerge") or []))
    )
    _extend(merged, "patchesJson6902", [_json_patch(patch) for patch in spec.get("patchesJson6902") or []])
    _merge_images(merged, spec.get("images") or [])
    if spec.get("buildMetadata"):
        merged["buildMetadata"] = spec["buildMetadata"]
    return merged


def _own_kustomization(tree: Tree, path: str) -> dict[str, Any]:
    existing = tree.kustomization(path)
    if existing is None:
        prefix = f"{path}/" if path else ""
        resources = [f"./{name.removeprefix(prefix)}" for name in tree.manifests(path)]
        # Without either, kustomize refuses the file as empty.
        return _KUSTOMIZATION | ({"resources": resources} if resources else {"namespace": "_placeholder"})
    loaded = documents.load(tree.read(existing), path=existing)
    if not isinstance(loaded, dict):
        raise Problem(f"{existing} is not a kustomization")
    merged = _KUSTOMIZATION | {key: value for key, value in loaded.items() if key in _FIELDS}
    if not merged.get("resources"):
        merged["buildMetadata"] = ["originAnnotations"]
    return merged


def _extend(merged: dict[str, Any], key: str, more: list[Any]) -> None:
    if more:
        merged[key] = [*(merged.get(key) or []), *more]


def _patch(patch: Mapping[str, Any]) -> dict[str, Any]:
    return {"patch": patch.get("patch", "")} | _target(patch)


def _json_patch(patch: Mapping[str, Any]) -> dict[str, Any]:
    return {"patch": canonical_json(patch.get("patch") or []).decode()} | _target(patch)


def _target(patch: Mapping[str, Any]) -> dict[str, Any]:
    target = patch.get("target")
    return {"target": {key: target[key] for key in _SELECTOR if target.get(key)}} if target else {}


def _components(tree: Tree, path: str, spec: Mapping[str, Any]) -> Iterator[str]:
    for component in spec.get("components") or []:
        if component.startswith("/") or is_remote(component):
            raise Problem(f"the component {component!r} is not a local, relative path")
        there = tree.join(path, component)
        if tree.is_folder(there) or tree.oid(there) or not spec.get("ignoreMissingComponents"):
            yield component


def _merge_images(merged: dict[str, Any], images: list[Mapping[str, Any]]) -> None:
    """An image of the spec wins field by field; tag and digest are one choice, so either one clears the other."""
    if not images:
        return
    known = [dict(image) for image in merged.get("images") or []]
    for image in images:
        same = next((mine for mine in known if mine.get("name") == image["name"]), None)
        if same is None:
            known.append(
                {key: image[key] for key in ("name", "newName", "newTag", "digest") if image.get(key)}
            )
            continue
        if image.get("newName"):
            same["newName"] = image["newName"]
        if image.get("newTag") or image.get("digest"):
            for key in ("newTag", "digest"):
                same.pop(key, None)
                if image.get(key):
                    same[key] = image[key]
    merged["images"] = known


def _files(build: Build) -> Iterator[tuple[str, bytes]]:
    """What has to lie on disk for the build: the closure, the merged kustomization, nothing from the network."""
    tree, closure = build.tree, build.closure
    if closure.escapes:
        raise Problem(f"{min(closure.escapes)!r} leads out of the source, which Flux refuses to build")
    tree.blobs.fetch(closure.files.values())
    for name, oid in closure.files.items():
        yield name, tree.blobs[oid]
    addresses: dict[str, set[str]] = {}
    for file, address in closure.remote:
        addresses.setdefault(file, set()).add(address)
    for file, remote in addresses.items():
        loaded = documents.load(tree.read(file), path=file)
        yield file, documents.dump(_without(loaded, remote)).encode()
    own = tree.kustomization(build.path) or (
        f"{build.path}/kustomization.yaml" if build.path else "kustomization.yaml"
    )
    merged = _without(kustomization(tree, build.path, build.spec), addresses.get(own, set()))
    yield own, documents.dump(merged).encode()


def _without(value: dict[str, Any], remote: set[str]) -> dict[str, Any]:
    return {
        key: [item for item in entries if not (isinstance(item, str) and item in remote)]
        if isinstance(entries, list)
        else entries
        for key, entries in value.items()
    }


def _check(item: Any) -> None:
    if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
        raise Problem("the build holds something that is no Kubernetes object")
    if not (item.get("kind") and item.get("apiVersion") and item["metadata"].get("name")):
        raise Problem(
            f"an object lacks its apiVersion, kind or name: kind {item.get('kind')!r}, "
            f"name {item['metadata'].get('name')!r}"
        )


def _opted_out(item: Any) -> bool:
    metadata = item.get("metadata") or {}
    return any(
        (metadata.get(field) or {}).get(_SUBSTITUTE) == "disabled" for field in ("labels", "annotations")
    )


def _with_common_metadata(item: dict[str, Any], common: Mapping[str, Any] | None) -> dict[str, Any]:
    for field in ("labels", "annotations"):
        if more := (common or {}).get(field):
            item["metadata"][field] = {**(item["metadata"].get(field) or {}), **more}
    return item
