"""One comment on a pull or merge request, from its plan to its end, whatever happens around it.

A forge has no way to say "replace this unless someone was faster". So every write is looked at again: if another
run made a comment of its own, or an older one overwrote ours, what is newer is put into the oldest comment, and
the others go. All runs come to the same end, in whatever order they look.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sf.models import Problem
from sf.report.comment import Marker, Run, marked, marker_of
from sf.report.forges.api import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.ci.context import CIContext
    from sf.models import Record
    from sf.report.forges.api import Comment, Forge

# A write that was on its way while we read has arrived after this many seconds, if the forge is well.
_SETTLING: Final = 1.0
_LOOKS: Final = 3


class _Found(NamedTuple):
    comment: Comment
    marker: Marker


@dataclass(frozen=True, slots=True, kw_only=True)
class StickyComment:
    """The comment that says what a run has to say about the change it belongs to, with a `note` of ours."""

    forge: Callable[[], Forge]
    ci: CIContext
    label: str = ""
    note: str = ""
    pause: Callable[[float], None] = time.sleep

    def show(self, record: Record) -> str:
        """Bring the comment up to date. Returns a warning, empty when all is well or there is nothing to do.

        `record` is scrubbed (`sf.report.scrubbing`).
        """
        executes_merged = not record.dry_run and self.ci.on_default_branch and bool(self.ci.commit)
        if self.ci.change_number is None and not executes_merged:
            return ""
        try:
            forge = self.forge()
            change = self.ci.change_number
            if change is None:
                change = forge.change_merged_as(self.ci.commit)
            return self._write(forge, change, record) if change is not None else ""
        except Problem as problem:
            fork = " (a change from a fork may not be commented on)" if self.ci.fork else ""
            hint = f"; {problem.hint}" if problem.hint else ""
            return f"there is no comment: {problem}{fork}{hint}. The reports have everything"

    def _write(self, forge: Forge, change: int, record: Record) -> str:
        run = Run.of(self.ci)
        body, mine = marked(record, label=self.label, run=run, limit=forge.limit, note=self.note)
        for look in range(_LOOKS):
            found = _of_the_same(forge.own_comments(change), mine)
            newest = max(found, key=_age, default=None)
            if newest and mine.run.is_older_than(newest.marker.run):
                self._tidy(forge, change, found, newest)
                return f"the comment is of a newer run ({newest.marker.run.number}) and stays as it is"
            if newest and _says_the_same(newest.marker, mine):
                self._tidy(forge, change, found, newest)
                return ""
            if found:
                self._replace(forge, change, found[0], body)
            else:
                forge.create(change, body)
            if look < _LOOKS - 1:
                self.pause(_SETTLING)
        return "the comment was overwritten by other runs again and again"

    def _replace(self, forge: Forge, change: int, found: _Found, body: str) -> None:
        try:
            forge.edit(change, found.comment.id, body)
        except Refused as refusal:
            # Somebody removed it in between. The next look makes a new one.
            if refusal.status != 404:
                raise

    def _tidy(self, forge: Forge, change: int, found: list[_Found], newest: _Found) -> None:
        """Keep the oldest of `found`, with the text of `newest`."""
        kept, *others = found
        if others:
            if kept.comment.body != newest.comment.body:
                self._replace(forge, change, kept, newest.comment.body)
            for other in others:
                _remove(forge, change, other.comment.id)


def _remove(forge: Forge, change: int, comment: int) -> None:
    try:
        forge.delete(change, comment)
    except Refused as refusal:
        # The other run of a race removed it already.
        if refusal.status != 404:
            raise


def _of_the_same(comments: list[Comment], mine: Marker) -> list[_Found]:
    marked_ones = [(comment, marker_of(comment.body)) for comment in comments]
    return [
        _Found(comment, marker)
        for comment, marker in marked_ones
        if marker and mine.is_of_the_same_comment(marker)
    ]


def _age(found: _Found) -> tuple[int, int, int]:
    return found.marker.run.number, found.marker.run.attempt, found.comment.id


def _says_the_same(one: Marker, other: Marker) -> bool:
    return (one.content, one.state, one.target) == (other.content, other.state, other.target)
