"""The files of one commit, as Flux would find them on disk, without a checkout.

Everything here works on the listing of a git tree: paths and object ids. The content of a file is read only when
somebody needs it, many at a time.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sf.tools.git import TreeEntry

    Read = Callable[[Iterable[str]], dict[str, bytes]]

# The names kustomize looks for, in its order (sigs.k8s.io/kustomize/api/konfig, RecognizedKustomizationFileNames).
KUSTOMIZATION_FILES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MANIFEST_SUFFIXES: Final = (".yaml", ".yml")
_LINK: Final = "120000"
# How many symbolic links Linux follows for one path: path_resolution(7).
_MOST_LINKS: Final = 40


class Escape(Problem):
    """A path leads out of what the source contains; Flux refuses to build such a Kustomization."""


class Blobs:
    """The contents of git objects, each read once. Shared between the trees of one run."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[str, bytes] = {}
        #: How many objects had to be read: what benchmarks count.
        self.reads = 0

    def __getitem__(self, oid: str) -> bytes:
        self.fetch([oid])
        return self._known[oid]

    def fetch(self, oids: Iterable[str]) -> None:
        """Read all of `oids` that are not known yet, together."""
        missing = {oid for oid in oids if oid not in self._known}
        if missing:
            self.add(self._read(sorted(missing)))

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Take over what was read elsewhere: objects by id."""
        self.reads += len(contents)
        self._known.update(contents)

    def __contains__(self, oid: str) -> bool:
        return oid in self._known


class Tree:
    """A folder of files, with ``/`` paths relative to it.

    Symbolic links are not part of it: Flux packs only files and folders into the archives it builds from
    (fluxcd/pkg/artifact, Storage.Archive). ``links`` has their paths, to explain why something is missing, and the
    ids of the objects that say where they lead.
    """

    def __init__(self, entries: Iterable[TreeEntry], blobs: Blobs) -> None:
        self.blobs = blobs
        self.links: dict[str, str] = {}
        self._oids: dict[str, str] = {}
        self._folders: set[str] = {""}
        for entry in entries:
            if entry.kind == "tree":
                self._folders.add(entry.path)
            elif entry.mode == _LINK:
                self.links[entry.path] = entry.oid
            elif entry.kind == "blob":
                self._oids[entry.path] = entry.oid

    @property
    def oids(self) -> Mapping[str, str]:
        """Path to object id of every file."""
        return self._oids

    def below(self, root: str) -> Tree:
        """The tree whose root is the folder `root` of this one."""
        if not root:
            return self
        inner = Tree((), self.blobs)
        inner._oids = {path.removeprefix(f"{root}/"): self._oids[path] for path in self.files_below(root)}
        inner.links = {path: self.links[f"{root}/{path}"] for path in _below(root, self.links)}
        inner._folders |= _below(root, self._folders)
        return inner

    def without(self, ignored: Callable[[str], bool], folder_ignored: Callable[[str], bool]) -> Tree:
        """The same tree less the files and folders for which `ignored` and `folder_ignored` are true.

        A folder with files that stay, stays as well.
        """
        kept = Tree((), self.blobs)
        kept._oids = {path: oid for path, oid in self._oids.items() if not ignored(path)}
        kept.links = {path: oid for path, oid in self.links.items() if not ignored(path)}
        kept._folders |= {folder for folder in self._folders if not folder_ignored(folder)}
        needed: set[str] = set()
        for path in kept._oids:
            for folder in _parents(path):
                if folder in needed:
                    break
                needed.add(folder)
        kept._folders |= needed
        return kept

    def join(self, folder: str, reference: str) -> str:
        """The path that `reference` means inside `folder`.

        Raises `Escape` when it leads out of the tree.
        """
        is_inside = folder and not reference.startswith("/")
        joined = posixpath.normpath(f"{folder}/{reference}" if is_inside else reference)
        if joined == ".." or joined.startswith(("../", "/")):
            raise Escape(f"the path {reference!r} leads out of the source")
        return "" if joined == "." else joined

    def oid(self, path: str) -> str | None:
        """The object id of the file at `path`, or None when there is no file."""
        return self._oids.get(path)

    def has_paths_of(self, other: Tree) -> bool:
        """Whether there are files and folders at the same paths as in `other`, whatever the files hold."""
        return self._oids.keys() == other._oids.keys() and self._folders == other._folders

    def is_folder(self, path: str) -> bool:
        return path in self._folders

    def read(self, path: str) -> bytes:
        """The content of the file at `path`, which must exist."""
        return self.blobs[self._oids[path]]

    def target(self, path: str) -> str | None:
        """Where `path` leads when symbolic links are followed, as in a checkout. None: surely to nothing.

        Raises `Escape` when that is outside of the tree, `Problem` when the system would refuse to follow it.
        """
        followed = 0
        here: list[str] = []
        ahead = path.split("/")
        while ahead:
            name = ahead.pop(0)
            if name == "..":
                if not here:
                    raise Escape(f"the symbolic link {path} leads out of the repository")
                here.pop()
            elif name not in {"", "."}:
                here.append(name)
            reached = "/".join(here)
            if reached in self.links:
                followed += 1
                if followed > _MOST_LINKS:
                    raise Problem(f"the symbolic link {path} leads in a circle")
                text = self.blobs[self.links[reached]].decode("utf-8", "surrogateescape")
                if text.startswith("/"):
                    raise Escape(f"the symbolic link {path} leads out of the repository")
                here.pop()
                ahead = [*text.split("/"), *ahead]
            elif ahead and reached in self._oids:
                raise Problem(f"the symbolic link {path} leads through {reached}, which is no folder")
            elif not self.is_folder(reached) and reached.split("/")[0] != ".git" and ahead:
                return None
        return "/".join(here)

    def kustomization(self, folder: str) -> str | None:
        """The path of the kustomization file of `folder`, or None."""
        for name in KUSTOMIZATION_FILES:
            path = f"{folder}/{name}" if folder else name
            if self.oid(path) is not None:
                return path
        return None

    def files_below(self, folder: str) -> Iterator[str]:
        """Every file in `folder` and its folders, sorted by path."""
        prefix = f"{folder}/" if folder else ""
        paths = self._sorted
        for index in range(bisect_left(paths, prefix), len(paths)):
            if not paths[index].startswith(prefix):
                return
            yield paths[index]

    def manifests(self, folder: str) -> Iterator[str]:
        """What Flux lists in the kustomization it makes for a folder that has none, in no particular order.

        Files that end in .yaml or .yml, and folders that hold a kustomization of their own, which are not
        entered (fluxcd/pkg/kustomize, scanManifests).
        """
        skipped = ""
        for path in self.files_below(folder):
            if skipped and path.startswith(skipped):
                continue
            own = self._nested_kustomization(folder, path)
            if own:
                skipped = f"{own}/"
                yield own
            elif path.endswith(MANIFEST_SUFFIXES):
                yield path

    def _nested_kustomization(self, folder: str, path: str) -> str | None:
        """The outermost folder between `folder` and the file `path` that has a kustomization."""
        for parent in reversed(list(_parents(path))):
            inside = parent.startswith(f"{folder}/") if folder else parent != ""
            if inside and self.kustomization(parent) is not None:
                return parent
        return None

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._oids)


def _below(root: str, paths: Iterable[str]) -> set[str]:
    prefix = f"{root}/"
    return {path.removeprefix(prefix) for path in paths if path.startswith(prefix)}


def _parents(path: str) -> Iterator[str]:
    """Every folder around `path`, innermost first, without the root."""
    while (path := path.rpartition("/")[0]) != "":
        yield path
