"""A plan is a function of the repository: neither the machine nor the moment shows in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.command import Command
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("mode", ["fleet", "estate"])
def test_two_machines_plan_the_same_bytes(
    mode: str, equipped: Command, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    repository: Repository = request.getfixturevalue(mode)
    repository.commit({"unrelated/readme": "text"})
    (tmp_path / "other machine").mkdir()
    other = Command(
        tmp_path / "other machine",
        **{
            **equipped.environ,
            "HOME": str(tmp_path / "other machine/home"),
            "TMPDIR": str(tmp_path / "other machine/tmp"),
            "XDG_RUNTIME_DIR": "",
            "TZ": "Asia/Kathmandu",
            "LC_ALL": "C",
            "USER": "grace",
            "COLUMNS": "200",
            "PYTHONHASHSEED": "4711",
            "SF_CACHE_DIR": str(tmp_path / "cache"),
        },
    )
    elsewhere = Repository(other.root / "a deeper place" / "clone")
    repository.clone(elsewhere.root)
    elsewhere.git("config", "remote.origin.url", repository.git("config", "remote.origin.url"))
    base = repository.git("rev-parse", "main")
    one = equipped("plan", "--output=json", f"--base={base}", cwd=repository.root, PYTHONHASHSEED="1")
    two = other("-C", str(elsewhere.root), "plan", "--output=json", f"--base={base}", cwd=tmp_path)
    assert one.code == 0, one.err
    assert two.code == 0, two.err
    assert one.out == two.out
    # And once more, from what the cache of the first run holds.
    assert other("plan", "--output=json", f"--base={base}", cwd=elsewhere.root / "unrelated").out == one.out


@pytest.mark.parametrize("command", ["gitops inspect", "gitops impact"])
@pytest.mark.parametrize("output", ["text", "json", "mermaid"])
def test_documents_that_show_the_graph(
    command: str, output: str, equipped: Command, fleet: Repository
) -> None:
    runs = {
        equipped(*command.split(), f"--output={output}", cwd=fleet.root, PYTHONHASHSEED=seed).out
        for seed in ("1", "4711")
    }
    assert len(runs) == 1
