"""Comments and issues on GitLab, where comments are called notes.

Sources: docs.gitlab.com "Notes API", "Issues API", "Merge requests API", "Commits API", "CI/CD job token" (which
can read notes, not write them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, TypeAdapter

from sf.models import Problem
from sf.report.comment import GITLAB_LIMIT
from sf.report.forges.api import Account, Api, Comment, Issue
from sf.report.forges.repository import project_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.context import CIContext
    from sf.http import Http


class _Note(BaseModel):
    id: int
    body: str | None = None
    author: Account
    system: bool = False


class _MergeRequest(BaseModel):
    iid: int
    state: str
    sha: str | None = None


class _Issue(BaseModel):
    iid: int
    description: str | None = None
    author: Account


_NOTES: Final = TypeAdapter(list[_Note])
_MERGE_REQUESTS: Final = TypeAdapter(list[_MergeRequest])
_ISSUES: Final = TypeAdapter(list[_Issue])
_ACCOUNT: Final = TypeAdapter(Account)


def connect(ci: CIContext, environ: Mapping[str, str], http: Http, patience: float) -> GitLab:
    """The project of this run. `patience` in seconds is for all requests together.

    Raises `Problem` without a token that can write notes.
    """
    token = environ.get("GITLAB_TOKEN")
    if not token:
        raise Problem(
            "there is no GITLAB_TOKEN, and the token of a job may not write notes",
            hint="store a project access token with the scope `api` as the masked variable GITLAB_TOKEN",
        )
    headers = {"PRIVATE-TOKEN": token, "User-Agent": "sf"}
    api = Api(http=http, url=ci.api_url, headers=headers, patience=patience)
    return GitLab(api, project_of(environ, "CI_MERGE_REQUEST_PROJECT_ID", "CI_PROJECT_ID"))


class GitLab:
    """The notes of one project's merge requests, and its issues."""

    limit: Final = GITLAB_LIMIT

    def __init__(self, api: Api, project: str) -> None:
        self._api = api
        self._project = f"/projects/{project}"
        self._id: int | None = None

    def own_comments(self, change: int) -> list[Comment]:
        ours = self._who_we_are()
        path = f"{self._project}/merge_requests/{change}/notes?sort=asc&order_by=created_at"
        found = [
            Comment(id=note.id, body=note.body or "")
            for page in self._api.pages(path, "per_page=100", _NOTES)
            for note in page
            if note.author.id == ours and not note.system
        ]
        return sorted(found, key=lambda note: note.id)

    def create(self, change: int, body: str) -> None:
        self._api.send("POST", f"{self._project}/merge_requests/{change}/notes", {"body": body})

    def edit(self, change: int, comment: int, body: str) -> None:
        self._api.send("PUT", f"{self._project}/merge_requests/{change}/notes/{comment}", {"body": body})

    def delete(self, change: int, comment: int) -> None:
        self._api.send("DELETE", f"{self._project}/merge_requests/{change}/notes/{comment}")

    def change_merged_as(self, commit: str) -> int | None:
        path = f"{self._project}/repository/commits/{commit}/merge_requests"
        found = self._api.get(path, _MERGE_REQUESTS)
        return next((request.iid for request in found if request.state == "merged"), None)

    def changes_at(self, commit: str) -> list[int]:
        path = f"{self._project}/merge_requests?state=opened"
        pages = self._api.pages(path, "per_page=100", _MERGE_REQUESTS)
        return [request.iid for page in pages for request in page if request.sha == commit]

    def own_issues(self) -> list[Issue]:
        ours = self._who_we_are()
        path = f"{self._project}/issues?state=opened&sort=asc&order_by=created_at&author_id={ours}"
        found = [
            Issue(number=issue.iid, body=issue.description or "")
            for page in self._api.pages(path, "per_page=100", _ISSUES)
            for issue in page
            if issue.author.id == ours
        ]
        return sorted(found, key=lambda issue: issue.number)

    def open_issue(self, title: str, body: str) -> None:
        self._api.send("POST", f"{self._project}/issues", {"title": title, "description": body})

    def edit_issue(self, number: int, body: str) -> None:
        self._api.send("PUT", f"{self._project}/issues/{number}", {"description": body})

    def close_issue(self, number: int, remark: str) -> None:
        self._api.send("POST", f"{self._project}/issues/{number}/notes", {"body": remark})
        self._api.send("PUT", f"{self._project}/issues/{number}", {"state_event": "close"})

    def _who_we_are(self) -> int:
        if self._id is None:
            self._id = self._api.get("/user", _ACCOUNT).id
        return self._id
