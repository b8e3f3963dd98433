"""The folder that outlives the checkout: one subfolder a tier, named after what is pinned."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.progress import say, step


def home() -> Path:
    """Return the cache folder: $SF_TOOLCHAIN, else sf-toolchain in the user's cache."""
    chosen = os.environ.get("SF_TOOLCHAIN")
    if chosen:
        return Path(chosen).absolute()
    caches = os.environ.get("XDG_CACHE_HOME")
    return (Path(caches) if caches else Path.home() / ".cache") / "sf-toolchain"


def key(parts: dict[str, bytes]) -> str:
    """Return 12 hex digits that change when any name or content in `parts` does, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        for field in (name.encode(), parts[name]):
            digest.update(len(field).to_bytes(8, "big") + field)
    return digest.hexdigest()[:12]


def ensure(folder: Path, build: Callable[[Path], None]) -> None:
    """Have `build` fill `folder` unless it is there.

    It is filled under another name and renamed at the end, so a folder that is there is complete. A
    second process waits for the first one.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(folder.with_name(f"{folder.name}.lock")):
        if folder.is_dir():
            return
        partial = folder.with_name(f"{folder.name}.partial")
        # What a killed build left: nobody else writes here while the lock is held.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            with step(f"made {folder}"):
                build(partial)
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, after waiting for whoever holds it."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that holds {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
