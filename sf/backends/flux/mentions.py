"""Which files of a tree contain a text: searched by git once, and for every further tree only where it differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sf.process import ProgramFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.flux.tree import Blobs
    from sf.tools.git import Git

# Up to here, reading what differs costs less than searching everything. Files, and bytes in sum.
_MOST_FILES: Final = 200
_MOST_BYTES: Final = 4 * 1024 * 1024


class Mentions:
    """The trees of one run, and which texts were found in which of their files."""

    def __init__(self, git: Git, blobs: Blobs) -> None:
        self._git = git
        self._blobs = blobs
        self._listings: dict[str, Mapping[str, str]] = {}
        self._found: dict[str, dict[str, frozenset[str]]] = {}
        #: How often was searched in this run, beside what an earlier one found.
        self.learned = 0

    def add(self, tree: str, listing: Mapping[str, str]) -> None:
        """Make the tree with the id `tree` known: every path in it with its object id."""
        self._listings[tree] = listing

    def of(self, tree: str, text: str) -> frozenset[str]:
        """The paths of the files in `tree` that contain `text`, as `git grep -F` finds them."""
        found = self._found.setdefault(tree, {})
        if text not in found:
            self.learned += 1
            like = next((other for other, texts in self._found.items() if text in texts), None)
            by_difference = None if like is None else self._by_difference(like, tree, text)
            found[text] = self._git.files_with(tree, text) if by_difference is None else by_difference
        return found[text]

    def remembered(self, tree: str) -> dict[str, Any]:
        """What was found in `tree`, as JSON values for `remember`."""
        return {text: sorted(paths) for text, paths in self._found.get(tree, {}).items()}

    def remember(self, tree: str, document: Mapping[str, Any]) -> None:
        """Know again what an earlier run found in `tree`."""
        self._found[tree] = {text: frozenset(paths) for text, paths in document.items()}

    def _by_difference(self, like: str, tree: str, text: str) -> frozenset[str] | None:
        """What `of` returns, from what `like` is known to hold; None when the two differ too much."""
        before, after = self._listings[like], self._listings[tree]
        changed = dict(after.items() - before.items())
        if not self._fetch(changed.values()):
            return None
        found = self._found[like][text]
        kept = {path for path in found if path in after and path not in changed}
        # A line break separates texts for git, any of which may be found.
        lines = text.encode("utf-8", "surrogateescape").split(b"\n")
        return frozenset(
            kept | {path for path, oid in changed.items() if any(line in self._blobs[oid] for line in lines)}
        )

    def _fetch(self, oids: Any) -> bool:
        """Whether all of `oids` are at hand, read if they are few and small."""
        missing = {oid for oid in oids if oid not in self._blobs}
        if len(missing) > _MOST_FILES:
            return False
        try:
            self._blobs.add(self._git.read_blobs(sorted(missing), limit=_MOST_BYTES))
        except ProgramFailed:
            return False
        return True
