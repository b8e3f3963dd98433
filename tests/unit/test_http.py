"""The door to the network, against a server of our own on the loopback interface."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.server
import json
import socket
import ssl
import subprocess  # noqa: TID251 - the openssl program makes a certificate for the test
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.http import Http, Response, Unreachable, proxy_for
from sf.models import Problem
from sf.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(kw_only=True)
class Answer:
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    length: int | None = None
    silence: float = 0.0


@dataclass
class Server:
    """Gives the answers in `answers`, the last one again and again, and keeps what it was asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.told.asked.append((self.command, self.path, dict(self.headers), body))
        answer = self.told.next_answer()
        self.told.over.wait(answer.silence)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(answer.body)
        self.close_connection = answer.length is not None

    do_GET = do_POST = do_PUT = answer  # noqa: N815 - names of the library

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    told = Server()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Handler,), {"told": told}))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are the point
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        told.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as told:
        yield told


@pytest.fixture
def ask() -> Iterator[Callable[..., Response]]:
    client = Http(Redactor())

    def request(url: str, method: str = "GET", **options: Any) -> Response:
        return client.request(method, url, **{"timeout": 5, **options})

    yield request
    client._pool.clear()


def test_a_request_arrives_and_its_answer_comes_back(server: Server, ask: Callable[..., Response]) -> None:
    server.answers = [
        Answer(headers=(("X-One", "1"), ("Link", "<a>"), ("Link", "<b>")), body=b'{"a": "\xc3\xa9"}')
    ]
    answer = ask(f"{server.url}/path?q=1", "POST", headers={"Authorization": "Bearer t"}, body=b"sent")

    method, path, headers, body = server.asked[0]
    assert (method, path, body, headers["Authorization"]) == ("POST", "/path?q=1", b"sent", "Bearer t")
    assert (answer.status, answer.json()) == (200, {"a": "é"})
    assert (answer.headers["x-one"], answer.headers["link"]) == ("1", "<a>, <b>")


@pytest.mark.parametrize("status", [201, 400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_any_status_is_an_answer(status: int, server: Server, ask: Callable[..., Response]) -> None:
    server.answers = [Answer(status=status, body=b"why")]

    assert (ask(server.url).status, ask(server.url).body) == (status, b"why")
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("retries", [0, 2])
def test_a_redirect_is_handed_back_and_not_followed(
    status: int, retries: int, server: Server, ask: Callable[..., Response]
) -> None:
    server.answers = [Answer(status=status, headers=(("Location", f"{server.url}/other"),))]
    answer = ask(server.url, headers={"Authorization": "Bearer t"}, retries=retries)

    assert (answer.status, answer.headers["location"]) == (status, f"{server.url}/other")
    assert len(server.asked) == 1


def test_an_answer_may_be_as_long_as_its_limit_and_no_longer(
    server: Server, ask: Callable[..., Response]
) -> None:
    server.answers = [Answer(body=b"x" * 1000)]

    assert len(ask(server.url, limit=1000).body) == 1000
    with pytest.raises(Problem, match=r"GET http://127\.0\.0\.1:\d+: the answer is longer than 999 bytes"):
        ask(server.url, limit=999)


def test_a_small_answer_that_unpacks_to_a_huge_one_is_cut_at_the_limit(
    server: Server, ask: Callable[..., Response]
) -> None:
    server.answers = [Answer(headers=(("Content-Encoding", "gzip"),), body=gzip.compress(b"\0" * 50_000_000))]

    with pytest.raises(Problem, match="longer than 1000 bytes"):
        ask(server.url, limit=1000)


def test_a_packed_answer_is_unpacked(server: Server, ask: Callable[..., Response]) -> None:
    server.answers = [Answer(headers=(("Content-Encoding", "gzip"),), body=gzip.compress(b"text"))]

    assert ask(server.url).body == b"text"


def test_silence_ends_after_the_timeout(server: Server, ask: Callable[..., Response]) -> None:
    server.answers = [Answer(silence=20)]
    started = time.monotonic()

    with pytest.raises(Unreachable, match=r"no answer: .*timed out"):
        ask(server.url, timeout=0.2)
    assert time.monotonic() - started < 3


def test_an_answer_that_breaks_off_is_none(server: Server, ask: Callable[..., Response]) -> None:
    server.answers = [Answer(body=b"half", length=8)]

    with pytest.raises(Unreachable, match="no answer"):
        ask(server.url)


def test_a_refused_connection_says_so_and_what_to_check(ask: Callable[..., Response]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(
        Unreachable, match=rf"^GET http://127\.0\.0\.1:{port}/x: no answer: .*refused"
    ) as failed:
        ask(f"http://127.0.0.1:{port}/x")
    assert "address" in failed.value.hint


@pytest.mark.parametrize(("retries", "status"), [(0, 503), (1, 429), (2, 200)])
def test_retries_count_repetitions(
    retries: int, status: int, server: Server, ask: Callable[..., Response]
) -> None:
    server.answers = [
        Answer(status=503),
        Answer(status=429, headers=(("Retry-After", "0"),)),
        Answer(body=b"at last"),
    ]

    assert ask(server.url, retries=retries).status == status
    assert len(server.asked) == 1 + retries


def test_what_is_not_safe_to_repeat_is_sent_once(server: Server, ask: Callable[..., Response]) -> None:
    server.answers = [Answer(status=503)]

    assert ask(server.url, "POST", body=b"x", retries=3).status == 503
    assert len(server.asked) == 1


def test_a_pause_that_the_server_asks_for_has_an_end(
    server: Server, ask: Callable[..., Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf.http._LONGEST_PAUSE", 0.1)
    server.answers = [Answer(status=503, headers=(("Retry-After", "86400"),)), Answer()]
    started = time.monotonic()

    assert ask(server.url, retries=1).status == 200
    assert 0.1 <= time.monotonic() - started < 3


# --- nothing secret in a message ---

QUERY: Final = "token=correct-horse"


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:correct-horse@127.0.0.1:1/x?{QUERY}",
        f"http://[::1]:1/x?{QUERY}",
        f"http://host name/x?{QUERY}",
        f"http://127.0.0.1:99999/x?{QUERY}",
        f"http://127.0.0.1:port/x?{QUERY}",
        f"http://[::1/x?{QUERY}",
        f"http://{'x' * 70}.invalid/x?{QUERY}",
        f"http://.../x?{QUERY}",
        f"ftp://127.0.0.1/x?{QUERY}",
        f"file:///etc/passwd?{QUERY}",
        f"?{QUERY}",
        "",
    ],
)
def test_an_address_that_cannot_be_asked_is_a_problem_without_its_query(
    url: str, ask: Callable[..., Response]
) -> None:
    with pytest.raises(Problem) as failed:
        ask(url)
    assert "correct-horse" not in f"{failed.value}{failed.value.hint}"


def test_an_ipv6_address_is_shown_as_one(ask: Callable[..., Response]) -> None:
    with pytest.raises(Unreachable, match=r"^GET http://\[::1\]:1/x: no answer"):
        ask(f"http://[::1]:1/x?{QUERY}")


def test_a_token_with_a_line_break_is_explained_and_not_shown(server: Server) -> None:
    redactor = Redactor()
    redactor.register("correct-horse\n")

    with pytest.raises(Problem, match="the request is not valid") as failed:
        Http(redactor).request(
            "GET", server.url, timeout=5, headers={"Authorization": "Bearer correct-horse\n"}
        )
    assert "correct-horse" not in str(failed.value)
    assert "line break" in failed.value.hint


def test_registered_secrets_are_scrubbed_from_addresses(server: Server) -> None:
    redactor = Redactor()
    redactor.register("correct-horse")
    server.answers = [Answer(body=b"xx")]

    with pytest.raises(Problem, match=r"/hooks/\*\*\*: the answer is longer"):
        Http(redactor).request("GET", f"{server.url}/hooks/correct-horse", timeout=5, limit=1)


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b'{"a": '])
def test_something_that_is_not_json_is_a_problem(body: bytes) -> None:
    with pytest.raises(Problem, match="the server answered 502 with something that is not JSON"):
        Response(status=502, headers={}, body=body).json()
    assert Response(status=200, headers={}, body=json.dumps([1]).encode()).json() == [1]


# --- TLS ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and a name, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    names = "-addext subjectAltName=IP:127.0.0.1,DNS:forge.example.test"
    extensions = f"{names} -addext keyUsage=digitalSignature,keyCertSign"
    subprocess.run(
        ["openssl", "req", *options.split(), *extensions.split(), "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.fixture
def secure_server(certificate: tuple[Path, Path]) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving(context) as told:
        told.answers = [Answer(body=b"secure")]
        yield told


def test_a_certificate_that_nobody_vouches_for_is_refused(
    secure_server: Server, ask: Callable[..., Response]
) -> None:
    with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED") as failed:
        ask(secure_server.url)
    assert "certificate authority" in failed.value.hint
    assert secure_server.asked == []


def test_a_certificate_of_the_given_authority_is_accepted(
    secure_server: Server, certificate: tuple[Path, Path]
) -> None:
    client = Http(Redactor(), ca=certificate[0].read_text())

    assert client.request("GET", secure_server.url, timeout=5).body == b"secure"
    client._pool.clear()


def test_a_certificate_for_another_name_is_refused(
    secure_server: Server, certificate: tuple[Path, Path]
) -> None:
    client = Http(Redactor(), ca=certificate[0].read_text())

    with pytest.raises(Unreachable, match="Hostname mismatch"):
        client.request("GET", secure_server.url.replace("127.0.0.1", "localhost"), timeout=5)


@pytest.mark.parametrize(
    "ca", ["no certificate", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "é"]
)
def test_an_authority_that_is_none_is_a_problem(ca: str) -> None:
    with pytest.raises(Problem, match="not a list of PEM certificates"):
        Http(Redactor(), ca=ca)


class Tunnel(http.server.BaseHTTPRequestHandler):
    """A proxy that leads every tunnel to `target` and answers what is asked through it in plain text."""

    target = ("", 0)
    asked: list[tuple[str, str, str]]

    def note(self) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))

    def do_GET(self) -> None:
        self.note()
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"proxy")

    def do_CONNECT(self) -> None:
        self.note()
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(self.target) as onward:
            back = threading.Thread(target=pump, args=(onward, self.connection))
            back.start()
            pump(self.connection, onward)
            back.join()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tunnelling(port: int = 0) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """A proxy's ``host:port``, and what it was asked."""
    asked: list[tuple[str, str, str]] = []
    kind = type("Own", (Tunnel,), {"target": ("127.0.0.1", port), "asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{proxy.server_port}", asked
        proxy.shutdown()
        thread.join()


def test_plain_requests_go_through_the_proxy_with_its_login() -> None:
    with tunnelling() as (place, asked):
        client = Http(Redactor(), environ={"http_proxy": f"http://ada:pa%2Fss@{place}"})
        answer = client.request("GET", "http://forge.example.test/api?q=1", timeout=5)
        assert answer.body == b"proxy"
        login = base64.b64encode(b"ada:pa/ss").decode()
        assert asked == [("GET", "http://forge.example.test/api?q=1", f"Basic {login}")]


def test_tls_goes_through_a_tunnel_and_ends_at_the_server(
    certificate: tuple[Path, Path],
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving(context) as server:
        server.answers = [Answer(body=b"whole")]
        port = int(server.url.rpartition(":")[2])
        with tunnelling(port) as (place, asked):
            client = Http(Redactor(), ca=certificate[0].read_text(), environ={"HTTPS_PROXY": place})
            answer = client.request(
                "GET", "https://forge.example.test:6443/", timeout=5, headers={"Authorization": "Bearer t"}
            )
            assert answer.body == b"whole"
            assert asked == [("CONNECT", "forge.example.test:6443", "")]
        assert server.asked[0][2]["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("url", "exceptions", "direct"),
    [
        ("https://localhost/", "", True),
        ("https://127.8.8.8/", "", True),
        ("https://[::1]/", "", True),
        ("https://a.example.test/", "", False),
        ("https://a.example.test/", "*", True),
        ("https://a.example.test/", "other.test, example.test", True),
        ("https://EXAMPLE.test/", "example.TEST", True),
        ("https://an-example.test/", "example.test", False),
        ("https://example.test/", ".example.test", False),
        ("https://a.example.test/", ".example.test", True),
        ("https://a.example.test/", "*.example.test", True),
        ("https://a.example.test:6443/", "example.test:6443", True),
        ("https://a.example.test/", "example.test:6443", False),
        ("https://a.example.test/", "example.test:443", True),
        ("https://192.0.2.7/", "192.0.2.0/24", True),
        ("https://192.0.2.7/", "192.0.2.7", True),
        ("https://192.0.2.7/", "192.0.3.0/24,", False),
        ("https://192.0.2.7:6443/", "192.0.2.7:6443", True),
        ("https://[2001:db8::1]/", "2001:db8::/32", True),
        ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443", True),
    ],
)
def test_what_is_reached_without_the_proxy(url: str, exceptions: str, direct: bool) -> None:
    found = proxy_for(url, {"HTTPS_PROXY": "proxy.example.test:3128", "NO_PROXY": exceptions})
    assert (found is None) is direct
    if found:
        assert found.url == "http://proxy.example.test:3128"


@pytest.mark.parametrize("value", ["socks5://proxy.example.test", "http://", "http://proxy:port", "//"])
def test_a_proxy_that_cannot_be_used_is_named_and_not_shown(value: str) -> None:
    with pytest.raises(Problem, match="HTTPS_PROXY is not the address of a proxy that can be used"):
        proxy_for("https://a.example.test", {"https_proxy": value})


def test_a_proxy_is_for_one_scheme() -> None:
    assert proxy_for("http://a.example.test", {"https_proxy": "proxy.example.test"}) is None


def test_a_server_that_sends_little_by_little_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.05):
                    connection.sendall(b"X-More: 1\r\n")

        thread = threading.Thread(target=trickle)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        started = time.monotonic()
        with pytest.raises(Unreachable, match=r"no answer that is complete within 0\.5 s"):
            Http(Redactor()).request("GET", url, timeout=5, total=0.5)
        assert time.monotonic() - started < 4
        over.set()
        thread.join()
