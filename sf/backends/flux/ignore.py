"""What source-controller leaves out of the artifact that it makes of a checkout.

The patterns look like those of ``.gitignore`` and differ in what they mean: one that matches a folder matches all
that is in it, yet a later one can take a part of that back; behind ``**`` the first place that fits counts, and no
other is tried; one that is malformed matches nothing. The rules are those of fluxcd/pkg/sourceignore 0.18, where
names are matched by Go's `path/filepath.Match`.

For an OCIRepository the same rules hold, but what went into its artifact was decided when it was pushed: it is
taken for the folder ``gitops.source_root`` as committed. (`flux push artifact` leaves out git's own files, images
and archives, or what it is told to; it does not look at ``.sourceignore``, which source-controller does later.)
For a Bucket only the ``.sourceignore`` at its root counts and nothing is left out by default; this is not told
apart here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sf.backends.flux.tree import Escape
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sf.backends.flux.tree import Tree

    Fits = Callable[[str], bool]

IGNORE_FILE: Final = ".sourceignore"
# fluxcd/pkg/sourceignore: ExcludeVCS, then ExcludeExt, ExcludeCI and ExcludeExtra.
_VCS: Final = (".git/", ".gitignore", ".gitmodules", ".gitattributes")
_DEFAULTS: Final = (
    *("*.jpg", "*.jpeg", "*.gif", "*.png", "*.wmv", "*.flv", "*.tar.gz", "*.zip"),
    *(".github/", ".circleci/", ".travis.yml", ".gitlab-ci.yml", "appveyor.yml", ".drone.yml"),
    *("cloudbuild.yaml", "codeship-services.yml", "codeship-steps.yml"),
    *("**/.goreleaser.yml", "**/.sops.yaml", "**/.flux.yaml"),
)
# Bytes. Go's bufio.Scanner, which reads the patterns, ends at a longer line and drops all that comes after.
_LONGEST_LINE: Final = 65535
_MAGIC: Final = frozenset("*?[\\")
_NONE: Final = -1
_GIT: Final = ".git"


class Ignored:
    """Whether a path is left out of the artifact. Each path is decided once, so ask about many."""

    def __init__(self, ignore_files: Mapping[str, str], spec_ignore: str | None = None) -> None:
        """`ignore_files`: the contents of every ``.sourceignore`` by its folder, ``""`` being the root.

        The last pattern that matches decides. Inner files come after outer ones, `spec_ignore` after both. Only
        when there is no pattern in any of them do the default ones hold; those about git's own files always do,
        with the lowest rank (fluxcd/pkg/artifact, SourceIgnoreFilter).
        """
        given = [
            (folder, line)
            for folder in sorted(ignore_files, key=lambda folder: (folder.count("/"), folder))
            for line in _lines(ignore_files[folder])
        ]
        given += [("", line) for line in _lines(spec_ignore or "")]
        ranked = [*(("", line) for line in _VCS), *(given or (("", line) for line in _DEFAULTS))]
        self._includes = [line.startswith("!") for _, line in ranked]
        self._own: dict[str, list[_Pattern]] = {}
        for rank, (folder, line) in enumerate(ranked):
            self._own.setdefault(folder, []).append(_parse(line, rank))
        self._files: dict[str, bool] = {}
        outside = _Folder(_NONE, _Names(()), ())
        self._folders = {"": outside.with_own(self._own[""])}

    def __call__(self, path: str) -> bool:
        """Whether the file at `path` is left out."""
        excluded = self._files.get(path)
        if excluded is None:
            parent, _, name = path.rpartition("/")
            excluded = self._excluded(self._folder(parent).rank_of(name, is_folder=False))
            self._files[path] = excluded
        return excluded

    def folder(self, path: str) -> bool:
        """Whether the folder itself is left out. What is in it may be kept nevertheless."""
        return self._excluded(self._folder(path).rank)

    def _excluded(self, rank: int) -> bool:
        return rank != _NONE and not self._includes[rank]

    def _folder(self, path: str) -> _Folder:
        if path in self._folders:
            return self._folders[path]
        here, known = "", self._folders[""]
        for name in path.split("/"):
            here = f"{here}/{name}" if here else name
            if here not in self._folders:
                inner = known.entered(name)
                self._folders[here] = inner.with_own(self._own[here]) if here in self._own else inner
            known = self._folders[here]
        return known


@lru_cache(maxsize=8)
def rules(ignore_files: frozenset[tuple[str, str]], spec_ignore: str) -> Ignored:
    """The `Ignored` of these rules. Most commits have those of the commit before, and mostly its paths."""
    return Ignored(dict(ignore_files), spec_ignore)


class IgnoreFiles(NamedTuple):
    """The ``.sourceignore`` files of a tree.

    ``contents`` by folder, as `Ignored` takes them. ``broken``: why source-controller cannot read one, so that it
    makes no artifact at all. ``unknown``: why the patterns in one are not known here.
    """

    contents: dict[str, str]
    broken: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def ignore_files(tree: Tree) -> IgnoreFiles:
    """Every ``.sourceignore`` of `tree`. source-controller opens it, and so follows it where it is a link."""
    found = {path: path for path in tree.oids if path.rpartition("/")[2] == IGNORE_FILE}
    broken, unknown = [], []
    for link in sorted(path for path in tree.links if path.rpartition("/")[2] == IGNORE_FILE):
        try:
            target = tree.target(link)
        except Escape as escape:
            unknown.append(escape.message)
        except Problem as problem:
            broken.append(problem.message)
        else:
            # One that leads to a folder or to nothing counts as empty.
            if target is None:
                continue
            if target.split("/")[0] == _GIT:
                unknown.append(f"the symbolic link {link} leads to git's own files")
            elif tree.oid(target) is not None:
                found[link] = target
    tree.blobs.fetch(tree.oids[target] for target in found.values())
    contents = {
        path.rpartition("/")[0]: tree.read(target).decode("utf-8", "surrogateescape")
        for path, target in found.items()
    }
    return IgnoreFiles(contents, tuple(broken), tuple(unknown))


class _Step(NamedTuple):
    """One part of a pattern; ``anywhere``: other folders may come before it."""

    text: str
    fits: Fits
    anywhere: bool


class _Pattern(NamedTuple):
    """One pattern as the steps that lead to what it matches; without any it matches nothing."""

    rank: int
    folders_only: bool
    steps: tuple[_Step, ...]

    @property
    def is_name(self) -> bool:
        """Whether it is about names alone, in whatever folder."""
        return len(self.steps) == 1 and self.steps[0].anywhere

    def ends(self, taken: int, name: str, *, is_folder: bool) -> bool:
        """Whether it matches `name` in a folder to which its first `taken` steps lead."""
        is_last = taken + 1 == len(self.steps) and (is_folder or not self.folders_only)
        return is_last and self.steps[taken].fits(name)


class _Names:
    """The patterns about names that hold in some folders, each name being looked at once."""

    def __init__(self, patterns: Iterable[_Pattern]) -> None:
        self.patterns = tuple(patterns)
        self._literal: dict[str, list[_Pattern]] = {}
        self._magic: list[_Pattern] = []
        self._suffixed: list[_Pattern] = []
        for pattern in self.patterns:
            text = pattern.steps[0].text
            if _MAGIC.isdisjoint(text):
                self._literal.setdefault(text, []).append(pattern)
            else:
                (self._suffixed if _is_suffix(text) else self._magic).append(pattern)
        # Most names end like none of them, which one look tells.
        self._suffixes = tuple(pattern.steps[0].text[1:] for pattern in self._suffixed)
        self._known: dict[tuple[str, bool], int] = {}

    def rank_of(self, name: str, *, is_folder: bool) -> int:
        """The rank of the last pattern that matches a file or folder called `name`."""
        known = self._known.get((name, is_folder))
        if known is None:
            candidates = [*self._literal.get(name, ()), *self._magic]
            if name.endswith(self._suffixes):
                candidates += self._suffixed
            fitting = [pattern.rank for pattern in candidates if pattern.ends(0, name, is_folder=is_folder)]
            known = self._known[name, is_folder] = max(fitting, default=_NONE)
        return known


class _Folder(NamedTuple):
    """What is known about everything in a folder.

    ``rank`` is that of the last pattern that matches the folder, and so all that is in it. ``paths`` are the
    patterns of a later rank that may lead further, last first, each with the number of steps that led here.
    """

    rank: int
    names: _Names
    paths: Sequence[tuple[_Pattern, int]]

    def rank_of(self, name: str, *, is_folder: bool) -> int:
        """The rank of the last pattern that matches `name` in this folder."""
        rank = max(self.rank, self.names.rank_of(name, is_folder=is_folder))
        for pattern, taken in self.paths:
            if pattern.rank <= rank:
                break
            if pattern.ends(taken, name, is_folder=is_folder):
                return pattern.rank
        return rank

    def entered(self, name: str) -> _Folder:
        """The folder `name` in this one."""
        rank = self.rank_of(name, is_folder=True)
        paths = []
        for pattern, taken in self.paths:
            if pattern.rank <= rank:
                break
            step = pattern.steps[taken]
            if step.fits(name):
                paths.append((pattern, taken + 1))
            elif step.anywhere:
                paths.append((pattern, taken))
        return _Folder(rank, self.names, paths)

    def with_own(self, own: Iterable[_Pattern]) -> _Folder:
        """The same with the patterns of the ignore file that lies in it."""
        useful = [pattern for pattern in own if pattern.steps]
        names = _Names([*self.names.patterns, *(pattern for pattern in useful if pattern.is_name)])
        paths = [*self.paths, *((pattern, 0) for pattern in useful if not pattern.is_name)]
        return _Folder(self.rank, names, sorted(paths, key=lambda path: -path[0].rank))


def _lines(text: str) -> Iterator[str]:
    """The patterns in `text` as written, without comments and empty lines."""
    for line in text.split("\n"):
        if len(line.encode("utf-8", "surrogateescape")) > _LONGEST_LINE:
            return
        if line.strip() and not line.startswith("#"):
            yield line.removesuffix("\r")


def _parse(line: str, rank: int) -> _Pattern:
    text = line.removeprefix("!")
    if not text.endswith("\\ "):
        text = text.rstrip(" ")
    folders_only = text.endswith("/")
    text = text.removesuffix("/")
    return _Pattern(rank, folders_only, _steps(text.split("/")) if "/" in text else _name(text))


def _name(text: str) -> tuple[_Step, ...]:
    """The step of a pattern without slashes; none when it can match nothing."""
    fits = _matcher(text)
    return (_Step(text, fits, anywhere=True),) if fits else ()


def _steps(parts: Iterable[str]) -> tuple[_Step, ...]:
    """The steps of a pattern with slashes; none when it can match nothing."""
    steps = []
    anywhere = False
    for part in parts:
        if part in {"", "**"}:
            anywhere = part == "**"
            continue
        fits = None if "**" in part else _matcher(part)
        if fits is None:
            return ()
        steps.append(_Step(part, fits, anywhere))
        anywhere = False
    return tuple(steps)


def _matcher(pattern: str) -> Fits | None:
    """What `path/filepath.Match` of Go says of `pattern` and a name; None when the pattern is malformed.

    No regular expression is made of it: these patterns are foreign, and some would take one forever. Where ``?``
    meets a letter beyond ASCII after ``*``, Go may take a part of it for a whole one; here letters are whole.
    """
    if _MAGIC.isdisjoint(pattern):
        return pattern.__eq__
    if _is_suffix(pattern):
        suffix = pattern[1:]
        return lambda name: name.endswith(suffix)
    chunks = _chunks(pattern)
    return (lambda name: _fits(chunks, name)) if chunks is not None else None


def _is_suffix(pattern: str) -> bool:
    return pattern.startswith("*") and _MAGIC.isdisjoint(pattern[1:])


class _Class(NamedTuple):
    """``[a-z]``: the characters that one position may have, or with ``^`` may not."""

    negated: bool
    ranges: tuple[tuple[str, str], ...]

    def has(self, character: str) -> bool:
        return any(low <= character <= high for low, high in self.ranges) != self.negated


class _Chunk(NamedTuple):
    """A run of characters without ``*``, which may stand before it."""

    star: bool
    characters: list[Fits]

    def end(self, name: str, start: int) -> int | None:
        """Where in `name` the run ends that begins at `start`; None when it does not fit there."""
        end = start + len(self.characters)
        if end > len(name):
            return None
        pairs = zip(self.characters, name[start:end], strict=True)
        return end if all(fits(character) for fits, character in pairs) else None


def _fits(chunks: Sequence[_Chunk], name: str) -> bool:
    """Each run is taken where it fits first; only the last one has to reach the end."""
    position = 0
    for chunk in chunks:
        if not chunk.characters:
            return True
        is_last = chunk is chunks[-1]
        starts = range(position, len(name) + 1) if chunk.star else (position,)
        ends = (end for start in starts if (end := chunk.end(name, start)) is not None)
        found = next((end for end in ends if not is_last or end == len(name)), None)
        if found is None:
            return False
        position = found
    return position == len(name)


def _chunks(pattern: str) -> list[_Chunk] | None:
    """The runs between the stars of `pattern`; None when it is malformed."""
    chunks = [_Chunk(star=False, characters=[])]
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if chunks[-1].characters or not chunks[-1].star:
                chunks.append(_Chunk(star=True, characters=[]))
        elif character == "[":
            found = _class(pattern, position)
            if found is None:
                return None
            wanted, position = found
            chunks[-1].characters.append(wanted.has)
        elif character == "\\":
            if position == len(pattern):
                return None
            chunks[-1].characters.append(pattern[position].__eq__)
            position += 1
        else:
            chunks[-1].characters.append(_any if character == "?" else character.__eq__)
    return chunks if chunks[0].characters else chunks[1:]


def _any(_: str) -> bool:
    return True


def _class(pattern: str, position: int) -> tuple[_Class, int] | None:
    """The class whose bracket opens before `position`, and the position behind it; None when it is malformed."""
    negated = pattern.startswith("^", position)
    position += negated
    ranges: list[tuple[str, str]] = []
    while not (ranges and pattern.startswith("]", position)):
        low = _class_character(pattern, position)
        is_range = low is not None and pattern.startswith("-", low[1])
        high = _class_character(pattern, low[1] + 1) if low and is_range else low
        if low is None or high is None:
            return None
        ranges.append((low[0], high[0]))
        position = high[1]
    return _Class(negated, tuple(ranges)), position + 1


def _class_character(pattern: str, position: int) -> tuple[str, int] | None:
    """The character at `position`, which may be escaped, and the position behind it. Something has to follow."""
    if pattern.startswith(("-", "]"), position):
        return None
    position += pattern.startswith("\\", position)
    return (pattern[position], position + 1) if position + 1 < len(pattern) else None
