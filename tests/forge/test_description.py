"""The description finds what is not as GitHub says; without that it would prove nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.forge.description import github
from tests.forge.fake import REPOSITORY, Fake, Request

pytestmark = pytest.mark.tools


def request(method: str, path: str, values: Any = None, **query: str) -> Request:
    sent = b"" if values is None else json.dumps(values).encode()
    headers = {"Content-Type": "application/json"} if sent else {}
    asked = {name: [value] for name, value in query.items()}
    return Request(Fake("github"), method, f"/repos/{REPOSITORY}{path}", asked, headers, sent)


@pytest.mark.parametrize(
    ("fine", "wrong"),
    [
        (
            request("POST", "/issues/7/comments", {"body": "x"}),
            request("POST", "/issues/7/comments", {"text": "x"}),
        ),
        (request("PATCH", "/issues/comments/1", {"body": "x"}), request("PUT", "/issues/comments/1", {})),
        (
            request("PATCH", "/issues/1", {"state": "closed", "state_reason": "completed"}),
            request("PATCH", "/issues/1", {"state": "shut"}),
        ),
        (
            request("GET", "/issues", state="open", per_page="100", page="1"),
            request("GET", "/issues", state="opened"),
        ),
        (request("GET", "/pulls", state="open"), request("GET", "/pull", state="open")),
    ],
)
def test_a_request_that_github_would_not_take_is_found(fine: Request, wrong: Request) -> None:
    assert github().check_request(fine) == ""
    assert github().check_request(wrong) != ""


@pytest.mark.parametrize("values", [{"id": "one"}, {"user": {"id": 1, "login": 5}}])
def test_an_answer_that_github_would_not_give_is_found(values: dict[str, Any]) -> None:
    asked = request("POST", "/issues/7/comments", {"body": "x"})
    whole, wrong = github().completed(asked, 201, {"id": 1, "body": "x", "user": {"id": 1, "login": "bot"}})
    assert wrong == ""
    assert whole["user"]["html_url"]
    _, wrong = github().completed(asked, 201, values)
    assert wrong != ""
