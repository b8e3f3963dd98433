"""The door to other programs: an argument list in, a `Completed` out, nothing left running.

Every program runs in its own process group with an environment that was put together for it. Both pipes are
drained while it runs, what it prints is bounded, and a deadline is mandatory. When the deadline passes, the run is
cancelled or an exception passes through, the whole group is stopped: INT, TERM, KILL.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import resource
import selectors
import shutil
import signal
import subprocess  # noqa: TID251 - this is the door
import sys
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
_INSTALL: Final = "install it, or correct PATH; `sf doctor` lists every program sf needs"
# How often a waiting run looks whether it was cancelled, in seconds.
_TICK: Final = 0.1
# And how often a program that closed its output whether it ended.
_NAP: Final = 0.002
_CHUNK: Final = 64 * 1024
# So many chunks empty any pipe (fs.pipe-max-size is 1 MiB) once its program has ended, whatever is still added by
# a process that it left behind.
_LAST_TURNS: Final = 16
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
    """The file that `program` would run, or None.

    Relative entries of PATH (an empty one is ``.``) do not count: programs run inside the repository.
    """
    places = filter(os.path.isabs, environ.get("PATH", os.defpath).split(os.pathsep))
    found = shutil.which(program, path=os.pathsep.join(places))
    return Path(found) if found else None


class Launcher:
    """Runs the programs of one run and can stop them all. Safe to use from several threads."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # No `threading.Event`: a signal handler may cancel, and what it interrupted may hold the lock of that.
        self._cancelled = False

    def cancel(self) -> None:
        """Stop what runs; until `resume`, whatever is started ends in `Cancelled`."""
        self._cancelled = True

    @property
    def is_cancelled(self) -> bool:
        """Whether the run is to end: nothing that takes time is begun any more."""
        return self._cancelled

    def resume(self) -> None:
        """Allow programs again: cleanup may need some."""
        self._cancelled = False

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
        memory_limit: int = 0,
    ) -> Completed:
        """Run `argv` and wait for its end.

        `environ` is the whole environment of the program (see `inherited`), `timeout` in seconds. `on_line`
        receives each line of both streams, scrubbed, as it comes. `memory_limit`, in bytes, is what the program
        may allocate; 0 is no limit, and so is everything where the system cannot limit another process.

        Raises `ProgramMissing`, `ProgramTimeout`, `Cancelled`, or `ProgramFailed` for an exit code that is not in
        `accept` or for more than `stdout_limit` bytes of output.
        """
        if self._cancelled:
            raise Cancelled(f"`{argv[0]}` was not started because the run is stopping")

        def start() -> _Child:
            process = self._start(argv, environ, cwd, feed=bool(stdin))
            if memory_limit:
                _limit_memory(process.pid, memory_limit)
            return _Child(process, self._redactor, on_line, stdout_limit)

        started = time.monotonic()
        starting = _Starting(start)
        try:
            child = starting.result()
            ended = child.pump(stdin, until=started + timeout, is_cancelled=lambda: self._cancelled)
            if ended is not _End.EXIT:
                child.stop()
        except BaseException:
            starting.undo()
            raise
        completed = Completed(
            argv=tuple(map(self._redactor.scrub, argv)),
            code=child.code,
            stdout=bytes(child.stdout),
            # Cut after scrubbing: the piece of a secret would not be recognised.
            stderr=self._redactor.scrub(child.stderr.decode("utf-8", "replace"))[-STDERR_KEPT:],
            duration=time.monotonic() - started,
        )
        return self._judge(completed, ended, timeout, accept, stdout_limit)

    def _start(
        self, argv: Sequence[str], environ: Mapping[str, str], cwd: Path | None, *, feed: bool
    ) -> subprocess.Popen[bytes]:
        program = argv[0]
        executable = program if os.sep in program else find(program, environ)
        if executable is None:
            raise ProgramMissing(f"the program `{program}` is not on the PATH", hint=_INSTALL)
        try:
            return subprocess.Popen(
                list(argv),
                executable=executable,
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=dict(environ),
                start_new_session=True,
            )
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            if cwd is not None and error.filename == cwd:
                raise Problem(f"`{program}` cannot run in the folder {cwd}: {error.strerror}") from error
            raise ProgramMissing(
                f"the program `{program}` cannot be run: {error.strerror}", hint=_INSTALL
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
                said = f": {completed.complaint}" if completed.complaint else ""
                raise ProgramFailed(f"`{shown}` {_how(completed.code)}{said}", completed=completed)
            case _End.EXIT:
                return completed


def _limit_memory(pid: int, limit: int) -> None:
    """Bound what the process `pid` may allocate from now on.

    From outside, right after its start: to do it between fork and exec would need a fork of this whole process,
    which is slow, and unsafe with threads. The limit is that of writable private memory (RLIMIT_DATA), since
    Go reserves more address space than it ever uses.
    """
    if sys.platform == "linux":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))


def _how(code: int) -> str:
    """How a program ended, from the code that Python gives it: below zero it is a signal."""
    if code >= 0:
        return f"ended with exit code {code}"
    known = {number.value: number.name for number in signal.Signals}
    return f"was ended by {known.get(-code, f'signal {-code}')}"


class _End(Enum):
    """Why a program is not waited for any more."""

    EXIT = auto()
    DEADLINE = auto()
    CANCELLED = auto()
    FLOOD = auto()


class _Starting:
    """The start of a program, in a thread of its own.

    A signal handler may raise in the main thread between any two steps, and a program whose number was not yet
    stored would be lost. Here it cannot be: such an exception hits the wait, never the start. `threading.Thread`
    and futures share locks with the waiting thread, which an exception can leave locked for good.
    """

    def __init__(self, start: Callable[[], _Child]) -> None:
        self._start = start
        self._begun = self._given_up = self._over = False
        self._wake = threading.Lock()
        self._wake.acquire()
        self._child: _Child | None = None
        self._error: BaseException | None = None

    def result(self) -> _Child:
        """Start, and return the running program or raise what kept it from running."""
        _thread.start_new_thread(self._work, ())
        self._wake.acquire()
        if self._child is None:
            assert self._error is not None  # noqa: S101 - `_work` sets one of the two
            raise self._error
        return self._child

    def undo(self) -> None:
        """Stop the program if it was, or still is being, started."""
        # Written before the other is read, in both threads: one of them at least sees what the other did.
        self._given_up = True
        while self._begun and not self._over:
            time.sleep(0.001)
        if self._child:
            self._child.stop()

    def _work(self) -> None:
        self._begun = True
        if self._given_up:
            return
        try:
            self._child = self._start()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            self._error = error
        self._over = True
        self._wake.release()


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
        self._turns_left = _LAST_TURNS
        self._closed = False
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

    def pump(self, stdin: bytes, *, until: float, is_cancelled: Callable[[], bool] = lambda: False) -> _End:
        """Feed and drain the program until it ends, `until` (monotonic seconds) passes or it is cancelled."""
        if self._process.stdin is not None:
            os.set_blocking(self._process.stdin.fileno(), False)
            self._selector.register(self._process.stdin, selectors.EVENT_WRITE, data=memoryview(stdin))
        while True:
            if is_cancelled():
                return _End.CANCELLED
            left = until - time.monotonic()
            if left <= 0:
                return _End.DEADLINE
            ended = self._turn(min(left, _TICK))
            if len(self.stdout) > self._limit:
                return _End.FLOOD
            if ended:
                for unfinished in filter(None, self._unfinished_line.values()):
                    self._emit(unfinished)
                self._close()
                return _End.EXIT

    def stop(self) -> None:
        """End the whole process group, first kindly. Whatever happens meanwhile, it ends."""
        if self._closed:
            return
        # It may be what failed.
        self._on_line = None
        try:
            self._forget(self._process.stdin)
            for signum, grace in _GRACE:
                self._signal(signum)
                deadline = time.monotonic() + grace
                while (left := deadline - time.monotonic()) > 0:
                    if self._turn(min(left, _TICK)):
                        return
        finally:
            self._close()

    def _turn(self, seconds: float) -> bool:
        """Wait at most `seconds` for something to happen and deal with it. True when all is over."""
        if not self._selector.get_map():
            if not self._reap(os.WNOHANG):
                time.sleep(min(seconds, _NAP))
            return self._reap(os.WNOHANG)
        ended = self._reap(os.WNOHANG)
        ready = self._selector.select(seconds)
        for key, _ in ready:
            if key.data is None:
                self._read(key.fileobj)  # type: ignore[arg-type]  # only pipes are registered
            else:
                self._write(key.fileobj, key.data)  # type: ignore[arg-type]
        # A pipe that stays open after its program ended is held by a process left behind, be it silent or busy.
        self._turns_left -= ended
        return ended and (not ready or self._turns_left == 0)

    def _read(self, pipe: IO[bytes]) -> None:
        data = pipe.read(_CHUNK)
        if data is None:
            return
        if not data:
            self._forget(pipe)
            return
        if pipe is self._err:
            self.stderr += data
            del self.stderr[: -2 * STDERR_KEPT]
        elif len(self.stdout) <= self._limit:
            self.stdout += data
        if self._on_line:
            *lines, rest = (self._unfinished_line[pipe] + data).split(b"\n")
            # A "line" that never ends must not grow without bound either.
            self._unfinished_line[pipe] = rest[-2 * STDERR_KEPT :]
            for line in lines:
                self._emit(line)

    def _emit(self, line: bytes) -> None:
        if self._on_line:
            text = line.decode("utf-8", "replace").rstrip("\r")
            self._on_line(self._redactor.scrub(text)[-STDERR_KEPT:])

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
        # Permission is denied for a group of zombies (macOS) and for programs that changed their user.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signum)

    def _close(self) -> None:
        """Let go of everything; whatever of the group is still there goes at once."""
        self._signal(signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            self._forget(pipe)
        self._selector.close()
        self._reap(0)
        self._closed = True

    def _reap(self, options: int) -> bool:
        """Whether the program has ended; without WNOHANG in `options`, wait for it.

        `Popen.wait` and `Popen.poll` share a lock that an exception out of a signal handler can leave locked.
        """
        if self._process.returncode is None:
            try:
                pid, status = os.waitpid(self._process.pid, options)
            except ChildProcessError:
                # Such an exception came between its end and the next line; it is what the caller will see.
                self._process.returncode = -signal.SIGKILL
            else:
                if pid:
                    self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode is not None
