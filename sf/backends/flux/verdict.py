"""How far a source or a Kustomization is on the way to the planned commit, judged from its state alone.

The conditions are those that source-controller and kustomize-controller set (API v1); a request counts as dealt
with once ``status.lastHandledReconcileAt`` repeats it, whatever came of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from sf.backends.flux.revision import Relation
from sf.backends.flux.state import Condition

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.backends.flux.state import State

# Reasons of a Ready condition that is False for now: the controller is about to go on by itself.
_PASSING: Final = frozenset({"HealthCheckCanceled", "Progressing", "ProgressingWithRetry"})
# What the flux program calls the kinds of sources.
_FLUX_KINDS: Final = {"GitRepository": "git", "OCIRepository": "oci", "Bucket": "bucket"}
# What a message holds when the artifact, not the content, was missing.
_RETRIED: Final = "retrying in"


class Standing(Enum):
    """Where something stands."""

    THERE = auto()
    """At the planned commit, and everything about it is well."""
    UNDERWAY = auto()
    STALE = auto()
    """The request was dealt with, and came too early: it has to be asked again."""
    BLOCKED = auto()
    """It waits for what it depends on."""
    ELSEWHERE = auto()
    """All is well, at another revision."""
    SUPERSEDED = auto()
    """At a newer commit, which contains the planned one."""
    SUSPENDED = auto()
    DELETING = auto()
    MISSING = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Where something stands, and a sentence on why or what it is at; ``hint`` is for who has to do something."""

    standing: Standing
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a Kustomization is to come to: the ``commit``, which its source offers as ``revision``.

    Both are empty where the source is of another repository. ``request`` is what was asked, empty when nothing
    was; ``asked`` how often. ``before`` is the Ready condition that the run found.
    """

    commit: str = ""
    revision: str = ""
    request: str = ""
    asked: int = 0
    before: Condition = field(default_factory=Condition)

    def is_applied(self, state: State) -> bool:
        """Whether what was applied last is what is wanted."""
        return (
            not self.commit
            or state.applied_commit == self.commit
            or (bool(self.revision) and state.applied == self.revision)
        )


def judge(state: State | None, wanted: Wanted) -> Verdict:
    """Where a Kustomization stands."""
    if state is None or state.deleting or state.suspended:
        return _out_of_reach(state)
    ready, handled = state.condition("Ready"), state.handled == wanted.request
    if ready.status == "True" and state.observed and (handled or not wanted.request):
        if wanted.is_applied(state):
            return Verdict(standing=Standing.THERE, message=f"is live at {state.applied}")
        return Verdict(standing=Standing.ELSEWHERE, message=f"is at {state.applied}")
    if ready.status == "False" and wanted.request and ready.reason not in _PASSING:
        return _unwell(state, ready, wanted, handled=handled)
    return Verdict(standing=Standing.UNDERWAY, message=state.doing)


def _out_of_reach(state: State | None) -> Verdict:
    if state is None:
        return Verdict(standing=Standing.MISSING, message="is not in the cluster")
    if state.deleting:
        return Verdict(standing=Standing.DELETING, message="is being deleted")
    return Verdict(standing=Standing.SUSPENDED, message="is suspended in the cluster and left alone")


def _unwell(state: State, ready: Condition, wanted: Wanted, *, handled: bool) -> Verdict:
    concerns_us = not wanted.revision or state.attempted == wanted.revision
    if not handled:
        # An attempt that Flux began by itself counts once it has waited for its objects in vain: the next would.
        in_vain = ready.reason == "HealthCheckFailed" and concerns_us and ready != wanted.before
        standing = Standing.FAILED if in_vain else Standing.UNDERWAY
    elif ready.reason == "DependencyNotReady":
        standing = Standing.BLOCKED
    elif _RETRIED in ready.message:
        standing = Standing.STALE
    elif concerns_us or wanted.asked > 1:
        standing = Standing.FAILED
    else:
        # The controller did not know the new artifact yet.
        standing = Standing.STALE
    return Verdict(standing=standing, message=ready.told)


def judge_source(
    state: State | None, name: str, planned: str, request: str, relation: Callable[[str], Relation]
) -> Verdict:
    """Where the source `name` stands, of which `request` was asked (empty: nothing yet).

    STALE means that it may still get to the planned commit when asked again.
    """
    if state is None or state.deleting:
        return Verdict(standing=Standing.MISSING, message=f"{name} is not in the cluster")
    at, commit = state.artifact or "nothing", state.artifact_commit
    found = relation(commit) if commit else Relation.UNKNOWN
    if found is Relation.SAME:
        return Verdict(standing=Standing.THERE, message=f"{name} is at {at}")
    if found is Relation.NEWER:
        return Verdict(standing=Standing.SUPERSEDED, message=f"superseded by {commit}: {name} is at {at}")
    if state.suspended:
        return Verdict(
            standing=Standing.SUSPENDED,
            message=f"{name} is suspended at {at}, so that Flux does not get to {planned}",
            hint=f"resume it: `flux resume source {_FLUX_KINDS.get(state.kind, state.kind)} {state.name}"
            f" --namespace={state.namespace}`",
        )
    ready = state.condition("Ready")
    if not request or state.handled != request or ready.status not in {"True", "False"}:
        return Verdict(standing=Standing.UNDERWAY, message=f"{name} to get from {at} to {planned}")
    return _strange(name, state, planned, found)


def _strange(name: str, state: State, planned: str, relation: Relation) -> Verdict:
    """Why a source that has dealt with the request does not offer the planned commit."""
    at, ready = state.artifact or "nothing", state.condition("Ready")
    follow = f"{name} has to follow the branch that {planned[:12]} was pushed to: see its `spec.ref`"
    if ready.status == "False":
        standing, message, hint = Standing.STALE, f"{name} fails: {ready.told}", ""
    elif not state.artifact_commit:
        standing = Standing.FAILED
        message = f"{name} is at {at}, which does not say of which commit it was made"
        hint = "push artifacts with their revision: `flux push artifact --revision`"
    elif relation is Relation.FOREIGN:
        standing, hint = Standing.FAILED, follow
        message = f"{name} is at {at}, which does not contain the planned {planned}"
    elif relation is Relation.OLDER:
        standing, hint = Standing.STALE, follow
        message = f"{name} is behind: at {at}, and {planned} was planned"
    else:
        standing, hint = Standing.STALE, follow
        message = f"{name} is at {at}, a commit that this clone does not have; {planned} was planned"
    return Verdict(standing=standing, message=message, hint=hint)
