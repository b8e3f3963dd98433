"""An estate of the size that people have: 150 stacks on 20 hosts."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sf.models import Change, Verdict
from tests.estates import large_estate

if TYPE_CHECKING:
    from tests.estates import Estate
    from toolchain.hosts import Hosts

STACKS = 150
HOSTS = 20


def logins(hosts: Hosts) -> int:
    """How many connections the hosts have let in."""
    logs = [(host.engine.folder / "ssh/log").read_text() for host in hosts]
    return sum(len(re.findall(r"^Accepted publickey", log, re.MULTILINE)) for log in logs)


@pytest.mark.tools
def test_one_changed_stack_is_the_only_one_that_is_resolved(paper: Estate) -> None:
    names = [f"h{number:02}" for number in range(HOSTS)]
    paper.repository.commit(large_estate(names, STACKS))
    paper.repository.commit({"docker-compose/h07/s007/files/text": "changed\n"})
    # Before and after.
    assert paper.resolved() == 2
    paper.repository.commit({"docker-compose/every/s000/files/text": "changed\n"})
    # The same on every host.
    assert paper.resolved() == 2
    run = paper.plan()
    assert run.plan is not None
    assert len(run.plan.actions) == STACKS - 1 + HOSTS
    changed = [one.name for one in run.plan.actions if one.change is Change.CHANGE]
    assert changed == [f"{name}/s000" for name in names]


@pytest.mark.tools
@pytest.mark.engine
@pytest.mark.slow
def test_a_large_estate_is_planned_with_one_connection_and_one_look_a_host(
    fleet: Estate, hosts: Hosts
) -> None:
    """Three hosts have engines of their own; the others are more names for the same machines."""
    real = [host.name for host in hosts]
    names = [*real, *(f"h{number:02}" for number in range(len(real), HOSTS))]
    reached = {name: hosts[real[number % len(real)]] for number, name in enumerate(names)}
    files = large_estate(
        names,
        STACKS,
        facts={
            name: f"ansible_host: {host.address}, ansible_port: {host.port}, ansible_user: {host.user}"
            for name, host in reached.items()
        },
    )
    # The first stack of each of the three.
    deployed = {"s001", "s002", "s020"}
    own = {path for path in files if path.split("/")[2:3] and path.split("/")[2] in deployed}
    fleet.repository.commit(
        {path: text for path, text in files.items() if path in own or path == "inventory.yml"}
    )
    assert fleet.reconcile().error is None
    fleet.repository.commit(files)
    # What is deployed is known by its record.
    assert fleet.resolved() == STACKS - len(deployed)
    before = logins(hosts)
    run = fleet.plan()
    assert run.plan is not None
    assert logins(hosts) - before == HOSTS
    assert run.plan.findings == ()
    assert run.plan.unknown == ()
    assert run.plan.verdict is Verdict.CHANGES
    per_host = Counter(action.metadata["host"] for action in run.plan.actions)
    assert sum(per_host.values()) == STACKS - 1 + HOSTS
    assert sorted(per_host) == sorted(names)
    assert run.plan.counts["unchanged"] == len(deployed)
    assert run.plan.counts["add"] == STACKS - 1 + HOSTS - len(deployed)
    # And once made, a model is kept.
    assert fleet.resolved() == 0
