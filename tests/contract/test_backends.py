"""What every registered backend promises, checked on each of them in the same way.

A new backend gets a world below: a repository in which a change is to be planned, and what it takes to execute it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from sf.backends import BUILTIN, register_builtins
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.models import (
    ActionKind,
    ActionState,
    ActionUpdated,
    Change,
    Outcome,
    Phase,
    PhaseEnded,
    PhaseStarted,
    PlanReady,
    ResultReady,
    canonical_json,
)
from sf.runtime import Capability, InvokerType, LifecycleError, RuntimeContext, resolve_backend, run_lifecycle
from tests.cluster.flux import Fleet
from toolchain.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sf.config import Config
    from sf.models import Event
    from tests.estates import Estate

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.cluster]

KEYS: Final = sorted(BUILTIN)


@dataclass
class World:
    """A repository whose last commit changes something that the backend plans for."""

    config: Config
    root: Path
    environ: Mapping[str, str]

    def context(self, *, dry_run: bool) -> RuntimeContext:
        ci = CIContext(provider=Provider.LOCAL, event=EventKind.UNKNOWN, trust=Trust.TRUSTED)
        return RuntimeContext(
            ci=ci,
            invoker=InvokerType.API,
            repo_root=self.root,
            dry_run=dry_run,
            environ=self.environ,
            base="HEAD~1",
        )


def flux_world(root: Path, cluster: Cluster) -> World:
    fleet = Fleet(cluster, root)
    fleet.begin(fleet.app("app"))
    fleet.commit(fleet.content("app", "blue"))
    fleet.push()
    return World(fleet.config(), fleet.repository.root, fleet.environ())


def compose_world(estate: Estate) -> World:
    stack = """\
services:
  web:
    image: busybox:1.36
    command: [httpd, -f, -p, "8080", -h, /www]
    stop_grace_period: 0s
    volumes: ["./www:/www:ro"]
"""
    estate.commit({"bench/site/compose.yaml": stack, "bench/site/www/index.html": "one\n"})
    estate.commit({"bench/site/www/index.html": "two\n"})
    return World(estate.config, estate.repository.root, estate.environ)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.start("contract") as cluster:
        yield cluster


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where a run keeps its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture(params=KEYS, ids="/".join)
def key(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The (mode, name) of a backend."""
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def world(key: tuple[str, str], request: pytest.FixtureRequest, tmp_path: Path, temporary: Path) -> World:
    worlds: dict[tuple[str, str], Callable[[], World]] = {
        ("gitops", "flux"): lambda: flux_world(tmp_path, request.getfixturevalue("cluster")),
        ("docker", "compose"): lambda: compose_world(request.getfixturevalue("estate")),
    }
    made = worlds[key]()
    made.environ = {**made.environ, "TMPDIR": str(temporary)}
    register_builtins()
    return made


def executes(key: tuple[str, str]) -> bool:
    return Capability.RECONCILE in resolve_backend(*key).capabilities


def test_it_has_the_name_it_is_registered_by_and_known_capabilities(key: tuple[str, str]) -> None:
    register_builtins()
    backend = resolve_backend(*key)
    assert backend.name == key[1]
    assert backend.capabilities
    assert backend.capabilities <= frozenset(Capability)
    assert resolve_backend(*key) is not backend


def test_it_plans_the_change_of_the_last_commit(world: World) -> None:
    context = world.context(dry_run=True)
    run_lifecycle(world.config, context)
    assert context.plan is not None
    assert Change.CHANGE in {action.change for action in context.plan.actions}
    assert context.plan.commit
    assert context.plan.base
    assert context.result is None


def test_a_plan_made_again_has_the_same_bytes(world: World) -> None:
    documents = set()
    for _ in range(2):
        context = world.context(dry_run=True)
        run_lifecycle(world.config, context)
        assert context.plan is not None
        documents.add(canonical_json(context.plan.document()))
    assert len(documents) == 1


def test_a_plan_names_no_place_of_this_machine(world: World, tmp_path: Path) -> None:
    context = world.context(dry_run=True)
    run_lifecycle(world.config, context)
    assert context.plan is not None
    assert str(tmp_path) not in canonical_json(context.plan.document()).decode()


def test_it_writes_to_no_stream(
    world: World, key: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    run_lifecycle(world.config, world.context(dry_run=not executes(key)))
    assert capfd.readouterr() == ("", "")


def test_it_leaves_the_process_as_it_was(world: World, key: tuple[str, str]) -> None:
    def state() -> object:
        umask = os.umask(0o22)
        os.umask(umask)
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        return dict(os.environ), os.getcwd(), umask, handlers  # noqa: PTH109, TID251 - compared, not used

    before = state()
    run_lifecycle(world.config, world.context(dry_run=not executes(key)))
    assert state() == before


def test_it_leaves_no_temporary_file(world: World, key: tuple[str, str], temporary: Path) -> None:
    run_lifecycle(world.config, world.context(dry_run=not executes(key)))
    assert list(temporary.iterdir()) == []


def test_phases_and_actions_are_told_as_events(world: World, key: tuple[str, str]) -> None:
    events: list[Event] = []
    context = world.context(dry_run=not executes(key))
    run_lifecycle(world.config, context, events=events.append)
    last = Phase.PLAN if context.dry_run else Phase.EXECUTE
    passed = [phase for phase in Phase if phase is not Phase.LOAD]
    if context.dry_run:
        passed.remove(Phase.EXECUTE)
    assert [event.phase for event in events if isinstance(event, PhaseStarted)] == passed
    assert [event.phase for event in events if isinstance(event, PhaseEnded)] == passed
    assert [event.plan for event in events if isinstance(event, PlanReady)] == [context.plan]
    assert last in passed
    if context.result is not None:
        assert [event.result for event in events if isinstance(event, ResultReady)] == [context.result]
        ended = {
            event.name
            for event in events
            if isinstance(event, ActionUpdated) and event.state is ActionState.ENDED
        }
        assert ended == {action.name for action in context.result.actions}


def test_it_executes_what_it_planned_and_the_second_time_nothing(world: World, key: tuple[str, str]) -> None:
    if not executes(key):
        with pytest.raises(LifecycleError, match=r"lacks what this run needs: .*plan-execute.*reconcile"):
            run_lifecycle(world.config, world.context(dry_run=False))
        return
    first, second = world.context(dry_run=False), world.context(dry_run=False)
    result = run_lifecycle(world.config, first)
    assert result is not None
    assert first.plan is not None
    planned = {action.name for action in first.plan.actions if action.action is not ActionKind.NONE}
    assert planned <= {action.name for action in result.actions}
    assert {action.outcome for action in result.actions if action.name in planned} == {Outcome.DONE}
    again = run_lifecycle(world.config, second)
    assert again is not None
    assert {action.outcome for action in again.actions} <= {Outcome.UNCHANGED}


def test_a_run_that_may_not_execute_executes_nothing(world: World, key: tuple[str, str]) -> None:
    context = world.context(dry_run=False)
    context.ci = CIContext(
        provider=Provider.GITHUB, event=EventKind.PULL_REQUEST_TARGET, trust=Trust.UNTRUSTED
    )
    with pytest.raises(LifecycleError) as caught:
        run_lifecycle(world.config, context)
    assert caught.value.phase is Phase.RESOLVE
    assert context.plan is None
    assert key[1] == caught.value.backend
