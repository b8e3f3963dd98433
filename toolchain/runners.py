"""The tiers `act`, `gitlab` and `checkers`: what runs and checks workflows, pipelines and images on this machine.

They have locks of their own, so that a new version of one makes nobody wait for the test cluster.
"""

import os
import shutil
import sys
from pathlib import Path

from toolchain import cache
from toolchain.errors import ToolchainError
from toolchain.golang import ENVIRONMENT
from toolchain.programs import find, run
from toolchain.progress import step

LAYOUT = "1"
"""Raise it when the content of a folder changes although no pin does."""

ACT = Path(__file__).with_name("act")
GITLAB = Path(__file__).with_name("gitlab")
CHECKERS = Path(__file__).with_name("checkers")
PROGRAMS = ("github.com/nektos/act", "github.com/rhysd/actionlint/cmd/actionlint")


def ensure_act() -> Path:
    """Have act and actionlint built, which takes one minute, and return the folder of both."""
    folder = _folder("act", ACT, "go.mod", "go.sum")

    def build(target: Path) -> None:
        if find("go") is None:
            raise ToolchainError("Go is needed to build act and actionlint, and there is no go in PATH")
        for program in PROGRAMS:
            with step(f"built {program}"):
                command = ["go", "build", "-ldflags", "-s -w", "-o", f"{target}{os.sep}", program]
                run(command, cwd=ACT, env=ENVIRONMENT)

    cache.ensure(folder, build)
    return folder


def ensure_gitlab() -> Path:
    """Have gitlab-ci-local and its own Node.js, and return their folder."""
    folder = _folder("gitlab", GITLAB, "package.json", "package-lock.json")

    def install(target: Path) -> None:
        if find("npm") is None:
            raise ToolchainError("npm is needed to install gitlab-ci-local, and there is none in PATH")
        for file in ("package.json", "package-lock.json"):
            shutil.copyfile(GITLAB / file, target / file)
        # Nothing but files: no package runs a program of its own.
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target)

    cache.ensure(folder, install)
    return folder


def gitlab_ci_local() -> list[str]:
    """Return the start of its command line."""
    modules = ensure_gitlab() / "node_modules"
    node = next(modules.glob("node-linux-*/bin/node"))
    return [str(node), str(modules / "gitlab-ci-local/dist/index.js")]


def ensure_checkers() -> Path:
    """Have check-jsonschema, hadolint and zizmor in a folder: modules for PYTHONPATH, and programs in its bin."""
    folder = _folder("checkers", CHECKERS, "requirements.txt")

    def install(target: Path) -> None:
        # No virtual environment: its scripts know the path of their interpreter, and the folder gets another name.
        lock = ["--require-hashes", "--requirement", str(CHECKERS / "requirements.txt")]
        run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), *lock])

    cache.ensure(folder, install)
    return folder


def _folder(name: str, source: Path, *files: str) -> Path:
    parts = {file: (source / file).read_bytes() for file in files}
    return cache.home() / f"{name}-{cache.key({**parts, 'layout': LAYOUT.encode()})}"
