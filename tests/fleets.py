"""Flux repositories as plain mappings of files, and everything of the flux backend on top of them."""

from __future__ import annotations

import hashlib
import os
import textwrap
from typing import TYPE_CHECKING, Final

from sf.backends.flux.graph import Graph, Start
from sf.backends.flux.names import Names
from sf.backends.flux.render import Renderer
from sf.backends.flux.tree import Blobs, Tree
from sf.process import Launcher
from sf.redact import Redactor
from sf.tools.flux import Flux
from sf.tools.git import TreeEntry
from sf.tools.kustomize import Kustomize
from toolchain import tiers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sf.backends.flux.fetch import Remotes
    from sf.backends.flux.graph import Entry

URL: Final = "https://git.example.test/acme/fleet"
LINK: Final = "120000"


def programs() -> dict[str, str]:
    """The environment in which kustomize and flux are those of the toolchain."""
    folders = [*map(str, tiers.program_folders()), os.environ.get("PATH", os.defpath)]  # noqa: TID251
    return {"PATH": os.pathsep.join(folders)}


def tree_of(
    files: Mapping[str, str | bytes], links: Mapping[str, str] | None = None, *, order: int = 1
) -> Tree:
    """The tree of a commit with these `files`, listed forwards or, with `order` -1, backwards."""
    contents: dict[str, bytes] = {}
    entries: list[TreeEntry] = []
    folders: set[str] = set()
    for mode, some in (("100644", files), (LINK, links or {})):
        for path, text in some.items():
            data = text if isinstance(text, bytes) else text.encode()
            oid = hashlib.sha1(data).hexdigest()
            contents[oid] = data
            entries.append(TreeEntry(mode, "blob", oid, path))
            parts = path.split("/")[:-1]
            folders |= {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
    entries += [TreeEntry("040000", "tree", "0" * 40, folder) for folder in folders]
    entries.sort(key=lambda entry: entry.path, reverse=order < 0)
    return Tree(entries, Blobs(lambda oids: {oid: contents[oid] for oid in oids}))


def mentions(tree: Tree, text: str) -> frozenset[str]:
    """As `git grep -l -F` would find them."""
    wanted = text.encode()
    return frozenset(path for path, oid in tree.oids.items() if wanted in tree.blobs[oid])


class Fleet:
    """One run: what several trees share."""

    def __init__(
        self, scratch: Path, environ: Mapping[str, str] | None = None, *, timeout: float = 120
    ) -> None:
        environ = programs() if environ is None else environ
        launcher = Launcher(Redactor())
        self.kustomize = Kustomize(launcher, environ, timeout=timeout)
        self.flux = Flux(launcher, environ)
        self.renderer = Renderer(self.kustomize, scratch, self.flux.envsubst)
        self.names = Names()
        self.remotes: Remotes | None = None

    def graph(self, tree: Tree) -> Graph:
        return Graph(tree, self.renderer, self.names, mentions, lambda url: url == URL, remotes=self.remotes)

    def entry(self, files: Mapping[str, str | bytes], path: str) -> Entry:
        return self.graph(tree_of(files)).entry(Start(path=path))


def manifest(text: str) -> str:
    return textwrap.dedent(text).lstrip("\n")


def config_map(name: str, **data: str) -> str:
    lines = [f"  {key}: {value}" for key, value in data.items()]
    return "\n".join(
        ["apiVersion: v1", "kind: ConfigMap", f"metadata: {{name: {name}}}", "data:", *lines, ""]
    )


def kustomization(resources: Iterable[str] = (), more: str = "", *, kind: str = "Kustomization") -> str:
    version = "v1alpha1" if kind == "Component" else "v1beta1"
    lines = [f"apiVersion: kustomize.config.k8s.io/{version}", f"kind: {kind}"]
    listed = list(resources)
    if listed:
        lines += ["resources:", *(f"- {name}" for name in listed)]
    return "\n".join([*lines, manifest(more)])


def flux_kustomization(name: str, path: str, more: str = "", *, namespace: str = "flux-system") -> str:
    """A Kustomization; `more` is the rest of its spec, indented by nothing."""
    head = manifest(
        f"""
        apiVersion: kustomize.toolkit.fluxcd.io/v1
        kind: Kustomization
        metadata: {{name: {name}, namespace: {namespace}}}
        spec:
          interval: 10m
          path: {path}
          prune: true
          sourceRef: {{kind: GitRepository, name: flux-system}}
        """
    )
    return f"{head}{textwrap.indent(manifest(more), '  ')}".rstrip("\n") + "\n"


GOTK: Final = manifest(
    f"""
    apiVersion: source.toolkit.fluxcd.io/v1
    kind: GitRepository
    metadata: {{name: flux-system, namespace: flux-system}}
    spec: {{interval: 1m, url: {URL}, ref: {{branch: main}}}}
    """
)


def cluster(name: str) -> dict[str, str]:
    """The files that `flux bootstrap` leaves behind."""
    folder = f"clusters/{name}/flux-system"
    return {
        f"{folder}/gotk-sync.yaml": f"{GOTK}---\n{flux_kustomization('flux-system', f'./clusters/{name}')}",
        f"{folder}/kustomization.yaml": kustomization(["gotk-sync.yaml"]),
    }
