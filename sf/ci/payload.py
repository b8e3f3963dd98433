"""The event payload: the JSON document that Actions runners put beside a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sf.models import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

# GitHub caps webhook payloads at 25 MB (docs.github.com, "Webhook events and payloads").
LIMIT: Final = 25 * 1024 * 1024
_HINT: Final = (
    "mount the event file of the runner into the container, or describe the run with SF_CI_* variables"
)


class Payload:
    """A JSON object that nobody vouches for: whatever is absent or of another type reads as empty."""

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        self._document = document or {}

    def __bool__(self) -> bool:
        return bool(self._document)

    def text(self, *keys: str) -> str:
        """The string at `keys`, else empty."""
        value = self._at(keys)
        return value if isinstance(value, str) else ""

    def number(self, *keys: str) -> int | None:
        """The integer at `keys`, else None."""
        value = self._at(keys)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def _at(self, keys: tuple[str, ...]) -> Any:
        value: Any = self._document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def read_payload(environ: Mapping[str, str]) -> Payload:
    """The payload that ``GITHUB_EVENT_PATH`` names; an empty one if that is not set.

    Raises a `Problem` if the file is missing, larger than 25 MiB or not a JSON object.
    """
    path = environ.get("GITHUB_EVENT_PATH", "")
    if not path:
        return Payload()
    place = Location(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(LIMIT + 1)
    except OSError as error:
        raise Problem(
            f"the event payload cannot be read: {error.strerror}", hint=_HINT, location=place
        ) from error
    if len(content) > LIMIT:
        raise Problem(f"the event payload is larger than {LIMIT} bytes", hint=_HINT, location=place)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Problem(f"the event payload is not JSON: {error}", hint=_HINT, location=place) from error
    if not isinstance(document, dict):
        raise Problem("the event payload is not a JSON object", hint=_HINT, location=place)
    return Payload(document)
