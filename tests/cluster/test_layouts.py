"""In repositories of the usual forms, the graph and all objects are what the real controllers make of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster import layouts
from tests.cluster.reconciled import Checkout
from tests.repositories import Repository
from toolchain.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FIXTURES = Path(__file__).parents[2].parent / "shared" / "fixtures"
# Nothing is ever healthy here, as nothing runs. What is waited for would hold up everything behind it.
REPLACED = {
    "wait: true": "wait: false",
    "source.toolkit.fluxcd.io/v1beta2": "source.toolkit.fluxcd.io/v1",
}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One of its own for each test: what one layout leaves behind would be in the graph of the next."""
    with Cluster.start("layouts") as cluster:
        yield cluster


def reconciled(cluster: Cluster, repository: Repository, tmp_path: Path) -> Checkout:
    repository.commit()
    cluster.push(repository.root, "fleet")
    checkout = Checkout(cluster, repository.root, layouts.HERE, tmp_path / "run")
    checkout.define_kinds()
    checkout.bootstrap()
    checkout.check()
    return checkout


def ids(checkout: Checkout, *, external: bool) -> list[str]:
    return sorted(node.id for node in checkout.entry.nodes.values() if node.external is external)


def test_tenants(cluster: Cluster, tmp_path: Path) -> None:
    repository = Repository.init(tmp_path / "fleet")
    repository.write(layouts.tenants(cluster.git_url("fleet")))
    checkout = reconciled(cluster, repository, tmp_path)
    assert ids(checkout, external=True) == ["team/other"]
    assert ids(checkout, external=False) == [
        "flux-system/flux-system",
        "flux-system/policies",
        "flux-system/tenants",
        "team/team",
    ]


def test_charts_and_stages(cluster: Cluster, tmp_path: Path) -> None:
    repository = Repository.init(tmp_path / "fleet")
    repository.write(layouts.charts(cluster.git_url("fleet")))
    checkout = reconciled(cluster, repository, tmp_path)
    assert ids(checkout, external=True) == []
    assert [len(checkout.objects[f"flux-system/{name}"]) for name in ("controllers", "configs", "apps")] == [
        3,
        1,
        4,
    ]


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="the fixtures are not part of the repository")
@pytest.mark.parametrize("name", ["flux2-multi-tenancy", "flux2-kustomize-helm-example"])
def test_public_repositories(cluster: Cluster, tmp_path: Path, name: str) -> None:
    repository = Repository.init(tmp_path / "fleet")
    shutil.copytree(
        FIXTURES / name, repository.root, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git")
    )
    for file in repository.root.rglob("*.yaml"):
        text = file.read_text()
        for old, new in REPLACED.items():
            text = text.replace(old, new)
        file.write_text(text)
    repository.write(layouts.bootstrapped(cluster.git_url("fleet")))
    checkout = reconciled(cluster, repository, tmp_path)
    assert ids(checkout, external=False)
