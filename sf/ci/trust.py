"""The one place that decides whether a run is trusted. Everything else only asks `CIContext.trust`."""

from __future__ import annotations

from typing import Final

from sf.ci.context import EventKind, Trust

# `pull_request_target` and `workflow_run` run with the rights of the repository on behalf of whoever opened the
# pull request; of an event that is not known, nothing is known.
_TRUSTED_EVENTS: Final = frozenset(
    {
        EventKind.PUSH,
        EventKind.TAG,
        EventKind.PULL_REQUEST,
        EventKind.MERGE_GROUP,
        EventKind.SCHEDULE,
        EventKind.MANUAL,
    }
)
# GitHub gives its pull requests the rights of a fork: what they bring was written by strangers upstream.
_DEPENDABOT: Final = "dependabot[bot]"


def decide_trust(event: EventKind, *, fork: bool, actor: str) -> Trust:
    """Trusted only if someone who may write to the repository caused the run and wrote what it reads.

    `fork` counts for every event, so that a forge that reports it in an unexpected place loses nothing.
    """
    if fork or event not in _TRUSTED_EVENTS:
        return Trust.UNTRUSTED
    if event is EventKind.PULL_REQUEST and actor == _DEPENDABOT:
        return Trust.UNTRUSTED
    return Trust.TRUSTED
