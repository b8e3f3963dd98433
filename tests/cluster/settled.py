"""Waits until Flux has come to the end of what it does with the example fleet."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from toolchain.cluster import Cluster

SUSPENDED: Final = "shop/notifier"
SETTLED_SECONDS: Final = 120


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
