"""Bringing one stack up on its machine, proving that it runs, and going back when it does not.

One process on the machine does all of it and holds the machine's lock meanwhile (``host.sh``). It says what
happens, and waits for what we make of it.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.backends.compose.attempt import Attempt, Patience, Release, not_resting
from sf.backends.compose.record import Deployed, Record, record_document, seal_inputs
from sf.backends.compose.release import (
    CONTENT_FILE,
    HOOKS,
    PRE_HOOK,
    Delivery,
    Opened,
    content_labels,
    desired_files,
    manifest,
    refuse_foreign,
    variables_header,
)
from sf.backends.compose.side import is_script
from sf.backends.compose.stack import SCRIPT, compose_files
from sf.models import ActionResult, Change, ObjectChange, Outcome, Problem
from sf.process import Cancelled
from sf.tools.compose import BEYOND_WAITING, REMOTE_OFF, Project, up_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sf.backends.compose.live import Sight, View
    from sf.backends.compose.plaintext import Plaintexts
    from sf.backends.compose.side import Unit
    from sf.backends.compose.tree import Folder
    from sf.process import Completed
    from sf.redact import Redactor
    from sf.tools.docker import Container

# Seconds that the process on the machine waits for an answer beyond the deadline of the containers, and that
# everything else around them may take.
_ANSWER: Final = 60
_MARGIN: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a deployment comes from. ``owner`` says who deploys, for somebody who has to wait."""

    repository: str
    commit: str
    owner: str


class Deployment:
    """Deploys units of one run."""

    def __init__(
        self,
        *,
        variables: Mapping[str, str],
        origin: Origin,
        patience: Patience,
        redactor: Redactor,
        plaintexts: Plaintexts,
        look_back: Callable[[Record], Folder],
    ) -> None:
        """`look_back` is the folder of the stack that a record is about, at its commit."""
        self._plaintexts = plaintexts
        self._look_back = look_back
        self._variables = variables
        self._origin = origin
        self._patience = patience
        self._redactor = redactor

    def deploy(self, unit: Unit, sight: Sight, view: View, *, on_line: Callable[[str], None]) -> ActionResult:
        """Bring `unit` to what `sight` says it is to be; ``command`` of the result can be typed in its folder.

        Raises `Problem` when nothing of it was changed, and when the machine was lost on the way.
        """
        started = time.monotonic()
        before = view.machine.engine.containers().get(sight.project, [])
        release = self._release(unit, sight, view)
        attempt = Attempt(
            release,
            view,
            sight,
            before=before,
            patience=self._patience,
            redactor=self._redactor,
            reopen=self._reopen,
            on_line=on_line,
        )
        completed = self._run(unit, view, release, attempt)
        attempt.conclude(completed)
        objects = tuple(_objects(before, view.machine.engine.containers().get(sight.project, [])))
        failure = attempt.failure
        return ActionResult(
            name=unit.name,
            success=failure is None,
            outcome=None if failure else Outcome.DONE if objects or is_script(unit) else Outcome.UNCHANGED,
            duration=time.monotonic() - started,
            command=f"cd {shlex.quote(release.folder)} && {shlex.join(release.command)}",
            objects=objects,
            message=failure.message
            if failure
            else f"{SCRIPT} ended well"
            if is_script(unit)
            else _summary(objects),
            stderr=failure.detail if failure else attempt.hook_output,
        )

    def _run(self, unit: Unit, view: View, release: Release, attempt: Attempt) -> Completed:
        patience = self._patience
        up = patience.wait + int(BEYOND_WAITING)
        arguments = (
            *(str(view.stack_dir), release.project.name, attempt.token, self._origin.owner),
            *(view.record_digest(release.project.name), str(patience.lock), str(patience.hook)),
            str(patience.wait if is_script(unit) else up),
            *(str(patience.wait + _ANSWER), _before_compose(unit, release)),
        )
        header = variables_header({**self._variables, **REMOTE_OFF}) + release.memory
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

    def _release(self, unit: Unit, sight: Sight, view: View) -> Release:
        """All that there is to do, decided before anything is done."""
        old = sight.record
        opened = Opened.of(self._plaintexts.of(unit.folder, sight.encrypted), sight.places)
        programs = (SCRIPT,) if is_script(unit) else HOOKS
        files = {
            name: opened.files.get(name, file)
            for name, file in desired_files(unit.folder, programs).items()
            if name not in opened.memory
        }
        # What is in memory is not in the list of what is managed on the disk.
        managed = {*old.managed, *old.encrypted} if old else set()
        present = view.digests(sight.project, sorted({*files, *opened.memory, *managed}))
        folder = view.stack_dir / sight.project
        refuse_foreign(files, opened.memory, managed, present, project=str(folder))
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
            managed={**(old.managed if old else {}), **manifest(files)},
            services=old.services if old else {},
            inactive=sight.inactive,
            files=() if is_script(unit) else compose_files(unit.folder),
            encrypted={**(old.encrypted if old else {}), **sight.encrypted},
            at_rest=sight.at_rest,
        )
        ended = replace(
            begun,
            commit=self._origin.commit,
            complete=True,
            managed=manifest(files),
            services=services,
            encrypted=sight.encrypted,
        )
        project = Project(folder=folder, files=(*begun.files, CONTENT_FILE), name=sight.project)
        services_to_name = not_resting(sight.desired, sight)
        command = (
            [f"./{SCRIPT}"]
            if is_script(unit)
            else up_command(project, wait=self._patience.wait, build=sight.builds, services=services_to_name)
        )
        # After a failure the last release that ran is the one to keep.
        keep = old is None or old.complete
        delivery = Delivery(
            files=files,
            memory=opened.memory.keys(),
            managed=managed,
            encrypted=old.encrypted.keys() if old else (),
            present=present,
            keep=keep,
        )
        return Release(
            project=project,
            command=command,
            delivery=delivery,
            memory=opened.header,
            begun=begun,
            ended=ended,
            pulled=sight.moved,
        )

    def _reopen(self, record: Record) -> Opened:
        """What the release of `record` had decrypted, from its own commit. Raises `Problem`."""
        if not record.encrypted:
            return Opened({}, {})
        plaintexts = self._plaintexts.of(self._look_back(record), record.encrypted)
        return Opened.of(plaintexts, record.places)


def _before_compose(unit: Unit, release: Release) -> str:
    """The script's word for what is run before compose, or instead of it."""
    if is_script(unit):
        return "script"
    return "yes" if PRE_HOOK in release.delivery.files else "no"


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
