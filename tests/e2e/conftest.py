"""Hosts that are reached over ssh, and an estate on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.estates import SEARCH_PATH, Estate
from toolchain.hosts import STACKS, Hosts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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
