"""Bringing one stack up on this machine, and proving that it runs."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.backends.compose.observe import Condition, Health, examine
from sf.backends.compose.record import Deployed, Record, seal_inputs, write_record
from sf.backends.compose.release import (
    CONTENT_FILE,
    desired_files,
    make_project,
    manifest,
    place_files,
    refuse_foreign,
    write_content_labels,
)
from sf.backends.compose.stack import compose_files
from sf.models import ActionResult, Change, ObjectChange, Outcome
from sf.tools.compose import Project, explain, up_command

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from sf.backends.compose.live import Local, Sight
    from sf.backends.compose.side import Unit
    from sf.process import Completed
    from sf.redact import Redactor
    from sf.tools.compose import Compose
    from sf.tools.docker import Container

# Seconds between two looks at containers that are starting.
_PAUSE: Final = 0.5
_STEADY: Final = 1.0
_UNCHECKED: Final = "running"
_LINES: Final = 10
_MOST_TEXT: Final = 4000
# Compose ends with 1 when a container did its work and ended, which is what some are for.
_FINISHED: Final = "exited (0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a deployment comes from."""

    repository: str
    commit: str


class Deployment:
    """Deploys units of one run. ``wait`` is in seconds, for each of them."""

    def __init__(
        self,
        local: Local,
        compose: Compose,
        *,
        variables: Mapping[str, str],
        origin: Origin,
        wait: int,
        redactor: Redactor,
    ) -> None:
        self._local = local
        self._compose = compose
        self._variables = variables
        self._origin = origin
        self._wait = wait
        self._redactor = redactor

    def deploy(self, unit: Unit, sight: Sight, *, on_line: Callable[[str], None]) -> ActionResult:
        """Bring `unit` to what `sight` says it is to be; ``command`` of the result can be typed in its folder.

        Raises `Problem` when its files cannot be put in place.
        """
        started = time.monotonic()
        folder = self._local.stack_dir / sight.project
        before = self._containers(sight.project)
        pending = self._place(unit, sight, folder)
        project = Project(
            folder=folder, files=(*compose_files(unit.folder), CONTENT_FILE), name=sight.project
        )
        services = _not_resting(sight)
        completed = self._compose.up(
            project,
            socket=self._local.engine.socket,
            variables=self._variables,
            wait=self._wait,
            build=sight.builds,
            services=services,
            on_line=on_line,
        )
        known = {container.id for container in before}
        failure = self._settle(sight, completed, known=known, deadline=started + self._wait)
        after = self._containers(sight.project)
        command = up_command(project, wait=self._wait, build=sight.builds, services=services)
        result = ActionResult(
            name=unit.name,
            success=failure is None,
            duration=time.monotonic() - started,
            command=f"cd {shlex.quote(str(folder))} && {shlex.join(command)}",
            objects=tuple(_objects(before, after)),
        )
        if failure:
            return replace(
                result, message=failure.message, stderr=self._last_words(failure.container, completed, folder)
            )
        self._remember(pending, folder, after)
        outcome = Outcome.DONE if result.objects else Outcome.UNCHANGED
        return replace(result, outcome=outcome, message=_summary(result.objects))

    def _place(self, unit: Unit, sight: Sight, folder: Path) -> Record:
        """Put the files in place, after writing down that a deployment has begun."""
        old = sight.record
        managed = old.managed if old else {}
        files = desired_files(unit.folder)
        refuse_foreign(folder, files, managed)
        make_project(folder)
        record = Record(
            repository=self._origin.repository,
            host=unit.host.name,
            stack=unit.stack.path,
            project=sight.project,
            commit=old.commit if old else "",
            salt=sight.salt,
            inputs=seal_inputs(unit.folder, self._variables, sight.salt),
            complete=False,
            managed={**managed, **manifest(files)},
            services=old.services if old else {},
            inactive=sight.inactive,
        )
        write_record(folder, record)
        # After a failure the last release that ran is the one to keep.
        place_files(folder, files, managed, keep_previous=old is None or old.complete)
        pending = {
            name: Deployed(sealed=sealed, generation=_generation(name, sight))
            for name, sealed in sight.desired.items()
        }
        write_content_labels(folder, pending)
        return replace(
            record, commit=self._origin.commit, complete=True, managed=manifest(files), services=pending
        )

    def _remember(self, pending: Record, folder: Path, containers: Sequence[Container]) -> None:
        first = {container.service: container for container in reversed(containers)}
        services = {
            name: replace(service, config_hash=first[name].config_hash, image=first[name].image)
            if name in first
            else service
            for name, service in pending.services.items()
        }
        write_record(folder, replace(pending, services=services))

    def _settle(
        self, sight: Sight, completed: Completed, *, known: Collection[str], deadline: float
    ) -> _Failure | None:
        """Wait until every service is fine; what is wrong otherwise. `known` are containers of before."""
        finished = completed.code == 0 or _FINISHED in completed.complaint
        # What nobody checks for health has to last a moment at least: a program that fails at once runs, too.
        steady = time.monotonic() + _STEADY
        while True:
            verdict = self._judge(sight, known, steady=time.monotonic() >= steady)
            if verdict is None and finished:
                return None
            if not finished and (verdict is None or verdict.container is None):
                return _Failure(f"compose failed: {explain(completed, self._local.stack_dir)}")
            if not finished or verdict is None or not verdict.starting or time.monotonic() > deadline:
                return verdict
            time.sleep(_PAUSE)

    def _judge(self, sight: Sight, known: Collection[str], *, steady: bool) -> _Failure | None:
        """The first service that is not fine, those that are broken before those that are starting."""
        containers = self._containers(sight.project)
        resting = {state.change.name for state in sight.states if state.resting}
        found: list[_Failure] = []
        for name in sorted(set(sight.desired) - resting):
            mine = [container for container in containers if container.service == name]
            if len(mine) < sight.desired[name].replicas:
                found.append(_Failure(f"the service {name} has no container"))
            for container in mine:
                health = examine(container, self._local.engine)
                if health.state == _UNCHECKED and container.id not in known:
                    health = self._outlast(container, steady=steady)
                if health.condition is not Condition.FINE:
                    message = f"the service {name} did not become healthy: {health.message}"
                    starting = health.condition is Condition.STARTING
                    found.append(_Failure(message, container, starting=starting))
        return min(found, key=lambda failure: failure.starting, default=None)

    def _outlast(self, container: Container, *, steady: bool) -> Health:
        """How a new container does that has no health check."""
        if self._local.engine.history(container.id).restarts:
            return Health(Condition.BROKEN, _UNCHECKED, "it ended and was started again by the engine")
        if steady:
            return Health(Condition.FINE, _UNCHECKED)
        return Health(Condition.STARTING, _UNCHECKED, "it has only just started")

    def _containers(self, project: str) -> list[Container]:
        return self._local.engine.containers().get(project, [])

    def _last_words(self, container: Container | None, completed: Completed, folder: Path) -> str:
        """What the container printed last, or what compose said; scrubbed and bounded."""
        if container is None:
            return explain(completed, folder)
        printed = self._local.engine.last_lines(container.id, _LINES)
        return self._redactor.scrub(printed)[-_MOST_TEXT:]


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    container: Container | None = None
    starting: bool = False


def _not_resting(sight: Sight) -> tuple[str, ...]:
    """The services to name on the command line: none (so all) unless some are to stay as they are."""
    resting = {state.change.name for state in sight.states if state.resting}
    return tuple(name for name in sorted(sight.desired) if name not in resting) if resting else ()


def _generation(name: str, sight: Sight) -> int:
    before = sight.record.services.get(name) if sight.record else None
    edited = any(state.edited for state in sight.states if state.change.name == name)
    return (before.generation if before else 0) + edited


def _objects(before: Sequence[Container], after: Sequence[Container]) -> list[ObjectChange]:
    """What happened to each service, told by the ids and states of its containers."""
    changes = []
    for name in sorted({container.service for container in (*before, *after)}):
        old = {one.id: one.state for one in before if one.service == name}
        new = {one.id: one.state for one in after if one.service == name}
        if old != new:
            change = Change.ADD if not old else Change.CHANGE if new else Change.REMOVE
            changes.append(ObjectChange(change=change, kind="service", name=name))
    return changes


def _summary(objects: Sequence[ObjectChange]) -> str:
    if not objects:
        return "everything runs as planned already"
    return "healthy; " + ", ".join(f"{_DONE[change.change]} {change.name}" for change in objects)


_DONE: Final = {Change.ADD: "created", Change.CHANGE: "updated", Change.REMOVE: "removed"}
