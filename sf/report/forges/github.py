"""Comments and issues on GitHub and GitHub Enterprise Server.

Sources: docs.github.com "REST API endpoints for issue comments", "… for issues", "… for commits", "… for pull
requests"; GraphQL for who we are, which is the one thing every kind of token may ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, TypeAdapter

from sf.models import Problem
from sf.report.comment import GITHUB_LIMIT
from sf.report.forges.api import Account, Api, Comment, Issue, Refused
from sf.report.forges.repository import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.context import CIContext
    from sf.http import Http

# Who the workflow's own token is, if nothing tells.
_ACTIONS_BOT: Final = "github-actions[bot]"


class _Comment(BaseModel):
    id: int
    body: str | None = None
    user: Account | None = None


class _Branch(BaseModel):
    sha: str


class _PullRequest(BaseModel):
    number: int
    merged_at: str | None = None
    merge_commit_sha: str | None = None
    head: _Branch


class _Issue(BaseModel):
    number: int
    body: str | None = None
    user: Account | None = None
    pull_request: object = None


class _Viewer(BaseModel):
    login: str


class _Data(BaseModel):
    viewer: _Viewer


class _Answer(BaseModel):
    data: _Data


_COMMENTS: Final = TypeAdapter(list[_Comment])
_PULL_REQUESTS: Final = TypeAdapter(list[_PullRequest])
_ISSUES: Final = TypeAdapter(list[_Issue])
_ANSWER: Final = TypeAdapter(_Answer)


def connect(ci: CIContext, environ: Mapping[str, str], http: Http, patience: float) -> GitHub:
    """The repository of this run. `patience` in seconds is for all requests together.

    Raises `Problem` without a token.
    """
    token = environ.get("GITHUB_TOKEN") or environ.get("INPUT_TOKEN")
    if not token:
        raise Problem(
            "there is no token",
            hint="give the step `env: {GITHUB_TOKEN: ${{ github.token }}}`, and the job `pull-requests: write`",
        )
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "sf",
    }
    api = Api(http=http, url=ci.api_url, headers=headers, patience=patience)
    return GitHub(api, name_of(environ, "GITHUB_REPOSITORY"))


class GitHub:
    """The comments and issues of one repository."""

    limit: Final = GITHUB_LIMIT

    def __init__(self, api: Api, repository: str) -> None:
        self._api = api
        self._repository = f"/repos/{repository}"
        self._login = ""

    def own_comments(self, change: int) -> list[Comment]:
        self._login = self._login or self._who_we_are()
        path = f"{self._repository}/issues/{change}/comments"
        return [
            Comment(id=comment.id, body=comment.body or "")
            for page in self._api.pages(path, "per_page=100", _COMMENTS)
            for comment in page
            if comment.user and self._is_ours(comment.user)
        ]

    def create(self, change: int, body: str) -> None:
        self._api.send("POST", f"{self._repository}/issues/{change}/comments", {"body": body})

    def edit(self, change: int, comment: int, body: str) -> None:  # noqa: ARG002 - its id is enough here
        self._api.send("PATCH", f"{self._repository}/issues/comments/{comment}", {"body": body})

    def delete(self, change: int, comment: int) -> None:  # noqa: ARG002 - its id is enough here
        self._api.send("DELETE", f"{self._repository}/issues/comments/{comment}")

    def change_merged_as(self, commit: str) -> int | None:
        found = self._api.get(f"{self._repository}/commits/{commit}/pulls", _PULL_REQUESTS)
        merged = [pull for pull in found if pull.merged_at]
        exact = [pull for pull in merged if pull.merge_commit_sha == commit]
        return next((pull.number for pull in exact or merged), None)

    def changes_at(self, commit: str) -> list[int]:
        path = f"{self._repository}/pulls?state=open"
        pages = self._api.pages(path, "per_page=100", _PULL_REQUESTS)
        return [pull.number for page in pages for pull in page if pull.head.sha == commit]

    def own_issues(self) -> list[Issue]:
        self._login = self._login or self._who_we_are()
        path = f"{self._repository}/issues?state=open&sort=created&direction=asc"
        found = {
            issue.number: Issue(number=issue.number, body=issue.body or "")
            for page in self._api.pages(path, "per_page=100", _ISSUES)
            for issue in page
            # For this interface a pull request is an issue as well.
            if issue.user and issue.pull_request is None and self._is_ours(issue.user)
        }
        return [found[number] for number in sorted(found)]

    def open_issue(self, title: str, body: str) -> None:
        self._api.send("POST", f"{self._repository}/issues", {"title": title, "body": body})

    def edit_issue(self, number: int, body: str) -> None:
        self._api.send("PATCH", f"{self._repository}/issues/{number}", {"body": body})

    def close_issue(self, number: int, remark: str) -> None:
        self.create(number, remark)
        closed = {"state": "closed", "state_reason": "completed"}
        self._api.send("PATCH", f"{self._repository}/issues/{number}", closed)

    def _is_ours(self, user: Account) -> bool:
        # GraphQL leaves out the ending of a bot's name that REST adds; a person's account cannot have it.
        return user.login == self._login or (user.type == "Bot" and user.login == f"{self._login}[bot]")

    def _who_we_are(self) -> str:
        url = f"{self._api.url.removesuffix('/v3')}/graphql"
        try:
            return self._api.query(url, {"query": "{ viewer { login } }"}, _ANSWER).data.viewer.login
        except Refused as refusal:
            if refusal.is_about_rights:
                return _ACTIONS_BOT
            raise
