"""The kustomization file that Flux writes: the one of a path, with the fields of a Kustomization merged into it.

Follows fluxcd/pkg/kustomize (`Generator.WriteFile`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sf import documents
from sf.backends.flux.fields import decoded
from sf.backends.flux.remote import is_remote, shown
from sf.backends.flux.tree import Escape
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.backends.flux.tree import Tree

_KUSTOMIZATION: Final = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
_TEXTS: Final = {"targetNamespace": "namespace", "namePrefix": "namePrefix", "nameSuffix": "nameSuffix"}
_SELECTOR: Final = ("group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector")


def merged_kustomization(tree: Tree, path: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The kustomization file that Flux would write for a Kustomization with this `spec` at `path`.

    Raises `Problem` when the file there cannot be read or a component is not a relative path.
    """
    merged = _own_kustomization(tree, path)
    for name, field in _TEXTS.items():
        if spec.get(name):
            merged[field] = str(spec[name])
    _extend(merged, "patches", [_patch(patch) for patch in _entries(spec, "patches", dict)])
    _extend(merged, "components", list(_components(tree, path, spec)))
    _merge_images(merged, _entries(spec, "images", dict))
    if build_metadata := _entries(spec, "buildMetadata", str):
        merged["buildMetadata"] = build_metadata
    return merged


def _entries(spec: Mapping[str, Any], field: str, kind: type) -> list[Any]:
    listed = spec.get(field) or []
    if isinstance(listed, list) and all(isinstance(entry, kind) for entry in listed):
        return listed
    raise Problem(f"spec.{field} is not a list of {'texts' if kind is str else 'mappings'}; Flux refuses it")


def _own_kustomization(tree: Tree, path: str) -> dict[str, Any]:
    existing = tree.kustomization(path)
    if existing is None:
        prefix = f"{path}/" if path else ""
        # In the order of filepath.Walk.
        listed = sorted(tree.manifests(path), key=lambda name: name.split("/"))
        resources = [f"./{name.removeprefix(prefix)}" for name in listed]
        # Without either, kustomize refuses the file as empty.
        return _KUSTOMIZATION | ({"resources": resources} if resources else {"namespace": "_placeholder"})
    merged: dict[str, Any] = _KUSTOMIZATION | decoded(mapping(tree, existing))
    if not merged.get("resources"):
        merged["buildMetadata"] = ["originAnnotations"]
    return merged


def mapping(tree: Tree, file: str) -> dict[str, Any]:
    """The kustomization in `file`; empty for an empty file. Raises `Problem` when it is none."""
    loaded: Any = documents.load_yaml11(tree.read(file), path=file)
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise Problem(f"{file} is not a kustomization")
    return loaded


def _extend(merged: dict[str, Any], key: str, more: list[Any]) -> None:
    if more:
        merged[key] = [*(merged.get(key) or []), *more]


def _patch(patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = {"patch": patch.get("patch", "")}
    # Without a selector a patch applies to the object it names, with an empty one to all.
    if isinstance(target := patch.get("target"), dict):
        merged["target"] = {key: target[key] for key in _SELECTOR if target.get(key)}
    return merged


def _components(tree: Tree, path: str, spec: Mapping[str, Any]) -> Iterator[str]:
    for component in _entries(spec, "components", str):
        if component.startswith("/") or is_remote(component):
            raise Problem(f"the component {shown(component)!r} is not a local, relative path")
        try:
            there = tree.join(path, component)
        except Escape:
            if spec.get("ignoreMissingComponents"):
                continue
            raise
        if tree.is_folder(there) or tree.oid(there) is not None or not spec.get("ignoreMissingComponents"):
            yield component


def _merge_images(merged: dict[str, Any], images: list[Mapping[str, Any]]) -> None:
    """An image of the spec wins field by field; tag and digest are one choice, so either one clears the other."""
    if not images:
        return
    known = [dict(image) for image in merged.get("images") or []]
    for image in images:
        same = next((mine for mine in known if mine.get("name") == image.get("name")), None)
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
