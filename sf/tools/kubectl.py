"""kubectl: what an operator would type, in a run's own surroundings."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sf.models import Problem
from sf.process import ProgramFailed, ProgramTimeout, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sf.process import Completed, Launcher

PROGRAM: Final = "kubectl"
_TIMEOUT: Final = 60.0
_VERSION: Final = re.compile(r"\bv(\d+\.\d+\.\d+)")
_PREFIXES: Final = ("error: ", "Error from server ", "Unable to connect to the server: ")
# What the API server says to a request that is as good as any other, and may be sent again.
_PASSING: Final = re.compile(
    r"Error from server \((?:InternalError|ServiceUnavailable|ServerTimeout|Timeout|TooManyRequests|Conflict)\)"
    r"|Unable to connect to the server|The connection to the server .* was refused"
    r"|Unauthorized|logged in to the server|EOF|connection reset|context deadline exceeded|timed? ?out|etcdserver"
)


class Passing(Problem):
    """It went wrong for a reason that has nothing to do with what was asked for, and may be tried again."""


def isolated(environ: Mapping[str, str], kubeconfig: Path, home: Path) -> dict[str, str]:
    """The environment in which kubectl and flux know one cluster and nothing of the user's.

    `home` is an empty folder: the user's holds a kubeconfig, a cache, and preferences for commands (kuberc).
    """
    return {**inherited(environ), "KUBECONFIG": str(kubeconfig), "HOME": str(home)}


class Kubectl:
    """The program on the PATH of this run, with an environment as `isolated` makes it."""

    def __init__(self, launcher: Launcher, environ: Mapping[str, str]) -> None:
        self._launcher = launcher
        self._environ = environ

    @cached_property
    def version(self) -> str:
        """``1.36.3``, or what it says instead."""
        said = self.run(["version", "--client"]).text.strip()
        numbers = _VERSION.search(said)
        return numbers[1] if numbers else said

    def run(
        self,
        arguments: Sequence[str],
        *,
        timeout: float = _TIMEOUT,
        stdin: bytes = b"",
        accept: Sequence[int] = (0,),
    ) -> Completed:
        """Run it and return what it printed; `timeout` in seconds.

        Raises `Problem` with kubectl's own message, `Passing` where it may be tried again.
        """
        try:
            return self._launcher.run(
                [PROGRAM, *arguments], timeout=timeout, environ=self._environ, stdin=stdin, accept=accept
            )
        except ProgramTimeout:
            raise
        except ProgramFailed as error:
            kind = Passing if _PASSING.search(error.completed.stderr) else Problem
            raise kind(_explained(error)) from error


def _explained(error: ProgramFailed) -> str:
    said = error.completed.complaint
    for prefix in _PREFIXES:
        said = said.removeprefix(prefix)
    return said or error.message
