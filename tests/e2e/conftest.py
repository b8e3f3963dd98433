"""Hosts that are reached over ssh, and an estate on them."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.command import Command
from tests.estates import SEARCH_PATH, Estate
from toolchain.hosts import STACKS, Hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

NAMES = ("alpha", "beta", "gamma")


@pytest.fixture(scope="session")
def running_hosts() -> Iterator[Hosts]:
    with Hosts.start(NAMES) as hosts:
        for host in hosts:
            host.engine.image("busybox:1.36")
        yield hosts


@pytest.fixture
def hosts(running_hosts: Hosts) -> Iterator[Hosts]:
    yield running_hosts
    for host in running_hosts:
        host.sweep()


@pytest.fixture
def fleet(hosts: Hosts, docker_client: Mapping[str, str], tmp_path: Path) -> Estate:
    """An estate on three hosts, all in the group ``web``; two are in ``pair``."""
    environ = {**docker_client, "PATH": f"{docker_client['PATH']}:{SEARCH_PATH}"}
    estate = Estate(tmp_path, {**environ, "SSH_PRIVATE_KEY": hosts.key.read_text()})
    estate.stack_dir = STACKS
    facts = "".join(
        f"    {host.name}: {{ansible_host: {host.address}, ansible_port: {host.port},"
        f" ansible_user: {host.user}}}\n"
        for host in hosts
    )
    groups = "".join(
        f"    {group}: {{hosts: {{{', '.join(f'{name}: {{}}' for name in names)}}}}}\n"
        for group, names in {"web": NAMES, "pair": NAMES[:2]}.items()
    )
    estate.repository.commit(
        {
            "inventory.yml": f"all:\n  hosts:\n{facts}  children:\n{groups}",
            "known_hosts": "".join(host.known_hosts for host in hosts),
        }
    )
    estate.configure("ssh: {known_hosts: known_hosts}")
    return estate


@pytest.fixture
def real(fleet: Estate, hosts: Hosts, tmp_path: Path) -> Command:
    """`sf` as a process, with the environment of `fleet`."""
    environ = {name: value for name, value in fleet.environ.items() if name not in {"TMPDIR", "HOME"}}
    root = tmp_path / "command"
    root.mkdir()
    command = Command(root, environ.pop("PATH"), **environ)
    # The paths of sockets are to be short.
    command.runtime = hosts.key.parent / "r"
    command.runtime.mkdir(exist_ok=True)
    command.environ |= {
        "XDG_RUNTIME_DIR": str(command.runtime),
        "SF_CONFIG_DOCKER__STACK_DIR": str(fleet.stack_dir),
    }
    return command


@pytest.fixture
def killed(real: Command, fleet: Estate, hosts: Hosts) -> Callable[..., Command]:
    """Start `sf reconcile`, kill it at a moment, and clean up after it as the next step of a pipeline would."""

    def run(reached: Callable[[], bool], **environ: str) -> Command:
        running = real.start("reconcile", cwd=fleet.repository.root, **environ)
        running.wait_for(reached)
        running.send(signal.SIGKILL)
        running.ended()
        assert hosts.key.read_text() not in "".join(str(child) for child in real.children())
        real.beside("cleanup")
        assert real.leftovers == []
        return real

    return run
