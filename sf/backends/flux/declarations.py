"""What a file says about where clusters begin: the Kustomizations and Flux Operator instances written in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sf import documents
from sf.backends.flux.kustomization import (
    GROUP,
    KIND,
    OPERATOR_GROUP,
    Kustomization,
    is_kustomization,
    kind_of,
)
from sf.changes.manifest import at
from sf.changes.masking import holds_secrets
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sf.backends.flux.tree import Tree

INSTANCE_CHART: Final = "flux-instance"


class Declaration(NamedTuple):
    """A whole Kustomization, or the one that is made of a FluxInstance, with the first line of its document.

    ``made``: that Kustomization and its source as Flux Operator would make them, before it applies ``patches``.
    """

    line: int
    root: Kustomization
    made: tuple[dict[str, Any], dict[str, Any]] | None = None
    patches: tuple[Any, ...] = ()

    @property
    def is_instance(self) -> bool:
        return self.made is not None


class Declarations:
    """The declarations in files, by object id: each file is read and parsed once for all trees."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Declaration, ...]] = {}
        # Files with a secret in a declaration, which nothing outlives.
        self._secret: set[str] = set()
        #: How many files were read in this run, beside what an earlier one knew.
        self.learned = 0

    def of(self, tree: Tree, files: Iterable[str]) -> Iterator[tuple[str, Declaration]]:
        """Each of `files` with each declaration in it, in order."""
        listed = list(files)
        tree.blobs.fetch(tree.oids[file] for file in listed if tree.oids[file] not in self._known)
        for file in listed:
            oid = tree.oids[file]
            if oid not in self._known:
                self.learned += 1
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
            oid: [
                [line, root.namespace, root.name, root.spec, made, patches]
                for line, root, made, patches in found
            ]
            for oid, found in self._known.items()
            if oid in oids and oid not in self._secret
        }

    def remember(self, document: Mapping[str, Any]) -> None:
        """Know again what an earlier run knew."""
        for oid, found in document.items():
            self._known[oid] = tuple(
                Declaration(
                    line,
                    Kustomization(namespace=namespace, name=name, spec=spec),
                    (made[0], made[1]) if made else None,
                    tuple(patches),
                )
                for line, namespace, name, spec, made, patches in found
            )


def documents_in(data: bytes, file: str) -> list[documents.Document]:
    """The documents of a file; none when it is not text, which a build that needs it says."""
    try:
        return documents.load_all(data, path=file)
    except Problem:
        return []


def _declaration(document: documents.Document) -> Declaration | None:
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return None
    made: tuple[dict[str, Any], dict[str, Any]] | None = None
    instance = None if is_kustomization(value) else _instance(value)
    if instance is None:
        root = _kustomization(value)
    else:
        made = _made_of(instance, value)
        root = _kustomization(made[0]) if made else None
    if root is None or not isinstance(root.spec.get("path"), str):
        return None
    patches = at(instance, "kustomize", "patches")
    return Declaration(document.line, root, made, tuple(patches) if isinstance(patches, list) else ())


def _kustomization(value: dict[str, Any]) -> Kustomization | None:
    """The Kustomization in `value`; None for a part of one, such as a patch."""
    spec = value.get("spec")
    if not (isinstance(spec, dict) and isinstance(spec.get("sourceRef"), dict)):
        return None
    metadata = value["metadata"]
    return Kustomization(
        namespace=str(metadata.get("namespace") or ""), name=str(metadata.get("name") or ""), spec=spec
    )


def _instance(value: dict[str, Any]) -> Any:
    """The spec of a FluxInstance, or of the one in the values of its chart; None for anything else."""
    group, kind = kind_of(value)
    if (group, kind) == (OPERATOR_GROUP, "FluxInstance"):
        return value.get("spec")
    if kind == "HelmRelease" and INSTANCE_CHART in str(_chart(value)):
        return at(value, "spec", "values", "instance")
    return None


def _made_of(instance: Any, value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The Kustomization and the source that Flux Operator makes of the ``sync`` of an instance.

    They have the name of ``sync.name``, by default that of the namespace (FluxInstance API reference).
    """
    sync = at(instance, "sync")
    if not isinstance(sync, dict):
        return None
    namespace = str(
        value["metadata"].get("namespace") or at(value, "spec", "targetNamespace") or "flux-system"
    )
    metadata = {"name": str(sync.get("name") or namespace), "namespace": namespace}
    kind = str(sync.get("kind") or "GitRepository")
    root = {
        "apiVersion": f"{GROUP}/v1",
        "kind": KIND,
        "metadata": metadata,
        "spec": {
            "path": sync.get("path"),
            "prune": True,
            "sourceRef": {"kind": kind, "name": metadata["name"]},
        },
    }
    source = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": metadata,
        "spec": {key: sync[key] for key in ("url", "ref", "interval") if key in sync},
    }
    return root, source


def _chart(value: dict[str, Any]) -> Any:
    """What names the chart of a HelmRelease."""
    return (
        at(value, "spec", "chart", "spec", "chart") or at(value, "spec", "chartRef", "name"),
        value["metadata"].get("name"),
    )
