"""GitLab CI. Everything is in predefined variables; there is no event payload.

Source: docs.gitlab.com "Predefined CI/CD variables reference".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.ci.context import CIContext, EventKind, Provider
from sf.ci.trust import decide_trust
from sf.ci.values import commit_id, is_set, number, ref_name, repository_identity, web_url, word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.payload import Payload

_SOURCES: Final[Mapping[str, EventKind]] = MappingProxyType(
    {
        "push": EventKind.PUSH,
        "merge_request_event": EventKind.PULL_REQUEST,
        "schedule": EventKind.SCHEDULE,
        "web": EventKind.MANUAL,
        "api": EventKind.MANUAL,
        "trigger": EventKind.MANUAL,
        "chat": EventKind.MANUAL,
        "pipeline": EventKind.MANUAL,
        # A child pipeline hides what started its parent; only a push leaves the commit before.
        "parent_pipeline": EventKind.MANUAL,
    }
)
_MERGED: Final = frozenset({"merged_result", "merge_train"})


def recognises(environ: Mapping[str, str]) -> bool:
    return is_set(environ, "GITLAB_CI")


def detect(environ: Mapping[str, str], payload: Payload) -> CIContext:  # noqa: ARG001 - GitLab has no payload
    """The pipeline as ``CI_*`` describe it."""

    def commit(name: str) -> str:
        return commit_id(environ.get(name, ""), name)

    def reference(name: str) -> str:
        return ref_name(environ.get(name, ""), name)

    event = _event(environ)
    is_change = event is EventKind.PULL_REQUEST
    is_merged = is_change and environ.get("CI_MERGE_REQUEST_EVENT_TYPE") in _MERGED
    fork = is_change and _from_fork(environ)
    actor = word(environ.get("GITLAB_USER_LOGIN", ""))
    url = web_url(environ.get("CI_PROJECT_URL", ""))
    return CIContext(
        provider=Provider.GITLAB,
        event=event,
        trust=decide_trust(event, fork=fork, actor=actor),
        branch=reference("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or reference("CI_COMMIT_BRANCH"),
        base_branch=reference("CI_MERGE_REQUEST_TARGET_BRANCH_NAME"),
        tag=reference("CI_COMMIT_TAG"),
        commit=commit("CI_COMMIT_SHA"),
        # CI_MERGE_REQUEST_DIFF_BASE_SHA is no substitute: it is stale once the target branch is changed.
        base_commit=commit("CI_MERGE_REQUEST_TARGET_BRANCH_SHA" if is_change else "CI_COMMIT_BEFORE_SHA"),
        head_commit=commit("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or commit("CI_COMMIT_SHA"),
        merge_commit=commit("CI_COMMIT_SHA") if is_merged else "",
        default_branch=reference("CI_DEFAULT_BRANCH"),
        repository_url=url,
        repository=repository_identity(url),
        change_number=number(environ.get("CI_MERGE_REQUEST_IID", ""), "CI_MERGE_REQUEST_IID"),
        fork=fork,
        actor=actor,
        run_url=web_url(environ.get("CI_JOB_URL", "") or environ.get("CI_PIPELINE_URL", "")),
        run_id=word(environ.get("CI_PIPELINE_ID", "")),
        workspace=environ.get("CI_PROJECT_DIR", ""),
        api_url=web_url(environ.get("CI_API_V4_URL", "")),
        server_url=web_url(environ.get("CI_SERVER_URL", "")),
    )


def _event(environ: Mapping[str, str]) -> EventKind:
    # A child pipeline of a merge request has another source, but is still about the merge request.
    if environ.get("CI_MERGE_REQUEST_IID"):
        return EventKind.PULL_REQUEST
    source = environ.get("CI_PIPELINE_SOURCE", "")
    event = _SOURCES.get(source, EventKind.UNKNOWN)
    has_before = bool(environ.get("CI_COMMIT_BEFORE_SHA", "").strip("0"))
    if source == "parent_pipeline" and has_before:
        event = EventKind.PUSH
    return EventKind.TAG if event is EventKind.PUSH and environ.get("CI_COMMIT_TAG") else event


def _from_fork(environ: Mapping[str, str]) -> bool:
    """Whether source, target and running project are not provably the same one."""
    names = ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "CI_MERGE_REQUEST_PROJECT_ID", "CI_PROJECT_ID")
    projects = {environ.get(name, "") for name in names}
    return len(projects) > 1 or "" in projects
