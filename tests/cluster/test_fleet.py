"""What the graph says of the example fleet is what Flux makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.reconciled import Checkout

if TYPE_CHECKING:
    from pathlib import Path

    from tests.repositories import Repository
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_the_graph_is_what_flux_runs(cluster: Cluster, fleet: Repository, tmp_path: Path) -> None:
    cluster.push(fleet.root, "fleet")
    checkout = Checkout(cluster, fleet.root, "clusters/production", tmp_path / "run")
    checkout.bootstrap()
    checkout.check()
    assert [node.id for node in checkout.entry.nodes.values() if node.suspended] == ["shop/notifier"]
