"""What is printed depends on the commits and on nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sf.backends.flux.graph import Start
from sf.backends.flux.impact import compare
from sf.backends.flux.starts import find_starts
from sf.process import Launcher
from sf.redact import Redactor
from tests.fleets import Fleet, programs, tree_of
from tests.flux.history import history
from tests.repositories import ENVIRON

pytestmark = pytest.mark.tools

CHECKOUT = Path(__file__).parents[2]
COMMANDS = (
    ["gitops", "inspect", "--output", "json"],
    ["gitops", "impact", "--base", "main", "--output", "json"],
)


def test_the_seed_of_hashes_does_not_matter(tmp_path: Path) -> None:
    launcher = Launcher(Redactor())
    launcher.run(
        [str(CHECKOUT / "examples" / "make-repository.sh"), str(tmp_path / "fleet"), "fleet"],
        environ=ENVIRON,
        timeout=60,
    )
    for command in COMMANDS:
        printed = {
            launcher.run(
                [sys.executable, "-m", "sf", "-C", str(tmp_path / "fleet"), *command],
                environ=programs()
                | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(CHECKOUT), "HOME": str(tmp_path)},
                timeout=120,
            ).stdout
            for seed in ("1", "2", "3")
        }
        assert len(printed) == 1
        assert len(printed.pop()) > 1000


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    before, after, *_ = (step.files for step in history(seed=5, length=1))
    seen = []
    for order in (1, -1):
        fleet = Fleet(tmp_path / str(order))
        old, new = (fleet.graph(tree_of(files, order=order)) for files in (before, after))
        assert find_starts(old) == find_starts(fleet.graph(tree_of(dict(reversed(before.items())))))
        path = "clusters/production"
        impact = compare(path, old.entry(Start(path=path)), new.entry(Start(path=path)))
        hashes = {name: node.fingerprint for name, node in impact.after.items()}
        seen.append((impact.added, impact.removed, impact.direct, impact.affected, impact.order, hashes))
    assert seen[0] == seen[1]
