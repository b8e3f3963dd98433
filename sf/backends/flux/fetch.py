"""Remote bases: the repositories and files that kustomizations name by address, fetched where that is allowed.

What was fetched is told by what it is, never by its address alone: a commit, or the hash of a file. Each address
is looked up once in a run, so that both sides of a comparison see the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from sf import documents
from sf.backends.flux.closure import Closures, RemoteFile, RemoteFolder
from sf.backends.flux.kustomization import kind_of
from sf.backends.flux.remote import git_address, is_on_the_web, is_surely_git, refusal
from sf.backends.flux.tree import Blobs, Tree
from sf.models import Problem
from sf.process import Cancelled, ProgramFailed, ProgramTimeout
from sf.tools.git import Git, is_object_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sf.backends.flux.closure import Closure
    from sf.backends.flux.names import Names
    from sf.backends.flux.remote import GitAddress
    from sf.cache import Cache
    from sf.http import Http, Response
    from sf.process import Launcher

# Bytes: of a repository as git sends it, and of the part of it that is kept for other runs.
REPOSITORY_LIMIT: Final = 256 * 1024 * 1024
_KEPT_LIMIT: Final = 32 * 1024 * 1024
# What the system says of a file that may not grow any more (EFBIG).
_TOO_LARGE: Final = "File too large"
# As Go's client does, which kustomize uses.
_MOST_REDIRECTS: Final = 10
_OK: Final = range(200, 300)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class _Checkout(NamedTuple):
    """One commit of a foreign repository."""

    closures: Closures
    submodules: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What fetching needs: a folder of the run, `timeout` in seconds for each transfer.

    A client for `http` costs a start, so it is made when there is something to ask for.
    """

    launcher: Launcher
    http: Callable[[], Http]
    environ: Mapping[str, str]
    scratch: Path
    cache: Cache
    timeout: float


class Remotes:
    """What lies at the addresses in kustomizations. Not for several threads."""

    def __init__(
        self, bases: tuple[str, ...], names: Names, means: Means, limit: int = REPOSITORY_LIMIT
    ) -> None:
        """`bases`: the beginnings of addresses that may be fetched; without any, nothing is. `limit`: bytes."""
        self._limit = limit
        self._bases = bases
        self._names = names
        self._means = means
        self._known: dict[str, RemoteFile | RemoteFolder | str] = {}
        self._checkouts: dict[tuple[str, str], tuple[str, _Checkout]] = {}
        self._open: set[str] = set()
        #: How many times something was fetched over the network: what tests count.
        self.transfers = 0

    def find(self, address: str) -> RemoteFile | RemoteFolder | str:
        """What lies at `address`, or the reason why that is not known."""
        if address in self._open:
            return "it leads back to itself"
        if address not in self._known:
            self._open.add(address)
            try:
                self._known[address] = refusal(address, self._bases) or self._fetched(address)
            except Cancelled:
                raise
            except ProgramFailed as error:
                self._known[address] = f"it could not be fetched: {self._complaint(error)}"
            except Problem as problem:
                self._known[address] = f"it could not be fetched: {problem.message}"
            finally:
                self._open.discard(address)
        return self._known[address]

    def _fetched(self, address: str) -> RemoteFile | RemoteFolder | str:
        git = git_address(address)
        if git is None or not is_surely_git(address):
            answer = self._asked(address)
            if answer.status in _OK and (git is None or _holds_objects(answer.body)):
                digest = hashlib.sha256(answer.body).hexdigest()
                return RemoteFile(digest, address.rpartition("/")[2], answer.body)
            if git is None:
                return f"the server answers {answer.status}"
        assert git is not None  # noqa: S101 - the caller's refusal
        return self._folder(git)

    def _asked(self, address: str) -> Response:
        """The answer for a file. Redirects are followed to https wherever that is, to http at the same server."""
        client = self._means.http()
        for _ in range(_MOST_REDIRECTS):
            self.transfers += 1
            answer = client.request("GET", address, timeout=self._means.timeout, retries=2)
            if answer.status not in _REDIRECTS or not answer.headers.get("location"):
                return answer
            before, address = address, urljoin(address, answer.headers["location"])
            is_safe = address.startswith("https://") or (
                is_on_the_web(address) and urlsplit(before)[:2] == urlsplit(address)[:2]
            )
            if not is_safe:
                raise Problem("the server sends to an address that is not https")
        raise Problem("the server sends from address to address")

    def _folder(self, git: GitAddress) -> RemoteFolder | str:
        commit, checkout = self._checkout(git)
        path = git.path.strip("/")
        if not checkout.closures.tree.is_folder(path):
            return f"there is no folder {path} in {commit[:12]}"
        closure = checkout.closures.of(path)
        if reason := _gap(closure, checkout):
            return reason
        return RemoteFolder(f"{git.url}@{commit}", path, closure)

    def _checkout(self, git: GitAddress) -> tuple[str, _Checkout]:
        key = (git.url, git.ref)
        if key not in self._checkouts:
            store = Git.create(self._means.launcher, self._place(git), self._means.environ)
            commit = self._filled(store, git)
            entries = store.ls_tree(store.tree_of(commit))
            tree = Tree(entries, Blobs(store.read_blobs))
            self._checkouts[key] = (
                commit,
                _Checkout(
                    Closures(tree, self._names, self, is_contained=True),
                    frozenset(entry.path for entry in entries if entry.kind == "commit"),
                ),
            )
        return self._checkouts[key]

    def _filled(self, store: Git, git: GitAddress) -> str:
        """Bring the commit of `git` into `store`, from an earlier run or from its server; its id."""
        timeout = self._means.timeout
        commit = git.ref
        if not is_object_id(commit):
            self.transfers += 1
            commit = store.resolve_at(git.url, git.ref, timeout=timeout)
        entry = f"{hashlib.sha256(f'{git.url} {commit}'.encode()).hexdigest()}.base"
        if commit and (kept := self._means.cache.get(entry)):
            store.unpack(kept)
            return commit
        self.transfers += 1
        commit = store.fetch_from(git.url, git.ref, timeout=timeout, limit=self._limit)
        # What was got without any credentials anybody may read, so that it may be kept.
        if is_on_the_web(git.url) and len(pack := store.packed()) <= _KEPT_LIMIT:
            self._means.cache.put(entry, pack)
        return commit

    def _complaint(self, error: ProgramFailed) -> str:
        if isinstance(error, ProgramTimeout):
            return f"it took longer than {self._means.timeout:g} s"
        if _TOO_LARGE in error.completed.stderr:
            return f"it is larger than {self._limit // 1024**2} MiB"
        return error.completed.complaint.removeprefix("fatal: ") or error.message

    def _place(self, git: GitAddress) -> Path:
        name = hashlib.sha256(f"{git.url} {git.ref}".encode()).hexdigest()
        return self._means.scratch / f"{name[:32]}.git"


def _gap(closure: Closure, checkout: _Checkout) -> str:
    """What of a foreign repository kustomize would see that is not looked at here; empty if there is nothing."""
    links = checkout.closures.tree.links
    for path in sorted(closure.missing):
        parents = [path, *(path[:end] for end, letter in enumerate(path) if letter == "/")]
        if link := next((name for name in parents if name in links), ""):
            return f"it has a symbolic link at {link}, which is not followed here"
        if module := next((name for name in parents if name in checkout.submodules), ""):
            return f"it has a submodule at {module}, which is not fetched here"
    return ""


def _holds_objects(body: bytes) -> bool:
    """Whether kustomize would take `body` for a file of resources, rather than clone from its address."""
    try:
        values = [document.value for document in documents.load_all(body, path="") if not document.error]
    except Problem:
        return False
    return bool(values) and all(kind_of(value)[1] for value in values if value is not None)
