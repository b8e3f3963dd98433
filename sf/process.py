"""The door to other programs: an argument list in, a `Completed` out, nothing left running.

Every program runs in its own process group with an environment that was put together for it. Both pipes are
drained while it runs, what it prints is bounded, and a deadline is mandatory. When the deadline passes, the run is
cancelled or an exception passes through, the whole group is stopped: INT, TERM, KILL.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess  # noqa: TID251 - this is the door
import threading
import time
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from sf.redact import Redactor

# What a program may know of its surroundings without being told: where programs and homes are, how to speak, and
# how to reach the network here. No variable that can carry a credential of the CI job.
INHERITED: Final = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)
STDOUT_LIMIT: Final = 64 * 1024 * 1024
STDERR_KEPT: Final = 64 * 1024
# How often a waiting run looks whether it was cancelled, in seconds.
_TICK: Final = 0.1
_CHUNK: Final = 64 * 1024
# How long a program has to react to each signal. Together below the 7.5 s that a GitHub runner gives the whole
# action between its SIGINT and its SIGTERM (actions/runner, ProcessInvoker.cs).
_GRACE: Final = ((signal.SIGINT, 2.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A program that ended: whole ``stdout``, scrubbed last 64 KiB of ``stderr``, ``duration`` in seconds."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: str
    duration: float

    @property
    def text(self) -> str:
        """``stdout`` as text; bytes that are not UTF-8 become lone surrogates."""
        return self.stdout.decode("utf-8", "surrogateescape")

    @property
    def complaint(self) -> str:
        """The last line on stderr that says something: what most programs end with when they fail."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else ""


class ProgramMissing(Problem):
    """The program is not on the PATH of the run."""


class ProgramFailed(Problem):
    """The program ran and did not do what was asked; ``completed`` holds what it said."""

    def __init__(self, message: str, *, completed: Completed, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.completed = completed


class ProgramTimeout(ProgramFailed):
    """The program did not end in time and was stopped."""


class Cancelled(Problem):
    """The run was told to stop while (or before) this program ran."""


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that every program may see."""
    return {name: environ[name] for name in INHERITED if name in environ}


def find(program: str, environ: Mapping[str, str]) -> Path | None:
    """The file that `program` would run, or None."""
    found = shutil.which(program, path=environ.get("PATH", os.defpath))
    return Path(found) if found else None


class Launcher:
    """Runs the programs of one run and can stop them all. Safe to use from several threads."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stop what runs; until `resume`, whatever is started ends in `Cancelled`."""
        self._cancelled.set()

    def resume(self) -> None:
        """Allow programs again: cleanup may need some."""
        self._cancelled.clear()

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        environ: Mapping[str, str],
        cwd: Path | None = None,
        stdin: bytes = b"",
        accept: Collection[int] = (0,),
        on_line: Callable[[str], None] | None = None,
        stdout_limit: int = STDOUT_LIMIT,
    ) -> Completed:
        """Run `argv` and wait for its end.

        `environ` is the whole environment of the program (see `inherited`), `timeout` in seconds. `on_line`
        receives each line of both streams, scrubbed, as it comes.

        Raises `ProgramMissing`, `ProgramTimeout`, `Cancelled`, or `ProgramFailed` for an exit code that is not in
        `accept` or for more than `stdout_limit` bytes of output.
        """
        if self._cancelled.is_set():
            raise Cancelled(f"`{argv[0]}` was not started because the run is stopping")
        child = _Child(
            self._start(argv, environ, cwd, feed=bool(stdin)), self._redactor, on_line, stdout_limit
        )
        started = time.monotonic()
        try:
            ended = child.pump(stdin, until=started + timeout, cancelled=self._cancelled)
        except BaseException:
            child.stop()
            raise
        if ended is not _End.EXIT:
            child.stop()
        completed = Completed(
            argv=tuple(map(self._redactor.scrub, argv)),
            code=child.code,
            stdout=bytes(child.stdout),
            stderr=self._redactor.scrub(child.stderr.decode("utf-8", "replace")),
            duration=time.monotonic() - started,
        )
        return self._judge(completed, ended, timeout, accept, stdout_limit)

    def _start(
        self, argv: Sequence[str], environ: Mapping[str, str], cwd: Path | None, *, feed: bool
    ) -> subprocess.Popen[bytes]:
        program = argv[0]
        try:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=dict(environ),
                start_new_session=True,
            )
        except (FileNotFoundError, PermissionError) as error:
            if cwd is not None and not cwd.is_dir():
                raise Problem(f"the folder {cwd} that `{program}` should run in does not exist") from error
            raise ProgramMissing(
                f"the program `{program}` cannot be run: {error.strerror}",
                hint="install it, or correct PATH; `sf doctor` lists every program sf needs",
            ) from error
        except (OSError, ValueError) as error:
            raise Problem(f"`{program}` cannot be started: {error}") from error

    def _judge(
        self, completed: Completed, ended: _End, timeout: float, accept: Collection[int], limit: int
    ) -> Completed:
        shown = " ".join(completed.argv[:2])
        match ended:
            case _End.CANCELLED:
                raise Cancelled(f"`{shown}` was stopped because the run is stopping")
            case _End.DEADLINE:
                said = f"; its last words: {completed.complaint}" if completed.complaint else ""
                raise ProgramTimeout(f"`{shown}` did not end within {timeout:g} s{said}", completed=completed)
            case _End.FLOOD:
                raise ProgramFailed(
                    f"`{shown}` printed more than {limit} bytes and was stopped", completed=completed
                )
            case _End.EXIT if completed.code not in accept:
                how = (
                    f"ended with exit code {completed.code}"
                    if completed.code >= 0
                    else f"was ended by {signal.Signals(-completed.code).name}"
                )
                said = f": {completed.complaint}" if completed.complaint else ""
                raise ProgramFailed(f"`{shown}` {how}{said}", completed=completed)
            case _End.EXIT:
                return completed


class _End(Enum):
    """Why a program is not waited for any more."""

    EXIT = auto()
    DEADLINE = auto()
    CANCELLED = auto()
    FLOOD = auto()


class _Child:
    """One running program and what it printed so far."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        redactor: Redactor,
        on_line: Callable[[str], None] | None,
        stdout_limit: int,
    ) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._process = process
        self._redactor = redactor
        self._on_line = on_line
        self._limit = stdout_limit
        self._unfinished_line = {self._out: b"", self._err: b""}
        self._selector = selectors.DefaultSelector()
        for pipe in (self._out, self._err):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)

    @property
    def code(self) -> int:
        return self._process.returncode

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe in Launcher._start
        return self._process.stdout

    @property
    def _err(self) -> IO[bytes]:
        assert self._process.stderr is not None  # noqa: S101 - opened as a pipe in Launcher._start
        return self._process.stderr

    def pump(self, stdin: bytes, *, until: float, cancelled: threading.Event | None = None) -> _End:
        """Feed and drain the program until it ends, `until` (monotonic seconds) passes or it is cancelled."""
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
            self._selector.register(self._process.stdin, selectors.EVENT_WRITE, data=memoryview(stdin))
        while True:
            if cancelled is not None and cancelled.is_set():
                return _End.CANCELLED
            if len(self.stdout) > self._limit:
                return _End.FLOOD
            left = until - time.monotonic()
            if left <= 0:
                return _End.DEADLINE
            if self._turn(min(left, _TICK)):
                self._close()
                return _End.EXIT

    def stop(self) -> None:
        """End the whole process group, first kindly."""
        self._forget(self._process.stdin)
        for signum, grace in _GRACE:
            self._signal(signum)
            deadline = time.monotonic() + grace
            while (left := deadline - time.monotonic()) > 0:
                if self._turn(min(left, _TICK)):
                    self._close()
                    return
        self._close()

    def _turn(self, seconds: float) -> bool:
        """Wait at most `seconds` for something to happen and deal with it. True when all is over."""
        reading = [key for key in self._selector.get_map().values() if key.events == selectors.EVENT_READ]
        if not reading:
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
            return True
        ready = self._selector.select(seconds)
        for key, _ in ready:
            if key.data is None:
                self._read(key.fileobj)  # type: ignore[arg-type]  # only pipes are registered
            else:
                self._write(key.fileobj, key.data)  # type: ignore[arg-type]
        # A pipe that stays open and silent after its program ended is held by a process left behind.
        return not ready and self._process.poll() is not None

    def _read(self, pipe: IO[bytes]) -> None:
        data = pipe.read(_CHUNK)
        if data is None:
            return
        if not data:
            self._forget(pipe)
            if self._unfinished_line[pipe]:
                self._emit(self._unfinished_line[pipe])
            return
        if pipe is self._out:
            self.stdout += data
        else:
            self.stderr += data
            del self.stderr[:-STDERR_KEPT]
        if self._on_line:
            *lines, rest = (self._unfinished_line[pipe] + data).split(b"\n")
            # A "line" that never ends must not grow without bound either.
            self._unfinished_line[pipe] = rest[-STDERR_KEPT:]
            for line in lines:
                self._emit(line)

    def _emit(self, line: bytes) -> None:
        if self._on_line:
            self._on_line(self._redactor.scrub(line.decode("utf-8", "replace").rstrip("\r")))

    def _write(self, pipe: IO[bytes], rest: memoryview) -> None:
        try:
            written = os.write(pipe.fileno(), rest[:_CHUNK])
        except BlockingIOError:
            return
        except BrokenPipeError:
            # It ended, or does not want the rest; its exit code tells which.
            written = len(rest)
        if written == len(rest):
            self._forget(pipe)
        else:
            self._selector.modify(pipe, selectors.EVENT_WRITE, data=rest[written:])

    def _forget(self, pipe: IO[bytes] | None) -> None:
        if pipe is None or pipe.closed:
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(pipe)
        with contextlib.suppress(BrokenPipeError):
            pipe.close()

    def _signal(self, signum: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signum)

    def _close(self) -> None:
        """Let go of everything; whatever of the group is still there goes at once."""
        self._signal(signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            self._forget(pipe)
        self._selector.close()
        self._process.wait()
