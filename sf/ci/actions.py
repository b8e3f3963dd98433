"""What GitHub Actions and the runners compatible with it share: ``GITHUB_*`` variables and an event payload.

Sources: docs.github.com "Variables reference", "Events that trigger workflows", "Webhook events and payloads".
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.ci.context import CIContext, EventKind, Provider, Trust, Upstream
from sf.ci.trust import decide_trust
from sf.ci.values import commit_id, number, ref_name, repository_identity, web_url, word
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.payload import Payload

_EVENTS: Final[Mapping[str, EventKind]] = MappingProxyType(
    {
        "push": EventKind.PUSH,
        "pull_request": EventKind.PULL_REQUEST,
        "pull_request_target": EventKind.PULL_REQUEST_TARGET,
        "merge_group": EventKind.MERGE_GROUP,
        "schedule": EventKind.SCHEDULE,
        "workflow_dispatch": EventKind.MANUAL,
        "repository_dispatch": EventKind.MANUAL,
        "workflow_run": EventKind.WORKFLOW_RUN,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What the event is about, as its payload tells it."""

    branch: str = ""
    base_branch: str = ""
    base_commit: str = ""
    head_commit: str = ""
    merge_commit: str = ""
    change_number: int | None = None
    fork: bool = False


def read_run(environ: Mapping[str, str], payload: Payload, provider: Provider, *, run: str) -> CIContext:
    """The run that `environ` and `payload` describe; `run` is the id that stands in the web address of a run.

    Raises a `Problem` where the payload lacks what the comparison of commits depends on. Events that need nothing
    from it are read without one, but are not trusted then.
    """
    event = _event(environ)
    subject = _subject(event, environ, payload)
    server = web_url(environ.get("GITHUB_SERVER_URL", ""))
    repository_url = web_url(f"{server}/{environ.get('GITHUB_REPOSITORY', '')}") if server else ""
    commit = commit_id(environ.get("GITHUB_SHA", ""), "GITHUB_SHA")
    actor = word(environ.get("GITHUB_ACTOR", ""))
    branch = subject.branch or _ref_name(environ, "branch")
    # Scheduled workflows run on the default branch and nowhere else.
    default_branch = payload.text("repository", "default_branch") or (
        branch if event is EventKind.SCHEDULE else ""
    )
    return CIContext(
        provider=provider,
        event=event,
        trust=decide_trust(event, fork=subject.fork, actor=actor) if payload else Trust.UNTRUSTED,
        branch=branch,
        base_branch=subject.base_branch,
        tag=_ref_name(environ, "tag"),
        commit=commit,
        base_commit=subject.base_commit,
        head_commit=subject.head_commit or commit,
        merge_commit=subject.merge_commit,
        default_branch=ref_name(default_branch, "repository.default_branch of the event"),
        repository_url=repository_url,
        repository=repository_identity(repository_url),
        change_number=subject.change_number,
        fork=subject.fork,
        actor=actor,
        run_url=_run_url(repository_url, run),
        run_id=word(environ.get("GITHUB_RUN_ID", "")),
        run_attempt=number(environ.get("GITHUB_RUN_ATTEMPT", ""), "GITHUB_RUN_ATTEMPT") or 0,
        upstream=_upstream(payload, repository_url) if event is EventKind.WORKFLOW_RUN else None,
        workspace=environ.get("GITHUB_WORKSPACE", ""),
        api_url=web_url(environ.get("GITHUB_API_URL", "")),
        server_url=server,
    )


def _run_url(repository_url: str, run: str) -> str:
    return f"{repository_url}/actions/runs/{run}" if repository_url and run.isdigit() else ""


def _upstream(payload: Payload, repository_url: str) -> Upstream:
    run = str(payload.number("workflow_run", "id") or "")
    return Upstream(
        event=_EVENTS.get(payload.text("workflow_run", "event"), EventKind.UNKNOWN),
        run_id=run,
        run_attempt=payload.number("workflow_run", "run_attempt") or 0,
        run_url=_run_url(repository_url, run),
    )


def _event(environ: Mapping[str, str]) -> EventKind:
    event = _EVENTS.get(environ.get("GITHUB_EVENT_NAME", ""), EventKind.UNKNOWN)
    return EventKind.TAG if event is EventKind.PUSH and _ref_type(environ) == "tag" else event


def _ref_type(environ: Mapping[str, str]) -> str:
    """``branch``, ``tag`` or, for the refs of a pull request, nothing."""
    reference = environ.get("GITHUB_REF", "")
    kinds = {"refs/heads/": "branch", "refs/tags/": "tag"}
    return next((kind for prefix, kind in kinds.items() if reference.startswith(prefix)), "")


def _ref_name(environ: Mapping[str, str], kind: str) -> str:
    return ref_name(environ["GITHUB_REF"], "GITHUB_REF") if _ref_type(environ) == kind else ""


def _subject(event: EventKind, environ: Mapping[str, str], payload: Payload) -> _Subject:
    match event:
        case EventKind.PUSH | EventKind.TAG:
            before = _required(payload, "before")
            return _Subject(base_commit=commit_id(before, "before of the event"))
        case EventKind.PULL_REQUEST | EventKind.PULL_REQUEST_TARGET:
            return _pull_request(event, environ, payload)
        case EventKind.MERGE_GROUP:
            return _Subject(
                base_branch=ref_name(payload.text("merge_group", "base_ref"), "merge_group.base_ref"),
                base_commit=commit_id(_required(payload, "merge_group", "base_sha"), "merge_group.base_sha"),
                merge_commit=commit_id(environ.get("GITHUB_SHA", ""), "GITHUB_SHA"),
            )
        case EventKind.WORKFLOW_RUN:
            head = payload.text("workflow_run", "head_sha")
            return _Subject(
                branch=ref_name(payload.text("workflow_run", "head_branch"), "workflow_run.head_branch"),
                head_commit=commit_id(head, "workflow_run.head_sha"),
                fork=_differ(payload, ("workflow_run", "head_repository"), ("repository",)),
            )
        case _:
            return _Subject()


def _pull_request(event: EventKind, environ: Mapping[str, str], payload: Payload) -> _Subject:
    # Only refs/pull/N/merge is a merge result; Gitea and Forgejo run on refs/pull/N/head.
    is_merged = event is EventKind.PULL_REQUEST and environ.get("GITHUB_REF", "").endswith("/merge")
    return _Subject(
        branch=ref_name(payload.text("pull_request", "head", "ref"), "pull_request.head.ref"),
        base_branch=ref_name(payload.text("pull_request", "base", "ref"), "pull_request.base.ref"),
        base_commit=commit_id(_required(payload, "pull_request", "base", "sha"), "pull_request.base.sha"),
        head_commit=commit_id(_required(payload, "pull_request", "head", "sha"), "pull_request.head.sha"),
        merge_commit=commit_id(environ.get("GITHUB_SHA", ""), "GITHUB_SHA") if is_merged else "",
        change_number=payload.number("pull_request", "number"),
        fork=_differ(payload, ("pull_request", "head", "repo"), ("pull_request", "base", "repo")),
    )


def _differ(payload: Payload, one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two repositories of the payload are not provably the same. A deleted fork is null."""
    ids = payload.number(*one, "id"), payload.number(*other, "id")
    return None in ids or ids[0] != ids[1]


def _required(payload: Payload, *keys: str) -> str:
    value = payload.text(*keys)
    if not value:
        raise Problem(
            f"the event payload has no {'.'.join(keys)}, so that it is unknown what to compare",
            hint="GITHUB_EVENT_PATH has to name the event file of this run, inside the container too",
        )
    return value
