"""A real API server with Flux's controllers, started once a module, and the example fleet for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from sf.process import Launcher
from sf.redact import Redactor
from tests.repositories import Repository
from toolchain.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
EXAMPLE_URL: Final = "https://git.example.com/acme/fleet.git"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.start("tests") as cluster:
        yield cluster


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Repository:
    """The example fleet, `main` checked out, whose source is the cluster's git server. Nothing is pushed yet."""
    root = tmp_path / "fleet"
    Launcher(Redactor()).run(
        [str(EXAMPLES / "make-repository.sh"), str(root), "fleet"], environ={"PATH": os.defpath}, timeout=60
    )
    repository = Repository(root)
    repository.git("switch", "--quiet", "main")
    for sync in root.glob("clusters/*/flux-system/gotk-sync.yaml"):
        sync.write_text(sync.read_text().replace(EXAMPLE_URL, cluster.git_url("fleet")))
    repository.commit(message="Read from the server of the tests")
    repository.git("rebase", "--quiet", "main", "change")
    repository.git("switch", "--quiet", "main")
    return repository
