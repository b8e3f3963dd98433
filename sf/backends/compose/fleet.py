"""The hosts of a run: each looked at and worked on by itself, several at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from sf.backends.compose.live import View
from sf.models import Problem
from sf.tools.ssh import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from sf.backends.compose.hosts import Machine
    from sf.backends.compose.inventory import Host

Given = TypeVar("Given")
Made = TypeVar("Made")


class Fleet:
    """Views of hosts, made when first asked for. `connect` makes the machine of a host.

    A host that could not be reached is not tried again: its problem is in ``failures``.
    """

    def __init__(
        self,
        connect: Callable[[Host], Machine],
        *,
        stack_dir: Path,
        variables: Mapping[str, str],
        at_rest: str,
        concurrency: int,
    ) -> None:
        self._connect = connect
        self._stack_dir = stack_dir
        self._variables = variables
        self._at_rest = at_rest
        self._concurrency = concurrency
        self._views: dict[str, View] = {}
        self.failures: dict[str, Problem] = {}

    def view(self, host: Host) -> View:
        """What `host` has. Not safe to use from several threads."""
        if host.name not in self._views:
            self._views[host.name] = View(
                self._connect(host), self._stack_dir, self._variables, at_rest=self._at_rest
            )
        return self._views[host.name]

    def check(self, hosts: Collection[Host]) -> None:
        """Raise `Problem` when stacks cannot be deployed to one of `hosts` that can be reached."""
        problems = self._each(hosts, View.check)
        for name, problem in problems.items():
            if not isinstance(problem, Unreachable):
                raise problem
            self.failures[name] = problem

    def look(self, hosts: Collection[Host]) -> None:
        """Have every view of `hosts` up to date; a host that cannot be read gets into ``failures``."""
        self.failures |= self._each([host for host in hosts if host.name not in self.failures], View.look)

    def work(self, tasks: Sequence[Given], do: Callable[[Given], Made]) -> list[Made]:
        """What `do` makes of each of `tasks`, in their order, several at a time."""
        if len(tasks) < 2:
            return [do(task) for task in tasks]
        with ThreadPoolExecutor(min(self._concurrency, len(tasks))) as pool:
            return list(pool.map(do, tasks))

    def close(self) -> None:
        """Let go of every host."""
        self.work(list(self._views.values()), lambda view: view.machine.close())
        self._views.clear()

    def _each(self, hosts: Collection[Host], do: Callable[[View], None]) -> dict[str, Problem]:
        def attempt(view: View) -> Problem | None:
            try:
                do(view)
            except Problem as problem:
                return problem
            return None

        ordered = sorted(hosts, key=lambda host: host.name)
        found = self.work([self.view(host) for host in ordered], attempt)
        return {host.name: problem for host, problem in zip(ordered, found, strict=True) if problem}
