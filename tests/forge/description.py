"""GitHub's own description of its interface (OpenAPI), held against every request and every answer of the fake.

The description is GitHub's; it is fetched by the toolchain and never a part of this repository.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from toolchain import npm, pins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.forge.fake import Request

FILE: Final = "@octokit/openapi/generated/api.github.com.json"
_SERVER: Final = "https://api.github.example"
_REPOSITORY: Final = "/repos/{owner}/{repo}"
_PATHS: Final = (
    f"{_REPOSITORY}/issues",
    f"{_REPOSITORY}/issues/{{issue_number}}",
    f"{_REPOSITORY}/issues/{{issue_number}}/comments",
    f"{_REPOSITORY}/issues/comments/{{comment_id}}",
    f"{_REPOSITORY}/pulls",
    f"{_REPOSITORY}/commits/{{commit_sha}}/pulls",
)
_ABSENT: Final = object()
_TEXTS: Final = {"date-time": "2026-01-01T00:00:00Z", "uri": "https://forge.example/x"}


class Description:
    """What of the description the fake is about."""

    def __init__(self, document: dict[str, Any]) -> None:
        paths = {path: document["paths"][path] for path in _PATHS}
        # Thousands of components belong to other paths, and to read them takes half a minute.
        self._document = {
            "openapi": document["openapi"],
            "info": {"title": "GitHub", "version": document["info"]["version"]},
            "servers": [{"url": _SERVER}],
            "paths": paths,
            "components": {},
        }
        for kind, name in _references(document, paths):
            self._document["components"].setdefault(kind, {})[name] = document["components"][kind][name]
        self._interface = OpenAPI.from_dict(self._document)

    def check_request(self, request: Request) -> str:
        """What is wrong with a request; empty if nothing is, or if it is not for this interface."""
        if request.path == "/graphql":
            return ""
        try:
            self._interface.validate_request(_asked(request))
        except OpenAPIError as error:
            return f"{request.method} {request.path}: {error!r}, {error.__cause__!r}"
        return ""

    def completed(self, request: Request, status: int, value: Any) -> tuple[Any, str]:
        """`value` with everything that GitHub also says, and what is wrong with that as an answer."""
        schema = self._schema(request, status)
        if schema is None:
            return value, ""
        whole = self._filled(schema, value)
        try:
            self._interface.validate_response(
                _asked(request), MockResponse(json.dumps(whole).encode(), status_code=status)
            )
        except OpenAPIError as error:
            return whole, f"{status} for {request.method} {request.path}: {error!r}, {error.__cause__!r}"
        return whole, ""

    def _schema(self, request: Request, status: int) -> dict[str, Any] | None:
        for path, operations in self._document["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.path):
                answers = operations[request.method.lower()]["responses"]
                answer = self._resolved(answers.get(str(status), {}))
                schema = answer.get("content", {}).get("application/json", {}).get("schema")
                return self._resolved(schema) if schema else None
        return None

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            _, _, kind, name = schema["$ref"].split("/")
            schema = self._document["components"][kind][name]
        return schema

    def _filled(self, schema: dict[str, Any], value: Any) -> Any:
        """`value` and whatever else `schema` requires, at its smallest."""
        schema = self._plain(schema)
        if value is _ABSENT and schema.get("nullable"):
            return None
        if isinstance(value, list):
            return [self._filled(schema["items"], item) for item in value]
        if isinstance(value, dict) or (value is _ABSENT and "properties" in schema):
            given = value if isinstance(value, dict) else {}
            properties = schema.get("properties", {})
            names = dict.fromkeys([*schema.get("required", ()), *given])
            return {name: self._filled(properties.get(name, {}), given.get(name, _ABSENT)) for name in names}
        return _sample(schema) if value is _ABSENT else value

    def _plain(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema` without references and alternatives; of alternatives the first one is taken."""
        schema = self._resolved(schema)
        for several in ("oneOf", "anyOf", "allOf"):
            if several in schema:
                return {**self._plain(schema[several][0]), "nullable": schema.get("nullable", False)}
        return schema


def _sample(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "string":
        return _TEXTS.get(schema.get("format", ""), "x")
    return {"array": [], "boolean": False, "object": {}}.get(schema.get("type", "object"), 1)


def _asked(request: Request) -> MockRequest:
    return MockRequest(
        _SERVER,
        request.method.lower(),
        urlsplit(request.path).path,
        args={name: values[0] for name, values in request.query.items()},
        data=request.sent,
        content_type=request.headers.get("Content-Type", ""),
    )


def _references(document: dict[str, Any], start: Any) -> Iterator[tuple[str, str]]:
    """Kind and name of every component that is reached from `start`."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            reference = value.get("$ref")
            if isinstance(reference, str) and reference not in seen:
                seen.add(reference)
                _, _, kind, name = reference.split("/")
                waiting.append(document["components"][kind][name])
                yield kind, name


@functools.cache
def github() -> Description:
    """GitHub's description, out of the toolchain."""
    return Description(json.loads((npm.ensure(pins.load().npm) / FILE).read_bytes()))
