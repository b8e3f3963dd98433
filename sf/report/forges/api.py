"""What the forges have in common: texts with authors, pages of them, and refusals that need a sentence."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from sf.http import Unreachable
from sf.models import Problem
from sf.report.escape import one_line
from sf.report.wording import clipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sf.http import Http, Response

_REFUSAL_LIMIT: Final = 200
# Seconds before a question is asked again.
_PAUSES: Final = (0.5, 1.0)
_MOST_PAGES: Final = 100
_Shape = TypeVar("_Shape")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment that this very identity wrote. Ids grow with time."""

    id: int
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """An open issue that this very identity wrote. Numbers grow with time."""

    number: int
    body: str


class Forge(Protocol):
    """What people read of one repository: the comments on its pull or merge requests, and its issues.

    Every method raises `Problem` if refused.
    """

    @property
    def limit(self) -> int:
        """The most characters that a comment may have."""

    def own_comments(self, change: int) -> list[Comment]:
        """Those of pull request `change` that the identity of the token wrote, in the order of their ids."""

    def create(self, change: int, body: str) -> None:
        """Add a comment."""

    def edit(self, change: int, comment: int, body: str) -> None:
        """Replace the text of a comment."""

    def delete(self, change: int, comment: int) -> None:
        """Remove a comment. One that is gone already is no error."""

    def change_merged_as(self, commit: str) -> int | None:
        """The number of the pull request that brought `commit` to its branch; None when none did."""

    def changes_at(self, commit: str) -> list[int]:
        """The numbers of the open pull requests whose source ends with `commit`."""

    def own_issues(self) -> list[Issue]:
        """The open issues that the identity of the token wrote, in the order of their numbers."""

    def open_issue(self, title: str, body: str) -> None:
        """Write a new issue."""

    def edit_issue(self, number: int, body: str) -> None:
        """Replace the text of an issue."""

    def close_issue(self, number: int, remark: str) -> None:
        """Say `remark` below an issue and close it."""


class Account(BaseModel):
    """Whoever wrote something. What a forge says besides is of no interest."""

    id: int
    login: str = ""
    username: str = ""
    type: str = ""


class Refused(Problem):
    """The forge answered with another status than success."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_about_rights(self) -> bool:
        return self.status in (401, 403, 404)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Requests to one forge with one credential. `patience` in seconds is for all of them together."""

    http: Http
    url: str
    headers: Mapping[str, str]
    patience: float
    timeout: float = 15.0
    pause: Callable[[float], None] = time.sleep
    started: float = field(default_factory=time.monotonic)

    def get(self, path: str, shape: TypeAdapter[_Shape]) -> _Shape:
        """What the forge says at `path`, as `shape`. Asked again if the forge was in trouble.

        Raises `Refused`, or another `Problem` when there is no answer or not of that shape.
        """
        return self._asked("GET", f"{self.url}{path}", None, shape)

    def send(self, method: str, path: str, values: Mapping[str, Any] | None = None) -> None:
        """Send `values` as JSON; what is answered does not matter. Raises as `get`."""
        self._answer(method, f"{self.url}{path}", values)

    def query(self, url: str, values: Mapping[str, Any], shape: TypeAdapter[_Shape]) -> _Shape:
        """As `get`, for a question that is sent as `values` to an address of its own."""
        return self._asked("POST", url, values, shape)

    def pages(self, path: str, size: str, shape: TypeAdapter[list[_Shape]]) -> Iterator[list[_Shape]]:
        """Every page of a list. `size` is the parameter for its length, such as ``per_page=100``.

        Ends with the first page that is empty or equal to the one before, which is how a forge without pages
        answers. Raises as `get`.
        """
        mark = "&" if "?" in path else "?"
        before: list[_Shape] = []
        for number in range(1, _MOST_PAGES + 1):
            page = self.get(f"{path}{mark}{size}&page={number}", shape)
            if not page or page == before:
                return
            yield page
            before = page

    def _asked(
        self, method: str, url: str, values: Mapping[str, Any] | None, shape: TypeAdapter[_Shape]
    ) -> _Shape:
        for pause in _PAUSES:
            try:
                return _shaped(self._answer(method, url, values), shape)
            except (Refused, Unreachable) as problem:
                if isinstance(problem, Refused) and problem.status < 500:
                    raise
            self.pause(pause)
        return _shaped(self._answer(method, url, values), shape)

    def _answer(self, method: str, url: str, values: Mapping[str, Any] | None) -> Response:
        left = self.started + self.patience - time.monotonic()
        if left <= 0:
            raise Problem(f"the forge is too slow: no more than {self.patience:.0f} s are spent on a comment")
        headers = {"Accept": "application/json", **self.headers}
        if values is not None:
            headers["Content-Type"] = "application/json"
        answer = self.http.request(
            method,
            url,
            timeout=min(self.timeout, left),
            total=left,
            headers=headers,
            body=json.dumps(values).encode() if values is not None else None,
        )
        if not 200 <= answer.status < 300:
            raise Refused(_explained(answer), answer.status)
        return answer


def _shaped(answer: Response, shape: TypeAdapter[_Shape]) -> _Shape:
    try:
        return shape.validate_python(answer.json())
    except (ValidationError, RecursionError) as error:
        raise Problem("the forge answered with something else than its documentation says") from error


def _explained(answer: Response) -> str:
    said = _said(answer)
    quoted = f" ({said})" if said else ""
    status = answer.status
    if _is_rate_limit(answer, said):
        wait = one_line(answer.headers.get("retry-after", ""))[:40]
        return f"the forge asks for a pause{f' of {wait} s' if wait.isdigit() else ''}: {status}{quoted}"
    match status:
        case 401:
            return f"the token is not accepted: 401{quoted}"
        case 403:
            return f"the token may not do this: 403{quoted}"
        case 404:
            return f"there is no such thing, or the token may not see it: 404{quoted}"
        case _ if status >= 500:
            return f"the forge has trouble of its own: {status}{quoted}"
        case _:
            return f"the forge refused it: {status}{quoted}"


def _is_rate_limit(answer: Response, said: str) -> bool:
    """GitHub's limits are also told as 403 (docs.github.com, "Rate limits for the REST API")."""
    if answer.status == 429:
        return True
    return answer.status == 403 and (
        "retry-after" in answer.headers
        or answer.headers.get("x-ratelimit-remaining") == "0"
        or "rate limit" in said.lower()
    )


def _said(answer: Response) -> str:
    """The forge's own words, in one line."""
    try:
        told = answer.json()
    except (Problem, RecursionError):
        return ""
    message = told.get("message") or told.get("error") if isinstance(told, dict) else ""
    return clipped(one_line(message if isinstance(message, str) else json.dumps(message)), _REFUSAL_LIMIT)
