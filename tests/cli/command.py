"""Real `sf` processes in surroundings of their own: a home, a temporary folder, a PATH, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess  # noqa: TID251 - a command is tested from outside of its process
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Mapping

SF: Final = str(Path(sys.executable).with_name("sf"))
# Only a test that hangs gets there.
PATIENCE: Final = 120


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def hints(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("hint: ")]

    def refuses(self, code: int, error: str, hint: str = "") -> None:
        """It ended with `code` and one error; ``...`` in the texts stands for anything."""
        assert (self.code, len(self.errors)) == (code, 1), self
        assert _fits(self.errors[0], f"error: {error}"), self.errors
        assert "Traceback" not in self.err, self.err
        if hint:
            assert len(self.hints) == 1, self.err
            assert _fits(self.hints[0], f"hint: {hint}"), self.hints


def _fits(text: str, expected: str) -> bool:
    pattern = ".*".join(map(re.escape, expected.split("...")))
    return re.fullmatch(pattern, text) is not None


# Git and the shell, and what is installed beside sf: whatever else the machine has must not change a test.
BARE_PATH: Final = os.pathsep.join([str(Path(sys.executable).parent), os.defpath])


class Command:
    """`sf` with an environment that holds what is written here and nothing of the machine's."""

    def __init__(self, root: Path, path: str = BARE_PATH, **environ: str) -> None:
        self.root = root
        self.temporary, self.runtime, self.home = (root / name for name in ("tmp", "runtime", "home"))
        for folder in (self.temporary, self.runtime, self.home):
            folder.mkdir()
        self.environ: dict[str, str] = {
            "PATH": path,
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "80",
            **environ,
        }

    def __call__(self, *arguments: str, cwd: Path | None = None, **environ: str) -> Ended:
        """Run the command to its end. Whatever the end, nothing of it is left."""
        ended = self._run([SF, *arguments], cwd or self.root, environ)
        self.left_nothing()
        return ended

    def start(self, *arguments: str, cwd: Path | None = None, **environ: str) -> Running:
        return Running(self, arguments, cwd or self.root, environ)

    def sh(self, script: str, *, cwd: Path, **environ: str) -> Ended:
        """Run a line of shell in which ``"$SF"`` is the command."""
        ended = self._run(["sh", "-c", script], cwd, {**environ, "SF": SF})
        self.left_nothing()
        return ended

    def beside(self, *arguments: str) -> Ended:
        """Run the command to its end while another one runs."""
        return self._run([SF, *arguments], self.root, {})

    def _run(self, argv: list[str], cwd: Path, environ: Mapping[str, str]) -> Ended:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def path_with(self, program: str, script: str) -> str:
        """A PATH on which `program` is a shell script."""
        folder = self.root / "fakes"
        folder.mkdir(exist_ok=True)
        file = folder / program
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return f"{folder}:{self.environ['PATH']}"

    def path_without(self, missing: str) -> str:
        """A PATH with all programs but one."""
        folder = self.root / "programs"
        folder.mkdir()
        for place in self.environ["PATH"].split(os.pathsep):
            for program in Path(place).iterdir() if Path(place).is_dir() else ():
                link = folder / program.name
                if program.name != missing and not os.path.lexists(link):
                    link.symlink_to(program.resolve())
        return str(folder)

    @property
    def leftovers(self) -> list[Path]:
        return [*self.temporary.iterdir(), *self.runtime.iterdir()]

    def left_nothing(self) -> None:
        assert self.leftovers == []
        assert list(self.children()) == []

    def children(self) -> Iterator[tuple[int, dict[str, str], list[str]]]:
        """Every living process that was given our temporary folder: number, environment, arguments."""
        mark = f"TMPDIR={self.temporary}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                content = (folder / "environ").read_bytes().split(b"\0")
                if mark in content:
                    pairs = (entry.decode("utf-8", "replace").partition("=") for entry in content if entry)
                    arguments = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                    yield int(folder.name), {name: value for name, _, value in pairs}, arguments


class Running:
    """A command that runs, with its output going to files: no pipe of ours can hold it up."""

    def __init__(
        self, command: Command, arguments: tuple[str, ...], cwd: Path, environ: Mapping[str, str]
    ) -> None:
        self._command = command
        self._files = [command.root / name for name in ("stdout", "stderr")]
        out, err = (self._open(file) for file in self._files)
        with out, err:
            self.process = subprocess.Popen(
                [SF, *arguments],
                cwd=cwd,
                env={**command.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @staticmethod
    def _open(file: Path) -> IO[bytes]:
        return file.open("wb")

    def wait_for(self, reached: Callable[[], bool]) -> None:
        """Wait until the run is at the point that `reached` recognises."""
        patience = time.monotonic() + PATIENCE
        while not reached():
            assert self.process.poll() is None, f"it ended before: {self._said()}"
            assert time.monotonic() < patience, f"it did not get there: {self._said()}"
            time.sleep(0.005)

    def says(self, text: str) -> bool:
        return text in self._files[1].read_text()

    def send(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def ended(self) -> tuple[Ended, float]:
        """How it ended, and how many seconds that took from now."""
        started = time.monotonic()
        code = self.process.wait(PATIENCE)
        return Ended(code, *(file.read_text() for file in self._files)), time.monotonic() - started

    def _said(self) -> list[str]:
        return [file.read_text() for file in self._files]


def document(root: Path, name: str) -> dict[str, Any]:
    """A document of the last run in the repository at `root`."""
    read: dict[str, Any] = json.loads((root / "sf-out" / name).read_text())
    return read
