"""Secrets are registered once and scrubbed wherever text leaves the process.

Every door holds the same `Redactor`. A secret is found as it stands, line by line, and in the spellings that tools
print it in: base64 (at any of the three alignments), URL-encoded, JSON-escaped.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
# Shorter values are no secrets to be kept, and masking them would turn every report into asterisks.
SHORTEST_SECRET: Final = 4
# A line of a longer secret is masked by itself; ``{`` or ``---`` is not worth it.
SHORTEST_LINE: Final = 8
# Go programs escape these three in JSON (encoding/json, HTMLEscape).
_HTML_SAFE: Final = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}
# What stays as it is in a URL: nothing, in a path, and in user names and path segments by Go (net/url).
_URL_SAFE: Final = ("", "/", "$&+,;=", "$&+=:@")
_NEVER: Final = r"(?!)"


class Redactor:
    """Knows the secrets of one run. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spellings: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secret: str | bytes) -> None:
        """From now on `scrub` hides `secret`; blank and very short values are ignored."""
        text = secret.decode("utf-8", "surrogateescape") if isinstance(secret, bytes) else secret
        lines = {line.strip() for line in text.splitlines()}
        values = {text.strip()} | {line for line in lines if len(line) >= SHORTEST_LINE}
        spellings = {
            spelling for value in values if len(value) >= SHORTEST_SECRET for spelling in _spellings(value)
        }
        with self._lock:
            if not spellings <= self._spellings:
                self._spellings |= spellings
                self._pattern = None

    def scrub(self, text: str) -> str:
        """`text` with every registered secret replaced by `MASK`."""
        pattern = self._pattern or self._compiled()
        shown: list[str] = []
        end = 0
        for match in pattern.finditer(text):
            start, stop = match.span(1)
            if start >= end:
                shown += (text[end:start], MASK)
            end = max(end, stop)
        return "".join((*shown, text[end:]))

    def _compiled(self) -> re.Pattern[str]:
        """The pattern of all spellings. Made when first needed: secrets come many at a time."""
        with self._lock:
            # Longest first, and looking ahead from every position: where secrets overlap, all of them are hidden.
            longest_first = sorted(self._spellings, key=lambda spelling: (-len(spelling), spelling))
            self._pattern = re.compile(f"(?=({'|'.join(map(re.escape, longest_first)) or _NEVER}))")
            return self._pattern


def _spellings(value: str) -> set[str]:
    raw = _bytes(value)
    escaped = json.dumps(value, ensure_ascii=False)[1:-1]
    spelled = {value, escaped, escaped.translate(_HTML_SAFE), json.dumps(value)[1:-1]}
    replaced = raw.decode("utf-8", "replace")  # how a log shows what is not UTF-8
    if len(replaced) >= SHORTEST_SECRET:
        spelled.add(replaced)
    spelled |= {quote_plus(raw)} | {quote(raw, safe=safe) for safe in _URL_SAFE}
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        spelled.add(encode(raw).decode().rstrip("="))
        # Inside a longer value ("user:SECRET") the encoding depends on the position modulo 3. Six bits make a
        # character, and those at the edges also carry bits of the neighbours: only the ones between are certain.
        for before in range(3):
            first, end = -(-before * 8 // 6), (before + len(raw)) * 8 // 6
            inner = encode(b"\0" * before + raw).decode()[first:end]
            if len(inner) >= SHORTEST_LINE:
                spelled.add(inner)
    return spelled


def _bytes(value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Lone surrogates that stand for no byte come out of foreign JSON.
        return value.encode("utf-8", "surrogatepass")
