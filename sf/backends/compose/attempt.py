"""One deployment while it runs: what the machine says, and what it is told in turn."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.backends.compose.record import Record, record_document
from sf.backends.compose.release import (
    CONTENT_FILE,
    NOTHING,
    PINNED_FILE,
    POST_HOOK,
    Opened,
    content_labels,
    pack,
    pinned_images,
)
from sf.backends.compose.stack import SCRIPT
from sf.backends.compose.watch import MOST_TEXT, Failure, Watch
from sf.models import Problem
from sf.tools.compose import explain_lines, up_command

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from sf.backends.compose.live import Sight, View
    from sf.backends.compose.release import Delivery
    from sf.process import Completed
    from sf.redact import Redactor
    from sf.tools.compose import Project
    from sf.tools.docker import Container

_MOST_LINES: Final = 200
# Compose ends with 1 when a container did its work and ended, which is what some are for.
_FINISHED: Final = "exited (0)"
# The script's exit code when nobody listened to it any more.
_ALONE: Final = 74


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds: ``wait`` until containers are healthy, ``hook`` for each hook, ``lock`` for another deployment."""

    wait: int
    hook: int
    lock: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What is deployed: ``begun`` is the record while it lasts, ``ended`` the one when it is done.

    ``memory`` are the files that never touch the disk, as the script reads them, and ``pulled`` the services whose
    images are pulled although they are there.
    """

    project: Project
    command: list[str]
    delivery: Delivery
    memory: bytes
    begun: Record
    ended: Record
    pulled: frozenset[str]

    @property
    def folder(self) -> str:
        return str(self.project.folder)


class Attempt:
    """One deployment while it runs: hears what the machine says and tells it how to go on."""

    def __init__(
        self,
        release: Release,
        view: View,
        sight: Sight,
        *,
        before: Sequence[Container],
        patience: Patience,
        redactor: Redactor,
        reopen: Callable[[Record], Opened],
        on_line: Callable[[str], None],
    ) -> None:
        """`reopen` decrypts what an earlier release had decrypted."""
        self.token = secrets.token_hex(8)
        self.failure: Failure | None = None
        self.hook_output = ""
        self._release = release
        self._view = view
        self._sight = sight
        self._watch = Watch(
            view.machine, release.project.name, {container.id for container in before}, redactor
        )
        self._patience = patience
        self._redactor = redactor
        self._reopen = reopen
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
        if (self._decided and completed.code == 0) or (self.failure and not self._restoring):
            return
        said = completed.complaint or f"its shell ended with {completed.code}"
        if completed.code == _ALONE:
            said = "it got no answer in time"
        if self._restoring:
            self._add(f"failed, rollback failed: {said}")
            return
        raise Problem(
            f"{self._view.machine.name}: {said}",
            hint="what was begun is brought to an end by the next run",
        )

    def _take(self, line: str) -> None:
        if line.strip():
            self._lines = [*self._lines[-_MOST_LINES:], line]
            self._on_line(line)

    def _fail(self, message: str, detail: str = "") -> None:
        self.failure = Failure(message, detail)

    def _end_hook(self, name: str, code: str) -> None:
        self.hook_output += self._said(f"{name}:\n")
        self._hook = ""
        if code == "0":
            if name in {POST_HOOK, SCRIPT}:
                self._keep()
            return
        seconds = self._patience.wait if name == SCRIPT else self._patience.hook
        how = f"did not end within {seconds} s" if code == "124" else f"ended with exit code {code}"
        self._fail(f"{name} {how}", self._said(""))
        if name == SCRIPT:
            self._add("what it did until then is not taken back")
            self._answer("leave")
        else:
            self._go_back()

    def _judge_up(self, code: int) -> None:
        if self._restoring:
            self._judge_restored(code)
            return
        wanted = {name: sealed.replicas for name, sealed in self._sight.desired.items()}
        self.failure = self._settle(code, wanted)
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
        again = self._settle(code, self._old_services())
        old = self._sight.record
        if again:
            self._add(f"failed, rollback failed: {again.message}")
            self._answer("leave")
        else:
            self._answer("keep", record=_with_containers(old, self._watch.containers()))
            self._add(
                f"failed, rolled back to {old.commit} (data in volumes is as the failed release left it)"
            )
        self._restoring = False

    def _go_back(self) -> None:
        """Bring the previous release back, where there is one."""
        assert self.failure is not None  # noqa: S101 - the caller has just set it
        old = self._sight.record
        if old is None or not old.complete:
            self._add("there is no release to go back to, and its containers stay for inspection")
            self._answer("leave")
            return
        try:
            opened = self._reopen(old)
        except Problem as problem:
            self._add(f"failed, rollback failed: {problem.message}; its containers stay for inspection")
            self._answer("leave")
            return
        self._restoring = True
        self._lines.clear()
        secrets_back = {f"secrets/{name}": file for name, file in opened.files.items()}
        self._answer("restore", {**self._way_back(old), **secrets_back}, memory=opened.header)

    def _add(self, what: str) -> None:
        """Say more about the failure."""
        assert self.failure is not None  # noqa: S101 - there is more only where there was something
        self.failure = replace(self.failure, message=f"{self.failure.message}; {what}")

    def _keep(self) -> None:
        self._answer("keep", record=_with_containers(self._release.ended, self._watch.containers()))

    def _answer(
        self,
        decision: str,
        members: Mapping[str, tuple[bytes, int]] = MappingProxyType({}),
        *,
        record: Record | None = None,
        memory: bytes = NOTHING,
    ) -> None:
        """Tell the machine how to go on, and which `record` to write. `memory` are files for its memory."""
        said = {**members, "decision": (decision.encode(), 0o600)}
        if record:
            said["record.json"] = (record_document(record), 0o600)
        completed = self._view.machine.run(
            "answer", self._release.folder, self.token, stdin=memory + pack(said)
        )
        if completed.code:
            raise Problem(f"{self._view.machine.name}: {completed.complaint or 'it could not be answered'}")
        self._decided = decision in {"keep", "leave"}

    def _way_back(self, record: Record) -> dict[str, tuple[bytes, int]]:
        """What compose needs to bring the release of `record` back: its images, whatever their tags are now."""
        now = {container.service: container.image for container in self._watch.containers()}
        images = {
            name: service.image
            for name, service in record.services.items()
            if service.image and now.get(name) != service.image
        }
        project = replace(self._release.project, files=(*record.files, CONTENT_FILE, PINNED_FILE))
        command = up_command(
            project, wait=self._patience.wait, services=not_resting(record.services, self._sight)
        )
        return {
            "content.json": (content_labels(record.services), 0o600),
            "pinned.json": (pinned_images(images), 0o600),
            "arguments": ("".join(f"{word}\n" for word in command[2:]).encode(), 0o600),
        }

    def _settle(self, code: int, wanted: Mapping[str, int]) -> Failure | None:
        """What is wrong with the services that are `wanted` when compose ended with `code`."""
        resting = {state.change.name for state in self._sight.states if state.resting}
        broken = None
        if code and not any(_FINISHED in line for line in self._lines):
            why = explain_lines(self._lines, self._view.stack_dir, code)
            broken = Failure(f"compose failed: {why}", why)
        expected = {name: count for name, count in wanted.items() if name not in resting}
        return self._watch.settle(expected, until=self._deadline, broken=broken)

    def _old_services(self) -> dict[str, int]:
        record = self._sight.record
        return {name: one.sealed.replicas for name, one in record.services.items()} if record else {}

    def _said(self, before: str) -> str:
        """What was printed since the last event; scrubbed and bounded."""
        text = "\n".join(self._lines)
        return before + self._redactor.scrub(text)[-MOST_TEXT:] + "\n" if text else ""


def not_resting(names: Iterable[str], sight: Sight) -> tuple[str, ...]:
    """Which of `names` to put on the command line: none (so all) unless some are to stay as they are."""
    resting = {state.change.name for state in sight.states if state.resting}
    return tuple(name for name in sorted(names) if name not in resting) if resting else ()


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
