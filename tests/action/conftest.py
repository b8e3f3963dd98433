"""The image, built once from stand-ins, and jobs that use it."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import fleets
from tests.action.runner import Runner
from tests.cli.conftest import ESTATE, FLEET
from tests.forge.fake import REPOSITORY, Fake, serving
from tests.repositories import Repository
from toolchain import standins
from toolchain.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

IMAGE = "sf:test"
PAYLOADS = Path(__file__).parents[1] / "unit/ci/payloads"
SERVER = fleets.URL.removesuffix("/acme/fleet")


@pytest.fixture(scope="session")
def image_engine() -> Iterator[Engine]:
    """An engine with the image. It has its own data, which keep the layers between runs."""
    with Engine.start("action") as engine:
        standins.build(engine, IMAGE)
        engine.image("busybox:1.36")
        yield engine


@pytest.fixture
def actions(image_engine: Engine) -> Iterator[Engine]:
    yield image_engine
    image_engine.sweep()


@contextlib.contextmanager
def entered(engine: Engine) -> Iterator[None]:
    """Be in the network of `engine`: a socket that is opened here stays there."""
    # From Python 3.12 on, and the tests of engines run on the newest.
    setns, network = getattr(os, "setns"), getattr(os, "CLONE_NEWNET")  # noqa: B009
    with Path("/proc/thread-self/ns/net").open() as own, Path(f"/proc/{engine.pid}/ns/net").open() as other:
        setns(other.fileno(), network)
        try:
            yield
        finally:
            setns(own.fileno(), network)


@pytest.fixture
def forge(actions: Engine) -> Iterator[Fake]:
    """A GitHub that jobs in the engine reach, and that knows the token ``job-token``."""
    with contextlib.ExitStack() as stack:
        with entered(actions):
            fake = stack.enter_context(serving("github"))
        fake.accounts["job-token"] = "github-actions[bot]"
        yield fake


@dataclass(frozen=True, slots=True)
class Origin:
    """A repository with the branches ``main`` and ``change``, and ``merged``, which has both."""

    repository: Repository
    base: str
    change: str
    merge: str

    def checkout(self, root: Path, commit: str) -> Repository:
        clone = self.repository.clone(root)
        clone.git("switch", "--quiet", "--detach", commit)
        return clone

    def payload(self, name: str, commit: str) -> str:
        """A recorded payload with this repository's ids and the fake forge's names."""
        text = (PAYLOADS / f"{name}.json").read_text()
        for letter, real in (("a", self.base), ("b", commit), ("c", self.change), ("9", self.merge)):
            text = text.replace(letter * 40, real)
        return text.replace('"number": 42', '"number": 7')


def origin(root: Path, files: Mapping[str, str], path: str) -> Origin:
    repository = Repository.init(root)
    base = repository.commit(files, "as it is")
    repository.git("switch", "--quiet", "--create", "change")
    change = repository.commit({path: files[path].replace("quiet", "loud")}, "louder")
    repository.git("switch", "--quiet", "--create", "merged", "main")
    repository.git("merge", "--quiet", "--no-ff", "--message=merge", "change")
    merge = repository.head
    repository.git("switch", "--quiet", "main")
    return Origin(repository, base, change, merge)


@pytest.fixture
def fleet(tmp_path: Path) -> Origin:
    return origin(tmp_path / "fleet", FLEET, "app/settings.yaml")


@pytest.fixture
def estate(tmp_path: Path) -> Origin:
    return origin(tmp_path / "estate", ESTATE, "docker-compose/localhost/web/compose.yaml")


def github(event: str, ref: str, commit: str, forge: Fake | None = None) -> dict[str, str]:
    """The variables that describe one event, and that send comments to `forge`."""
    return {
        "GITHUB_EVENT_NAME": event,
        "GITHUB_REF": ref,
        "GITHUB_SHA": commit,
        "GITHUB_SERVER_URL": SERVER,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_RUN_ID": "4711",
        "GITHUB_API_URL": forge.url if forge else "http://127.0.0.1:9",
    }


@pytest.fixture
def runner(actions: Engine, fleet: Origin, tmp_path: Path) -> Runner:
    """A job that checked out the merge result of a pull request."""
    clone = fleet.checkout(tmp_path / "workspace", fleet.merge)
    return Runner(actions, IMAGE, tmp_path / "job", clone.root)
