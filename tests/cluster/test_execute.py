"""Executing on a real cluster with Flux's own controllers: what is planned is what becomes live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.models import Outcome
from tests.cluster.flux import Fleet

if TYPE_CHECKING:
    from pathlib import Path

    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Fleet:
    return Fleet(cluster, tmp_path)


def test_a_change_that_was_pushed_becomes_live(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base"), fleet.app("web", "base"), fleet.app("other"))
    commit = fleet.commit(fleet.content("base", "blue"), fleet.app("new"))
    fleet.push()
    run = fleet.run()
    results = run.go()
    assert {name: result.outcome for name, result in results.items()} == {
        fleet.root: Outcome.DONE,
        fleet.id("base"): Outcome.DONE,
        fleet.id("web"): Outcome.DONE,
        fleet.id("new"): Outcome.DONE,
    }
    assert fleet.color("base") == "blue"
    assert fleet.color("new") == "red"
    assert all(fleet.is_live(name, commit) for name in ("fleet", "base", "web", "new", "other"))
    assert run.context.result is not None
    assert run.context.result.notes["planned commit"] == commit
    assert run.context.result.notes["live"] == "4 of 4 at the planned commit"
    assert run.context.result.notes["preview"] == "3 of 3 announced objects are as announced"
    assert run.context.result.notes["applied by Flux, not requested"] == fleet.id("other")
