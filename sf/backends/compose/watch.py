"""Waiting until what was brought up is fine, or is known to be broken."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.backends.compose.observe import Condition, Health, examine
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sf.backends.compose.hosts import Machine
    from sf.redact import Redactor
    from sf.tools.docker import Container

# Seconds between two looks at containers that are starting.
_PAUSE: Final = 0.5
_STEADY: Final = 1.0
_UNCHECKED: Final = "running"
_LINES: Final = 10
MOST_TEXT: Final = 4000


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, and the end of what was printed then; with the container that it went wrong in, if any."""

    message: str
    detail: str = ""
    starting: bool = False
    container: Container | None = None


class Watch:
    """Looks at the containers of a project. Those in `known` ran before and need not prove themselves."""

    def __init__(self, machine: Machine, project: str, known: Collection[str], redactor: Redactor) -> None:
        self._machine = machine
        self._project = project
        self._known = known
        self._redactor = redactor

    def containers(self) -> list[Container]:
        """All of the project."""
        return self._machine.engine.containers().get(self._project, [])

    def settle(self, wanted: Mapping[str, int], *, until: float, broken: Failure | None) -> Failure | None:
        """Wait until every service is fine; what is wrong otherwise. `wanted` are containers by service.

        `until` is a time of `time.monotonic`; `broken` what compose says, unless a container says it better.
        """
        # What nobody checks for health has to last a moment at least: a program that fails at once runs, too.
        steady = time.monotonic() + _STEADY
        while True:
            try:
                verdict = self._judge(wanted, steady=time.monotonic() >= steady)
            except Problem:
                # An engine that starts anew does not answer for a while.
                if time.monotonic() > until:
                    raise
                self._machine.reach()
                time.sleep(_PAUSE)
                continue
            if broken and (verdict is None or verdict.container is None):
                return broken
            if verdict is None:
                return None
            if broken or not verdict.starting or time.monotonic() > until:
                return self._with_last_words(verdict)
            time.sleep(_PAUSE)

    def _judge(self, wanted: Mapping[str, int], *, steady: bool) -> Failure | None:
        """The first service that is not fine, those that are broken before those that are starting."""
        containers = self.containers()
        found: list[Failure] = []
        for name, replicas in sorted(wanted.items()):
            mine = [container for container in containers if container.service == name]
            if len(mine) < replicas:
                found.append(Failure(f"the service {name} has no container"))
            for container in mine:
                health = self._health(container, steady=steady)
                if health.condition is not Condition.FINE:
                    message = f"the service {name} did not become healthy: {health.message}"
                    starting = health.condition is Condition.STARTING
                    found.append(Failure(message, starting=starting, container=container))
        return min(found, key=lambda failure: failure.starting, default=None)

    def _health(self, container: Container, *, steady: bool) -> Health:
        """As `examine`; a new container that has no health check has to last."""
        health = examine(container, self._machine.engine)
        if health.state != _UNCHECKED or container.id in self._known:
            return health
        if self._machine.engine.history(container.id).restarts:
            return Health(Condition.BROKEN, _UNCHECKED, "it ended and was started again by the engine")
        if steady or container.lasting:
            return Health(Condition.FINE, _UNCHECKED)
        return Health(Condition.STARTING, _UNCHECKED, "it has only just started")

    def _with_last_words(self, failure: Failure) -> Failure:
        """With what the container printed last; scrubbed and bounded."""
        if failure.container is None:
            return failure
        printed = self._machine.engine.last_lines(failure.container.id, _LINES)
        return replace(failure, detail=self._redactor.scrub(printed)[-MOST_TEXT:])
