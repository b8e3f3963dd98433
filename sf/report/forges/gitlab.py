"""Comments on GitLab, where they are called notes.

Sources: docs.gitlab.com "Notes API", "Commits API", "CI/CD job token" (which can read notes, not write them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, TypeAdapter

from sf.models import Problem
from sf.report.comment import GITLAB_LIMIT
from sf.report.forges.api import Account, Api, Comment
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


_NOTES: Final = TypeAdapter(list[_Note])
_MERGE_REQUESTS: Final = TypeAdapter(list[_MergeRequest])
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
    """The notes of one project's merge requests."""

    limit: Final = GITLAB_LIMIT

    def __init__(self, api: Api, project: str) -> None:
        self._api = api
        self._project = f"/projects/{project}"
        self._id: int | None = None

    def own_comments(self, change: int) -> list[Comment]:
        if self._id is None:
            self._id = self._api.get("/user", _ACCOUNT).id
        path = f"{self._project}/merge_requests/{change}/notes?sort=asc&order_by=created_at"
        found = [
            Comment(id=note.id, body=note.body or "")
            for page in self._api.pages(path, "per_page=100", _NOTES)
            for note in page
            if note.author.id == self._id and not note.system
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
