"""What the graph says of the example fleet is what Flux makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.backends.flux.inspection import graph_document
from sf.backends.flux.kustomization import kind_of
from sf.backends.flux.repository import Repository as FluxRepository
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.runtime import InvokerType, RuntimeContext
from tests.cluster.settled import SUSPENDED, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.repositories import Repository
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CONFIG: Final = load_config(b"{lifecycle: {mode: gitops}, gitops: {path: clusters/production}}")


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
