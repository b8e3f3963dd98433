"""kustomize: builds a folder of files into objects. It runs no plugins and reaches no network from here."""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sf.models import Problem
from sf.process import ProgramFailed, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.process import Launcher

PROGRAM: Final = "kustomize"
# The first release with the fields Flux 2.9 hands on (kustomize-controller 1.9 links kustomize API 0.21).
OLDEST: Final = (5, 4)
_TIMEOUT: Final = 120.0
_VERSION: Final = re.compile(r"\bv?(\d+)\.(\d+)\.(\d+)")


class Kustomize:
    """The program on the PATH of this run."""

    def __init__(self, launcher: Launcher, environ: Mapping[str, str]) -> None:
        self._launcher = launcher
        # kustomize would clone what looks like an address with the git and the proxies it finds. It finds none.
        self._environ = {**inherited(environ), "KUSTOMIZE_PLUGIN_HOME": os.devnull, "HOME": os.devnull}

    @cached_property
    def version(self) -> str:
        """``5.8.1``; raises `Problem` for a release too old to build as Flux does."""
        said = self._launcher.run([PROGRAM, "version"], timeout=_TIMEOUT, environ=self._environ).text
        numbers = _VERSION.search(said)
        if numbers is None:
            raise Problem(
                f"`kustomize version` does not say a version: {said.strip()!r}",
                hint="install kustomize from its releases; `sf doctor` shows which file runs",
            )
        version = ".".join(numbers.groups())
        if tuple(map(int, numbers.groups())) < OLDEST:
            raise Problem(
                f"kustomize {version} is too old: it builds differently from Flux",
                hint=f"install kustomize {'.'.join(map(str, OLDEST))} or newer",
            )
        return version

    def build(self, root: Path, folder: str) -> str:
        """The objects that `folder` below `root` builds to, as YAML.

        Raises `Problem` with kustomize's own message, paths relative to `root`.
        """
        try:
            return self._launcher.run(
                [PROGRAM, "build", "--load-restrictor", "LoadRestrictionsNone", str(root / folder)],
                timeout=_TIMEOUT,
                environ=self._environ,
                cwd=root,
            ).text
        except ProgramFailed as error:
            raise Problem(_explained(error, root)) from error


def _explained(error: ProgramFailed, root: Path) -> str:
    said = " ".join(error.completed.stderr.split()) or error.message
    return said.replace(f"{root}/", "").replace(str(root), ".").removeprefix("Error: ")
