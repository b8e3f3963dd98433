"""What each forge answers, as its documentation has it: a table of addresses, and a function for each."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tests.forge.fake import CHANGE, PROJECT, REPOSITORY, Entry, Issue, RefusalError, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Answer = tuple[int, Any]
    Routes = Mapping[str, Callable[..., Answer]]

_GITHUB_LIMIT: Final = 65_536
_GITLAB_LIMIT: Final = 1_000_000


def _routed(request: Request, root: str, routes: Routes) -> Answer:
    """What the function of the first address that fits answers, given the request and the parts in brackets."""
    for address, answer in routes.items():
        method, _, pattern = address.partition(" ")
        found = re.fullmatch(root + pattern, request.path)
        if found and method == request.method:
            return answer(request, *found.groups())
    raise RefusalError(404, "Not Found")


def _github(request: Request) -> Answer:
    assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
    if request.path == "/graphql":
        return _viewer(request)
    return _routed(request, f"/repos/{REPOSITORY}", {**_ACTIONS, **_GITHUB_ONLY})


def _viewer(request: Request) -> Answer:
    if not request.fake.knows_who_we_are:
        raise RefusalError(403, "Resource not accessible by integration")
    assert json.loads(request.sent) == {"query": "{ viewer { login } }"}
    login = request.login("Authorization", "Bearer ")
    return 200, {"data": {"viewer": {"login": login.removesuffix("[bot]")}}}


def _gitea(request: Request) -> Answer:
    if request.path == "/user":
        if not request.fake.knows_who_we_are:
            raise RefusalError(403, "token does not have at least one of required scope(s)")
        return 200, _account(_asker(request))
    return _routed(request, f"/repos/{REPOSITORY}", {**_ACTIONS, **_GITEA_ONLY})


def _asker(request: Request) -> str:
    return request.login("Authorization", "Bearer " if request.fake.kind == "github" else "token ")


def _account(login: str) -> dict[str, Any]:
    return {"id": 1, "login": login, "type": "Bot" if login.endswith("[bot]") else "User"}


def _comment(entry: Entry) -> dict[str, Any]:
    return {"id": entry.id, "body": entry.body, "user": _account(entry.author)}


def _issue(issue: Issue) -> dict[str, Any]:
    values = {"number": issue.number, "body": issue.body, "user": _account(issue.author)}
    return values | ({"pull_request": {"url": "https://forge.example/pull"}} if issue.is_change else {})


def _actions_page(request: Request, found: list[Any]) -> list[Any]:
    return request.page(found, *(("per_page", 100) if request.fake.kind == "github" else ("limit", 50)))


def _actions_values(request: Request, required: str, known: str = "") -> dict[str, str]:
    values = request.values(required, known)
    if any(len(value) > _GITHUB_LIMIT for value in values.values()):
        raise RefusalError(422, "Body is too long (maximum is 65536 characters)")
    return values


def _actions_comments(request: Request, _change: str) -> Answer:
    _asker(request)
    return 200, [_comment(entry) for entry in _actions_page(request, request.fake.entries)]


def _actions_add_comment(request: Request, number: str) -> Answer:
    login, body = _asker(request), _actions_values(request, "body")["body"]
    if number == str(CHANGE):
        return 201, _comment(request.fake.add(login, body))
    request.fake.issue(number, login).remarks.append(body)
    return 201, _comment(Entry(1, login, body))


def _actions_edit_comment(request: Request, number: str) -> Answer:
    entry = request.fake.entry(number, _asker(request))
    entry.body = _actions_values(request, "body")["body"]
    return 200, _comment(entry)


def _actions_delete_comment(request: Request, number: str) -> Answer:
    request.fake.entries.remove(request.fake.entry(number, _asker(request)))
    return 204, None


def _actions_changes(request: Request) -> Answer:
    assert request.query["state"] == ["open"]
    _asker(request)
    heads = _actions_page(request, list(request.fake.heads.items()))
    return 200, [{"number": number, "head": {"sha": sha}} for number, sha in heads]


def _actions_issues(request: Request) -> Answer:
    assert request.query["state"] == ["open"]
    _asker(request)
    found = [issue for issue in request.fake.issues if issue.open]
    if request.query.get("type") == ["issues"]:
        found = [issue for issue in found if not issue.is_change]
    return 200, [_issue(issue) for issue in _actions_page(request, found)]


def _actions_open_issue(request: Request) -> Answer:
    login, values = _asker(request), _actions_values(request, "title body")
    return 201, _issue(request.fake.file(login, values["title"], values["body"]))


def _actions_edit_issue(request: Request, number: str) -> Answer:
    issue = request.fake.issue(number, _asker(request))
    values = _actions_values(request, "", "body state state_reason")
    issue.body = values.get("body", issue.body)
    issue.open = values.get("state", "open") == "open"
    return 200 if request.fake.kind == "github" else 201, _issue(issue)


def _github_changes_of(request: Request, commit: str) -> Answer:
    merged = {"merged_at": "2026-01-01T00:00:00Z", "merge_commit_sha": commit, "head": {"sha": "0" * 40}}
    return 200, [{"number": number, **merged} for number in request.fake.merged.get(commit, [])]


def _gitea_change_of(request: Request, commit: str) -> Answer:
    if not (numbers := request.fake.merged.get(commit)):
        raise RefusalError(404, "pull request does not exist")
    return 200, {"number": numbers[0], "merged": True}


_ACTIONS: Final[Routes] = {
    r"GET /issues/(\d+)/comments": _actions_comments,
    r"POST /issues/(\d+)/comments": _actions_add_comment,
    r"PATCH /issues/comments/(\d+)": _actions_edit_comment,
    r"DELETE /issues/comments/(\d+)": _actions_delete_comment,
    r"GET /pulls": _actions_changes,
    r"GET /issues": _actions_issues,
    r"POST /issues": _actions_open_issue,
    r"PATCH /issues/(\d+)": _actions_edit_issue,
}
_GITHUB_ONLY: Final[Routes] = {r"GET /commits/(\w+)/pulls": _github_changes_of}
_GITEA_ONLY: Final[Routes] = {r"GET /commits/(\w+)/pull": _gitea_change_of}


def _gitlab(request: Request) -> Answer:
    login = request.login("PRIVATE-TOKEN")
    if request.path == "/user":
        return 200, _author(request, login)
    return _routed(request, f"/projects/{PROJECT}", _GITLAB)


def _author(request: Request, login: str) -> dict[str, Any]:
    logins = sorted({*request.fake.accounts.values(), "alice"})
    return {"id": logins.index(login) + 1, "username": login}


def _note(request: Request, entry: Entry) -> dict[str, Any]:
    author = _author(request, entry.author)
    return {"id": entry.id, "body": entry.body, "system": entry.system, "author": author}


def _gitlab_issue(request: Request, issue: Issue) -> dict[str, Any]:
    return {"iid": issue.number, "description": issue.body, "author": _author(request, issue.author)}


def _gitlab_values(request: Request, required: str, known: str = "") -> dict[str, str]:
    values = request.values(required, known)
    if any(len(value) > _GITLAB_LIMIT for value in values.values()):
        too_long = '400 Bad request - Note {:note=>["is too long (maximum is 1000000 characters)"]}'
        raise RefusalError(400, too_long)
    return values


def _gitlab_notes(request: Request) -> Answer:
    return 200, [_note(request, entry) for entry in request.page(request.fake.entries, "per_page", 100)]


def _gitlab_add_note(request: Request) -> Answer:
    body = _gitlab_values(request, "body")["body"]
    return 201, _note(request, request.fake.add(request.login("PRIVATE-TOKEN"), body))


def _gitlab_edit_note(request: Request, number: str) -> Answer:
    entry = request.fake.entry(number, request.login("PRIVATE-TOKEN"))
    entry.body = _gitlab_values(request, "body")["body"]
    return 200, _note(request, entry)


def _gitlab_delete_note(request: Request, number: str) -> Answer:
    request.fake.entries.remove(request.fake.entry(number, request.login("PRIVATE-TOKEN")))
    return 204, None


def _gitlab_changes(request: Request) -> Answer:
    assert request.query["state"] == ["opened"]
    heads = request.page(list(request.fake.heads.items()), "per_page", 100)
    return 200, [{"iid": number, "state": "opened", "sha": sha} for number, sha in heads]


def _gitlab_changes_of(request: Request, commit: str) -> Answer:
    return 200, [{"iid": number, "state": "merged"} for number in request.fake.merged.get(commit, [])]


def _gitlab_issues(request: Request) -> Answer:
    assert request.query["state"] == ["opened"]
    asked = int(request.query["author_id"][0])
    found = [
        issue
        for issue in request.fake.issues
        if issue.open and not issue.is_change and _author(request, issue.author)["id"] == asked
    ]
    return 200, [_gitlab_issue(request, issue) for issue in request.page(found, "per_page", 100)]


def _gitlab_open_issue(request: Request) -> Answer:
    values = _gitlab_values(request, "title description")
    login = request.login("PRIVATE-TOKEN")
    return 201, _gitlab_issue(request, request.fake.file(login, values["title"], values["description"]))


def _gitlab_edit_issue(request: Request, number: str) -> Answer:
    issue = request.fake.issue(number, request.login("PRIVATE-TOKEN"))
    values = _gitlab_values(request, "", "description state_event")
    issue.body = values.get("description", issue.body)
    issue.open = issue.open and values.get("state_event") != "close"
    return 200, _gitlab_issue(request, issue)


def _gitlab_remark(request: Request, number: str) -> Answer:
    login, body = request.login("PRIVATE-TOKEN"), _gitlab_values(request, "body")["body"]
    request.fake.issue(number, login).remarks.append(body)
    return 201, _note(request, Entry(1, login, body))


_GITLAB: Final[Routes] = {
    rf"GET /merge_requests/{CHANGE}/notes": _gitlab_notes,
    rf"POST /merge_requests/{CHANGE}/notes": _gitlab_add_note,
    rf"PUT /merge_requests/{CHANGE}/notes/(\d+)": _gitlab_edit_note,
    rf"DELETE /merge_requests/{CHANGE}/notes/(\d+)": _gitlab_delete_note,
    r"GET /merge_requests": _gitlab_changes,
    r"GET /repository/commits/(\w+)/merge_requests": _gitlab_changes_of,
    r"GET /issues": _gitlab_issues,
    r"POST /issues": _gitlab_open_issue,
    r"PUT /issues/(\d+)": _gitlab_edit_issue,
    r"POST /issues/(\d+)/notes": _gitlab_remark,
}

INTERFACES: Final[Mapping[str, Callable[[Request], Answer]]] = {
    "github": _github,
    "gitea": _gitea,
    "gitlab": _gitlab,
}
