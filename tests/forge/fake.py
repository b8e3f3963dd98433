"""A forge with a memory: the comment interfaces of GitHub, Gitea and GitLab as their documentation has them.

Requests that the documentation does not allow are refused as the forges refuse them: wrong paths and methods,
missing or unknown fields, a page that is too large, a comment that is too long or of somebody else. Faults are put
in the way of the next requests.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY: Final = "shop/fleet"
PROJECT: Final = "17"
CHANGE: Final = 7


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
class Fake:
    """The state that all requests share. `accounts` are logins by token."""

    kind: str
    url: str = ""
    accounts: dict[str, str] = field(default_factory=dict)
    knows_who_we_are: bool = True
    entries: list[Entry] = field(default_factory=list)
    merged: dict[str, list[int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    #: Called before the request that is named first is handled, such as ("POST", act); used once.
    before: list[tuple[str, Callable[[], None]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    page_ignored: bool = False

    def add(self, author: str, body: str, *, system: bool = False) -> Entry:
        entry = Entry(max((entry.id for entry in self.entries), default=100) + 1, author, body, system)
        self.entries.append(entry)
        return entry

    def writes(self) -> list[str]:
        return [method for method, path in self.asked if method != "GET" and "graphql" not in path]

    def bodies(self) -> list[str]:
        return [entry.body for entry in self.entries]


class RefusalError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: ClassVar[Fake]

    def answer(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fake = self.fake
        fake.asked.append((self.command, self.path))
        for number, (method, act) in enumerate(fake.before):
            if method == self.command:
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
        try:
            status, value = INTERFACES[fake.kind](self, urlsplit(self.path), sent)
        except RefusalError as refusal:
            status, value = refusal.status, {"message": str(refusal)}
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


def _body(sent: bytes, limit: int, status: int, message: str) -> str:
    try:
        values = json.loads(sent)
    except ValueError:
        raise RefusalError(400, "Problems parsing JSON") from None
    if not isinstance(values, dict) or set(values) != {"body"} or not isinstance(values["body"], str):
        raise RefusalError(422, "Invalid request: body is required, and nothing else is known")
    if not values["body"].strip():
        raise RefusalError(422, "body can't be blank")
    if len(values["body"]) > limit:
        raise RefusalError(status, message)
    return values["body"]


def _page(fake: Fake, query: dict[str, list[str]], size: str, largest: int) -> list[Entry]:
    length, number = int(query[size][0]), int(query["page"][0])
    assert 1 <= length <= largest
    if fake.page_ignored:
        return fake.entries
    return fake.entries[length * (number - 1) : length * number]


def _entry(fake: Fake, number: str, login: str) -> Entry:
    found = next((entry for entry in fake.entries if entry.id == int(number)), None)
    if found is None:
        raise RefusalError(404, "Not Found")
    if found.author != login:
        raise RefusalError(403, "Resource not accessible by integration")
    return found


def _login(handler: Handler, header: str, prefix: str) -> str:
    token = handler.headers.get(header, "")
    if not token.startswith(prefix) or token.removeprefix(prefix) not in handler.fake.accounts:
        raise RefusalError(401, "Bad credentials")
    return handler.fake.accounts[token.removeprefix(prefix)]


def _actions(handler: Handler, parts: Any, sent: bytes, *, size: str, largest: int) -> tuple[int, Any]:
    """What GitHub and Gitea share."""
    fake = handler.fake
    login = _login(handler, "Authorization", "Bearer " if fake.kind == "github" else "token ")
    root = f"/repos/{REPOSITORY}"
    too_long = "Body is too long (maximum is 65536 characters)"

    def shown(entry: Entry) -> dict[str, Any]:
        kind = "Bot" if entry.author.endswith("[bot]") else "User"
        return {"id": entry.id, "body": entry.body, "user": {"id": 1, "login": entry.author, "type": kind}}

    if parts.path == f"{root}/issues/{CHANGE}/comments":
        if handler.command == "GET":
            page = _page(fake, parse_qs(parts.query), size, largest)
            return 200, [shown(entry) for entry in page]
        if handler.command == "POST":
            return 201, shown(fake.add(login, _body(sent, 65_536, 422, too_long)))
    if found := re.fullmatch(rf"{root}/issues/comments/(\d+)", parts.path):
        entry = _entry(fake, found[1], login)
        if handler.command == "PATCH":
            entry.body = _body(sent, 65_536, 422, too_long)
            return 200, shown(entry)
        if handler.command == "DELETE":
            fake.entries.remove(entry)
            return 204, None
    raise RefusalError(404, "Not Found")


def _github(handler: Handler, parts: Any, sent: bytes) -> tuple[int, Any]:
    fake = handler.fake
    assert handler.headers["X-GitHub-Api-Version"] == "2022-11-28"
    if parts.path == "/graphql" and handler.command == "POST":
        if not fake.knows_who_we_are:
            raise RefusalError(403, "Resource not accessible by integration")
        assert json.loads(sent) == {"query": "{ viewer { login } }"}
        login = _login(handler, "Authorization", "Bearer ")
        return 200, {"data": {"viewer": {"login": login.removesuffix("[bot]")}}}
    if found := re.fullmatch(rf"/repos/{REPOSITORY}/commits/(\w+)/pulls", parts.path):
        return 200, [
            {
                "number": number,
                "merged_at": "2026-01-01T00:00:00Z",
                "merge_commit_sha": found[1],
                "base": {"ref": "main"},
            }
            for number in fake.merged.get(found[1], [])
        ]
    return _actions(handler, parts, sent, size="per_page", largest=100)


def _gitea(handler: Handler, parts: Any, sent: bytes) -> tuple[int, Any]:
    fake = handler.fake
    if parts.path == "/user" and handler.command == "GET":
        if not fake.knows_who_we_are:
            raise RefusalError(403, "token does not have at least one of required scope(s)")
        return 200, {"id": 1, "login": _login(handler, "Authorization", "token ")}
    if found := re.fullmatch(rf"/repos/{REPOSITORY}/commits/(\w+)/pull", parts.path):
        numbers = fake.merged.get(found[1])
        if not numbers:
            raise RefusalError(404, "pull request does not exist")
        return 200, {"number": numbers[0], "merged": True}
    return _actions(handler, parts, sent, size="limit", largest=50)


def _gitlab(handler: Handler, parts: Any, sent: bytes) -> tuple[int, Any]:
    fake = handler.fake
    login = _login(handler, "PRIVATE-TOKEN", "")
    root = f"/projects/{PROJECT}"
    numbers = {name: number for number, name in enumerate(sorted({*fake.accounts.values(), "alice"}), 1)}
    too_long = '400 Bad request - Note {:note=>["is too long (maximum is 1000000 characters)"]}'

    def shown(entry: Entry) -> dict[str, Any]:
        author = {"id": numbers[entry.author], "username": entry.author}
        return {"id": entry.id, "body": entry.body, "system": entry.system, "author": author}

    if parts.path == "/user":
        return 200, {"id": numbers[login], "username": login}
    if found := re.fullmatch(rf"{root}/repository/commits/(\w+)/merge_requests", parts.path):
        return 200, [{"iid": number, "state": "merged"} for number in fake.merged.get(found[1], [])]
    if parts.path == f"{root}/merge_requests/{CHANGE}/notes":
        if handler.command == "GET":
            return 200, [shown(entry) for entry in _page(fake, parse_qs(parts.query), "per_page", 100)]
        if handler.command == "POST":
            return 201, shown(fake.add(login, _body(sent, 1_000_000, 400, too_long)))
    if found := re.fullmatch(rf"{root}/merge_requests/{CHANGE}/notes/(\d+)", parts.path):
        entry = _entry(fake, found[1], login)
        if handler.command == "PUT":
            entry.body = _body(sent, 1_000_000, 400, too_long)
            return 200, shown(entry)
        if handler.command == "DELETE":
            fake.entries.remove(entry)
            return 204, None
    raise RefusalError(404, "404 Not Found")


INTERFACES: Final[dict[str, Callable[[Handler, Any, bytes], tuple[int, Any]]]] = {
    "github": _github,
    "gitea": _gitea,
    "gitlab": _gitlab,
}


@contextlib.contextmanager
def serving(kind: str) -> Iterator[Fake]:
    fake = Fake(kind)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"fake": fake}))
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
