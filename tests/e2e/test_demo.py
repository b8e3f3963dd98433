"""What `make demo` runs, from its first line to its last."""

from __future__ import annotations

import shutil
import subprocess  # noqa: TID251 - the demo is a script of its own
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolchain.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

ROOT: Final = Path(__file__).parents[2]


@pytest.mark.parametrize("deploys", [True, False])
def test_the_demo_runs_to_its_end(
    deploys: bool, engine: Engine, docker_client: Mapping[str, str], program_path: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "home").mkdir()
    environ = {
        **docker_client,
        "PATH": f"{program_path}:{docker_client['PATH']}",
        "HOME": str(tmp_path / "home"),
        "LC_ALL": "C.UTF-8",
        # A demo is one in a CI, too.
        **dict.fromkeys(("CI", "GITHUB_ACTIONS", "GITLAB_CI", "GITEA_ACTIONS"), "true"),
        **({"DOCKER_HOST": engine.socket} if deploys else {}),
    }
    done = subprocess.run(
        [tmp_path / "examples/demo.sh"], env=environ, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ("deploy it to the local engine" in done.stdout) is deploys
    assert ("Executed: 2 already up to date" in done.stdout) is deploys, done.stdout
    for example in ("fleet", "estate"):
        assert f"build/demo/{example}/sf-out/report.html" in done.stdout
    assert engine.docker("ps", "--all", "--quiet").strip() == ""
