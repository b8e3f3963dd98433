"""Comments and issues on Gitea and Forgejo, whose interface is GitHub's with another size of pages.

Source: the instance's own description at /api/swagger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, TypeAdapter

from sf.ci.context import Provider
from sf.models import Problem
from sf.report.comment import GITHUB_LIMIT
from sf.report.forges.api import Account, Api, Comment, Issue, Refused
from sf.report.forges.repository import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.context import CIContext
    from sf.http import Http

_TOKENS: Final = ("GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN", "INPUT_TOKEN")
# Who a workflow's own token is; it may not ask.
_ACTIONS_BOTS: Final = {Provider.GITEA: "gitea-actions", Provider.FORGEJO: "forgejo-actions"}


class _Comment(BaseModel):
    id: int
    body: str | None = None
    user: Account | None = None


class _Branch(BaseModel):
    sha: str


class _PullRequest(BaseModel):
    number: int
    merged: bool = False
    head: _Branch | None = None


class _Issue(BaseModel):
    number: int
    body: str | None = None
    user: Account | None = None
    pull_request: object = None


_COMMENTS: Final = TypeAdapter(list[_Comment])
_PULL_REQUEST: Final = TypeAdapter(_PullRequest)
_PULL_REQUESTS: Final = TypeAdapter(list[_PullRequest])
_ISSUES: Final = TypeAdapter(list[_Issue])
_ACCOUNT: Final = TypeAdapter(Account)


def connect(ci: CIContext, environ: Mapping[str, str], http: Http, patience: float) -> Gitea:
    """The repository of this run. `patience` in seconds is for all requests together.

    Raises `Problem` without a token.
    """
    token = next(filter(None, map(environ.get, _TOKENS)), None)
    if not token:
        raise Problem(
            "there is no token",
            hint="give the step `env: {GITEA_TOKEN: ${{ secrets.GITEA_TOKEN }}}`, or FORGEJO_TOKEN on Forgejo",
        )
    api = Api(
        http=http,
        url=ci.api_url,
        headers={"Authorization": f"token {token}", "User-Agent": "sf"},
        patience=patience,
    )
    return Gitea(api, name_of(environ, "GITHUB_REPOSITORY"), _ACTIONS_BOTS[ci.provider])


class Gitea:
    """The comments and issues of one repository."""

    limit: Final = GITHUB_LIMIT

    def __init__(self, api: Api, repository: str, actions_bot: str) -> None:
        self._api = api
        self._repository = f"/repos/{repository}"
        self._actions_bot = actions_bot
        self._login = ""

    def own_comments(self, change: int) -> list[Comment]:
        self._login = self._login or self._who_we_are()
        path = f"{self._repository}/issues/{change}/comments"
        found = {
            comment.id: Comment(id=comment.id, body=comment.body or "")
            for page in self._api.pages(path, "limit=50", _COMMENTS)
            for comment in page
            if comment.user and comment.user.login == self._login
        }
        return [found[number] for number in sorted(found)]

    def create(self, change: int, body: str) -> None:
        self._api.send("POST", f"{self._repository}/issues/{change}/comments", {"body": body})

    def edit(self, change: int, comment: int, body: str) -> None:  # noqa: ARG002 - its id is enough here
        self._api.send("PATCH", f"{self._repository}/issues/comments/{comment}", {"body": body})

    def delete(self, change: int, comment: int) -> None:  # noqa: ARG002 - its id is enough here
        self._api.send("DELETE", f"{self._repository}/issues/comments/{comment}")

    def change_merged_as(self, commit: str) -> int | None:
        try:
            pull = self._api.get(f"{self._repository}/commits/{commit}/pull", _PULL_REQUEST)
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise
        return pull.number if pull.merged else None

    def changes_at(self, commit: str) -> list[int]:
        pages = self._api.pages(f"{self._repository}/pulls?state=open", "limit=50", _PULL_REQUESTS)
        found = {pull.number for page in pages for pull in page if pull.head and pull.head.sha == commit}
        return sorted(found)

    def own_issues(self) -> list[Issue]:
        self._login = self._login or self._who_we_are()
        path = f"{self._repository}/issues?state=open&type=issues"
        found = {
            issue.number: Issue(number=issue.number, body=issue.body or "")
            for page in self._api.pages(path, "limit=50", _ISSUES)
            for issue in page
            if issue.user and issue.pull_request is None and issue.user.login == self._login
        }
        return [found[number] for number in sorted(found)]

    def open_issue(self, title: str, body: str) -> None:
        self._api.send("POST", f"{self._repository}/issues", {"title": title, "body": body})

    def edit_issue(self, number: int, body: str) -> None:
        self._api.send("PATCH", f"{self._repository}/issues/{number}", {"body": body})

    def close_issue(self, number: int, remark: str) -> None:
        self.create(number, remark)
        self._api.send("PATCH", f"{self._repository}/issues/{number}", {"state": "closed"})

    def _who_we_are(self) -> str:
        try:
            return self._api.get("/user", _ACCOUNT).login
        except Refused as refusal:
            if refusal.is_about_rights:
                return self._actions_bot
            raise
