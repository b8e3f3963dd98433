"""The door to the network: one request in, one bounded `Response` out.

Redirects are not followed, since a header with a credential must never reach another host; a caller that expects
one reads ``location`` and decides. Retries are for what is safe to repeat and what the server asks for.
"""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import urllib3  # noqa: TID251 - this is the door

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.redact import Redactor

BODY_LIMIT: Final = 16 * 1024 * 1024
_RETRIED: Final = (429, 502, 503, 504)
# In seconds. A server may ask for hours; a job would rather fail.
_LONGEST_PAUSE: Final = 60


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


class Http:
    """A client for the requests of one run. Safe to use from several threads."""

    def __init__(self, redactor: Redactor, *, ca: str | None = None) -> None:
        """`ca`: certificates (PEM) to trust instead of the system's."""
        self._redactor = redactor
        try:
            context = ssl.create_default_context(cadata=ca)
        except (ssl.SSLError, ValueError, TypeError) as error:
            raise Problem(f"the certificate authority is not a list of PEM certificates: {error}") from error
        self._pool = urllib3.PoolManager(ssl_context=context)

    def request(
        self,
        method: str,
        url: str,
        *,
        timeout: float,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        limit: int = BODY_LIMIT,
        retries: int = 0,
    ) -> Response:
        """Send one request and read the answer, whatever its status.

        `timeout` in seconds, for connecting and for each silence. `retries` counts repetitions: after a refused
        connection, and for methods that are safe to repeat also after a broken one and after 429, 502, 503, 504
        (minding ``Retry-After`` up to 60 s). Raises `Unreachable` when there is no answer, `Problem` when the
        answer is longer than `limit` bytes or the request itself is not valid.
        """
        shown = self._redactor.scrub(_without_query(url))
        policy = urllib3.Retry(
            total=retries,
            redirect=False,
            status_forcelist=_RETRIED,
            backoff_factor=0.5,
            raise_on_status=False,
            retry_after_max=_LONGEST_PAUSE,
        )
        try:
            answer = self._pool.request(
                method,
                url,
                body=body,
                headers=dict(headers or {}),
                timeout=timeout,
                retries=policy,
                preload_content=False,
            )
            try:
                content = answer.read(limit + 1, decode_content=True)
            finally:
                answer.close()
        except ValueError as error:
            # A header or an address with characters that must not be in it. The text of the latter has all of it.
            odd_address = isinstance(error, urllib3.exceptions.LocationValueError)
            what = "its address" if odd_address else self._redactor.scrub(str(error))
            raise Problem(
                f"{method} {shown}: the request is not valid: {what}",
                hint="look for a line break or another odd character in the address or the token",
            ) from error
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
