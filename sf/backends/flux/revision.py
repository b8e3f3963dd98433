"""Revisions as Flux writes them, and how the commits in them stand to the one that was planned."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from sf.models import Problem

if TYPE_CHECKING:
    from sf.tools.git import Git

# `main@sha1:…`, `refs/tags/v1@sha1:…`, `sha1:…`, with sha256 in repositories of that format (Flux RFC-0005), and
# `main/…` of releases before 2.0.
_COMMIT: Final = re.compile(r"(?:.*@)?sha(?:1:([0-9a-f]{40})|256:([0-9a-f]{64}))|.*/([0-9a-f]{40})")
# Generations fetched in turn until a shallow clone shows how two commits are related.
_DEEPENING: Final = (32, 256, 2048)


class Relation(Enum):
    """How a commit stands to the planned one."""

    SAME = auto()
    NEWER = auto()
    """It contains the planned one."""
    OLDER = auto()
    """The planned one contains it."""
    FOREIGN = auto()
    """Neither contains the other."""
    UNKNOWN = auto()
    """The clone does not have it, and cannot get it."""


def commit_of(revision: str) -> str:
    """The id of the commit in a revision of a GitRepository; empty for anything else."""
    found = _COMMIT.fullmatch(revision)
    return next(filter(None, found.groups()), "") if found else ""


class Lineage:
    """Compares commits with the planned one, asking the remote of the clone for those that it lacks."""

    def __init__(self, git: Git, planned: str) -> None:
        self.planned = planned
        self._git = git
        self._known = {planned: Relation.SAME}

    def relation(self, commit: str) -> Relation:
        """How `commit` stands to the planned one."""
        if commit not in self._known:
            try:
                self._known[commit] = self._compare(commit)
            except Problem:
                # The remote does not answer, or does not hand it out.
                self._known[commit] = Relation.UNKNOWN
        return self._known[commit]

    def _compare(self, commit: str) -> Relation:
        git, planned = self._git, self.planned
        if not git.has_commit(commit):
            git.fetch_commit(commit)
        base = git.merge_base(planned, commit)
        for generations in _DEEPENING:
            if base or not git.is_shallow():
                break
            git.deepen(generations, (planned, commit))
            base = git.merge_base(planned, commit)
        if base is None and git.is_shallow():
            return Relation.UNKNOWN
        return {planned: Relation.NEWER, commit: Relation.OLDER}.get(base or "", Relation.FOREIGN)
