"""The door to the disk: the private directory of one run, and the files a run leaves behind on purpose.

A run keeps everything ephemeral in at most two directories of its own: ``private`` for secrets, in memory where
the system offers it, and ``scratch`` for what came from the repository. Both are 0700 and hold an flock for as
long as the run lives, so that the next run can tell leftovers of a killed one from a neighbour's, and sweep them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import tempfile  # noqa: TID251 - this is the door
import threading
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PREFIX: Final = "sf-run-"
# Memory-backed places, best first. A unix socket path must stay under 108 bytes, and these are short.
_MEMORY: Final = ("/dev/shm", "/run")  # noqa: S108 - used only for 0700 directories with random names
_ATTEMPTS: Final = 20


class Workspace:
    """The ephemeral directories of one run, made when first used, gone with `close`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        # Absolute, since programs run in folders of their own.
        self._disk = Path(environ.get("TMPDIR") or tempfile.gettempdir()).absolute()
        runtime = Path(environ.get("XDG_RUNTIME_DIR", ""))
        # A relative one is to be ignored, says the XDG base directory specification.
        self._memory = [runtime] * runtime.is_absolute() + [Path(place) for place in _MEMORY]
        self._claiming = threading.Lock()
        self._held: dict[str, tuple[Path, int]] = {}

    @property
    def private(self) -> Path:
        """For secrets and sockets: in memory if possible."""
        return self._directory("private", [*self._memory, self._disk])

    @property
    def scratch(self) -> Path:
        """For content of the repository, which may be large: on disk."""
        return self._directory("scratch", [self._disk])

    def write_private(self, name: str, data: bytes) -> Path:
        """Write a secret to a new 0600 file of `private` and return its path.

        Raises `Problem` when it cannot be written.
        """
        path = self.private / name
        try:
            _write_new(path, data, 0o600)
        except OSError as error:
            raise Problem(
                f"cannot write {path}: {error.strerror}",
                hint="a full memory-backed /dev/shm can be enlarged, or XDG_RUNTIME_DIR set to another place",
            ) from error
        return path

    def sweep(self) -> list[Path]:
        """Remove what killed runs of this user left, never what a living one holds. Returns what was removed."""
        return [
            path
            for place in dict.fromkeys([*self._memory, self._disk])
            for path in _leftovers(place)
            if _remove_if_abandoned(path)
        ]

    def close(self) -> None:
        """Remove both directories.

        Raises `Problem` naming what is still there.
        """
        failed = []
        while self._held:
            _, (path, descriptor) = self._held.popitem()
            try:
                if error := _remove(path):
                    failed.append(f"{path} ({error})")
            finally:
                os.close(descriptor)
        if failed:
            raise Problem(
                f"could not remove {', '.join(failed)}", hint="remove it by hand: it may hold secrets"
            )

    def _directory(self, kind: str, places: list[Path]) -> Path:
        with self._claiming:
            if kind not in self._held:
                self._held[kind] = _claim(places)
            return self._held[kind][0]


class OutputDirectory:
    """Where a run leaves its documents: ``sf-out/`` unless told otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the directory, hidden from git, and prove that it can be written.

        Raises `Problem` when it cannot.
        """
        try:
            if self.path.is_symlink():
                # A repository could commit a link that leads out of the checkout.
                raise Problem(
                    f"the output directory {self.path} is a symbolic link",
                    hint="remove the link, or name another directory with --out-dir",
                )
            self.path.mkdir(parents=True, exist_ok=True)
            is_new = not any(self.path.iterdir())
        except OSError as error:
            raise self._unwritable(error) from error
        # In a folder that holds something (``--out-dir .``) it would hide the user's own files from git.
        if is_new:
            self.write(".gitignore", b"*\n")
        else:
            self.write(".sf-probe", b"").unlink()

    def write(self, name: str, data: bytes) -> Path:
        """Replace the file `name` in one step.

        Raises `Problem` when it cannot be written.
        """
        target = self.path / name
        try:
            write_atomic(target, data)
        except OSError as error:
            raise self._unwritable(error) from error
        return target

    def _unwritable(self, error: OSError) -> Problem:
        return Problem(
            f"the output directory {self.path} cannot be written: {error.strerror or error}",
            hint="make it writable for this user, or name another directory with --out-dir",
        )


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put `data` at `path` by rename: a reader sees the old file or the new one, never half of it.

    A symbolic link at `path` is replaced, not followed.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        _write_new(scratch, data, mode)
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def append_text(path: Path, text: str) -> None:
    """Append `text` to a file that something else owns, such as a CI runner's summary.

    Raises `OSError`.
    """
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def write_tree(root: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` (path below `root` with ``/`` to content) as plain files without execute bit.

    A symbolic link in the place of a file is replaced. Raises `Problem` for a path that would leave `root`, be it
    through a link in the place of a folder, and when something cannot be written.
    """
    made = {root}
    for name, data in files.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name:
            raise Problem(f"the path {name!r} leads out of its folder and is not written")
        path = root.joinpath(*parts)
        try:
            _make_folders(path.parent, made)
            path.unlink(missing_ok=True)
            _write_new(path, data, 0o644)
        except (OSError, UnicodeEncodeError) as error:
            raise Problem(f"cannot write {name!r} below {root}: {error}") from error


def drop_tree(root: Path) -> None:
    """Remove what `write_tree` wrote. Whatever cannot be removed goes with the run's own directory."""
    shutil.rmtree(root, ignore_errors=True)


def _make_folders(folder: Path, made: set[Path]) -> None:
    """Make `folder` and its parents up to one in `made`, following no link; adds them to `made`."""
    if folder in made:
        return
    _make_folders(folder.parent, made)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(folder))
    made.add(folder)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _claim(places: list[Path]) -> tuple[Path, int]:
    """A new private directory in the first place that can hold it, and the descriptor of its lock."""
    reasons = []
    for place in places:
        try:
            return _make(place)
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
    raise Problem(
        f"no place for temporary files: {'; '.join(reasons)}",
        hint="set TMPDIR to a directory this user can write",
    )


def _make(place: Path) -> tuple[Path, int]:
    for _ in range(_ATTEMPTS):
        path = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getuid()}-", dir=place))
        # Between the two steps a sweeping neighbour may take the new directory for an abandoned one.
        with contextlib.suppress(FileNotFoundError):
            descriptor = _lock(path)
            if descriptor is not None:
                return path, descriptor
    raise OSError(errno.EAGAIN, "every new directory was swept away", str(place))


def _lock(path: Path) -> int | None:
    """The descriptor of a lock on the directory `path`, or None when another process holds it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor)):
            return descriptor
    except OSError:
        os.close(descriptor)
        return None
    os.close(descriptor)
    return None


def _leftovers(place: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(f"{_PREFIX}{os.getuid()}-") and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _remove_if_abandoned(path: Path) -> bool:
    try:
        if path.stat(follow_symlinks=False).st_uid != os.getuid():
            return False
        descriptor = _lock(path)
    except OSError:
        return False
    if descriptor is None:
        return False
    try:
        return _remove(path) is None
    finally:
        os.close(descriptor)


def _remove(path: Path) -> OSError | None:
    """Remove the tree at `path`; the first error that kept something of it, or None."""
    if not path.exists():
        return None
    try:
        shutil.rmtree(path)
    except OSError:
        # A program may have taken the write bit of its folders; give it back and try once more.
        path.chmod(stat.S_IRWXU)
        for folder, subfolders, _ in os.walk(path):
            # Before the walk enters them: it could not list them. Links to folders are among them.
            for subfolder in (Path(folder, name) for name in subfolders):
                with contextlib.suppress(OSError):
                    if not subfolder.is_symlink():
                        subfolder.chmod(stat.S_IRWXU)
        try:
            shutil.rmtree(path)
        except OSError as error:
            return error
    return None
