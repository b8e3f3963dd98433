"""A forge with a memory: comments, issues and changes of GitHub, Gitea and GitLab as their documentation has them.

Requests that the documentation does not allow are refused as the forges refuse them: wrong paths and methods,
missing or unknown fields, a page that is too large, a comment that is too long or of somebody else. Faults are put
in the way of the next requests.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.forge.description import Description

    Interface = Callable[["Request"], tuple[int, Any]]

REPOSITORY: Final = "shop/fleet"
PROJECT: Final = "17"
CHANGE: Final = 7

_Listed = TypeVar("_Listed")
_Written = TypeVar("_Written", "Entry", "Issue")


@dataclass
class Fault:
    """What the next request gets instead of an answer. `cut` sends half of the body and hangs up."""

    status: int = 500
    message: str = "fault"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    seconds: float = 0.0
    cut: bool = False
    times: int = 1


@dataclass
class Entry:
    id: int
    author: str
    body: str
    system: bool = False


@dataclass
class Issue:
    number: int
    author: str
    title: str
    body: str
    open: bool = True
    #: A pull request, which GitHub and Gitea list among the issues.
    is_change: bool = False
    remarks: list[str] = field(default_factory=list)


@dataclass
class Fake:
    """The state that all requests share. `accounts` are logins by token."""

    kind: str
    url: str = ""
    accounts: dict[str, str] = field(default_factory=dict)
    knows_who_we_are: bool = True
    entries: list[Entry] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    #: The last commit of every open pull request.
    heads: dict[int, str] = field(default_factory=dict)
    merged: dict[str, list[int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    #: Called before the first request of a method is handled, such as ("POST", act); used once.
    before: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    page_ignored: bool = False
    #: The forge's own description of its interface, and what was not as it says.
    description: Description | None = None
    violations: list[str] = field(default_factory=list)

    def add(self, author: str, body: str, *, system: bool = False) -> Entry:
        entry = Entry(max((entry.id for entry in self.entries), default=100) + 1, author, body, system)
        self.entries.append(entry)
        return entry

    def file(self, author: str, title: str, body: str, *, is_change: bool = False) -> Issue:
        issue = Issue(len(self.issues) + 1, author, title, body, is_change=is_change)
        self.issues.append(issue)
        return issue

    def entry(self, number: str, login: str) -> Entry:
        """A comment that `login` may change."""
        return _own(next((entry for entry in self.entries if entry.id == int(number)), None), login)

    def issue(self, number: str, login: str) -> Issue:
        """An issue that `login` may change."""
        return _own(next((issue for issue in self.issues if issue.number == int(number)), None), login)

    def writes(self) -> list[str]:
        return [method for method, path in self.asked if method != "GET" and "graphql" not in path]

    def bodies(self) -> list[str]:
        return [entry.body for entry in self.entries]


class RefusalError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _own(found: _Written | None, login: str) -> _Written:
    if found is None:
        raise RefusalError(404, "Not Found")
    if found.author != login:
        raise RefusalError(403, "Resource not accessible by integration")
    return found


@dataclass(frozen=True)
class Request:
    """One request, as an interface sees it."""

    fake: Fake
    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    sent: bytes

    def login(self, header: str, prefix: str = "") -> str:
        """Who asks. Refused for a token that nobody has."""
        token = self.headers.get(header, "")
        if not token.startswith(prefix) or token.removeprefix(prefix) not in self.fake.accounts:
            raise RefusalError(401, "Bad credentials")
        return self.fake.accounts[token.removeprefix(prefix)]

    def page(self, found: list[_Listed], size: str, largest: int) -> list[_Listed]:
        length, number = int(self.query[size][0]), int(self.query["page"][0])
        assert 1 <= length <= largest
        return found if self.fake.page_ignored else found[length * (number - 1) : length * number]

    def values(self, required: str, known: str = "") -> dict[str, str]:
        """What was sent: texts by name, of which `required` have to be there and `known` may be."""
        try:
            values = json.loads(self.sent)
        except ValueError:
            raise RefusalError(400, "Problems parsing JSON") from None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise RefusalError(422, "Invalid request: texts by name are expected")
        if not set(required.split()) <= set(values) <= {*required.split(), *known.split()}:
            raise RefusalError(
                422, f"Invalid request: {required!r} is required, besides only {known!r} known"
            )
        if any(not value.strip() for value in values.values()):
            raise RefusalError(422, "body can't be blank")
        return values


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: ClassVar[Fake]
    interfaces: ClassVar[Mapping[str, Interface]]

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fake, parts = self.fake, urlsplit(self.path)
        fake.asked.append((self.command, self.path))
        for number, (method, act) in enumerate(fake.before):
            if method == self.command and parts.path != "/graphql":
                del fake.before[number]
                act()
                break
        fault = next((one for one in fake.faults if one.method == self.command and one.times), None)
        if fault:
            fault.times -= 1
            fake.over.wait(fault.seconds)
            body = json.dumps({"message": fault.message}).encode() if fault.body is None else fault.body
            self._send(fault.status, body, fault.headers, cut=fault.cut)
            return
        query = parse_qs(parts.query)
        request = Request(fake, self.command, parts.path, query, dict(self.headers.items()), sent)
        try:
            status, value = self.interfaces[fake.kind](request)
        except RefusalError as refusal:
            status, value = refusal.status, {"message": str(refusal)}
        if fake.description:
            value, wrong = fake.description.completed(request, status, value)
            asked_wrong = fake.description.check_request(request)
            fake.violations += filter(None, (asked_wrong, wrong))
        self._send(status, b"" if value is None else json.dumps(value).encode(), {})

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815 - names of the library

    def _send(self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(kind: str) -> Iterator[Fake]:
    """A forge of this kind on the loopback interface."""
    from tests.forge.interfaces import INTERFACES

    fake = Fake(kind)
    bound = type("Bound", (Handler,), {"fake": fake, "interfaces": INTERFACES})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are the point
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        fake.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
