"""Hosts behind real ssh servers: each with an engine and stacks of its own, and with faults that tests provoke."""

from __future__ import annotations

import subprocess  # noqa: TID251 - the ssh client of the machine
from typing import TYPE_CHECKING

import pytest

from toolchain.hosts import STACKS, Host, Hosts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    with Hosts.start(["alpha", "beta"]) as started:
        yield started


def ssh(hosts: Hosts, host: Host, folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    known = folder / "known_hosts"
    known.write_text(host.known_hosts)
    options = [
        "BatchMode=yes",
        f"UserKnownHostsFile={known}",
        "StrictHostKeyChecking=yes",
        "ConnectTimeout=3",
    ]
    return subprocess.run(
        [
            *("ssh", "-F", "none", "-i", str(hosts.key), "-p", str(host.port)),
            *(argument for option in options for argument in ("-o", option)),
            *(f"{host.user}@{host.address}", command),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_each_host_has_an_engine_and_stacks_of_its_own(hosts: Hosts, tmp_path: Path) -> None:
    for host in hosts:
        command = (
            f"docker info --format '{{{{.ID}}}}' && mkdir -p {STACKS} && echo {host.name} > {STACKS}/name"
        )
        done = ssh(hosts, host, tmp_path, command)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == host.engine.docker("info", "--format", "{{.ID}}").strip()
    assert [(host.stacks / "name").read_text().strip() for host in hosts] == ["alpha", "beta"]


def test_a_changed_key_is_noticed(hosts: Hosts, tmp_path: Path) -> None:
    host = hosts["alpha"]
    (tmp_path / "old").write_text(host.known_hosts)
    host.change_host_key()
    assert (tmp_path / "old").read_text() != host.known_hosts
    assert ssh(hosts, host, tmp_path, "true").returncode == 0


def test_a_stopped_host_refuses_and_comes_back(hosts: Hosts, tmp_path: Path) -> None:
    host = hosts["beta"]
    with host.stopped():
        assert ssh(hosts, host, tmp_path, "true").returncode == 255
    assert ssh(hosts, host, tmp_path, "true").returncode == 0
