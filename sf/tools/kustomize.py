"""kustomize: builds a folder of files into objects. It runs no plugins and reaches no network from here."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sf.models import Problem
from sf.process import ProgramFailed, find, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.process import Launcher

PROGRAM: Final = "kustomize"
# The first release with the fields Flux 2.9 hands on (kustomize-controller 1.9 links kustomize API 0.21).
OLDEST: Final = (5, 4)
_TIMEOUT: Final = 120.0
# kustomize clones what looks like an address with the git it finds, and loads what looks like a URL through the
# proxy it finds. It finds no program and a proxy that answers nobody.
_NOBODY: Final = "http://127.0.0.1:1"
_ALONE: Final = {
    "PATH": os.devnull,
    "HOME": os.devnull,
    "KUSTOMIZE_PLUGIN_HOME": os.devnull,
    "NO_PROXY": "",
    "no_proxy": "",
    **dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), _NOBODY),
}
# Bytes. A small build lives for a moment: collecting its garbage four times less often saves a quarter of its CPU.
# A large one would hold four times the memory for a tenth of its CPU.
_SMALL: Final = 1024**2
_LITTLE_GARBAGE: Final = {"GOGC": "400"}
# Bytes. Ten times what the builds of 5,000 Kustomizations take; a build that wants more is a bomb.
_MEMORY_LIMIT: Final = 2 * 1024**3
# How Go begins to say that a program broke. Out of memory is one reason, and not always called by that name.
_CRASH: Final = re.compile(r"^(?:fatal error|panic|SIG[A-Z]+|unexpected fault address)\b.*", re.MULTILINE)
_VERSION: Final = re.compile(r"\bv?(\d+)\.(\d+)\.(\d+)")
# What Go calls a program that was not built from a tagged release, and so what Debian's says.
_UNRELEASED: Final = "(devel)"
UNRELEASED: Final = "devel"


class Kustomize:
    """The program on the PATH of this run."""

    def __init__(
        self,
        launcher: Launcher,
        environ: Mapping[str, str],
        *,
        timeout: float = _TIMEOUT,
        memory_limit: int = _MEMORY_LIMIT,
    ) -> None:
        """`timeout` (seconds) and `memory_limit` (bytes) are what one build may take."""
        self._launcher = launcher
        self._timeout = timeout
        self._memory_limit = memory_limit
        self._environ = inherited(environ)

    @cached_property
    def version(self) -> str:
        """``5.8.1``, or ``devel`` for a build that does not know its release.

        Raises `Problem` for a release too old to build as Flux does.
        """
        said = self._launcher.run([PROGRAM, "version"], timeout=_TIMEOUT, environ=self._environ).text
        if said.strip() == _UNRELEASED:
            return UNRELEASED
        numbers = _VERSION.search(said)
        if numbers is None:
            raise Problem(
                f"`kustomize version` does not say a version: {said.strip()[:80]!r}",
                hint="install kustomize from its releases; `sf doctor` shows which file runs",
            )
        version = ".".join(numbers.groups())
        if tuple(map(int, numbers.groups())) < OLDEST:
            raise Problem(
                f"kustomize {version} is too old: it builds differently from Flux",
                hint=f"install kustomize {'.'.join(map(str, OLDEST))} or newer",
            )
        return version

    @cached_property
    def identity(self) -> str:
        """What tells what one program builds from what another does: the release, or else the program's content.

        Raises `Problem` as `version` does, and when the file of the program cannot be read.
        """
        program = find(PROGRAM, self._environ)
        if self.version != UNRELEASED or program is None:
            return self.version
        try:
            with program.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise Problem(
                f"{program} does not know its release and cannot be read to be told from others: {error.strerror}",
                hint="make the file readable, or install kustomize from its releases",
            ) from error
        return f"{UNRELEASED} sha256:{content}"

    @cached_property
    def description(self) -> str:
        """Which description of Kubernetes this program has: ``{title:Kubernetes,version:v1.21.2}``.

        Empty when it does not say. Raises `Problem` when it cannot be asked.
        """
        command = [PROGRAM, "openapi", "info"]
        try:
            return self._launcher.run(command, timeout=_TIMEOUT, environ=self._environ).text.strip()
        except ProgramFailed:
            return ""

    def build(self, root: Path, folder: str, *, size: int = 0) -> str:
        """The objects that `folder` below `root` builds to, as YAML. `size`: the bytes of all files there.

        Raises `Problem` with kustomize's own message, paths relative to `root`.
        """
        program = find(PROGRAM, self._environ) or PROGRAM
        try:
            return self._launcher.run(
                [str(program), "build", "--load-restrictor", "LoadRestrictionsNone", str(root / folder)],
                timeout=self._timeout,
                environ=self._environ | _ALONE | (_LITTLE_GARBAGE if size < _SMALL else {}),
                cwd=root,
                memory_limit=self._memory_limit,
            ).text
        except ProgramFailed as error:
            if crash := _CRASH.search(error.completed.stderr):
                raise Problem(
                    f"kustomize crashed, with at most {self._memory_limit // 1024**2:,} MiB of memory: {crash[0]}",
                    hint="look for what makes the build so large, and split the Kustomization",
                ) from error
            raise Problem(_explained(error, root)) from error


def _explained(error: ProgramFailed, root: Path) -> str:
    said = " ".join(error.completed.stderr.split()) or error.message
    return said.replace(f"{root}/", "").replace(str(root), ".").removeprefix("Error: ")
