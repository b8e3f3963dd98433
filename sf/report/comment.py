"""What sf writes on a forge, as text: what a reader sees, and the hidden line by which sf knows it again.

The hidden line is the last one. Above it stands foreign text, in code blocks as it is, which may look like
anything.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.models import NOTHING, canonical_json
from sf.report import markdown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.context import CIContext
    from sf.models import Record

# GitHub answers 422 to a longer one, and counts characters, not bytes. Gitea and Forgejo are given the same.
GITHUB_LIMIT: Final = 65_536
# GitLab answers 400 to a longer one.
GITLAB_LIMIT: Final = 1_000_000
_KEY_DIGITS: Final = 16
_MARKER: Final = re.compile(
    r"<!-- sf key=([0-9a-f]{16}) target=([0-9a-f]{16}|-) run=([0-9]{1,18}) attempt=([0-9]{1,18})"
    r" commit=([0-9a-f]{40,64}|-) state=(planned|executing|executed|failed) content=([0-9a-f]{16}) -->\s*\Z"
)


class State(StrEnum):
    """Where a change is in its life."""

    PLANNED = "planned"
    EXECUTING = "executing"
    EXECUTED = "executed"
    FAILED = "failed"


_NOTES: Final[Mapping[State, str]] = MappingProxyType(
    {State.EXECUTING: "**Executing now.** The comment tells how it ended as soon as it did."}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Which run a comment is from. ``number`` and ``attempt`` grow with time, 0 where the CI does not count."""

    number: int = 0
    attempt: int = 0
    commit: str = ""

    @classmethod
    def of(cls, ci: CIContext) -> Run:
        number = int(ci.run_id) if ci.run_id.isdecimal() and len(ci.run_id) <= 18 else 0
        return cls(number=number, attempt=ci.run_attempt, commit=ci.head_commit)

    def is_older_than(self, other: Run) -> bool:
        """Whether what this run says is out of date beside `other`.

        A run that was started again says something newer about its commit than a later run of the same commit.
        """
        again = self.attempt > 1 and self.commit == other.commit
        return (self.number, self.attempt) < (other.number, other.attempt) and not again


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """The hidden line. ``key`` stands for mode, label and topic, ``target`` for what the plan is for, as digests.

    ``content`` is a digest of what the comment says, without what is different in every run.
    """

    key: str
    target: str
    run: Run
    state: State
    content: str

    def is_of_the_same_comment(self, other: Marker) -> bool:
        """Whether both mark the one comment there is to be. A run that failed early does not know its target."""
        return self.key == other.key and (not self.target or other.target in (self.target, ""))

    def line(self) -> str:
        run = self.run
        return (
            f"<!-- sf key={self.key} target={self.target or '-'} run={run.number} attempt={run.attempt}"
            f" commit={run.commit or '-'} state={self.state.value} content={self.content} -->\n"
        )


def document(record: Record) -> bytes:
    """The content of ``comment.md``: the comment for GitHub, without the hidden line."""
    return visible_part(record, limit=GITHUB_LIMIT).encode()


def visible_part(record: Record, *, limit: int, note: str = "") -> str:
    """What a reader sees, in at most `limit` characters. `note` is a sentence of ours below the verdict."""
    notes = "\n".join(filter(None, (_NOTES.get(state_of(record)), note)))
    return markdown.summary(record, limit=limit, size=len, note=notes)


def marked(
    record: Record, *, label: str, run: Run, limit: int, topic: str = "", note: str = ""
) -> tuple[str, Marker]:
    """The whole text in at most `limit` characters, and its marker.

    `topic` tells apart what one run writes beside the comment on its change.
    """
    lasting = replace(record, timings=MappingProxyType({}), links=NOTHING)
    marker = Marker(
        key=_digest([record.mode, label, topic]),
        target=_digest(record.plan.target) if record.plan else "",
        run=run,
        state=state_of(record),
        content=_digest(visible_part(lasting, limit=limit, note=note)),
    )
    line = f"\n{marker.line()}"
    return visible_part(record, limit=limit - len(line), note=note) + line, marker


def marker_of(body: str) -> Marker | None:
    """The marker at the end of `body`; None if it has none."""
    found = _MARKER.search(body, max(0, len(body) - 400))
    if found is None:
        return None
    key, target, number, attempt, commit, state, content = found.groups()
    return Marker(
        key=key,
        target=target.strip("-"),
        run=Run(number=int(number), attempt=int(attempt), commit=commit.strip("-")),
        state=State(state),
        content=content,
    )


def state_of(record: Record) -> State:
    """Where the change is, as `record` tells it."""
    if record.failure or (record.result and not record.result.success):
        return State.FAILED
    if record.dry_run:
        return State.PLANNED
    return State.EXECUTED if record.result else State.EXECUTING


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()[:_KEY_DIGITS]
