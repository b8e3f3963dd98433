"""Real git repositories for tests, made with fixed authors and dates."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sf.process import Launcher
from sf.redact import Redactor
from sf.tools.git import Git

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVIRON: Final[Mapping[str, str]] = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.test",
    "GIT_AUTHOR_DATE": "2024-01-01T00:00:00Z",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.test",
    "GIT_COMMITTER_DATE": "2024-01-01T00:00:00Z",
}


class Repository:
    """A repository on disk that a test writes to with plain git and reads through `Git`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._launcher = Launcher(Redactor())

    @classmethod
    def init(cls, root: Path, *options: str) -> Repository:
        root.mkdir(parents=True)
        repository = cls(root)
        repository.git("init", "--quiet", "--initial-branch=main", *options)
        return repository

    @property
    def url(self) -> str:
        return self.root.as_uri()

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        done = self._launcher.run(["git", *arguments], cwd=self.root, environ=ENVIRON, timeout=60)
        return done.text.strip()

    def write(self, files: Mapping[str, str]) -> None:
        for path, content in files.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    def commit(self, files: Mapping[str, str] | None = None, message: str = "change") -> str:
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.head

    def clone(self, root: Path, *options: str) -> Repository:
        self.git("clone", "--quiet", *options, self.url, str(root))
        return Repository(root)

    def open(self, environ: Mapping[str, str] = ENVIRON) -> Git:
        return Git(self._launcher, self.root, environ)
