"""Repositories to run the command on: one of each mode, with a change checked out."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests import fleets
from tests.cli.command import Command
from tests.cli.jobs import Job, job
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from toolchain.engine import Engine

FLEET: Final = {
    ".stagefreight.yml": "lifecycle: {mode: gitops}\ngitops: {}\n",
    **fleets.cluster("production"),
    "clusters/production/app.yaml": fleets.flux_kustomization("app", "./app"),
    "app/kustomization.yaml": fleets.kustomization(["settings.yaml"]),
    "app/settings.yaml": fleets.config_map("settings", level="quiet"),
}
ESTATE: Final = {
    ".stagefreight.yml": "lifecycle: {mode: docker}\ndocker: {}\n",
    "docker-compose/localhost/web/compose.yaml": """\
services:
  web:
    image: busybox:1.36
    command: [sleep, infinity]
    stop_grace_period: 0s
    environment: {LEVEL: quiet}
""",
}


def _made(root: Path, files: Mapping[str, str], path: str) -> Path:
    """A repository with `files` on main, and on `change`, which is checked out, ``quiet`` is ``loud``."""
    repository = Repository.init(root)
    repository.git("config", "remote.origin.url", fleets.URL)
    repository.commit(files, "as it is")
    repository.git("switch", "--quiet", "--create", "change")
    repository.commit({path: files[path].replace("quiet", "loud")}, "louder")
    return root


@pytest.fixture(scope="session")
def fleet_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made(tmp_path_factory.mktemp("fleet") / "fleet", FLEET, "app/settings.yaml")


@pytest.fixture(scope="session")
def estate_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = "docker-compose/localhost/web/compose.yaml"
    return _made(tmp_path_factory.mktemp("estate") / "estate", ESTATE, path)


@pytest.fixture
def fleet(fleet_template: Path, tmp_path: Path) -> Repository:
    return Repository(shutil.copytree(fleet_template, tmp_path / "fleet"))


@pytest.fixture
def estate(estate_template: Path, tmp_path: Path) -> Repository:
    return Repository(shutil.copytree(estate_template, tmp_path / "estate"))


@pytest.fixture
def sf(tmp_path: Path) -> Command:
    """The command on a machine that has what every machine has."""
    return Command(tmp_path)


@pytest.fixture
def equipped(tmp_path: Path, program_path: str, docker_client: Mapping[str, str]) -> Command:
    """The command on a machine with all programs, and an engine that does not answer."""
    path = os.pathsep.join([program_path, docker_client["PATH"]])
    return Command(tmp_path, **{**docker_client, "PATH": path})


@pytest.fixture
def deploying(equipped: Command, engine: Engine, tmp_path: Path) -> Command:
    """The command on a machine with an engine, which deploys to a folder of the test."""
    equipped.environ |= {
        "DOCKER_HOST": engine.socket,
        "SF_CONFIG_DOCKER__STACK_DIR": str(tmp_path / "stacks"),
        "SF_CONFIG_DEADLINES__ACTION": "20s",
    }
    return equipped


@pytest.fixture
def fleet_job(equipped: Command, fleet: Repository) -> Job:
    return job(equipped, fleet)


@pytest.fixture
def estate_job(equipped: Command, estate: Repository) -> Job:
    return job(equipped, estate)
