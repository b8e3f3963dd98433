"""Results that are worth keeping between runs: content-addressed, bounded, safe to lose.

An entry is a file named after its key that begins with the hash of its content, so that a damaged one is noticed
and dropped. Writing is by rename: parallel runs, and a folder that a CI restores and saves, never see half an
entry. Nothing secret may be put here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sf.workspace import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT: Final = 256 * 1024 * 1024
# What is used stays: reading an entry renews it, at most once in this many seconds.
_RENEW_AFTER: Final = 24 * 3600.0
_DIGEST: Final = hashlib.sha256().digest_size


class Cache:
    """Entries below one folder. Without a folder nothing is kept, and every look-up misses."""

    def __init__(self, folder: Path | None, limit: int = LIMIT) -> None:
        self._folder = folder
        self._limit = limit
        self._written = False
        #: Entries that were damaged and dropped, for the debug log.
        self.dropped: list[str] = []

    def __contains__(self, key: str) -> bool:
        """Whether there is an entry, which may still turn out to be damaged."""
        return self._folder is not None and self._path(key).exists()

    def get(self, key: str) -> bytes | None:
        """The content stored under `key` (a file name), or None."""
        if self._folder is None:
            return None
        path = self._path(key)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        content = stored[_DIGEST:]
        if hashlib.sha256(content).digest() != stored[:_DIGEST]:
            self.dropped.append(key)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _RENEW_AFTER:
                os.utime(path)
        return content

    def put(self, key: str, content: bytes) -> None:
        """Store `content`. A folder that cannot be written is no reason to fail."""
        if self._folder is None:
            return
        path = self._path(key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, hashlib.sha256(content).digest() + content)
            self._written = True

    def prune(self) -> None:
        """Drop the entries that were not used for the longest time until the rest fits the limit."""
        if self._folder is None or not self._written:
            return
        entries = sorted(_entries(self._folder), reverse=True)
        total = 0
        for _, size, path in entries:
            total += size
            if total > self._limit:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _path(self, key: str) -> Path:
        assert self._folder is not None  # noqa: S101 - every caller has looked
        return self._folder / key[:2] / key


def cache_folder(environ: Mapping[str, str], *, on_laptop: bool) -> Path | None:
    """``SF_CACHE_DIR``, or the user's cache folder on a laptop. A CI job keeps nothing unless it is told where."""
    if named := environ.get("SF_CACHE_DIR"):
        return Path(named)
    if not on_laptop:
        return None
    home = environ.get("XDG_CACHE_HOME") or (f"{environ['HOME']}/.cache" if environ.get("HOME") else "")
    return Path(home) / "sf" if home.startswith("/") else None


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(time of last use, size, path) of every entry."""
    for path in folder.glob("??/*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            yield status.st_mtime, status.st_size, path
