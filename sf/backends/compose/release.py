"""The files of a stack on the host: one folder that never moves, changed only where the manifest says it is ours.

Every file is replaced by rename. What a container wrote beside our files is never touched, and no link that a
container may have put in our way is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from sf.backends.compose.record import FOLDER
from sf.models import Problem, pretty_json
from sf.workspace import write_atomic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.backends.compose.record import Deployed
    from sf.backends.compose.tree import Folder

CONTENT_FILE: Final = f"{FOLDER}/content.json"
CONTENT_LABEL: Final = "sf.content"
_PREVIOUS: Final = "previous"


def content_labels(services: Mapping[str, Deployed]) -> bytes:
    """A compose file that labels each service with the content it reads.

    Compose recreates a container when its labels change and does not look at what it mounts, so this is what makes
    a changed file reach exactly the services that use it.
    """
    labelled = {
        name: {"labels": {CONTENT_LABEL: service.content_label}}
        for name, service in services.items()
        if service.content_label
    }
    return pretty_json({"services": labelled})


def desired_files(folder: Folder) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every file of the stack.

    Raises `Problem` when the stack brings files of its own where sf keeps its.
    """
    if taken := next((name for name in folder.files if name.split("/", 1)[0] == FOLDER), None):
        raise Problem(
            f"{folder.path}/{taken} is where sf keeps its own files on the host", hint="rename that folder"
        )
    contents = folder.contents()
    return {
        name: (contents[name], 0o755 if file.executable else 0o644) for name, file in folder.files.items()
    }


def manifest(files: Mapping[str, tuple[bytes, int]]) -> dict[str, str]:
    """What a record says of `files`: sha256 by path."""
    return {name: hashlib.sha256(data).hexdigest() for name, (data, _) in sorted(files.items())}


def is_writable(folder: Path) -> bool:
    """Whether this user may make `folder`, or files in it."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def make_project(project: Path) -> None:
    """Have the folder of a project, for its owner only: containers reach their mounts without passing through it.

    Raises `Problem`.
    """
    try:
        project.parent.mkdir(parents=True, exist_ok=True)
        project.mkdir(mode=0o700, exist_ok=True)
        (project / FOLDER).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unwritable(project, error) from error


def refuse_foreign(project: Path, files: Mapping[str, tuple[bytes, int]], managed: Mapping[str, str]) -> None:
    """Raise `Problem` when a file would replace one that is not `managed` and says something else."""
    for name, (data, mode) in sorted(files.items()):
        if name not in managed and os.path.lexists(project / name) and not _is(project, name, data, mode):
            raise Problem(
                f"{project / name} is part of the stack now, and a file that sf did not write is there already",
                hint="move it away, or commit it as it is there",
            )


def place_files(
    project: Path,
    files: Mapping[str, tuple[bytes, int]],
    managed: Mapping[str, str],
    *,
    keep_previous: bool = True,
) -> tuple[str, ...]:
    """Make the `managed` files those of `files`; what was there before is kept as the previous release.

    Without `keep_previous` an older one is kept. Returns the paths that changed. Raises `Problem`.
    """
    gone = sorted(set(managed) - set(files))
    written = sorted(name for name, (data, mode) in files.items() if not _is(project, name, data, mode))
    if not gone and not written:
        return ()
    try:
        if keep_previous:
            _keep_previous(project, managed)
        for name in written:
            data, mode = files[name]
            path = _reach(project, name)
            write_atomic(path, data, mode)
            # The mask of this process must not decide what a container may read.
            path.chmod(mode)
        for name in gone:
            _remove(project, name)
    except OSError as error:
        raise _unwritable(project, error) from error
    return (*written, *gone)


def write_content_labels(project: Path, services: Mapping[str, Deployed]) -> None:
    """Write `CONTENT_FILE`. Raises `Problem`."""
    try:
        write_atomic(project / CONTENT_FILE, content_labels(services), mode=0o600)
    except OSError as error:
        raise _unwritable(project, error) from error


def edited_files(project: Path, managed: Mapping[str, str]) -> tuple[str, ...]:
    """The managed files that are no longer what sf wrote, missing ones included."""
    return tuple(name for name, digest in sorted(managed.items()) if _digest(project, name) != digest)


def _is(project: Path, name: str, data: bytes, mode: int) -> bool:
    path = project / name
    with contextlib.suppress(OSError):
        about = path.lstat()
        return (
            stat.S_ISREG(about.st_mode) and stat.S_IMODE(about.st_mode) == mode and path.read_bytes() == data
        )
    return False


def _digest(project: Path, name: str) -> str:
    path = project / name
    with contextlib.suppress(OSError):
        if stat.S_ISREG(path.lstat().st_mode):
            return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""


def _reach(project: Path, name: str) -> Path:
    """The path of `name`, its folders made. Raises `Problem` when one of them is something else."""
    place = project
    for part in PurePosixPath(name).parts[:-1]:
        place /= part
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o755)
            place.chmod(0o755)
        if not stat.S_ISDIR(place.lstat().st_mode):
            raise Problem(
                f"{place} should be a folder of the stack and is something else on the host",
                hint="a container or a person put it there: move it away",
            )
    path = place / PurePosixPath(name).name
    if path.is_dir() and not path.is_symlink():
        raise Problem(
            f"{path} should be a file of the stack and is a folder on the host",
            hint="the engine makes a folder where a mounted file is missing: remove it, if it is empty",
        )
    return path


def _remove(project: Path, name: str) -> None:
    """Remove the file and then the folders that it leaves empty."""
    path = project / name
    if any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(project)):
        return
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for parent in path.parents:
            if parent == project:
                break
            parent.rmdir()


def _keep_previous(project: Path, managed: Mapping[str, str]) -> None:
    """Copy the files that are there now to ``.sf/previous``, in place of what was there."""
    copy = project / FOLDER / f"{_PREVIOUS}.new"
    final = project / FOLDER / _PREVIOUS
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    for name in managed:
        source = project / name
        if _digest(project, name):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    shutil.rmtree(final, ignore_errors=True)
    copy.rename(final)


def _unwritable(project: Path, error: OSError) -> Problem:
    return Problem(
        f"the folder {project} cannot be written: {error.strerror or error}",
        hint=f"make it writable for this user: sudo install -d -o \"$(id -un)\" '{project.parent}'",
    )
