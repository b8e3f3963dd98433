"""Everything that can be wrong with what runs, done to real containers and seen by one plan."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sf.models import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.estates import Estate
    from toolchain.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

STACK = """\
x-one: &one {image: "busybox:1.36", command: [sleep, "1000"], stop_grace_period: 0s}
services:
  fine: {<<: *one}
  sick:
    <<: *one
    volumes: ["./state:/state"]
    healthcheck: {test: [CMD, test, "!", -e, /state/sick], interval: 1s, retries: 1}
  loop:
    <<: *one
    command: [sh, -c, "test ! -e /state/broken || exit 3; exec sleep 1000"]
    volumes: ["./state:/state"]
    restart: always
  twice: {<<: *one, scale: 2}
  gone: {<<: *one}
  killed: {<<: *one}
  paused: {<<: *one}
  stopped: {<<: *one}
  byhand: {<<: *one}
"""
BY_HAND = """\
services:
  byhand: {environment: {LEVEL: debug}}
  extra: {image: "busybox:1.36", command: [sleep, "1000"], stop_grace_period: 0s}
"""


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_every_reason_is_seen_and_a_deployment_puts_it_right(estate: Estate, engine: Engine) -> None:
    estate.commit({"bench/all/compose.yaml": STACK, "bench/all/state/.keep": ""})
    first = estate.reconcile()
    assert first.error is None, first.ended("bench/all")
    assert estate.plan().action("bench/all").effect is Change.UNCHANGED

    def state(service: str, form: str) -> str:
        return engine.docker("inspect", "--format", form, f"all-{service}-1").strip()

    folder = estate.stack_dir / "all"
    for name in ("sick", "broken"):
        (folder / "state" / name).touch()
    engine.docker("restart", "all-loop-1")
    engine.docker("rm", "--force", "all-twice-2", "all-gone-1")
    engine.docker("kill", "all-killed-1")
    engine.docker("pause", "all-paused-1")
    engine.docker("stop", "all-stopped-1")
    (estate.repository.root / "hand.yaml").write_text(BY_HAND)
    files = ("--file", str(folder / "compose.yaml"), "--file", str(estate.repository.root / "hand.yaml"))
    engine.docker("compose", "--project-name", "all", *files, "up", "--detach", "byhand", "extra")
    until(lambda: state("sick", "{{.State.Health.Status}}") == "unhealthy")
    until(
        lambda: (
            state("loop", "{{.RestartCount}} {{.State.Restarting}}") in {f"{n} true" for n in range(5, 99)}
        )
    )

    live = estate.plan().action("bench/all").live
    assert live is not None
    assert live.effect is Change.CHANGE
    reasons = {one.name: [reason.message for reason in one.reasons] for one in live.objects}
    # Between two looks at it, it may have been started again.
    assert reasons.pop("loop") in (["it restarts in a loop (exit code 3)"], ["it restarts in a loop"])
    assert reasons == {
        "byhand": ["its container is not the one that the last deployment made"],
        "extra": ["it runs and is not part of the stack"],
        "gone": ["it has no container"],
        "killed": ["it is not running (exit code 137)"],
        "paused": ["somebody paused it: it stays paused"],
        "sick": ["it is unhealthy"],
        "stopped": ["somebody stopped it: it stays stopped"],
        "twice": ["1 of 2 containers are there"],
    }
    for name in ("sick", "broken"):
        (folder / "state" / name).unlink()
    until(lambda: state("loop", "{{.State.Status}}") == "running")
    until(lambda: state("sick", "{{.State.Health.Status}}") == "healthy")
    run = estate.reconcile()
    assert run.error is None, run.ended("bench/all")
    assert {(one.name, one.change) for one in run.ended("bench/all").objects} >= {
        ("byhand", Change.CHANGE),
        ("extra", Change.REMOVE),
        ("gone", Change.ADD),
        ("killed", Change.CHANGE),
        ("twice", Change.CHANGE),
    }
    live = estate.plan().action("bench/all").live
    assert live is not None
    assert (live.effect, sorted(one.name for one in live.objects)) == (
        Change.UNCHANGED,
        ["paused", "stopped"],
    )
