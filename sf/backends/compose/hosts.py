"""The machines with engines: this one, and those that are reached over ssh. Both run the same script, ``host.sh``.

A `Machine` runs one operation of it at a time and has the engine to read from. The script deploys on the machine
that owns the engine, where a relative path means the same to compose and to the engine.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final, Protocol

from sf.models import Problem
from sf.tools.docker import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sf.process import Completed, Launcher
    from sf.tools.ssh import Connection

SCRIPT: Final = "host.sh"
# Seconds for an operation that only reads.
LOOKING: Final = 60.0


class Machine(Protocol):
    """One machine with an engine. Every method raises `Problem` when it cannot be reached."""

    name: str

    @property
    def engine(self) -> Engine:
        """The engine, once `attach` was called."""

    def reach(self) -> None:
        """Do nothing, if that can be done there."""

    def refuse_elsewhere(self) -> None:
        """Raise `Problem` when files that we put there are not where its engine would mount them from."""

    def attach(self, socket: str) -> None:
        """Read from the engine at `socket`, which is a path on the machine."""

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        timeout: float = LOOKING,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run an operation of the script; its exit code is no verdict."""

    def close(self) -> None:
        """Let go of it."""


class LocalMachine:
    """The machine that sf runs on. `environ` is what the script gets."""

    def __init__(
        self, name: str, engine: Engine, launcher: Launcher, environ: Mapping[str, str], stack_dir: Path
    ) -> None:
        self.name = name
        self.engine = engine
        self._launcher = launcher
        self._environ = environ
        self._stack_dir = stack_dir

    def reach(self) -> None:
        """It is this one."""

    def attach(self, socket: str) -> None:  # noqa: ARG002 - the engine is found without looking
        self.refuse_elsewhere()

    def refuse_elsewhere(self) -> None:
        """It is so when we run in a container and the engine does not."""
        if not self.engine.sees(self._stack_dir):
            raise Problem(
                f"sf runs in a container, and {self._stack_dir} in it is not the one of the machine with the"
                " engine: files that stacks mount would be missing there",
                hint=f"start the container with `--volume {self._stack_dir}:{self._stack_dir}`",
            )

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        timeout: float = LOOKING,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        return self._launcher.run(
            script(*arguments),
            timeout=timeout,
            environ=self._environ,
            stdin=stdin,
            accept=range(-64, 256),
            on_line=on_line,
        )

    def close(self) -> None:
        self.engine.close()


class SshMachine:
    """A machine at the end of a connection, which is made when first used and made again when it was lost."""

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self._connection = connection
        self._socket = ""
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            raise Problem(f"nothing is known of the Docker Engine of {self.name} yet")
        return self._engine

    def reach(self) -> None:
        if self._connection.open() and self._socket:
            self.attach(self._socket)

    def refuse_elsewhere(self) -> None:
        """The script runs where the engine does."""

    def attach(self, socket: str) -> None:
        if not socket.startswith("/"):
            raise Problem(f"{self.name} does not say where its Docker Engine is")
        if self._engine is not None:
            self._engine.close()
        self._socket = socket
        self._engine = Engine(self._connection.forward(socket), host=self.name)

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        timeout: float = LOOKING,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        self.reach()
        return self._connection.run(script(*arguments), stdin=stdin, timeout=timeout, on_line=on_line)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._connection.close()


def script(*arguments: str) -> list[str]:
    """The command line that runs an operation of the script."""
    text = files(__package__).joinpath(SCRIPT).read_text("utf-8")
    return ["sh", "-c", text, "sf", *arguments]
