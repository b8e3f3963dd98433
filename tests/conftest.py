"""What all tests share: real engines started once, golden files, properties that do not depend on the clock."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.estates import SEARCH_PATH, Estate
from toolchain import packages, pins, programs, tiers
from toolchain.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# A busy machine is no bug.
settings.register_profile("sf", deadline=None)
settings.load_profile("sf")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is produced into the golden files; read the diff",
    )


def pytest_configure() -> None:
    # A shell without job control lets what it starts in the background ignore SIGINT, and programs inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Compare bytes with a file beside the test, named relative to it."""

    def check(name: str, produced: bytes) -> None:
        file = request.path.parent / name
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(produced)
        assert produced.decode() == file.read_bytes().decode()

    return check


@pytest.fixture(scope="session")
def program_path() -> str:
    """A PATH with every program of the toolchain that is built, before what the machine has."""
    return f"{programs.search_path(*tiers.program_folders())}:{SEARCH_PATH}"


@pytest.fixture(scope="session")
def running_engine() -> Iterator[Engine]:
    with Engine.start("tests") as engine:
        engine.image("busybox:1.36")
        yield engine


@pytest.fixture
def engine(running_engine: Engine) -> Iterator[Engine]:
    yield running_engine
    running_engine.sweep()


@pytest.fixture(scope="session")
def docker_client(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """An environment with the docker command and compose, and a socket that nobody listens at."""
    tier = packages.ensure(pins.load().packages)
    folder = tmp_path_factory.mktemp("docker")
    (folder / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(packages.plugins(tier))]}))
    return {
        "PATH": f"{packages.programs(tier)}:{SEARCH_PATH}",
        "DOCKER_CONFIG": str(folder),
        "DOCKER_HOST": f"unix://{folder}/nobody.sock",
    }


@pytest.fixture
def estate(engine: Engine, docker_client: Mapping[str, str], tmp_path: Path) -> Estate:
    return Estate(tmp_path, {**docker_client, "DOCKER_HOST": engine.socket})


@pytest.fixture
def paper(docker_client: Mapping[str, str], tmp_path: Path) -> Estate:
    """An estate that can only be planned: there is no engine."""
    return Estate(tmp_path, docker_client)
