"""A repository as Flux makes it real on an API server, beside what sf says of it."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.backends.flux.inspection import graph_document
from sf.backends.flux.kustomization import kind_of
from sf.backends.flux.repository import Repository
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.ci.values import repository_identity
from sf.config import load_config
from sf.runtime import InvokerType, RuntimeContext

if TYPE_CHECKING:
    from pathlib import Path

    from sf.backends.flux.kustomization import Kustomization
    from toolchain.cluster import Cluster

SETTLED_SECONDS: Final = 120


class Checkout:
    """One commit, and the cluster at `path` in it, as sf sees them."""

    def __init__(self, cluster: Cluster, root: Path, path: str, scratch: Path) -> None:
        self.cluster = cluster
        self.root = root
        self.path = path
        config = load_config(f"{{lifecycle: {{mode: gitops}}, gitops: {{path: {path}}}}}".encode())
        scratch.mkdir()
        context = RuntimeContext(
            ci=CIContext(
                provider=Provider.LOCAL,
                event=EventKind.MANUAL,
                trust=Trust.TRUSTED,
                repository=repository_identity(cluster.git_url("fleet")),
            ),
            invoker=InvokerType.API,
            repo_root=root,
            dry_run=True,
            environ={**cluster.environment, "TMPDIR": str(scratch)},
        )
        with contextlib.closing(context.workspace):
            repository = Repository(config, context)
            self.commit = repository.git.head()
            graph = repository.graph(repository.git.tree_of(self.commit))
            self.entry = graph.entry(repository.start(graph))
            nodes = self.entry.nodes.values()
            self.objects = {
                node.id: rendering.objects
                for node, rendering in zip(nodes, graph.render_all(nodes), strict=True)
            }
            [self.listed] = graph_document(config, context)["entries"]

    @property
    def built(self) -> dict[str, Kustomization]:
        """What Flux is expected to build from this repository."""
        return {name: node for name, node in self.entry.nodes.items() if node.closure and not node.suspended}

    def bootstrap(self) -> None:
        """Apply what `flux bootstrap` applies by hand."""
        folder = f"{self.root}/{self.path}/flux-system"
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", folder)

    def define_kinds(self) -> None:
        """Define every kind that only the objects of the commit itself know."""
        known = set(self.cluster.kubectl("api-resources", "--no-headers", "--output=name").split())
        groups = {name.partition(".")[2] for name in known}
        scopes: dict[bool, set[tuple[str, str, str]]] = {True: set(), False: set()}
        for item in (item for objects in self.objects.values() for item in objects):
            group, kind = kind_of(item)
            version = item["apiVersion"].rpartition("/")[2]
            if group not in groups and group:
                scopes["namespace" in item["metadata"]].add((group, version, kind))
        for is_namespaced, kinds in scopes.items():
            if kinds:
                self.cluster.permissive_crds(sorted(kinds), is_namespaced=is_namespaced)

    def settled(self) -> dict[str, dict[str, Any]]:
        """Every Kustomization of the cluster by id, once all that can be built have applied the commit."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while True:
            output = self.cluster.kubectl("get", "kustomizations", "--all-namespaces", "--output=json")
            found = {
                f"{item['metadata']['namespace']}/{item['metadata']['name']}": item
                for item in json.loads(output)["items"]
            }
            waiting = [name for name in self.built if not _is_ready(found.get(name, {}), self.commit)]
            if not waiting:
                return found
            if time.monotonic() > deadline:
                said = {name: found.get(name, {}).get("status", {}).get("conditions") for name in waiting}
                pytest.fail(f"not ready: {json.dumps(said, indent=1)}")
            time.sleep(0.5)

    def check(self) -> None:
        """The graph and the objects of every Kustomization are those of the cluster."""
        found = self.settled()
        listed = {f"{node['namespace']}/{node['name']}" for node in self.listed["kustomizations"]}
        assert listed == found.keys()
        assert {name: _objects(self.objects[name]) for name in self.built} == {
            name: _inventory(found[name]) for name in self.built
        }
        assert not any(_inventory(found[name]) for name in listed - self.built.keys())


def _is_ready(item: dict[str, Any], commit: str) -> bool:
    status = item.get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return ready and commit in status.get("lastAppliedRevision", "")


def _inventory(item: dict[str, Any]) -> set[str]:
    return {entry["id"] for entry in item.get("status", {}).get("inventory", {}).get("entries", [])}


def _objects(objects: tuple[dict[str, Any], ...]) -> set[str]:
    """Objects as Flux writes them into an inventory; colons in names of RBAC become two underscores."""
    ids = set()
    for item in objects:
        group, kind = kind_of(item)
        metadata = item["metadata"]
        ids.add(f"{metadata.get('namespace', '')}_{metadata['name'].replace(':', '__')}_{group}_{kind}")
    return ids
