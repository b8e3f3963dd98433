"""What is known of a collection, whatever becomes of the watches that tell it. A server of the test answers."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from sf.backends.flux.watcher import Watcher
from sf.models import Problem
from sf.tools.kubernetes import Api, Collection, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THINGS: Final = Collection("example.test", "v1", "things", "here")
PATIENCE: Final = 10.0


def thing(name: str, version: int, color: str = "red") -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "color": color}


class Script:
    """What the server answers: listings and watches, one after the other; a watch is a list of lines."""

    def __init__(self) -> None:
        self.listings: SimpleQueue[list[dict[str, Any]] | int] = SimpleQueue()
        self.watches: SimpleQueue[list[tuple[str, dict[str, Any]]] | int] = SimpleQueue()
        self.asked: list[str] = []
        self.over = threading.Event()


@pytest.fixture
def script() -> Script:
    return Script()


class Server(ThreadingHTTPServer):
    script: Script


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        script = self.server.script
        query = parse_qs(urlsplit(self.path).query)
        if "watch" in query:
            script.asked.append(query["resourceVersion"][0])
            self.watch(script.watches.get())
            return
        listed = script.listings.get()
        items = [] if isinstance(listed, int) else listed
        body = {"items": items, "metadata": {"resourceVersion": str(len(script.asked) * 100)}}
        self.answer(listed if isinstance(listed, int) else 200, body)

    def answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def watch(self, lines: list[tuple[str, dict[str, Any]]] | int) -> None:
        if isinstance(lines, int):
            self.answer(lines, {"kind": "Status", "code": lines, "message": "not now"})
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for kind, found in lines:
            if kind in {"BREAK", "HOLD"}:
                self.close_connection = True
                self.server.script.over.wait(PATIENCE if kind == "HOLD" else 0)
                return
            line = json.dumps({"type": kind, "object": found}).encode() + b"\n"
            # In two pieces, as a network may cut them.
            for piece in (line[:7], line[7:]):
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(script: Script) -> Iterator[Api]:
    server = Server(("127.0.0.1", 0), Handler)
    server.script = script
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    api = Api(Endpoint(server=f"http://127.0.0.1:{server.server_port}"), None, timeout=5)
    yield api
    script.over.set()
    api.close()
    server.shutdown()
    thread.join()
    server.server_close()


def until(watcher: Watcher, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline, (dict(watcher.objects(THINGS)), watcher.trouble)
        watcher.wait(0.1)


def colors(watcher: Watcher) -> dict[str, str]:
    return {name: found["color"] for name, found in watcher.objects(THINGS).items()}


HOLD: Final[tuple[str, dict[str, Any]]] = ("HOLD", {})


def test_changes_are_followed_from_where_the_last_watch_ended(api: Api, script: Script) -> None:
    script.listings.put([thing("a", 1), thing("b", 2)])
    script.watches.put([("MODIFIED", thing("a", 3, "blue")), ("BOOKMARK", thing("", 9))])
    script.watches.put([("DELETED", thing("b", 10)), ("ADDED", thing("c", 11)), HOLD])
    watcher = Watcher(api, [THINGS])
    assert colors(watcher) == {"a": "red", "b": "red"}
    until(watcher, lambda: colors(watcher) == {"a": "blue", "c": "red"})
    assert script.asked == ["0", "9"]
    started = time.monotonic()
    watcher.close()
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("gone", ["event", "status"])
def test_a_version_that_is_too_old_is_listed_anew(gone: str, api: Api, script: Script) -> None:
    script.listings.put([thing("a", 1), thing("b", 2)])
    old = {"kind": "Status", "code": 410, "message": "too old resource version"}
    script.watches.put([("ERROR", old)] if gone == "event" else 410)
    script.listings.put([thing("b", 5, "blue")])
    script.watches.put([HOLD])
    watcher = Watcher(api, [THINGS])
    until(watcher, lambda: colors(watcher) == {"b": "blue"})
    until(watcher, lambda: script.asked == ["0", "100"])
    assert watcher.trouble == {}
    watcher.close()


def test_a_watch_that_breaks_off_is_opened_again(api: Api, script: Script) -> None:
    script.listings.put([thing("a", 1)])
    script.watches.put([("MODIFIED", thing("a", 2, "blue")), ("BREAK", {})])
    script.watches.put([("MODIFIED", thing("a", 3, "green")), HOLD])
    watcher = Watcher(api, [THINGS])
    until(watcher, lambda: colors(watcher) == {"a": "green"})
    assert script.asked == ["0", "2"]
    assert watcher.trouble == {}
    watcher.close()


def test_trouble_is_told_until_it_is_over(api: Api, script: Script) -> None:
    script.listings.put([thing("a", 1)])
    script.watches.put(503)
    script.watches.put(401)
    watcher = Watcher(api, [THINGS])
    until(watcher, lambda: THINGS in watcher.trouble)
    assert watcher.trouble[THINGS].message == "not now"
    script.watches.put([("MODIFIED", thing("a", 3, "green")), HOLD])
    until(watcher, lambda: colors(watcher) == {"a": "green"})
    until(watcher, lambda: not watcher.trouble)
    watcher.close()


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "the API server answers with status 403"), (404, "does not know things of example.test/v1")],
)
def test_what_cannot_be_listed_at_first_is_an_error(
    status: int, words: str, api: Api, script: Script
) -> None:
    script.listings.put(status)
    with pytest.raises(Problem, match=words):
        Watcher(api, [THINGS])


def test_a_bug_in_a_thread_comes_out_where_news_are_taken(api: Api, script: Script) -> None:
    script.listings.put([thing("a", 1)])
    script.watches.put([("MODIFIED", {"color": "none"})])
    watcher = Watcher(api, [THINGS])
    with pytest.raises(KeyError):
        until(watcher, lambda: False)
    watcher.close()
