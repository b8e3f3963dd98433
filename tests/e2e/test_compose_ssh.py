"""Ways to a host: keys, agents, users and hosts in between, with real servers at the other end."""

from __future__ import annotations

import shutil
import stat
import subprocess  # noqa: TID251 - an agent is a program of the user's own
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sf.models import Outcome
from toolchain.hosts import OTHER_USER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.estates import Estate
    from toolchain.hosts import Hosts

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

STACK = {
    "alpha/one/compose.yaml": "services:\n"
    "  one: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}\n"
}


def state(fleet: Estate, fact: str, *, instead: str = "") -> None:
    """Commit an inventory in which alpha has `fact`, in the place of another one."""
    text = (fleet.repository.root / "inventory.yml").read_text()
    (line,) = (line for line in text.splitlines() if line.strip().startswith("alpha: {ansible_host"))
    changed = line.replace(instead, fact) if instead else line.replace("}", f", {fact}}}")
    assert changed != line
    fleet.repository.commit({"inventory.yml": text.replace(line, changed)})


def deploys(fleet: Estate) -> None:
    fleet.commit(STACK)
    run = fleet.reconcile()
    assert run.error is None, [*(run.plan.findings if run.plan else ()), run.error]
    assert run.ended("alpha/one").outcome is Outcome.DONE


@pytest.fixture
def agent(hosts: Hosts) -> Iterator[Path]:
    """The socket of an agent that holds the key."""
    socket = hosts.key.parent / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.poll() is None
        subprocess.run(
            ["ssh-add", "-q", hosts.key], env={"SSH_AUTH_SOCK": str(socket), "PATH": "/usr/bin"}, check=True
        )
        yield socket
    finally:
        process.kill()
        process.wait()
        socket.unlink(missing_ok=True)


def test_a_key_of_an_agent_is_used(fleet: Estate, agent: Path) -> None:
    del fleet.environ["SSH_PRIVATE_KEY"]
    fleet.environ["SSH_AUTH_SOCK"] = str(agent)
    deploys(fleet)


def test_a_key_file_that_the_inventory_names_is_used(fleet: Estate, hosts: Hosts, tmp_path: Path) -> None:
    del fleet.environ["SSH_PRIVATE_KEY"]
    key = tmp_path / "own-key"
    shutil.copyfile(hosts.key, key)
    key.chmod(0o600)
    state(fleet, f"ansible_ssh_private_key_file: {key}")
    deploys(fleet)


@pytest.mark.parametrize("damage", ["no last newline", "newlines of Windows"])
def test_a_key_in_a_variable_is_repaired_and_only_ours_to_read(
    fleet: Estate, hosts: Hosts, damage: str
) -> None:
    key = hosts.key.read_text()
    fleet.environ["SSH_PRIVATE_KEY"] = (
        key.strip() if damage == "no last newline" else key.replace("\n", "\r\n")
    )
    seen: list[int] = []

    def look(event: object) -> None:  # noqa: ARG001 - any moment of the run is as good
        for place in ("/dev/shm", "/run"):
            for path in Path(place).glob("sf-run-*/s/key"):
                seen.extend(stat.S_IMODE(one.stat().st_mode) for one in (path, *list(path.parents)[:2]))

    fleet.commit(STACK)
    assert fleet.reconcile(listen=look).error is None
    assert set(seen) == {0o600, 0o700}


def test_a_host_behind_another_one_is_reached_through_it(fleet: Estate, hosts: Hosts) -> None:
    beta = hosts["beta"]
    state(fleet, f"ansible_ssh_common_args: '-J root@{beta.address}:{beta.port}'")
    deploys(fleet)
    with beta.stopped():
        fleet.commit({"alpha/one/.env": "A=1\n"})
        run = fleet.reconcile()
    assert run.ended("alpha/one").outcome is Outcome.NOT_REACHED
    message = run.ended("alpha/one").message
    assert message.startswith(f"{beta.address} (on the way to alpha) cannot be reached: ")
    assert "Connection refused" in message


def test_the_host_in_between_has_to_be_known_too(fleet: Estate, hosts: Hosts) -> None:
    beta = hosts["beta"]
    state(fleet, f"ansible_ssh_common_args: '-J root@{beta.address}:{beta.port}'")
    beta.change_host_key()
    fleet.commit(STACK)
    run = fleet.plan()
    assert run.plan is not None
    (finding,) = run.plan.findings
    assert "another host key than the known one" in finding.message


def test_a_user_who_may_not_write_there_is_told_the_one_command_that_lets_him(
    fleet: Estate, hosts: Hosts
) -> None:
    alpha = hosts["alpha"]
    state(fleet, f"ansible_user: {OTHER_USER}", instead="ansible_user: root")
    fleet.commit(STACK)
    refused = fleet.reconcile()
    assert f"sf may not write the deployed stacks to {fleet.stack_dir} on alpha" in str(refused.error)
    assert refused.plan is None
    assert refused.error is not None
    command = refused.error.hint.removeprefix("let its user have it: ")
    assert command.startswith("sudo install -d -o ")
    # As that user would type it, where sudo asks for nothing.
    script = command.replace("sudo ", "", 1).replace("$(id -un)", OTHER_USER)
    alpha.run(script)
    deploys(fleet)
    assert (alpha.stacks / "one/compose.yaml").stat().st_uid == 65531
    assert fleet.reconcile().ended("alpha/one").outcome is Outcome.UNCHANGED


def test_a_user_who_may_not_use_the_engine_is_told(fleet: Estate, hosts: Hosts) -> None:
    alpha = hosts["alpha"]
    state(fleet, f"ansible_user: {OTHER_USER}", instead="ansible_user: root")
    alpha.run(f"install -d -o {OTHER_USER} {fleet.stack_dir}; chmod 600 /run/docker.sock")
    fleet.commit(STACK)
    try:
        run = fleet.reconcile()
    finally:
        alpha.run("chmod 660 /run/docker.sock")
    assert "the Docker Engine of alpha does not answer" in run.ended("alpha/one").message


def test_a_host_with_nothing_but_busybox_is_enough(fleet: Estate, hosts: Hosts) -> None:
    mounted = {
        "alpha/one/compose.yaml": STACK["alpha/one/compose.yaml"].replace(
            "}\n", ", volumes: ['./page.html:/page.html:ro']}\n"
        ),
        "alpha/one/page.html": "first\n",
        "alpha/one/pre.sh": "#!/bin/sh\nls --version 2>&1 | head -n 1\n",
    }
    with hosts["alpha"].on_busybox():
        fleet.repository.write({f"docker-compose/{path}": text for path, text in mounted.items()})
        (fleet.repository.root / "docker-compose/alpha/one/pre.sh").chmod(0o755)
        fleet.commit(mounted)
        run = fleet.reconcile()
        assert run.error is None, [*(run.plan.findings if run.plan else ()), run.error]
        first = hosts["alpha"].engine.docker("ps", "--quiet", "--no-trunc")
        assert "unrecognized option" in run.ended("alpha/one").stderr
        assert fleet.reconcile().ended("alpha/one").outcome is Outcome.UNCHANGED

        fleet.commit({"alpha/one/page.html": "second\n"})
        assert fleet.reconcile().ended("alpha/one").outcome is Outcome.DONE
        second = hosts["alpha"].engine.docker("ps", "--quiet", "--no-trunc")
        assert first != second
        assert hosts["alpha"].engine.docker("exec", second.strip(), "cat", "/page.html") == "second\n"

        broken = mounted["alpha/one/compose.yaml"].replace("[sleep, '1000']", "['false']")
        fleet.commit({"alpha/one/compose.yaml": broken})
        run = fleet.reconcile()
        assert "failed, rolled back to" in run.ended("alpha/one").message
        again = hosts["alpha"].engine.docker("ps", "--quiet", "--no-trunc").strip()
        assert hosts["alpha"].engine.docker("exec", again, "cat", "/page.html") == "second\n"
