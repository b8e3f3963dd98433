"""flux: the command line of Flux, for what only its own code can tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sf.models import Problem
from sf.process import ProgramFailed, ProgramMissing, find, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.process import Launcher

PROGRAM: Final = "flux"
_TIMEOUT: Final = 60.0
# What the scanner of `flux envsubst` takes for one line (Go, bufio.MaxScanTokenSize); it ignores the rest.
_LONGEST_LINE: Final = 64 * 1024
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+")


class Flux:
    """The program on the PATH of this run."""

    def __init__(self, launcher: Launcher, environ: Mapping[str, str]) -> None:
        self._launcher = launcher
        self._environ = inherited(environ)

    def version(self) -> str:
        """``2.9.5``, or what it says instead."""
        said = self._launcher.run(
            [PROGRAM, "--version"], timeout=_TIMEOUT, environ=self._environ
        ).text.strip()
        numbers = _VERSION.search(said)
        return numbers[0] if numbers else said

    def envsubst(self, text: str, values: Mapping[str, str]) -> str:
        """`text` with ``${...}`` expanded line by line from `values` alone.

        A name without value or default is a `Problem`, and so is a line that flux would silently stop at.
        """
        program = find(PROGRAM, self._environ)
        if program is None:
            raise ProgramMissing(
                "a substitution needs the flux program, which is not on the PATH",
                hint="install flux 2.9 or newer; only expressions such as `${x^^}` or `${x/a/b}` need it",
            )
        data = text.encode("utf-8", "surrogateescape")
        if max(map(len, data.split(b"\n"))) >= _LONGEST_LINE:
            raise Problem(
                f"a line of more than {_LONGEST_LINE:,} bytes holds an expression that only flux can resolve",
                hint="use plain expressions (`${x}`, `${x:=default}`) there, or break the line",
            )
        try:
            # The values are the whole environment: a variable named PATH is a value like any other.
            expanded = self._launcher.run(
                [str(program), "envsubst", "--strict"], timeout=_TIMEOUT, environ=values, stdin=data
            ).text
        except ProgramFailed as error:
            raise Problem(error.completed.complaint.lstrip("✗ ") or error.message) from error
        # It ends every line, the last as well.
        return expanded if text.endswith("\n") else expanded.removesuffix("\n")
