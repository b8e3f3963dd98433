"""Figures that hold on a busy machine: CPU of commands with their children, in turns, and the memory of all."""

from __future__ import annotations

import contextlib
import resource
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RUNS: Final = 7
_PAGE: Final = resource.getpagesize()
# How often the memory of a tree of processes is looked at, in seconds.
_LOOK: Final = 0.01


class Command(NamedTuple):
    """What to run, and how often if not as often as the others; ``before`` is done before each run, unmeasured."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    runs: int = 0
    before: Callable[[], None] = lambda: None


class Cost(NamedTuple):
    """Seconds: CPU of a command and its children, and time on the clock."""

    cpu: float
    wall: float


def cost(command: Command) -> Cost:
    """One run of `command`. Raises `subprocess.CalledProcessError` when it fails."""
    command.before()
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command.argv, check=True, capture_output=True, env=dict(command.environ))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, time.monotonic() - started)


def medians(commands: Mapping[str, Command], runs: int = RUNS) -> dict[str, Cost]:
    """The median cost of each command, all of them taking turns."""
    taken: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(runs):
        for name, command in commands.items():
            if turn < (command.runs or runs):
                taken[name].append(cost(command))
    return {name: Cost(*map(statistics.median, zip(*costs, strict=True))) for name, costs in taken.items()}


def peak_memory(command: Command) -> int:
    """The most bytes that the processes of `command` had in memory at one time, as far as looks tell."""
    command.before()
    peak = 0
    with subprocess.Popen(
        command.argv, env=dict(command.environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_resident, _tree(process.pid))))
            time.sleep(_LOOK)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command.argv)
    return peak


def _tree(pid: int) -> Iterator[int]:
    yield pid
    # Any of them may end meanwhile.
    with contextlib.suppress(OSError):
        for children in list(Path(f"/proc/{pid}/task").glob("*/children")):
            for child in children.read_text().split():
                yield from _tree(int(child))


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
