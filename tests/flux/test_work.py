"""How much a plan does: builds and git objects read, counted for known changes, whatever the repository's size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.fleets import cluster, config_map, flux_kustomization, kustomization
from tests.flux.test_cache import planning
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.tools

HERE: Final = "cluster"


def fleet(apps: int) -> dict[str, str]:
    """One cluster of so many applications, all on one base, behind one Kustomization that lists them."""
    files = {
        path.replace("clusters/one", HERE): text.replace("clusters/one", HERE)
        for path, text in cluster("one").items()
    }
    files |= {
        f"{HERE}/apps.yaml": flux_kustomization("apps", "./releases"),
        "releases/kustomization.yaml": kustomization([f"app-{number}.yaml" for number in range(apps)]),
        "base/kustomization.yaml": kustomization(["c.yaml"]),
        "base/c.yaml": config_map("base", a="1"),
    }
    for number in range(apps):
        files |= {
            f"releases/app-{number}.yaml": flux_kustomization(f"app-{number}", f"./apps/{number}"),
            f"apps/{number}/kustomization.yaml": kustomization(
                ["../../base", "own.yaml"], f"nameSuffix: -{number}"
            ),
            f"apps/{number}/own.yaml": config_map("own", a="1"),
        }
    return files


# By name: what changes, how many builds that costs, and how many objects have to be read, a run before having seen
# the older state.
CHANGES: Final[dict[str, tuple[dict[str, str], int, int]]] = {
    "nothing that counts": ({"readme.md": "hello"}, 0, 1),
    "one file of one application": ({"apps/3/own.yaml": config_map("own", a="2")}, 1, 4),
    "the kustomization of one application": (
        {"apps/3/kustomization.yaml": kustomization(["../../base", "own.yaml"], "nameSuffix: -x")}, 1, 4
    ),
    "one application more beside its neighbours": (
        {f"{HERE}/more.yaml": flux_kustomization("more", "./more"), "more/c.yaml": config_map("more")}, 2, 5
    ),
    "a file that nothing reads": ({"apps/3/unused.yaml": config_map("unused")}, 0, 1),
}  # fmt: skip


def work(
    root: Path, files: Mapping[str, str], change: Mapping[str, str], program_path: str
) -> tuple[int, int]:
    """The builds and the reads of a plan for `change`, after one for its base in an earlier run."""
    repository = Repository.init(root)
    repository.commit()
    repository.commit(files)
    with planning(repository, program_path, root.with_suffix(".cache")):
        pass
    repository.commit(change)
    with planning(repository, program_path, root.with_suffix(".cache")) as (backend, _):
        return backend.builds, backend.reads


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_change_costs_is_the_same_in_any_repository(
    name: str, tmp_path: Path, program_path: str
) -> None:
    change, builds, reads = CHANGES[name]
    for apps in (10, 40):
        assert work(tmp_path / f"of-{apps}", fleet(apps), change, program_path) == (builds, reads), apps


def test_a_shared_base_costs_one_build_for_each_that_uses_it(tmp_path: Path, program_path: str) -> None:
    change = {"base/c.yaml": config_map("base", a="2")}
    for apps in (5, 10):
        builds, _ = work(tmp_path / f"of-{apps}", fleet(apps), change, program_path)
        assert builds == apps


def test_a_list_that_changes_costs_one_build_of_the_list(tmp_path: Path, program_path: str) -> None:
    change = {"releases/app-3.yaml": flux_kustomization("app-3", "./apps/3", "timeout: 3m")}
    for apps in (5, 10):
        builds, _ = work(tmp_path / f"of-{apps}", fleet(apps), change, program_path)
        assert builds == 1
