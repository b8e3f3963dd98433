"""Git, read only as a store of objects: nothing that a repository brings along is ever run.

Hooks, filters, file system monitors, merge drivers, text converters, credential helpers, ssh commands and remote
helpers can all be named by the configuration inside ``.git``. Every call here gets an environment that overrules
them; the rest of that configuration (remote address, HTTP headers written by a checkout step) stays in force.
The configuration of the machine and of its user is not read at all, so that a plan does not depend on it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sf.models import Problem
from sf.process import ProgramFailed, inherited

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sf.process import Completed, Launcher

REMOTE: Final = "origin"
# The first release whose `git merge-tree` can write the merged tree.
OLDEST_MERGE_TREE: Final = (2, 38)
# Seconds. Reading is local; the first figure is for repositories with millions of entries on slow disks.
_READ_TIMEOUT: Final = 120.0
_FETCH_TIMEOUT: Final = 600.0
_BLOBS_LIMIT: Final = 512 * 1024 * 1024
# Where a commit of a foreign repository is kept.
_FETCHED: Final = "refs/sf/fetched"
# The order in which a server takes what a ref may be short for (gitrevisions(7)).
_REF_PLACES: Final = ("", "refs/", "refs/tags/", "refs/heads/")
# A program with a bound on each file that it writes, in blocks of 512 bytes (POSIX sh, ulimit). It is told, not
# killed, at that point, so that it can say why it fails.
_BOUNDED: Final = ("sh", "-c", 'trap \'\' XFSZ; ulimit -f "$0" && exec "$@"')
_BLOCK: Final = 512
_LIKELY_DEFAULTS: Final = ("main", "master")

_EMPTY_TREES: Final = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# What git check-ref-format(1) forbids, and nothing that could be read as an option or a second refspec.
_BRANCH: Final = re.compile(
    r"(?![-/.])(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|\Z)))[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])"
)
_CREDENTIALS: Final = re.compile(r"://[^/@\s]*@")

_ENVIRONMENT: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    # Empty, not absent: absent would bring core.askPass into play.
    "GIT_ASKPASS": "",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    # Stands above every protocol.*.allow of the repository.
    "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",
    "LC_ALL": "C",
}
_SETTINGS: Final = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "core.alternateRefsCommand": "true",
    # An empty helper empties the list of those named so far.
    "credential.helper": "",
    # Normalising would run the clean filters.
    "merge.renormalize": "false",
    "merge.renames": "true",
    "merge.directoryRenames": "conflict",
    # Bare repositories would otherwise take the attributes of HEAD in some releases.
    "attr.tree": _EMPTY_TREES[40],
    "protocol.version": "2",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "fetch.writeCommitGraph": "false",
    "submodule.recurse": "false",
}
# Settings with a free part in their name have to be overruled by that name. A merge driver that exits with the
# number of conflicts is what git does itself when no driver is set.
_NAMED_SETTINGS: Final = (
    (re.compile(r"merge\..*\.driver"), "git merge-file --quiet %A %O %B"),
    (re.compile(r"filter\..*\.(?:clean|smudge|process)"), ""),
    (re.compile(r"filter\..*\.required"), "false"),
)
# Git takes the first value of this one, so that it cannot be overruled.
_REFUSED_SETTING: Final = re.compile(r"remote\..*\.uploadpack")


class TreeEntry(NamedTuple):
    """One entry of a tree: ``mode`` as six octal digits, ``kind`` blob, tree or commit (a submodule).

    ``path`` is relative to the root of the tree; bytes that are not UTF-8 are lone surrogates.
    """

    mode: str
    kind: str
    oid: str
    path: str


@dataclass(frozen=True, slots=True)
class DiffEntry:
    """One path that two trees do not share. ``status`` is A, D, M or T; what does not exist has ids of zeros."""

    status: str
    path: str
    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str


class MergeConflict(Problem):
    """Two commits cannot be merged without a person; ``paths`` are the files in conflict."""

    def __init__(self, base: str, head: str, paths: tuple[str, ...]) -> None:
        shown = ", ".join(paths[:10]) + (f" and {len(paths) - 10} more" if len(paths) > 10 else "")
        super().__init__(
            f"{head[:12]} cannot be merged into {base[:12]}: conflicts in {shown}",
            hint="merge or rebase onto the target branch, resolve the conflicts and push",
        )
        self.paths = paths


def is_object_id(text: str) -> bool:
    """Whether `text` is a whole object id, SHA-1 or SHA-256, in lower case."""
    return _OBJECT_ID.fullmatch(text) is not None


def is_branch_name(text: str) -> bool:
    """Whether `text` may stand after ``refs/heads/`` (or ``refs/tags/``) as it is."""
    return _BRANCH.fullmatch(text) is not None


def empty_tree(oid: str) -> str:
    """The id of the tree without entries, in the object format of `oid`. Git knows it without storing it."""
    return _EMPTY_TREES[len(oid)]


def without_credentials(text: str) -> str:
    """`text` with ``user:password@`` taken out of every URL in it."""
    return _CREDENTIALS.sub("://", text)


class Git:
    """The repository that a directory belongs to.

    Every method raises a `Problem` when the directory is in no repository, and `sf.process.ProgramFailed` when git
    fails for a reason that is not foreseen here.
    """

    def __init__(self, launcher: Launcher, directory: Path, environ: Mapping[str, str]) -> None:
        self._launcher = launcher
        self._directory = directory.resolve()
        self._inherited = inherited(environ)
        self._commits: dict[str, str] = {}
        if "SSH_AUTH_SOCK" in environ:
            self._inherited["SSH_AUTH_SOCK"] = environ["SSH_AUTH_SOCK"]

    @cached_property
    def version(self) -> tuple[int, ...]:
        """The release of git, as numbers: ``(2, 39, 5)``."""
        said = self._launcher.run(
            ["git", "--version"], timeout=_READ_TIMEOUT, environ=self._inherited | _ENVIRONMENT
        ).text
        numbers = re.search(r"\d+(?:\.\d+)+", said)
        if numbers is None:
            raise Problem(f"`git --version` does not say its version but {said.strip()!r}")
        return tuple(map(int, numbers[0].split(".")))

    def toplevel(self) -> Path:
        """The root of the working tree. A bare repository has none, which is a `Problem`."""
        if self.is_bare():
            raise Problem(
                f"{self._directory} is a bare repository: it has no working tree",
                hint="run sf in a clone of it",
            )
        if not self._directory.is_relative_to(self._toplevel):
            raise Problem(
                f"the repository of {self._directory} says that its working tree is {self._toplevel}",
                hint="remove core.worktree from its configuration: `git config --unset core.worktree`",
            )
        return self._toplevel

    def is_bare(self) -> bool:
        return self._place[1] == "true"

    def is_shallow(self) -> bool:
        """Whether history was cut off when this repository was cloned."""
        return self._line("rev-parse", "--is-shallow-repository") == "true"

    def is_dirty(self) -> bool:
        """Whether the working tree holds anything that HEAD does not, files that git does not know included."""
        return bool(
            self._git(
                "status",
                "--porcelain",
                "-z",
                "--untracked-files=normal",
                "--ignore-submodules=all",
                "--no-renames",
            ).stdout
        )

    def head(self) -> str:
        """The id of the commit that is checked out."""
        commit = self._find("HEAD^{commit}")
        if commit is None:
            raise Problem(
                f"the repository of {self._directory} has no commit yet", hint="commit something first"
            )
        return commit

    def current_branch(self) -> str:
        """The branch that is checked out; empty when HEAD is detached."""
        return self._line("symbolic-ref", "--quiet", "--short", "HEAD", accept=(0, 1))

    def default_branch(self) -> str:
        """The remote's default branch as far as this clone knows, else main or master; empty if neither exists."""
        at_remote, local = f"refs/remotes/{REMOTE}/", "refs/heads/"
        places = [f"{place}{name}" for name in _LIKELY_DEFAULTS for place in (at_remote, local)]
        listed = self._line("for-each-ref", "--format=%(refname) %(symref)", f"{at_remote}HEAD", *places)
        targets = dict(line.split(" ", 1) for line in listed.splitlines())
        if target := targets.get(f"{at_remote}HEAD"):
            return target.removeprefix(at_remote)
        found = (name for name in _LIKELY_DEFAULTS if {at_remote + name, local + name} & targets.keys())
        return next(found, "")

    def branch_commit(self, branch: str) -> str | None:
        """The commit of `branch` as last seen at the remote, else of the local one; None if neither is there."""
        _require_branch(branch)
        places = (f"refs/remotes/{REMOTE}/", "refs/heads/")
        found = (self._find(f"{place}{branch}^{{commit}}") for place in places)
        return next((commit for commit in found if commit), None)

    def remote_url(self) -> str:
        """The address of the remote, empty if there is none. It may carry credentials."""
        return self._line("config", "--get", f"remote.{REMOTE}.url", accept=(0, 1))

    def resolve(self, revision: str) -> str:
        """The id of the commit that `revision` (a branch, tag, id, ``HEAD~1`` ...) names."""
        if not revision or revision.startswith("-") or not revision.isprintable():
            raise Problem(f"{revision!r} is not the name of a commit")
        commit = self._find(f"{revision}^{{commit}}")
        if commit is None:
            raise Problem(
                f"there is no commit called {revision} in this clone", hint="check the spelling, or fetch it"
            )
        return commit

    def has_commit(self, commit: str) -> bool:
        return self._find(f"{_require_id(commit)}^{{commit}}") is not None

    def tree_of(self, commit: str) -> str:
        """The id of the root tree of `commit`."""
        return self._line("rev-parse", "--verify", "--quiet", f"{_require_id(commit)}^{{tree}}")

    def parents(self, commit: str) -> tuple[str, ...]:
        """The ids of the parents as the commit itself states them, also where a shallow clone lacks them."""
        header = self._git("cat-file", "commit", _require_id(commit)).text.partition("\n\n")[0]
        lines = (line.split(" ", 1) for line in header.splitlines() if " " in line)
        return tuple(value for name, value in lines if name == "parent")

    def merge_base(self, one: str, other: str) -> str | None:
        """The best common ancestor; None if the commits share no history *in this clone*."""
        return self._line("merge-base", _require_id(one), _require_id(other), accept=(0, 1)) or None

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        command = ("merge-base", "--is-ancestor", _require_id(ancestor), _require_id(descendant))
        return self._git(*command, accept=(0, 1)).code == 0

    @classmethod
    def create(cls, launcher: Launcher, directory: Path, environ: Mapping[str, str]) -> Git:
        """An empty bare repository at `directory`, to fetch foreign commits into. One that is there is taken."""
        directory.mkdir(parents=True, exist_ok=True)
        launcher.run(
            ["git", "init", "--quiet", "--bare", "--template=", "."],
            cwd=directory,
            environ={**inherited(environ), **_ENVIRONMENT},
            timeout=_READ_TIMEOUT,
        )
        return cls(launcher, directory, environ)

    def resolve_at(self, url: str, ref: str, *, timeout: float) -> str:
        """The commit that `ref` (empty: the default branch) means at `url`; empty when there is no such ref."""
        wanted = ref or "HEAD"
        listed = self._abroad("ls-remote", "--", url, wanted, f"{wanted}^{{}}", timeout=timeout).text
        found = {name: oid for oid, _, name in (line.partition("\t") for line in listed.splitlines())}
        names = [f"{place}{wanted}" for place in _REF_PLACES]
        # Of an annotated tag, what it stands for is listed as well.
        return next((found.get(f"{name}^{{}}", found[name]) for name in names if name in found), "")

    def fetch_from(self, url: str, ref: str, *, timeout: float, limit: int) -> str:
        """Get the commit that `ref` means at `url`, without its history, and return its id.

        Raises `ProgramFailed` when that fails, be it for more than `limit` bytes.
        """
        options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
        self._abroad(
            *("fetch", *options, "--", url, f"+{ref or 'HEAD'}:{_FETCHED}"), timeout=timeout, limit=limit
        )
        return self._line("rev-parse", "--verify", f"{_FETCHED}^{{commit}}")

    def packed(self) -> bytes:
        """Everything that was fetched, as one pack."""
        packs = sorted((self._git_dir / "objects/pack").glob("*.pack"))
        return packs[0].read_bytes() if len(packs) == 1 else b""

    def unpack(self, pack: bytes) -> None:
        """Take over what `packed` gave. Raises `ProgramFailed` for anything else."""
        self._git("index-pack", "--stdin", stdin=pack)

    def _abroad(self, *arguments: str, timeout: float, limit: int = _BLOBS_LIMIT) -> Completed:
        """Git with an address that somebody else chose: over the network only, and what it writes is bounded."""
        settings = ("-c", "fetch.unpackLimit=1", "-c", "transfer.fsckObjects=true")
        _ = self._git_dir
        return self._launcher.run(
            [*_BOUNDED, str(limit // _BLOCK), "git", "--no-pager", *settings, *arguments],
            cwd=self._directory,
            environ=self._environment | {"GIT_ALLOW_PROTOCOL": "http:https:ssh"},
            timeout=timeout,
        )

    def merge_tree(self, base: str, head: str) -> str:
        """The id of the tree that merging `head` into `base` gives. Raises `MergeConflict`.

        The tree is written to the object store and nowhere else.
        """
        if self.version < OLDEST_MERGE_TREE:
            have, need = (".".join(map(str, version)) for version in (self.version, OLDEST_MERGE_TREE))
            raise Problem(
                f"git {have} cannot compute a merge without a working tree",
                hint=f"install git {need} or newer",
            )
        # In the git directory and bare, so that attributes of whatever is checked out play no part.
        merged = self._launcher.run(
            [
                *("git", "--git-dir=.", "--bare", "merge-tree", "--write-tree"),
                *("-z", "--name-only", "--no-messages", _require_id(base), _require_id(head)),
            ],
            cwd=self._git_dir,
            environ=self._environment,
            timeout=_READ_TIMEOUT,
            accept=(0, 1),
        )
        tree, *paths = merged.text.rstrip("\0").split("\0")
        if merged.code:
            raise MergeConflict(base, head, tuple(dict.fromkeys(paths)))
        return tree.strip()

    def ls_tree(self, treeish: str) -> list[TreeEntry]:
        """Every entry below `treeish` (an object id), folders included, in git's order."""
        records = self._git("ls-tree", "-r", "-t", "-z", "--full-tree", _require_id(treeish)).text
        return [_tree_entry(record) for record in records.split("\0") if record]

    def read_blobs(self, oids: Iterable[str], *, limit: int = _BLOBS_LIMIT) -> dict[str, bytes]:
        """The contents of the blobs `oids`, by id, read by one process. At most `limit` bytes in sum.

        Raises `ProgramFailed` when they are more.
        """
        wanted = list(dict.fromkeys(map(_require_id, oids)))
        if not wanted:
            return {}
        requests = "".join(f"{oid}\n" for oid in wanted).encode()
        answers = self._git("cat-file", "--batch", stdin=requests, stdout_limit=limit).stdout
        return _blobs(answers)

    def diff_names(self, old: str, new: str) -> list[DiffEntry]:
        """What differs between the trees `old` and `new`, blobs only; a rename is a removal and an addition."""
        options = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-textconv")
        fields = self._git("diff-tree", *options, _require_id(old), _require_id(new)).text.split("\0")
        return [_diff_entry(*pair) for pair in zip(fields[0::2], fields[1::2], strict=False)]

    def files_with(self, treeish: str, text: str) -> frozenset[str]:
        """The paths below `treeish` (an object id) of the files that contain `text`, links not followed."""
        options = ("-l", "-z", "-F", "--full-name", "--no-textconv", "--threads=2")
        found = self._git("grep", *options, "-e", text, _require_id(treeish), accept=(0, 1)).text
        # Each path comes behind the name of the tree and a colon.
        return frozenset(path.partition(":")[2] for path in found.split("\0") if path)

    def remote_branch(self, branch: str) -> str:
        """The commit that `branch` has at the remote now; empty if the remote has no such branch."""
        reference = f"refs/heads/{_require_branch(branch)}"
        answer = self._git("ls-remote", REMOTE, reference, timeout=_FETCH_TIMEOUT).text
        found = (line.split("\t") for line in answer.splitlines())
        return next((oid for oid, name in found if name == reference and is_object_id(oid)), "")

    def fetch_commit(self, commit: str) -> None:
        """Get exactly `commit` from the remote; of a shallow clone it extends the history by this one commit.

        Raises `ProgramFailed` when the remote cannot be reached or does not hand it out.
        """
        # In a complete clone a depth would cut off history that is already there.
        depth = ("--depth=1",) if self.is_shallow() else ()
        self._fetch(*depth, REMOTE, _require_id(commit))

    def deepen(self, by: int, commits: Collection[str]) -> None:
        """Get `by` more generations behind `commits`; ``0`` means all there is."""
        depth = f"--deepen={by}" if by else "--unshallow"
        self._fetch(depth, REMOTE, *map(_require_id, commits))

    def _fetch(self, *arguments: str) -> None:
        self._git(
            *("fetch", "--quiet", "--no-tags", "--no-prune", "--no-recurse-submodules"),
            *("--no-auto-maintenance", "--no-write-fetch-head", "--refmap=", *arguments),
            timeout=_FETCH_TIMEOUT,
        )

    def _find(self, revision: str) -> str | None:
        if revision in self._commits:
            return self._commits[revision]
        found = self._line("rev-parse", "--verify", "--quiet", revision, accept=(0, 1, 128))
        if not is_object_id(found):
            return None
        if is_object_id(revision.partition("^")[0]):
            # What an id names never changes.
            self._commits[revision] = found
        return found

    def _line(self, *arguments: str, accept: Collection[int] = (0,)) -> str:
        return self._git(*arguments, accept=accept).text.removesuffix("\n")

    def _git(
        self,
        *arguments: str,
        accept: Collection[int] = (0,),
        timeout: float = _READ_TIMEOUT,
        stdin: bytes = b"",
        stdout_limit: int = 256 * 1024 * 1024,
    ) -> Completed:
        _ = self._place
        return self._launcher.run(
            ["git", "--no-pager", *arguments],
            cwd=self._directory,
            environ=self._environment,
            timeout=timeout,
            stdin=stdin,
            accept=accept,
            stdout_limit=stdout_limit,
        )

    @property
    def _git_dir(self) -> Path:
        return Path(self._place[0])

    @cached_property
    def _toplevel(self) -> Path:
        return Path(self._line("rev-parse", "--show-toplevel"))

    @cached_property
    def _place(self) -> tuple[str, str]:
        """The directory of git itself, and ``true`` where there is no working tree beside it."""
        if not self._directory.is_dir():
            raise Problem(f"{self._directory} is not a directory")
        try:
            found = self._launcher.run(
                ["git", "rev-parse", "--absolute-git-dir", "--is-bare-repository"],
                cwd=self._directory,
                environ=self._environment,
                timeout=_READ_TIMEOUT,
            )
        except ProgramFailed as error:
            if "not a git repository" not in error.completed.stderr:
                raise
            raise Problem(
                f"{self._directory} is not in a git repository",
                hint="run sf in a clone, or `git init` and commit; in CI, check the repository out first",
            ) from error
        git_dir, _, is_bare = found.text.removesuffix("\n").rpartition("\n")
        return git_dir, is_bare

    @cached_property
    def _environment(self) -> dict[str, str]:
        """The whole environment of every call: what the repository configures to be run is overruled by name."""
        settings = [*_SETTINGS.items(), ("safe.directory", str(self._repository_root))]
        names = self._launcher.run(
            ["git", "config", "--list", "--name-only", "-z"],
            cwd=self._directory,
            environ=self._with(settings),
            timeout=_READ_TIMEOUT,
        ).text.split("\0")
        if refused := next(filter(_REFUSED_SETTING.fullmatch, names), None):
            raise Problem(
                f"the configuration of the repository of {self._directory} sets {refused}, a program to be run",
                hint=f"remove it: `git config --unset-all {refused}`",
            )
        named = ((name, value) for name in names for key, value in _NAMED_SETTINGS if key.fullmatch(name))
        return self._with([*settings, *dict(named).items()])

    def _with(self, settings: Collection[tuple[str, str]]) -> dict[str, str]:
        environment = {**self._inherited, **_ENVIRONMENT, "GIT_CONFIG_COUNT": str(len(settings))}
        for number, (name, value) in enumerate(settings):
            environment[f"GIT_CONFIG_KEY_{number}"] = name
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        return environment

    @property
    def _repository_root(self) -> Path:
        """Where git will look: in a container the checkout belongs to another user, which git has to be told."""
        candidates = (self._directory, *self._directory.parents)
        return next((path for path in candidates if (path / ".git").exists()), self._directory)


def _require_id(oid: str) -> str:
    if not is_object_id(oid):
        raise Problem(f"{oid!r} is not the id of a git object")
    return oid


def _require_branch(branch: str) -> str:
    if not is_branch_name(branch):
        raise Problem(f"{branch!r} cannot be the name of a branch")
    return branch


def _tree_entry(record: str) -> TreeEntry:
    about, _, path = record.partition("\t")
    mode, kind, oid = about.split()
    return TreeEntry(mode, kind, oid, path)


def _diff_entry(about: str, path: str) -> DiffEntry:
    old_mode, new_mode, old_oid, new_oid, status = about.removeprefix(":").split()
    return DiffEntry(status, path, old_mode, new_mode, old_oid, new_oid)


def _blobs(answers: bytes) -> dict[str, bytes]:
    """The answers of ``git cat-file --batch``: ``<id> SP <kind> SP <size> LF <content> LF`` each."""
    contents: dict[str, bytes] = {}
    position = 0
    while position < len(answers):
        end = answers.index(b"\n", position)
        oid, kind, *size = answers[position:end].decode().split()
        if kind != "blob":
            raise Problem(
                f"the git object {oid} is {kind} where the content of a file was expected",
                hint="the clone is damaged or incomplete: check the repository out anew",
            )
        start, position = end + 1, end + 1 + int(size[0]) + 1
        contents[oid] = answers[start : position - 1]
    return contents
