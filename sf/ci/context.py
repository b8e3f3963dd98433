"""The facts about one run that do not depend on the forge it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Provider(StrEnum):
    """Who runs us. ``generic`` is a CI that is known only by ``SF_CI_*`` or by ``CI`` being set."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"
    FORGEJO = "forgejo"
    LOCAL = "local"
    GENERIC = "generic"


class EventKind(StrEnum):
    """What started the run. A merge request is a ``pull_request``, a run by hand or by API is ``manual``."""

    PUSH = "push"
    TAG = "tag"
    PULL_REQUEST = "pull_request"
    MERGE_GROUP = "merge_group"
    SCHEDULE = "schedule"
    MANUAL = "manual"
    PULL_REQUEST_TARGET = "pull_request_target"
    WORKFLOW_RUN = "workflow_run"
    UNKNOWN = "unknown"


class Trust(StrEnum):
    """Whether people who may write to the repository are behind what runs (see `sf.ci.trust`)."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The run that a ``workflow_run`` comes after: its event, its id and attempt, and its web address."""

    event: EventKind
    run_id: str = ""
    run_attempt: int = 0
    run_url: str = ""


# The events that are about the branch they run on, not about a change that wants to enter it.
_OF_A_BRANCH: Final = frozenset({EventKind.PUSH, EventKind.SCHEDULE, EventKind.MANUAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class CIContext:
    """One run, as its forge describes it. What is not known is empty, ``None`` or 0, never a guess.

    Every id is whole and in lower case; the forges' forty zeros for "no commit" are empty here.

    ``branch``: the branch pushed, scheduled or run by hand; of a pull request its source branch; empty for tags.
    ``base_branch``: the branch a pull request or a merge group wants to enter, else empty.
    ``tag``: the tag that was pushed or that the run is for.
    ``commit``: the commit the run is for, as the forge says (usually the one checked out). On a GitHub pull
    request that is the merge commit; on ``pull_request_target`` the tip of the target branch.
    ``head_commit``: the last commit of the change itself: of a pull request its source, of a ``workflow_run`` the
    commit of the run before; else equal to ``commit``.
    ``merge_commit``: the merge result as the forge committed it, empty where the forge makes none.
    ``base_commit``: what was there before: of a push the commit the branch (or moved tag) pointed at, empty when
    it is new; of a pull request or merge group the commit of the target branch the event was made for.
    ``repository_url``: the web address, without credentials. ``repository``: the identity, ``host/owner/name``.
    ``change_number``: the number of the pull or merge request (GitLab: its iid).
    ``fork``: the change comes from another repository, or it cannot be told that it does not.
    ``run_attempt``: counted from 1; 0 where the forge does not count.
    ``upstream``: of a ``workflow_run`` the run before, else None.
    ``workspace``: the absolute path of the checkout. ``api_url``, ``server_url``: without a final slash.
    """

    provider: Provider
    event: EventKind
    trust: Trust
    branch: str = ""
    base_branch: str = ""
    tag: str = ""
    commit: str = ""
    base_commit: str = ""
    head_commit: str = ""
    merge_commit: str = ""
    default_branch: str = ""
    repository_url: str = ""
    repository: str = ""
    change_number: int | None = None
    fork: bool = False
    actor: str = ""
    run_url: str = ""
    run_id: str = ""
    run_attempt: int = 0
    upstream: Upstream | None = None
    workspace: str = ""
    api_url: str = ""
    server_url: str = ""

    @property
    def on_default_branch(self) -> bool:
        """Whether this run is about the default branch itself: what it holds is what is to be running."""
        return self.event in _OF_A_BRANCH and bool(self.branch) and self.branch == self.default_branch
