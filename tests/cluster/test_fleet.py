"""What the graph says of the example fleet is what Flux makes of it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.backends.flux.inspection import graph_document
from sf.backends.flux.kustomization import kind_of
from sf.backends.flux.repository import Repository as FluxRepository
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.runtime import InvokerType, RuntimeContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.repositories import Repository
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CONFIG: Final = load_config(b"{lifecycle: {mode: gitops}, gitops: {path: clusters/production}}")
SUSPENDED: Final = "shop/notifier"
SETTLED_SECONDS: Final = 120


@pytest.fixture
def context(cluster: Cluster, fleet: Repository, tmp_path: Path) -> Iterator[RuntimeContext]:
    (tmp_path / "tmp").mkdir()
    context = RuntimeContext(
        ci=CIContext(provider=Provider.LOCAL, event=EventKind.MANUAL, trust=Trust.TRUSTED),
        invoker=InvokerType.API,
        repo_root=fleet.root,
        dry_run=True,
        environ={**cluster.environment, "TMPDIR": str(tmp_path / "tmp")},
    )
    yield context
    context.workspace.close()


def live(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Every Kustomization of the cluster by id."""
    listed = json.loads(cluster.kubectl("get", "kustomizations", "--all-namespaces", "--output=json"))
    return {f"{item['metadata']['namespace']}/{item['metadata']['name']}": item for item in listed["items"]}


def is_ready(item: dict[str, Any], commit: str) -> bool:
    status = item.get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return ready and commit in status.get("lastAppliedRevision", "")


def settled(cluster: Cluster, commit: str) -> dict[str, dict[str, Any]]:
    """As `live`, once all but the suspended one have applied `commit`."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        found = live(cluster)
        waiting = {name: item for name, item in found.items() if not is_ready(item, commit)}
        if SUSPENDED in found and waiting.keys() == {SUSPENDED}:
            return found
        if time.monotonic() > deadline:
            said = {name: item.get("status", {}).get("conditions") for name, item in waiting.items()}
            pytest.fail(f"not ready: {json.dumps(said, indent=1)}")
        time.sleep(0.5)


def inventory(item: dict[str, Any]) -> set[str]:
    return {entry["id"] for entry in item.get("status", {}).get("inventory", {}).get("entries", [])}


def inventory_id(document: dict[str, Any]) -> str:
    """An object as Flux writes it into an inventory; colons in names of RBAC become two underscores."""
    group, kind = kind_of(document)
    metadata = document["metadata"]
    return f"{metadata.get('namespace', '')}_{metadata['name'].replace(':', '__')}_{group}_{kind}"


def test_the_graph_is_what_flux_runs(cluster: Cluster, fleet: Repository, context: RuntimeContext) -> None:
    commit = cluster.push(fleet.root, "fleet")
    cluster.kubectl("apply", "--server-side", "--kustomize", f"{fleet.root}/clusters/production/flux-system")
    found = settled(cluster, commit)

    document = graph_document(CONFIG, context)
    [entry] = document["entries"]
    assert {f"{node['namespace']}/{node['name']}" for node in entry["kustomizations"]} == found.keys()

    repository = FluxRepository(CONFIG, context)
    graph = repository.graph(repository.git.tree_of(commit))
    nodes = graph.entry(repository.start(graph)).nodes.values()
    rendered = {
        node.id: {inventory_id(item) for item in rendering.objects}
        for node, rendering in zip(nodes, graph.render_all(nodes), strict=True)
        if not node.suspended
    }
    assert rendered == {name: inventory(item) for name, item in found.items() if name != SUSPENDED}
