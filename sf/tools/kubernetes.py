"""The Kubernetes API, read through its SDK. Nothing here changes what is in the cluster.

Objects go in and out as plain JSON values: the SDK's models know only the kinds of one release.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from sf.models import Problem, canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sf.http import Proxy

# Seconds to connect, and of silence.
TIMEOUT: Final = 15.0
# A watch is opened anew after so many seconds. One of which nothing was heard for TIMEOUT longer is broken.
_WATCH: Final = 20
_REVIEW_RIGHT: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_REVIEW_USER: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_JSON: Final = "application/json"
_APPLY: Final = "application/apply-patch+yaml"
_NOT_FOUND: Final = 404


class ApiProblem(Problem):
    """The API server answered with an error. ``status`` is the HTTP status, ``reason`` its own word for it."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.reason = reason


class NoAnswer(ApiProblem):
    """The API server did not answer: the name, the connection or the time."""


class Untrusted(ApiProblem):
    """Who answered has a certificate that the certificate authority did not sign, or not for this name."""


class Unauthorized(ApiProblem):
    """The API server does not know who is asking."""


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource (its plural), in a namespace or, when that is empty, in all of them."""

    namespace: str
    group: str
    resource: str
    verb: str


@dataclass(frozen=True, slots=True, order=True)
class Collection:
    """All objects of one resource (its plural) in one namespace or, when that is empty, in all of them."""

    group: str
    version: str
    resource: str
    namespace: str

    @property
    def path(self) -> str:
        parts = ["namespaces", self.namespace] if self.namespace else []
        return _path(self.group, self.version, *parts, self.resource)

    def path_of(self, name: str) -> str:
        """The path of one object in it."""
        return f"{self.path}/{quote(name, safe='')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The objects of a collection at one ``version`` of it, from which a watch goes on."""

    items: tuple[dict[str, Any], ...]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """How the URLs of a kind are made: its plural, and whether its objects are in namespaces."""

    plural: str
    namespaced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who the API server takes us for."""

    name: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the API server is, and what its certificate is checked against: `ca` (PEM), or the system's own.

    ``certificate`` and ``key`` are files of a client certificate.
    """

    server: str
    ca: str | None = None
    tls_server_name: str = ""
    certificate: Path | None = None
    key: Path | None = None
    proxy: Proxy | None = None


class Api:
    """One API server. Safe to use from several threads.

    Every method raises `NoAnswer`, `Untrusted`, `Unauthorized`, or `ApiProblem` for any other refusal.
    """

    def __init__(
        self, endpoint: Endpoint, token: Callable[[], str] | None, *, timeout: float = TIMEOUT
    ) -> None:
        """`token` is asked before each request; None where the client certificate says who we are."""
        self._endpoint = endpoint
        self._token = token
        self._timeout = timeout
        self._connecting = threading.Lock()
        # Of the SDK's ApiClient only the constructor is typed.
        self._client: Any = None
        #: How many requests were sent: what tests and benchmarks count.
        self.calls = 0

    def version(self) -> str:
        """The release of the API server, such as ``v1.36.3``."""
        return str(self._call("GET", "/version").get("gitVersion", ""))

    def user(self) -> User:
        """Who we are. API servers before 1.28 do not say, which is an `ApiProblem` with status 404."""
        review = self._call("POST", _REVIEW_USER, _review("authentication.k8s.io/v1", "SelfSubjectReview"))
        info = review.get("status", {}).get("userInfo", {})
        return User(name=str(info.get("username", "")), groups=tuple(map(str, info.get("groups") or ())))

    def allows(self, right: Right) -> bool:
        """Whether we have `right`."""
        attributes = {
            "namespace": right.namespace,
            "group": right.group,
            "resource": right.resource,
            "verb": right.verb,
        }
        kind = _review("authorization.k8s.io/v1", "SelfSubjectAccessReview")
        review = self._call("POST", _REVIEW_RIGHT, {**kind, "spec": {"resourceAttributes": attributes}})
        return review.get("status", {}).get("allowed") is True

    def list(self, collection: Collection, **query: str) -> Listing:
        """What is in `collection` now; `query` as the API calls it, such as ``fieldSelector``."""
        answer = self._call("GET", _with_query(collection.path, query))
        version = str(answer.get("metadata", {}).get("resourceVersion", ""))
        return Listing(items=tuple(answer.get("items") or ()), version=version)

    def watch(self, collection: Collection, version: str) -> Watch:
        """What changes in `collection` after `version`. An `ApiProblem` with status 410 asks for a new listing."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH),
        }
        answer = self._send("GET", _with_query(collection.path, query), silence=_WATCH + self._timeout)
        if answer.status != 200:
            raise _refused(answer.status, self._content(answer))
        return Watch(answer.response, self._unanswered)

    def read(self, collection: Collection, name: str) -> dict[str, Any] | None:
        """The object of that name; None when there is none."""
        return self._found(collection.path_of(name))

    def applied(
        self, collection: Collection, name: str, item: Mapping[str, Any], manager: str
    ) -> dict[str, Any]:
        """What the object would be after `manager` applied `item` and took over what others set.

        It is a server-side apply that the API server only tries: nothing is stored.
        """
        query = {"dryRun": "All", "force": "true", "fieldManager": manager}
        path = _with_query(collection.path_of(name), query)
        return self._call("PATCH", path, canonical_json(item).decode(), content=_APPLY)

    def resources(self, group: str, version: str) -> dict[str, Resource]:
        """What a version of a group has, by kind; empty when the API server does not know it."""
        answer = self._found(_path(group, version)) or {}
        return {
            str(found.get("kind")): Resource(
                plural=str(found.get("name")), namespaced=found.get("namespaced") is True
            )
            for found in answer.get("resources") or ()
            # Parts of a resource, such as its status, have a name with a slash.
            if isinstance(found, dict) and "/" not in str(found.get("name"))
        }

    def close(self) -> None:
        """Let go of the connections, if there are any."""
        with self._connecting:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _found(self, path: str) -> dict[str, Any] | None:
        try:
            return self._call("GET", path)
        except ApiProblem as problem:
            if problem.status == _NOT_FOUND:
                return None
            raise

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | str | None = None, *, content: str = _JSON
    ) -> dict[str, Any]:
        answer = self._send(method, path, body, content=content)
        said = self._content(answer)
        if not 200 <= answer.status < 300:
            raise _refused(answer.status, said)
        document = _document(said)
        if document is None:
            raise ApiProblem(
                f"{self._endpoint.server} answers with something that no API server says",
                status=answer.status,
                hint="look for a proxy or a login page between this machine and the API server",
            )
        return document

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | str | None = None,
        *,
        content: str = _JSON,
        silence: float | None = None,
    ) -> Any:
        """The SDK's answer, of which only the head has been read. `silence` (s) is how long it may say nothing."""
        headers = {**self._headers(), "Content-Type": content}
        with self._connecting:
            client = self._client = self._client or self._connect()
            self.calls += 1
        try:
            return client.call_api(
                method,
                f"{self._endpoint.server}{path}",
                header_params=headers,
                body=body,
                _request_timeout=(self._timeout, silence or self._timeout),
            )
        except _sdk_errors() as error:
            raise self._unanswered(error) from error

    def _content(self, answer: Any) -> bytes:
        try:
            content: bytes = answer.read()
        except _sdk_errors() as error:
            raise self._unanswered(error) from error
        return content

    def _connect(self) -> Any:
        from kubernetes.client import ApiClient, Configuration  # noqa: PLC0415 - takes 0.3 s

        proxy = self._endpoint.proxy
        configuration = Configuration(
            host=self._endpoint.server,
            tls_server_name=self._endpoint.tls_server_name or None,
            # One request is one attempt, and no redirect is followed: the token is for this server alone.
            retries=False,
            # None would have the SDK look into the environment of the process, which is the caller's to pass on.
            proxy=proxy.url if proxy else "",
            no_proxy="",
            proxy_headers=dict(proxy.headers) if proxy else None,
        )
        client = ApiClient(configuration)
        client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = self._context()
        return client

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": _JSON, "User-Agent": "sf"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token()}"
        return headers

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._endpoint.ca)
        # From Python 3.13 on certificates need extensions that those of older clusters lack; Go asks for none.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self._endpoint.certificate is not None:
            context.load_cert_chain(self._endpoint.certificate, self._endpoint.key)
        return context

    def _unanswered(self, error: Exception) -> ApiProblem:
        server, causes = self._endpoint.server, list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return Untrusted(f"the certificate of {server} is not accepted: {cause.verify_message}")
        if any(isinstance(cause, TimeoutError) or "timed out" in str(cause) for cause in causes):
            return NoAnswer(f"{server} does not answer within {self._timeout:g} s")
        words = next(
            (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), ""
        )
        return NoAnswer(f"{server} does not answer: {words or causes[-1]}")


class Watch:
    """The changes of a collection as they happen, to be gone through once; `close` may come from another thread.

    It ends without an error when the API server ends it, as it does every now and then.
    """

    def __init__(self, response: Any, explained: Callable[[Exception], ApiProblem]) -> None:
        self._response = response
        self._explained = explained

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each change: ADDED, MODIFIED, DELETED or BOOKMARK (which only tells a version), and the object."""
        rest = b""
        try:
            for part in self._response.stream():
                *lines, rest = (rest + part).split(b"\n")
                yield from map(_change, filter(None, lines))
        except _sdk_errors() as error:
            raise self._explained(error) from error
        finally:
            self._response.close()

    def close(self) -> None:
        """Have whoever waits for the next change wait no more."""
        # It may have ended already.
        with contextlib.suppress(ValueError, RuntimeError, OSError):
            self._response.shutdown()


def _change(line: bytes) -> tuple[str, dict[str, Any]]:
    change = _document(line) or {}
    said = change.get("object")
    if change.get("type") == "ERROR" or not isinstance(said, dict):
        said = said if isinstance(said, dict) else {}
        raise _refused(int(said.get("code") or 0), json.dumps(said).encode())
    return str(change.get("type")), said


def _with_query(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _path(group: str, version: str, *parts: str) -> str:
    root = ("apis", group) if group else ("api",)
    return "".join(f"/{quote(part, safe='')}" for part in (*root, version, *parts))


def _review(version: str, kind: str) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind}


def _refused(status: int, content: bytes) -> ApiProblem:
    """What the server says in a ``Status`` object, or the plain text of something in front of it."""
    said = _document(content) or {}
    message = str(said.get("message") or f"the API server answers with status {status}")
    kind = Unauthorized if status == 401 else ApiProblem
    return kind(message, status=status, reason=str(said.get("reason", "")))


def _document(content: bytes) -> dict[str, Any] | None:
    """The JSON object in `content`; None for anything else."""
    try:
        document = json.loads(content)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _sdk_errors() -> tuple[type[Exception], ...]:
    """What the SDK lets through: its own errors, and those of the HTTP library under it."""
    import urllib3.exceptions  # noqa: PLC0415, TID251 - its errors, not its requests
    from kubernetes.client.exceptions import OpenApiException  # noqa: PLC0415 - takes 0.3 s

    return (OpenApiException, urllib3.exceptions.HTTPError, OSError)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what lies under it, from the outside in: each library has its own way to wrap."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [
                getattr(current, "reason", None),
                current.__cause__,
                current.__context__,
                *current.args,
            ]
