"""What a run needs of the machine itself: Python, and places for its files."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sf.doctor.check import Check, failed
from sf.models import Problem

if TYPE_CHECKING:
    from sf.workspace import Workspace


def python() -> Check:
    """Which Python this is."""
    return Check(name="python", passed=True, detail=f"{platform.python_version()} ({sys.executable})")


def temporary_files(workspace: Workspace) -> tuple[Check, Path]:
    """Whether a run has a place for its files, and an empty folder there."""
    try:
        private, scratch = workspace.private, workspace.scratch
    except Problem as problem:
        return failed("temporary files", problem), Path(os.devnull)
    places = dict.fromkeys((str(private.parent), str(scratch.parent)))
    return Check(name="temporary files", passed=True, detail=", ".join(places)), scratch


def output_directory(path: Path) -> Check:
    """Whether reports can be written to `path`."""
    if path.is_symlink():
        return Check(
            name="output directory",
            passed=False,
            detail=f"{path} is a symbolic link",
            hint="remove the link, or name another directory with --out-dir",
        )
    if _is_writable(path):
        return Check(name="output directory", passed=True, detail=str(path))
    return Check(
        name="output directory",
        passed=False,
        detail=f"{path} cannot be written",
        hint="make it writable for this user, or name another directory with --out-dir",
    )


def cache(folder: Path) -> Check:
    """Whether anything is kept for the next run."""
    if _is_writable(folder):
        return Check(name="cache", passed=True, detail=str(folder))
    return Check(
        name="cache",
        passed=True,
        detail=f"{folder} cannot be written",
        hint="everything works without, only slower; SF_CACHE_DIR names another folder",
    )


def _is_writable(path: Path) -> bool:
    """Whether this user could make files in the folder `path`, which may still have to be made itself."""
    place = next(place for place in (path, *path.parents) if place.exists())
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)
