"""What a file says about where clusters begin: the Kustomizations and Flux Operator instances written in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sf import documents
from sf.backends.flux.kustomization import Kustomization, is_kustomization, kind_of
from sf.changes.masking import holds_secrets
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sf.backends.flux.tree import Tree

OPERATOR_GROUP: Final = "fluxcd.controlplane.io"
INSTANCE_CHART: Final = "flux-instance"


class Declaration(NamedTuple):
    """A whole Kustomization, or the one that is made of a FluxInstance, with the first line of its document."""

    line: int
    root: Kustomization
    is_instance: bool


class Declarations:
    """The declarations in files, by object id: each file is read and parsed once for all trees."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Declaration, ...]] = {}
        # Files with a secret in a declaration, which nothing outlives.
        self._secret: set[str] = set()

    def of(self, tree: Tree, files: Iterable[str]) -> Iterator[tuple[str, Declaration]]:
        """Each of `files` with each declaration in it, in order."""
        listed = list(files)
        tree.blobs.fetch(tree.oids[file] for file in listed if tree.oids[file] not in self._known)
        for file in listed:
            oid = tree.oids[file]
            if oid not in self._known:
                pairs = [
                    (document.value, _declaration(document))
                    for document in documents_in(tree.blobs[oid], file)
                ]
                self._known[oid] = tuple(declaration for _, declaration in pairs if declaration)
                if any(declaration and holds_secrets(value) for value, declaration in pairs):
                    self._secret.add(oid)
            for declaration in self._known[oid]:
                yield file, declaration

    def remembered(self, oids: Collection[str]) -> dict[str, Any]:
        """What is known of the files `oids` and no secret, as JSON values for `remember`."""
        return {
            oid: [[line, root.namespace, root.name, root.spec, instance] for line, root, instance in found]
            for oid, found in self._known.items()
            if oid in oids and oid not in self._secret
        }

    def remember(self, document: Mapping[str, Any]) -> None:
        """Know again what an earlier run knew."""
        for oid, found in document.items():
            self._known[oid] = tuple(
                Declaration(line, Kustomization(namespace=namespace, name=name, spec=spec), is_instance)
                for line, namespace, name, spec, is_instance in found
            )


def documents_in(data: bytes, file: str) -> list[documents.Document]:
    """The documents of a file; none if it is not text, which a build that needs it will say."""
    try:
        return documents.load_all(data, path=file)
    except Problem:
        return []


def _declaration(document: documents.Document) -> Declaration | None:
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return None
    is_instance = not is_kustomization(value)
    root = _instance_root(value) if is_instance else _kustomization(value)
    if root is None or not isinstance(root.spec.get("path"), str):
        return None
    return Declaration(document.line, root, is_instance)


def _kustomization(value: dict[str, Any]) -> Kustomization | None:
    """The Kustomization in `value`; None for a part of one, such as a patch."""
    spec = value.get("spec")
    if not (isinstance(spec, dict) and isinstance(spec.get("sourceRef"), dict)):
        return None
    metadata = value["metadata"]
    return Kustomization(
        namespace=str(metadata.get("namespace") or ""), name=str(metadata.get("name") or ""), spec=spec
    )


def _instance_root(value: dict[str, Any]) -> Kustomization | None:
    """The Kustomization that Flux Operator makes of a FluxInstance, or of the values of its chart.

    Source and Kustomization have the name of ``sync.name``, by default that of the namespace
    (Flux Operator, FluxInstance API reference, sync configuration).
    """
    group, kind = kind_of(value)
    sync = None
    if (group, kind) == (OPERATOR_GROUP, "FluxInstance"):
        sync = at(value, "spec", "sync")
    elif kind == "HelmRelease" and INSTANCE_CHART in str(_chart(value)):
        sync = at(value, "spec", "values", "instance", "sync")
    if not isinstance(sync, dict):
        return None
    namespace = str(
        value["metadata"].get("namespace") or at(value, "spec", "targetNamespace") or "flux-system"
    )
    name = str(sync.get("name") or namespace)
    return Kustomization(
        namespace=namespace,
        name=name,
        spec={
            "path": sync.get("path"),
            "prune": True,
            "sourceRef": {"kind": str(sync.get("kind") or "GitRepository"), "name": name},
        },
    )


def _chart(value: dict[str, Any]) -> Any:
    """What names the chart of a HelmRelease."""
    return (
        at(value, "spec", "chart", "spec", "chart") or at(value, "spec", "chartRef", "name"),
        value["metadata"].get("name"),
    )


def at(value: Any, *keys: str) -> Any:
    """What stands at `keys` in nested mappings; None where there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
