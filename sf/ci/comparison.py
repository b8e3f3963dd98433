"""Which two states a run compares. Always two trees of the object store; the working tree is never read.

====================  ==================================================================================
event                 what is compared
====================  ==================================================================================
pull request          the merge result with the target branch: the forge's merge commit with its first
                      parent, else what merging the source into the target branch gives
merge group           the group's commit with the commit it was queued on
push                  the commit pushed with the one before. A new branch: with its merge base with the
                      default branch. A new default branch: with nothing
push, rewritten       where the commit before cannot be had any more: as for a new branch. That names more
                      than what changed, where the first parent would miss something
tag                   the commit of the tag with what a moved tag pointed at, else with its first parent
schedule              a commit with itself: only what is running can differ
manual                on the default branch as for a schedule, with a tag as for a tag, else as local
local, unknown        the commit with its merge base with the default branch; if that is the commit itself,
                      with its first parent
====================  ==================================================================================

A commit that the clone lacks is fetched from the configured remote. If that fails the run fails: an incomplete
clone never reads as "nothing changed".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.ci.context import EventKind, Provider
from sf.models import Problem
from sf.process import ProgramFailed
from sf.tools.git import empty_tree, is_object_id, without_credentials

if TYPE_CHECKING:
    from sf.ci.context import CIContext
    from sf.tools.git import Git

# Generations fetched in turn until a shallow clone shows a merge base. More than their sum asks for a full clone.
_DEEPENING: Final = (32, 256, 2048)
_DEEPER_CLONE: Final = {
    Provider.GITHUB: "set `fetch-depth: 0` at the actions/checkout step",
    Provider.GITEA: "set `fetch-depth: 0` at the actions/checkout step",
    Provider.FORGEJO: "set `fetch-depth: 0` at the actions/checkout step",
    Provider.GITLAB: "set `GIT_DEPTH: 0` in the variables of the job",
    Provider.GENERIC: "make the CI clone with full history",
    Provider.LOCAL: "fetch it: `git fetch --unshallow origin`, or `git fetch origin` in a full clone",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two states of the repository and why they are compared.

    ``base`` is None when there was nothing before; ``base_tree`` is the empty tree then. ``head_tree`` is the tree
    of ``head``, unless ``head_is_merge_result`` and the forge made no merge commit: then it is the tree that
    merging ``head`` into ``base`` gives. ``reason`` is for people. ``dirty`` (local runs only): the working tree
    holds changes that are in neither state.
    """

    base: str | None
    head: str
    base_tree: str
    head_tree: str
    head_is_merge_result: bool
    reason: str
    dirty: bool = False


class MissingCommit(Problem):
    """A commit that is needed is not in the clone and could not be fetched."""


def resolve_comparison(
    git: Git, ci: CIContext, *, base: str | None = None, head: str | None = None
) -> Comparison:
    """What this run compares; `base` and `head` name commits to be taken instead of the event's.

    With `base`, exactly these two are compared. With `head` alone it is compared as a local run would.

    Raises `MissingCommit`, `sf.tools.git.MergeConflict`, or a `Problem` for a revision that does not exist.
    """
    return _Resolver(git, ci).resolve(base, head)


class _Resolver:
    def __init__(self, git: Git, ci: CIContext) -> None:
        self._git = git
        self._ci = ci

    def resolve(self, base: str | None, head: str | None) -> Comparison:
        if base is not None:
            target = self._revision(head) if head is not None else self._own_commit()
            return self._compare(self._revision(base), target, "as asked for")
        if head is not None:
            return self._as_local(self._revision(head))
        by_event = {
            EventKind.PULL_REQUEST: self._of_pull_request,
            EventKind.PULL_REQUEST_TARGET: self._of_pull_request,
            EventKind.MERGE_GROUP: self._of_merge_group,
            EventKind.PUSH: self._of_push,
            EventKind.TAG: self._of_tag,
            EventKind.SCHEDULE: self._of_nothing_new,
            EventKind.MANUAL: self._of_manual,
        }
        return by_event.get(self._ci.event, self._of_unknown)()

    def _of_pull_request(self) -> Comparison:
        if self._ci.merge_commit and self._get(self._ci.merge_commit):
            parents = self._git.parents(self._ci.merge_commit)
            if len(parents) > 1:
                return self._compare(
                    self._need(parents[0]), self._ci.merge_commit, "merge commit and target", merged=True
                )
        head = self._need(self._ci.head_commit or self._ci.commit)
        base = self._need(self._ci.base_commit) if self._ci.base_commit else self._target()
        if self._merge_base(base, head) is None:
            raise Problem(
                f"{head[:12]} and the target branch share no history",
                hint="start the branch from the target branch",
            )
        return Comparison(
            base=base,
            head=head,
            base_tree=self._git.tree_of(base),
            head_tree=self._git.merge_tree(base, head),
            head_is_merge_result=True,
            reason="the change merged into the target branch, and the target branch",
        )

    def _of_merge_group(self) -> Comparison:
        head = self._own_commit()
        if self._ci.base_commit:
            return self._compare(
                self._need(self._ci.base_commit), head, "merge group and target", merged=True
            )
        return self._with_first_parent(head, "merge group and its first parent", merged=True)

    def _of_push(self) -> Comparison:
        head = self._own_commit()
        before = self._ci.base_commit
        if not before:
            return self._of_new_branch(head, "first push")
        if found := self._get(before):
            return self._compare(found, head, "the commit before the push")
        if self._git.is_shallow():
            raise self._missing(before)
        # A complete clone without it: history was rewritten, and the remote does not hand it out any more.
        return self._of_new_branch(head, f"history was rewritten and {before[:12]} is gone")

    def _of_new_branch(self, head: str, why: str) -> Comparison:
        default = self._ci.default_branch
        if not default or self._ci.on_default_branch:
            return self._compare(None, head, f"{why}: everything counts as added")
        base = self._merge_base(self._tip(default), head)
        return self._compare(base, head, f"{why}: the merge base with {default}")

    def _of_tag(self) -> Comparison:
        head = self._own_commit()
        if self._ci.base_commit and (before := self._get(self._ci.base_commit)):
            return self._compare(before, head, "what the tag pointed at before")
        return self._with_first_parent(head, "the first parent of the tagged commit")

    def _of_nothing_new(self) -> Comparison:
        commit = self._own_commit()
        return self._compare(commit, commit, "no change of the repository: only what is running can differ")

    def _of_manual(self) -> Comparison:
        if self._ci.tag:
            return self._of_tag()
        if self._ci.on_default_branch and self._ci.provider is not Provider.LOCAL:
            return self._of_nothing_new()
        return self._as_local(self._own_commit())

    def _of_unknown(self) -> Comparison:
        head = self._ci.head_commit
        return self._as_local(self._need(head) if head else self._own_commit())

    def _as_local(self, head: str) -> Comparison:
        default = self._ci.default_branch
        if not default:
            return self._with_first_parent(
                head, "the first parent; there is no default branch to compare with"
            )
        base = self._merge_base(self._tip(default), head)
        if base == head:
            return self._with_first_parent(head, f"the first parent, as {default} holds the commit already")
        return self._compare(base, head, f"the merge base with {default}")

    def _with_first_parent(self, head: str, reason: str, *, merged: bool = False) -> Comparison:
        parents = self._git.parents(head)
        return self._compare(self._need(parents[0]) if parents else None, head, reason, merged=merged)

    def _compare(self, base: str | None, head: str, reason: str, *, merged: bool = False) -> Comparison:
        return Comparison(
            base=base,
            head=head,
            base_tree=self._git.tree_of(base) if base else empty_tree(head),
            head_tree=self._git.tree_of(head),
            head_is_merge_result=merged,
            reason=reason,
            dirty=self._ci.provider is Provider.LOCAL and self._git.is_dirty(),
        )

    def _own_commit(self) -> str:
        return self._need(self._ci.commit) if self._ci.commit else self._git.head()

    def _revision(self, revision: str) -> str:
        return self._need(revision) if is_object_id(revision) else self._git.resolve(revision)

    def _target(self) -> str:
        branch = self._ci.base_branch or self._ci.default_branch
        if not branch:
            raise Problem(
                "it is unknown which branch the change wants to enter", hint="set SF_CI_BASE_BRANCH"
            )
        return self._tip(branch)

    def _tip(self, branch: str) -> str:
        """The commit of `branch`. In CI the remote is asked first: reused workspaces hold old branches."""
        if self._ci.provider is not Provider.LOCAL and (current := self._tip_at_remote(branch)):
            return self._need(current)
        known = self._git.branch_commit(branch)
        if known is None:
            raise MissingCommit(
                f"the branch {branch} is neither in this clone nor could it be found at the remote",
                hint=_DEEPER_CLONE[self._ci.provider],
            )
        return known

    def _tip_at_remote(self, branch: str) -> str:
        try:
            return self._git.remote_branch(branch)
        except ProgramFailed:
            return ""

    def _merge_base(self, one: str, other: str) -> str | None:
        base = self._git.merge_base(one, other)
        for generations in _DEEPENING:
            if base or not self._git.is_shallow():
                return base
            try:
                self._git.deepen(generations, (one, other))
            except ProgramFailed as error:
                raise self._shallow(one, other, error) from error
            base = self._git.merge_base(one, other)
        if base is None and self._git.is_shallow():
            raise self._shallow(one, other, None)
        return base

    def _need(self, commit: str) -> str:
        """The id of the commit that `commit` (a commit or an annotated tag) is, fetched if the clone lacks it."""
        if not self._git.has_commit(commit):
            try:
                self._git.fetch_commit(commit)
            except ProgramFailed as error:
                raise self._missing(commit, error) from error
        return self._git.resolve(commit)

    def _get(self, commit: str) -> str | None:
        try:
            return self._need(commit)
        except MissingCommit:
            return None

    def _missing(self, commit: str, error: ProgramFailed | None = None) -> MissingCommit:
        return MissingCommit(
            f"the commit {commit} is not in this clone and cannot be fetched{_said(error)}",
            hint=_DEEPER_CLONE[self._ci.provider],
        )

    def _shallow(self, one: str, other: str, error: ProgramFailed | None) -> MissingCommit:
        return MissingCommit(
            f"this shallow clone does not show where {one[:12]} and {other[:12]} parted{_said(error)}",
            hint=_DEEPER_CLONE[self._ci.provider],
        )


def _said(error: ProgramFailed | None) -> str:
    complaint = without_credentials(error.completed.complaint) if error else ""
    return f": {complaint}" if complaint else ""
