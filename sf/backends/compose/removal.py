"""Taking down what the repository no longer has on a host, under the host's lock. Volumes are never touched."""

from __future__ import annotations

import secrets
import shlex
import time
from typing import TYPE_CHECKING, Final

from sf.backends.compose.record import record_document
from sf.backends.compose.release import pack
from sf.models import ActionResult, Change, ObjectChange, Problem
from sf.process import Cancelled
from sf.tools.compose import down_command, explain_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.backends.compose.live import View
    from sf.backends.compose.orphans import Orphan
    from sf.redact import Redactor

_MARGIN: Final = 60.0
_MOST_LINES: Final = 200
_MOST_TEXT: Final = 4000
_TOO_LATE: Final = (124, 137)


class Operation:
    """What one operation on a host, under its lock, says while it runs. ``done`` is how it said it ended."""

    def __init__(self, host: str, lock: int, on_line: Callable[[str], None]) -> None:
        self.token = secrets.token_hex(8)
        self.refusal = ""
        self.done: str | None = None
        self.lines: list[str] = []
        self._host = host
        self._lock = lock
        self._on_line = on_line

    def hear(self, line: str) -> None:
        """Take one line of what the host says."""
        mark, _, event = line.partition(f"sf {self.token} ")
        if mark or not event:
            if line.strip():
                self.lines = [*self.lines[-_MOST_LINES:], line]
                self._on_line(line)
            return
        word, _, rest = event.partition(" ")
        match word:
            case "waiting":
                self._on_line(f"waits for another deployment on {self._host}: {rest}")
            case "busy":
                self.refusal = f"another deployment holds {self._host} for more than {self._lock} s: {rest}"
            case "stale":
                self.refusal = "another run deployed it after this run looked at it; run it again"
            case _:
                self.done = rest


class Removal:
    """Takes orphans down. `owner` tells who does to somebody who has to wait; `lock` and `down` are seconds."""

    def __init__(self, *, owner: str, lock: int, down: int, prunes: bool, redactor: Redactor) -> None:
        self._owner = owner
        self._lock = lock
        self._down = down
        self._prunes = prunes
        self._redactor = redactor

    def remove(
        self, name: str, orphan: Orphan, view: View, *, on_line: Callable[[str], None]
    ) -> ActionResult:
        """Take `orphan` down. Raises `Problem` when the host refused before anything was done, or was lost."""
        started = time.monotonic()
        operation = Operation(view.machine.name, self._lock, on_line)
        code = self._run(orphan, view, operation)
        left = view.machine.engine.containers().get(orphan.project, [])
        remaining = {container.service for container in left}
        if code:
            said = explain_lines(operation.lines, view.stack_dir, code)
            late = f"did not end within {self._down} s"
            message = f"docker compose down {late if code in _TOO_LATE else f'failed: {said}'}"
        else:
            message = self._summary(orphan, view)
        return ActionResult(
            name=name,
            success=code == 0,
            duration=time.monotonic() - started,
            command=shlex.join(down_command(orphan.project)),
            objects=tuple(
                ObjectChange(change=Change.REMOVE, kind="service", name=service)
                for service in orphan.services
                if service not in remaining
            ),
            message=message,
            stderr=self._redactor.scrub("\n".join(operation.lines))[-_MOST_TEXT:] if code else "",
        )

    def _run(self, orphan: Orphan, view: View, operation: Operation) -> int:
        """The exit code of compose."""
        arguments = (
            *(str(view.stack_dir), orphan.project, operation.token, self._owner),
            *(view.record_digest(orphan.project), str(self._lock), str(self._down)),
        )
        try:
            completed = view.machine.run(
                *("remove", *arguments, *down_command(orphan.project)[2:]),
                stdin=self._message(orphan, view),
                timeout=self._lock + self._down + _MARGIN,
                on_line=operation.hear,
            )
        except Cancelled as problem:
            raise Problem(
                "it was interrupted; the next run brings it to an end", hint=problem.hint
            ) from problem
        if operation.refusal:
            raise Problem(operation.refusal)
        if operation.done is None:
            said = completed.complaint or f"its shell ended with {completed.code}"
            raise Problem(
                f"{view.machine.name}: {said}", hint="what was begun is brought to an end by the next run"
            )
        return int(operation.done)

    def _message(self, orphan: Orphan, view: View) -> bytes:
        record = orphan.record
        assert record is not None  # noqa: S101 - an orphan without a record is only reported
        gone = set(record.managed) - _kept(orphan, view) if self._prunes else set()
        # Plaintext goes with what it was decrypted for.
        lines = "".join(f"{name}\n" for name in sorted(gone | set(record.encrypted)))
        members = {"gone": (lines.encode("utf-8", "surrogateescape"), 0o600)}
        if not self._prunes:
            members["record.json"] = (record_document(record.taken_down()), 0o600)
        return pack(members)

    def _summary(self, orphan: Orphan, view: View) -> str:
        parts = [f"removed {', '.join(orphan.services)}" if orphan.services else "nothing of it ran"]
        if self._prunes:
            kept = _kept(orphan, view)
            parts.append(
                f"its files are gone, but for what was changed on the host: {', '.join(sorted(kept))}"
                if kept
                else "its files are gone"
            )
        if orphan.volumes:
            parts.append(f"its volumes stay: {', '.join(orphan.volumes)}")
        return "; ".join(parts)


def _kept(orphan: Orphan, view: View) -> set[str]:
    """What somebody changed on the host, and is not removed; plaintext is."""
    encrypted = orphan.record.encrypted if orphan.record else {}
    return {name for name in view.edited(orphan.project) if name not in encrypted}
