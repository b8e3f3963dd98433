"""Signals at named points of every phase: a fake on PATH says that it is reached, and then hangs."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM, Signals
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.command import document

if TYPE_CHECKING:
    from tests.cli.command import Command, Running
    from tests.repositories import Repository

pytestmark = pytest.mark.tools

# A runner of GitHub kills 10 s after its first signal; what is stopped in 7 s has time to spare on a busy machine.
SOON: Final = 7.0
# By its full path: some programs get an empty PATH.
_SLEEP: Final = shutil.which("sleep")
KIND: Final = f"exec {_SLEEP} 300"
STUBBORN: Final = f"trap '' INT TERM; while :; do {_SLEEP} 0.1; done"


def hanging(command: Command, program: str, pattern: str, how: str = KIND) -> str:
    """A PATH on which `program` hangs when its arguments match `pattern`, and says so by a file."""
    real = shutil.which(program, path=command.environ["PATH"])
    reached = command.root / "reached"
    script = f'case "$*" in {pattern}) : >{reached}; {how};; esac\nexec {real} "$@"'
    return command.path_with(program, script)


def stopped(command: Command, running: Running, signum: Signals) -> None:
    """Signal the run. It says so, ends in time with the code of a shell, and leaves nothing."""
    running.send(signum)
    ended, seconds = running.ended()
    assert ended.code == 128 + signum, ended
    assert "Traceback" not in ended.err
    assert f"stopped by {signum.name}\n" in ended.err
    command.left_nothing()
    assert seconds < SOON


@pytest.mark.parametrize("signum", [SIGINT, SIGTERM, SIGHUP])
@pytest.mark.parametrize(
    ("phase", "program", "pattern"),
    [
        ("load", "git", "*rev-parse*--show-toplevel*"),
        ("validate", "kustomize", "version"),
        ("plan", "kustomize", "build*"),
    ],
)
def test_a_plan(
    signum: Signals, phase: str, program: str, pattern: str, *, equipped: Command, fleet: Repository
) -> None:
    running = equipped.start("plan", cwd=fleet.root, PATH=hanging(equipped, program, pattern))
    running.wait_for((equipped.root / "reached").exists)
    stopped(equipped, running, signum)
    if phase == "load":
        assert not (fleet.root / "sf-out").exists()
    else:
        failure = document(fleet.root, "result.json")["failure"]
        assert (failure["phase"], failure["message"]) == (phase, "the run was interrupted")


@pytest.mark.parametrize("command", ["gitops impact", "doctor"])
def test_a_command_that_only_looks(command: str, equipped: Command, fleet: Repository) -> None:
    path = hanging(equipped, "kustomize", "*")
    running = equipped.start(*command.split(), cwd=fleet.root, PATH=path)
    running.wait_for((equipped.root / "reached").exists)
    stopped(equipped, running, SIGINT)


@pytest.mark.parametrize("signum", [SIGINT, SIGTERM])
def test_a_program_that_does_not_listen(signum: Signals, equipped: Command, fleet: Repository) -> None:
    path = hanging(equipped, "kustomize", "build*", STUBBORN)
    running = equipped.start("plan", cwd=fleet.root, PATH=path)
    running.wait_for((equipped.root / "reached").exists)
    stopped(equipped, running, signum)


def test_a_second_signal_changes_nothing(equipped: Command, fleet: Repository) -> None:
    """As a runner does it: INT first, and TERM while the first is still being dealt with."""
    path = hanging(equipped, "kustomize", "build*", STUBBORN)
    running = equipped.start("plan", cwd=fleet.root, PATH=path)
    running.wait_for((equipped.root / "reached").exists)
    running.send(SIGINT)
    time.sleep(0.2)
    running.send(SIGINT)
    time.sleep(0.2)
    running.send(SIGTERM)
    ended, seconds = running.ended()
    assert (ended.code, seconds < SOON) == (128 + SIGINT, True)
    equipped.left_nothing()
    assert document(fleet.root, "result.json")["failure"]["message"] == "the run was interrupted"


@pytest.mark.parametrize("signum", [SIGINT, SIGTERM])
def test_during_the_report(signum: Signals, equipped: Command, fleet: Repository, tmp_path: Path) -> None:
    """A summary that nobody reads holds up the report after its files are written."""
    pipe = tmp_path / "summary"
    os.mkfifo(pipe)
    running = equipped.start("plan", cwd=fleet.root, GITHUB_STEP_SUMMARY=str(pipe))
    running.wait_for((fleet.root / "sf-out/summary.md").exists)
    running.wait_for(lambda: waits_for_a_reader(running.process.pid))
    stopped(equipped, running, signum)
    assert document(fleet.root, "plan.json")["verdict"] == "incomplete"


def waits_for_a_reader(pid: int) -> bool:
    """Whether the process is inside of ``open`` (257 is openat on x86-64, 56 on arm64)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/syscall").read_text().split()[0] in {"257", "56"}
    return False


@pytest.mark.parametrize("signum", [SIGINT, SIGTERM])
def test_during_cleanup(signum: Signals, equipped: Command, fleet: Repository) -> None:
    running = equipped.start("plan", cwd=fleet.root)
    running.wait_for(lambda: running.says("\nreport   done"))
    running.process.send_signal(signum)
    ended, _ = running.ended()
    # The run may have been over, or the interpreter on its way out, where a signal ends it for good.
    assert ended.code in {128 + signum, 0, -signum}
    equipped.left_nothing()
    assert document(fleet.root, "plan.json")["verdict"] == "incomplete"


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("signum", [SIGINT, SIGTERM])
def test_a_deployment(signum: Signals, deploying: Command, estate: Repository) -> None:
    path = hanging(deploying, "docker", "*compose*up*")
    running = deploying.start("reconcile", cwd=estate.root, PATH=path)
    running.wait_for((deploying.root / "reached").exists)
    stopped(deploying, running, signum)
    result = document(estate.root, "result.json")
    assert result["failure"]["phase"] == "execute"
    assert result["failure"]["message"] == "the run was interrupted"


@pytest.mark.engine
@pytest.mark.slow
def test_a_hook_of_a_deployment(deploying: Command, estate: Repository) -> None:
    reached = deploying.root / "reached"
    (hook,) = (path.parent / "pre.sh" for path in (estate.root / "docker-compose").rglob("compose.yaml"))
    hook.write_text(f"#!/bin/sh\n: >{reached}\n{_SLEEP} 300\n")
    hook.chmod(0o755)
    estate.commit({})
    running = deploying.start("reconcile", cwd=estate.root)
    running.wait_for(reached.exists)
    stopped(deploying, running, SIGTERM)


def test_a_signal_while_an_object_dies(equipped: Command) -> None:
    """Python drops what a handler raises there. What the run was told to stop, stops all the same."""
    script = """if True:
        import os, signal, time
        from sf.cli import Signals
        class Dying:
            def __del__(self):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0)
        told = []
        signals = Signals()
        signals.also(lambda: told.append(1))
        Dying()
        os.kill(os.getpid(), signal.SIGINT)
        print(signals.received, told)
    """
    done = equipped.sh(f"exec {sys.executable} -c '{script}'", cwd=equipped.root)
    assert (done.code, done.out) == (0, "15 [1]\n"), done


@pytest.mark.parametrize("cleaner", ["cleanup", "plan"])
def test_what_a_killed_run_leaves_is_removed(cleaner: str, equipped: Command, fleet: Repository) -> None:
    killed(equipped, equipped.start("plan", cwd=fleet.root, PATH=hanging(equipped, "kustomize", "build*")))
    left = equipped.leftovers
    assert left
    ended = equipped(cleaner, cwd=fleet.root)
    assert ended.code == 0
    assert cleaner == "plan" or all(f"removed {path}\n" in ended.err for path in left)


@pytest.mark.parametrize("how", [KIND, STUBBORN])
def test_a_killed_run_takes_its_programs_along(how: str, equipped: Command, fleet: Repository) -> None:
    path = hanging(equipped, "kustomize", "build*", how)
    killed(equipped, equipped.start("plan", cwd=fleet.root, PATH=path))
    equipped("cleanup")


def killed(command: Command, running: Running) -> None:
    """Kill a run that has come to its fake; the kernel ends what it had started."""
    running.wait_for((command.root / "reached").exists)
    running.process.send_signal(SIGKILL)
    ended, _ = running.ended()
    assert ended.code == -SIGKILL
    patience = time.monotonic() + SOON
    while list(command.children()):
        assert time.monotonic() < patience, list(command.children())
        time.sleep(0.01)


def test_a_living_run_is_not_swept(equipped: Command, fleet: Repository) -> None:
    path = hanging(equipped, "kustomize", "build*")
    running = equipped.start("plan", cwd=fleet.root, PATH=path)
    running.wait_for((equipped.root / "reached").exists)
    held = equipped.leftovers
    assert "nothing was left behind" in equipped.beside("cleanup").err
    assert equipped.leftovers == held
    stopped(equipped, running, SIGTERM)
