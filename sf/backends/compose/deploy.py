"""Bringing one stack up on its machine, proving that it runs, and going back when it does not.

One process on the machine does all of it and holds the machine's lock meanwhile (``host.sh``). It says what
happens, and waits for what we make of it.
"""

from __future__ import annotations

import secrets
import shlex
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.backends.compose.observe import Condition, Health, examine
from sf.backends.compose.record import Deployed, Record, record_document, seal_inputs
from sf.backends.compose.release import (
    CONTENT_FILE,
    PINNED_FILE,
    POST_HOOK,
    PRE_HOOK,
    Delivery,
    content_labels,
    desired_files,
    manifest,
    pack,
    pinned_images,
    refuse_foreign,
    variables_header,
)
from sf.backends.compose.stack import compose_files
from sf.models import ActionResult, Change, ObjectChange, Outcome, Problem
from sf.process import Cancelled
from sf.tools.compose import BEYOND_WAITING, REMOTE_OFF, Project, explain_lines, up_command

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sf.backends.compose.live import Sight, View
    from sf.backends.compose.side import Unit
    from sf.process import Completed
    from sf.redact import Redactor
    from sf.tools.docker import Container

# Seconds between two looks at containers that are starting.
_PAUSE: Final = 0.5
_STEADY: Final = 1.0
_UNCHECKED: Final = "running"
_LINES: Final = 10
_MOST_LINES: Final = 200
_MOST_TEXT: Final = 4000
# Compose ends with 1 when a container did its work and ended, which is what some are for.
_FINISHED: Final = "exited (0)"
# Seconds that the process on the machine waits for an answer beyond the deadline of the containers, and that
# everything else around them may take.
_ANSWER: Final = 60
_MARGIN: Final = 300.0
# The script's exit code when nobody listened to it any more.
_ALONE: Final = 74


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a deployment comes from. ``owner`` says who deploys, for somebody who has to wait."""

    repository: str
    commit: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds: ``wait`` until containers are healthy, ``hook`` for each hook, ``lock`` for another deployment."""

    wait: int
    hook: int
    lock: int


class Deployment:
    """Deploys units of one run."""

    def __init__(
        self,
        *,
        variables: Mapping[str, str],
        origin: Origin,
        patience: Patience,
        redactor: Redactor,
    ) -> None:
        self._variables = variables
        self._origin = origin
        self._patience = patience
        self._redactor = redactor

    def deploy(self, unit: Unit, sight: Sight, view: View, *, on_line: Callable[[str], None]) -> ActionResult:
        """Bring `unit` to what `sight` says it is to be; ``command`` of the result can be typed in its folder.

        Raises `Problem` when nothing of it was changed, and when the machine was lost on the way.
        """
        started = time.monotonic()
        before = _containers(view, sight.project)
        release = self._release(unit, sight, view)
        attempt = _Attempt(
            release,
            view,
            sight,
            before=before,
            patience=self._patience,
            redactor=self._redactor,
            on_line=on_line,
        )
        completed = self._run(unit, view, release, attempt)
        attempt.conclude(completed)
        objects = tuple(_objects(before, _containers(view, sight.project)))
        failure = attempt.failure
        return ActionResult(
            name=unit.name,
            success=failure is None,
            outcome=None if failure else Outcome.DONE if objects else Outcome.UNCHANGED,
            duration=time.monotonic() - started,
            command=f"cd {shlex.quote(release.folder)} && {shlex.join(release.command)}",
            objects=objects,
            message=failure.message if failure else _summary(objects),
            stderr=failure.detail if failure else attempt.hook_output,
        )

    def _run(self, unit: Unit, view: View, release: _Release, attempt: _Attempt) -> Completed:
        patience = self._patience
        up = patience.wait + int(BEYOND_WAITING)
        arguments = (
            *(str(view.stack_dir), release.project.name, attempt.token, self._origin.owner),
            *(view.record_digest(release.project.name), str(patience.lock), str(patience.hook), str(up)),
            *(str(patience.wait + _ANSWER), "yes" if PRE_HOOK in release.delivery.files else "no"),
        )
        header = variables_header({**self._variables, **REMOTE_OFF})
        archive = release.delivery.pack(
            record=record_document(release.begun),
            content=content_labels(release.ended.services, pulled=release.pulled),
        )
        try:
            return view.machine.run(
                *("deploy", *arguments, *release.command[2:]),
                stdin=header + archive,
                timeout=patience.lock + 2 * patience.hook + 2 * (up + patience.wait) + _MARGIN,
                on_line=attempt.hear,
            )
        except Cancelled as problem:
            raise Problem(
                f"{unit.name} was interrupted; the next run brings it to an end", hint=problem.hint
            ) from problem

    def _release(self, unit: Unit, sight: Sight, view: View) -> _Release:
        """All that there is to do, decided before anything is done."""
        old = sight.record
        managed = old.managed if old else {}
        files = desired_files(unit.folder)
        present = view.digests(sight.project, sorted({*files, *managed}))
        folder = view.stack_dir / sight.project
        refuse_foreign(files, managed, present, project=str(folder))
        services = {
            name: Deployed(sealed=sealed, generation=_generation(name, sight))
            for name, sealed in sight.desired.items()
        }
        begun = Record(
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
            files=compose_files(unit.folder),
        )
        ended = replace(
            begun, commit=self._origin.commit, complete=True, managed=manifest(files), services=services
        )
        project = Project(folder=folder, files=(*begun.files, CONTENT_FILE), name=sight.project)
        command = up_command(
            project, wait=self._patience.wait, build=sight.builds, services=_not_resting(sight)
        )
        # After a failure the last release that ran is the one to keep.
        keep = old is None or old.complete
        delivery = Delivery(files=files, managed=managed, present=present, keep=keep)
        return _Release(
            project=project, command=command, delivery=delivery, begun=begun, ended=ended, pulled=sight.moved
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Release:
    """What is deployed: ``begun`` is the record while it lasts, ``ended`` the one when it is done.

    ``pulled``: services whose images are pulled although they are there.
    """

    project: Project
    command: list[str]
    delivery: Delivery
    begun: Record
    ended: Record
    pulled: frozenset[str]

    @property
    def folder(self) -> str:
        return str(self.project.folder)


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    detail: str = ""
    starting: bool = False
    container: Container | None = None


class _Attempt:
    """One deployment while it runs: hears what the machine says and tells it how to go on."""

    def __init__(
        self,
        release: _Release,
        view: View,
        sight: Sight,
        *,
        before: Sequence[Container],
        patience: Patience,
        redactor: Redactor,
        on_line: Callable[[str], None],
    ) -> None:
        self.token = secrets.token_hex(8)
        self.failure: _Failure | None = None
        self.hook_output = ""
        self._release = release
        self._view = view
        self._sight = sight
        self._before = before
        self._known = {container.id for container in before}
        self._patience = patience
        self._redactor = redactor
        self._on_line = on_line
        self._lines: list[str] = []
        self._hook = ""
        self._restoring = False
        self._decided = False
        self._deadline = 0.0

    def hear(self, line: str) -> None:
        """Take one line of what the machine says."""
        mark, _, event = line.partition(f"sf {self.token} ")
        if mark or not event:
            self._take(line)
            return
        word, _, rest = event.partition(" ")
        match word:
            case "waiting":
                self._on_line(f"waits for another deployment on {self._view.machine.name}: {rest}")
            case "busy":
                self._fail(
                    f"another deployment holds {self._view.machine.name} for more than {self._patience.lock} s:"
                    f" {rest}"
                )
            case "stale":
                self._fail("another run deployed it after this run's plan was made; run it again")
            case "placed":
                self._deadline = time.monotonic() + self._patience.wait
            case "hook" | "said":
                self._hook = rest
                self._lines.clear()
                self._on_line(f"runs {rest}" if word == "hook" else f"{rest} said:")
            case "ended":
                self._end_hook(*rest.split())
            case "up":
                self._judge_up(int(rest))

    def conclude(self, completed: Completed) -> None:
        """Note what went wrong when the machine ended before it was told to. Raises `Problem`."""
        if self._decided or self.failure:
            return
        said = completed.complaint or f"its shell ended with {completed.code}"
        if completed.code == _ALONE:
            said = "it got no answer in time"
        raise Problem(
            f"{self._view.machine.name}: {said}",
            hint="what was begun is brought to an end by the next run",
        )

    def _take(self, line: str) -> None:
        if line.strip():
            self._lines = [*self._lines[-_MOST_LINES:], line]
            self._on_line(line)

    def _fail(self, message: str, detail: str = "") -> None:
        self.failure = _Failure(message, detail)

    def _end_hook(self, name: str, code: str) -> None:
        self.hook_output += self._said(f"{name}:\n")
        self._hook = ""
        if code == "0":
            if name == POST_HOOK:
                self._keep()
            return
        how = (
            f"did not end within {self._patience.hook} s" if code == "124" else f"ended with exit code {code}"
        )
        self._fail(f"{name} {how}", self._said(""))
        self._go_back()

    def _judge_up(self, code: int) -> None:
        if self._restoring:
            self._judge_restored(code)
            return
        self.failure = self._settle(code)
        if self.failure:
            self._go_back()
        elif POST_HOOK in self._release.delivery.files:
            self._answer("post")
        else:
            self._keep()

    def _judge_restored(self, code: int) -> None:
        assert self.failure is not None  # noqa: S101 - only a failure is gone back from
        assert self._sight.record is not None  # noqa: S101 - and only to a record
        self._deadline = time.monotonic() + self._patience.wait
        again = self._settle(code, wanted=self._old_services())
        if again:
            message = f"{self.failure.message}; failed, rollback failed: {again.message}"
            self._answer("leave")
        else:
            old = self._sight.record
            message = f"{self.failure.message}; failed, rolled back to {old.commit}{_NOT_BACK}"
            self._answer("keep", record=_with_containers(old, self._containers()))
        self.failure = replace(self.failure, message=message)

    def _go_back(self) -> None:
        """Bring the previous release back, where there is one."""
        assert self.failure is not None  # noqa: S101 - the caller has just set it
        old = self._sight.record
        if old is None or not old.complete:
            left = "there is no release to go back to, and its containers stay for inspection"
            self.failure = replace(self.failure, message=f"{self.failure.message}; {left}")
            self._answer("leave")
            return
        self._restoring = True
        self._lines.clear()
        self._answer("restore", record=old)

    def _keep(self) -> None:
        self._answer("keep", record=_with_containers(self._release.ended, self._containers()))

    def _answer(self, decision: str, *, record: Record | None = None) -> None:
        """Tell the machine how to go on. A `record` is the one to write, or the one to go back to."""
        members = {"decision": (decision.encode(), 0o600)}
        if record:
            members["record.json"] = (record_document(record), 0o600)
        if decision == "restore" and record:
            members |= self._way_back(record)
        completed = self._view.machine.run("answer", self._release.folder, self.token, stdin=pack(members))
        if completed.code:
            raise Problem(f"{self._view.machine.name}: {completed.complaint or 'it could not be answered'}")
        self._decided = decision in {"keep", "leave"}

    def _way_back(self, record: Record) -> dict[str, tuple[bytes, int]]:
        """What compose needs to bring the release of `record` back: its images, whatever their tags are now."""
        now = {container.service: container.image for container in self._containers()}
        images = {
            name: service.image
            for name, service in record.services.items()
            if service.image and now.get(name) != service.image
        }
        project = replace(self._release.project, files=(*record.files, CONTENT_FILE, PINNED_FILE))
        command = up_command(project, wait=self._patience.wait, services=_not_resting(self._sight))
        return {
            "content.json": (content_labels(record.services), 0o600),
            "pinned.json": (pinned_images(images), 0o600),
            "arguments": ("".join(f"{word}\n" for word in command[2:]).encode(), 0o600),
        }

    def _old_services(self) -> dict[str, int]:
        record = self._sight.record
        return {name: one.sealed.replicas for name, one in record.services.items()} if record else {}

    def _settle(self, code: int, *, wanted: Mapping[str, int] | None = None) -> _Failure | None:
        """Wait until every service is fine; what is wrong otherwise. `wanted` are containers by service."""
        resting = {state.change.name for state in self._sight.states if state.resting}
        wanted = wanted or {name: sealed.replicas for name, sealed in self._sight.desired.items()}
        wanted = {name: count for name, count in wanted.items() if name not in resting}
        finished = code == 0 or any(_FINISHED in line for line in self._lines)
        # What nobody checks for health has to last a moment at least: a program that fails at once runs, too.
        steady = time.monotonic() + _STEADY
        while True:
            verdict = self._judge(wanted, steady=time.monotonic() >= steady)
            if verdict is None and finished:
                return None
            if not finished and (verdict is None or verdict.container is None):
                why = explain_lines(self._lines, self._view.stack_dir, code)
                return _Failure(f"compose failed: {why}", why)
            if not finished or verdict is None or not verdict.starting or time.monotonic() > self._deadline:
                return self._with_last_words(verdict)
            time.sleep(_PAUSE)

    def _judge(self, wanted: Mapping[str, int], *, steady: bool) -> _Failure | None:
        """The first service that is not fine, those that are broken before those that are starting."""
        containers = self._containers()
        found: list[_Failure] = []
        for name, replicas in sorted(wanted.items()):
            mine = [container for container in containers if container.service == name]
            if len(mine) < replicas:
                found.append(_Failure(f"the service {name} has no container"))
            for container in mine:
                health = self._health(container, steady=steady)
                if health.condition is not Condition.FINE:
                    message = f"the service {name} did not become healthy: {health.message}"
                    starting = health.condition is Condition.STARTING
                    found.append(_Failure(message, starting=starting, container=container))
        return min(found, key=lambda failure: failure.starting, default=None)

    def _health(self, container: Container, *, steady: bool) -> Health:
        """As `examine`; a new container that has no health check has to last."""
        health = examine(container, self._view.machine.engine)
        if health.state != _UNCHECKED or container.id in self._known:
            return health
        if self._view.machine.engine.history(container.id).restarts:
            return Health(Condition.BROKEN, _UNCHECKED, "it ended and was started again by the engine")
        if steady:
            return Health(Condition.FINE, _UNCHECKED)
        return Health(Condition.STARTING, _UNCHECKED, "it has only just started")

    def _with_last_words(self, failure: _Failure | None) -> _Failure | None:
        """With what the container printed last; scrubbed and bounded."""
        if failure is None or failure.container is None:
            return failure
        printed = self._view.machine.engine.last_lines(failure.container.id, _LINES)
        return replace(failure, detail=self._redactor.scrub(printed)[-_MOST_TEXT:])

    def _said(self, before: str) -> str:
        """What was printed since the last event; scrubbed and bounded."""
        text = "\n".join(self._lines)
        return before + self._redactor.scrub(text)[-_MOST_TEXT:] + "\n" if text else ""

    def _containers(self) -> list[Container]:
        return _containers(self._view, self._release.project.name)


_NOT_BACK: Final = " (data in volumes is as the failed release left it)"


def _containers(view: View, project: str) -> list[Container]:
    return view.machine.engine.containers().get(project, [])


def _with_containers(record: Record, containers: Collection[Container]) -> Record:
    """`record` with what the engine made of its services."""
    first = {container.service: container for container in reversed(list(containers))}
    services = {
        name: replace(service, config_hash=first[name].config_hash, image=first[name].image)
        if name in first
        else service
        for name, service in record.services.items()
    }
    return replace(record, services=services)


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
