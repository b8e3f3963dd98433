"""Stacks that go from one repository to another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sf.models import Outcome

if TYPE_CHECKING:
    from tests.cli.command import Command
    from tests.estates import Estate
    from toolchain.hosts import Hosts

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

PLAIN = "services: {one: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}}\n"


def test_a_stack_of_another_repository_is_left_alone_until_it_is_adopted(
    fleet: Estate, hosts: Hosts, real: Command
) -> None:
    one, two = "git.example.com/acme/one", "git.example.com/acme/two"
    fleet.commit({"pair/plain/compose.yaml": PLAIN})
    assert fleet.reconcile(repository=one).error is None
    before = hosts["alpha"].engine.docker("ps", "--quiet")
    fleet.repository.git("mv", "docker-compose/pair/plain", "docker-compose/pair/renamed")
    fleet.commit({"pair/renamed/compose.yaml": f"name: plain\n{PLAIN}"})
    fleet.repository.git("remote", "add", "origin", f"https://{two}.git")
    refused = fleet.reconcile(repository=two)
    assert "sf docker adopt alpha/renamed" in str(refused.plan.findings[0].hint)  # type: ignore[union-attr]

    sf, root = real, fleet.repository.root
    done = sf("docker", "adopt", "alpha/renamed", cwd=root)
    assert done.code == 0, done
    assert done.out == (
        "alpha/renamed: /opt/stagefreight/stacks/plain/.sf/record.json on alpha\n"
        f"  repository: {one} becomes {two}\n"
        "  stack: docker-compose/pair/plain becomes docker-compose/pair/renamed\n"
    )
    record = json.loads((hosts["alpha"].stacks / "plain/.sf/record.json").read_text())
    assert (record["repository"], record["stack"]) == (two, "docker-compose/pair/renamed")
    assert hosts["alpha"].engine.docker("ps", "--quiet") == before
    assert json.loads((hosts["beta"].stacks / "plain/.sf/record.json").read_text())["repository"] == one
    again = sf("docker", "adopt", "alpha/renamed", cwd=root)
    assert again.out == "alpha/renamed: deployed from this repository already\n"

    # Its host is taken over, the other one is still another repository's.
    run = fleet.plan(repository=two)
    assert [one.subject for one in run.plan.findings] == ["beta/renamed"]  # type: ignore[union-attr]
    assert sf("docker", "adopt", "alpha/renamed", "beta/renamed", cwd=root).code == 0
    run = fleet.reconcile(repository=two)
    assert run.error is None
    assert run.ended("alpha/renamed").outcome is Outcome.UNCHANGED
    assert hosts["alpha"].engine.docker("ps", "--quiet") == before


def test_what_cannot_be_adopted_is_told(fleet: Estate, hosts: Hosts, real: Command) -> None:
    fleet.commit({"alpha/plain/compose.yaml": PLAIN})
    sf, root = real, fleet.repository.root
    sf("docker", "adopt", "alpha/plain", cwd=root).refuses(
        14, "plan: this repository has no name to adopt under: it has no remote", "git remote add origin URL"
    )
    fleet.repository.git("remote", "add", "origin", "https://git.example.com/acme/two.git")
    sf("docker", "adopt", "alpha/other", cwd=root).refuses(
        14,
        "plan: alpha/other is no compose stack of this repository",
        "name it as plans do, as HOST/STACK; `sf docker inspect` lists them",
    )
    sf("docker", "adopt", "alpha/plain", cwd=root).refuses(
        14,
        "plan: alpha/plain has no deployment record on alpha, so there is nothing to adopt",
        "`sf reconcile` deploys it; what compose already runs under its name is then taken over",
    )
    with hosts["alpha"].stopped():
        done = sf("docker", "adopt", "alpha/plain", cwd=root)
    assert done.code == 14
    assert "Connection refused" in done.err
