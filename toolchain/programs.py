"""Finds and runs foreign programs."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain.errors import ToolchainError

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/go/bin")
"""Folders that programs of the machine live in although an ordinary user's PATH lacks them."""

OUTPUT_LINES = 20
"""How much of a failed program's output an error repeats."""


def search_path(*first: Path) -> str:
    """Return a PATH: the given folders, the caller's own PATH, then SYSTEM_FOLDERS."""
    own = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(dict.fromkeys([*map(str, first), *own, *SYSTEM_FOLDERS]))


def find(program: str) -> str | None:
    """Return the path of a program of the machine, or None."""
    return shutil.which(program, path=search_path())


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> str:
    """Run a program to its end and return its stdout.

    `env` is laid over the caller's environment. Raises ToolchainError with the end of the output when
    the program cannot be started or fails.
    """
    command = [os.fspath(argument) for argument in argv]
    environment = {**os.environ, "PATH": search_path(), **(env or {})}
    # The child's PATH does not steer how the child itself is found; the caller's would.
    executable = shutil.which(command[0], path=environment["PATH"])
    if executable is None:
        raise ToolchainError(f"{command[0]} is not installed, or not in PATH")
    # C.UTF-8, because the answers of apt and git are read by programs here.
    done = subprocess.run(
        [executable, *command[1:]],
        cwd=cwd,
        env={**environment, "LC_ALL": "C.UTF-8"},
        input=stdin,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace").splitlines()
        raise ToolchainError(
            "\n  ".join([f"{shlex.join(command)} failed with {done.returncode}:", *output[-OUTPUT_LINES:]])
        )
    return done.stdout.decode(errors="replace")
