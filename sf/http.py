"""The door to the network: one request in, one bounded `Response` out, in bounded time.

Redirects are not followed, since a header with a credential must never reach another host; a caller that expects
one reads ``location`` and decides. Retries are for what is safe to repeat and what the server asks for. Proxies
are those of the environment that the caller passes on, by the rules that Go's programs have.
"""

from __future__ import annotations

import ipaddress
import json
import queue
import ssl
import threading
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import urllib3  # noqa: TID251 - this is the door

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sf.redact import Redactor

BODY_LIMIT: Final = 16 * 1024 * 1024
_RETRIED: Final = (429, 502, 503, 504)
# In seconds. A server may ask for hours; a job would rather fail.
_LONGEST_PAUSE: Final = 60
# In seconds: what one request may take, its repetitions included, unless the caller says otherwise.
TOTAL: Final = 120.0
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a server answered. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON.

        Raises `Problem` when it is something else.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Problem(f"the server answered {self.status} with something that is not JSON") from error


class Unreachable(Problem):
    """No answer came: the name, the connection, the certificate or the time."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Who carries requests on: an address without credentials, and the headers that log in there."""

    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def proxy_for(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that a request to `url` goes through; None when it goes there itself.

    As for Go's programs (golang.org/x/net/http/httpproxy) this machine itself is never reached through one, and
    ``NO_PROXY`` holds names, which stand for all below them, addresses and networks, each with a port or without.
    Raises `Problem` for a proxy of a kind that cannot be used.
    """
    target = urlsplit(url)
    name = f"{target.scheme}_proxy"
    value = _either(environ, name)
    host = (target.hostname or "").lower()
    if not value or _is_direct(
        host, target.port or _PORTS.get(target.scheme, 0), _either(environ, "no_proxy")
    ):
        return None
    try:
        place = urlsplit(value if "://" in value else f"http://{value}")
        port = f":{place.port}" if place.port else ""
    except ValueError:
        place, port = urlsplit(""), ""
    if place.scheme not in _PORTS or not place.hostname:
        raise Problem(
            f"{name.upper()} is not the address of a proxy that can be used",
            hint="it begins with http:// or https:// and a host",
        )
    shown = f"[{place.hostname}]" if ":" in place.hostname else place.hostname
    headers = {}
    if place.username:
        login = f"{unquote(place.username)}:{unquote(place.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=login)
    return Proxy(f"{place.scheme}://{shown}{port}", MappingProxyType(headers))


class Http:
    """A client for the requests of one run. Safe to use from several threads."""

    def __init__(
        self,
        redactor: Redactor,
        *,
        ca: str | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`ca`: certificates (PEM) to trust instead of the system's. `environ` may name proxies."""
        self._redactor = redactor
        self._environ = environ
        try:
            context = ssl.create_default_context(cadata=ca)
        except (ssl.SSLError, ValueError, TypeError) as error:
            raise Problem(f"the certificate authority is not a list of PEM certificates: {error}") from error
        self._context = context
        self._pool = urllib3.PoolManager(ssl_context=context)
        self._proxies: dict[str, urllib3.ProxyManager] = {}

    def request(
        self,
        method: str,
        url: str,
        *,
        timeout: float,
        total: float = TOTAL,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = BODY_LIMIT,
        retries: int = 0,
    ) -> Response:
        """Send one request and read the answer, whatever its status.

        `timeout` in seconds, for connecting and for each silence; `total` for all of it, repetitions included.
        `retries` counts those: after a refused connection, and for methods that are safe to repeat also after a
        broken one and after 429, 502, 503, 504 (minding ``Retry-After`` up to 60 s). Raises `Unreachable` when
        there is no answer, `Problem` when the answer is longer than `limit` bytes or the request itself is not
        valid.
        """
        shown = self._redactor.scrub(_without_query(url))
        pool = self._pool_for(url)
        policy = urllib3.Retry(
            total=retries,
            redirect=False,
            status_forcelist=_RETRIED,
            backoff_factor=0.5,
            raise_on_status=False,
            retry_after_max=_LONGEST_PAUSE,
        )

        def ask() -> tuple[urllib3.BaseHTTPResponse, bytes]:
            answer = pool.request(
                method,
                url,
                body=body,
                headers=dict(headers or {}),
                timeout=timeout,
                retries=policy,
                preload_content=False,
            )
            try:
                return answer, answer.read(limit + 1, decode_content=True)
            finally:
                answer.close()

        try:
            answer, content = _within(total, ask)
        except ValueError as error:
            # A header or an address with characters that must not be in it. The text of the latter has all of it.
            odd_address = isinstance(error, urllib3.exceptions.LocationValueError)
            what = "its address" if odd_address else self._redactor.scrub(str(error))
            raise Problem(
                f"{method} {shown}: the request is not valid: {what}",
                hint="look for a line break or another odd character in the address or the token",
            ) from error
        except queue.Empty:
            raise Unreachable(
                f"{method} {shown}: no answer that is complete within {total:g} s",
                hint="ask whoever runs the server or a proxy before it; something sends little by little",
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(
                f"{method} {shown}: no answer: {self._redactor.scrub(_cause(error))}",
                hint="check the address, the network of this job and, for https, the certificate authority",
            ) from error
        if len(content) > limit:
            raise Problem(f"{method} {shown}: the answer is longer than {limit} bytes")
        return Response(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.headers.itermerged()},
            body=content,
        )

    def _pool_for(self, url: str) -> urllib3.PoolManager:
        proxy = proxy_for(url, self._environ)
        if proxy is None:
            return self._pool
        if proxy.url not in self._proxies:
            self._proxies[proxy.url] = urllib3.ProxyManager(
                proxy.url, proxy_headers=dict(proxy.headers), ssl_context=self._context
            )
        return self._proxies[proxy.url]


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """What `work` returns or raises; `queue.Empty` after `seconds`, while it goes on with nobody who waits for it.

    A server that sends a byte now and then never falls silent, and the socket alone cannot tell.
    """
    ended: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            ended.put((None, error))

    threading.Thread(target=run, name="request", daemon=True).start()
    result, error = ended.get(timeout=seconds)
    if error is not None:
        raise error
    return result


def _either(environ: Mapping[str, str], name: str) -> str:
    """A variable in the spelling of curl, or the one in capitals."""
    return environ.get(name) or environ.get(name.upper(), "")


def _is_direct(host: str, port: int, exceptions: str) -> bool:
    """Whether `host` is reached without a proxy."""
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(
        _is_meant(entry.strip().lower(), host, port, address)
        for entry in exceptions.split(",")
        if entry.strip()
    )


def _is_meant(
    entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    """Whether one entry of ``NO_PROXY`` is about `host`."""
    if entry == "*":
        return True
    if _network(entry) is None:
        name, colon, number = entry.rpartition(":")
        if colon and number.isdigit():
            if int(number) != port:
                return False
            entry = name.strip("[]")
    network = _network(entry)
    if network is not None:
        return address is not None and address in network
    name = entry.removeprefix("*")
    below = name if name.startswith(".") else f".{name}"
    return host.endswith(below) or host == name


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _without_query(url: str) -> str:
    """`url` as it may be shown: query strings and user names carry credentials.

    Raises `Problem` when it is not one for http.
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise Problem(f"an address is not a URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Problem("an address is not a URL that begins with https:// or http:// and a host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _cause(error: BaseException) -> str:
    """The innermost reason, without the layers of the library around it."""
    while isinstance(inner := getattr(error, "reason", None) or error.__cause__, BaseException):
        error = inner
    return str(error) or type(error).__name__
