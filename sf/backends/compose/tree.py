"""The files of one commit, read from git's object store: the work tree plays no part."""

from __future__ import annotations

import hashlib
import posixpath
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sf.models import Location, Problem, canonical_json
from sf.workspace import write_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from sf.tools.git import TreeEntry

    Read = Callable[[Iterable[str]], dict[str, bytes]]

_LINK: Final = "120000"
_EXECUTABLE: Final = "100755"
_MOST_LINKS: Final = 16


@dataclass(frozen=True, slots=True)
class File:
    """One regular file: the id of its blob, and whether git marks it executable."""

    oid: str
    executable: bool = False

    @property
    def id(self) -> str:
        """What a container can tell of the file: its content, and whether it can be run."""
        return f"{self.oid}+x" if self.executable else self.oid


class Blobs:
    """Contents of blobs by id, each read once: a process costs more than what it reads."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[str, bytes] = {}

    def __call__(self, oids: Iterable[str]) -> dict[str, bytes]:
        wanted = set(oids)
        if missing := sorted(wanted - self._known.keys()):
            self._known |= self._read(missing)
        return {oid: self._known[oid] for oid in wanted}


class Folder:
    """The files below one folder of the repository, by path relative to it.

    Symbolic links are replaced by what they point to. ``escapes`` holds a problem for each link that leaves the
    folder or leads nowhere, and for each submodule.
    """

    def __init__(
        self, path: str, files: Mapping[str, File], escapes: tuple[Problem, ...], read: Read
    ) -> None:
        self.path = path
        self.files = files
        self.escapes = escapes
        self._read = read

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def content(self, name: str) -> bytes:
        """The content of the file `name`. Raises `KeyError` when there is none."""
        oid = self.files[name].oid
        return self._read([oid])[oid]

    def contents(self) -> dict[str, bytes]:
        """The content of every file."""
        blobs = self._read({file.oid for file in self.files.values()})
        return {name: blobs[file.oid] for name, file in self.files.items()}

    def blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """The contents of blobs of the same repository, by id: one question for the files of many folders."""
        return self._read(oids)

    def read_ahead(self, others: Iterable[Folder]) -> None:
        """Have the contents of this folder and of `others` read together, where they are remembered."""
        self._read({file.oid for folder in (self, *others) for file in folder.files.values()})

    def below(self, name: str) -> dict[str, File]:
        """The file `name`, or every file below the folder `name` (``.`` for all); empty when there is neither."""
        if name in self.files:
            return {name: self.files[name]}
        prefix = "" if name == "." else f"{name}/"
        return {path: file for path, file in self.files.items() if path.startswith(prefix)}

    @cached_property
    def identity(self) -> str:
        """What the whole folder holds, as an id that only its content decides."""
        listing = [[path, file.id] for path, file in self.files.items()]
        unread = [problem.message for problem in self.escapes]
        return hashlib.sha256(canonical_json([listing, unread])).hexdigest()

    def materialise(self, root: Path) -> None:
        """Write every file below `root`, plain and without execute bit."""
        write_tree(root, self.contents())


class Tree:
    """The listing of one git tree."""

    def __init__(self, entries: Iterable[TreeEntry], read: Read) -> None:
        self._entries = {entry.path: entry for entry in entries if entry.kind != "tree"}
        self._paths = sorted(self._entries)
        self._read = read

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def file(self, path: str) -> File | None:
        """The plain file at `path`; None for anything else."""
        entry = self._entries.get(path)
        if entry is None or entry.kind != "blob" or entry.mode == _LINK:
            return None
        return File(entry.oid, entry.mode == _EXECUTABLE)

    def content(self, file: File) -> bytes:
        return self._read([file.oid])[file.oid]

    def paths(self, folder: str) -> list[str]:
        """Every path below `folder` (empty for the root), whole, sorted."""
        prefix = f"{folder}/" if folder else ""
        start = bisect_left(self._paths, prefix)
        found = []
        for path in self._paths[start:]:
            if not path.startswith(prefix):
                break
            found.append(path)
        return found

    def folder(self, path: str) -> Folder:
        """The files below `path`."""
        prefix = f"{path}/" if path else ""
        entries = {name.removeprefix(prefix): self._entries[name] for name in self.paths(path)}
        links = {name: entry.oid for name, entry in entries.items() if entry.mode == _LINK}
        texts = self._read(links.values()) if links else {}
        targets = {name: texts[oid].decode("utf-8", "surrogateescape") for name, oid in links.items()}
        files: dict[str, File] = {}
        escapes: list[Problem] = []
        for name, entry in entries.items():
            if entry.kind == "commit":
                escapes.append(
                    _problem(prefix + name, "is a submodule, whose content is in another repository")
                )
            elif name in targets:
                pointed = _follow(name, targets, entries)
                if not pointed:
                    escapes.append(_problem(prefix + name, "is a symbolic link that leads out of its folder"))
                files.update(pointed)
            else:
                files[name] = File(entry.oid, entry.mode == _EXECUTABLE)
        return Folder(path, dict(sorted(files.items())), tuple(escapes), self._read)


def _follow(link: str, targets: Mapping[str, str], entries: Mapping[str, TreeEntry]) -> dict[str, File]:
    """The files that `link` stands for, at their paths below it; none when it leads out, nowhere or in circles."""
    name = link
    for _ in range(_MOST_LINKS):
        target = targets[name]
        name = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        if target.startswith("/") or name == ".." or name.startswith("../"):
            return {}
        if name not in targets:
            break
    if name in entries:
        return (
            {link: File(entries[name].oid, entries[name].mode == _EXECUTABLE)} if name not in targets else {}
        )
    # A folder: its plain files only, since a link below it may lead back here.
    prefix = "" if name == "." else f"{name}/"
    return {
        f"{link}/{path.removeprefix(prefix)}": File(entry.oid, entry.mode == _EXECUTABLE)
        for path, entry in entries.items()
        if path.startswith(prefix) and path not in targets and entry.kind == "blob"
    }


def _problem(path: str, what: str) -> Problem:
    return Problem(
        f"{path} {what}, and is not read",
        hint="put a copy of what the stack needs into its folder",
        location=Location(path),
    )
