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


class Redactor:
    """Knows the secrets of one run. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spellings: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secret: str | bytes) -> None:
        """From now on `scrub` hides `secret`; blank and very short values are ignored."""
        text = secret.decode("utf-8", "surrogateescape") if isinstance(secret, bytes) else secret
        values = {text.strip()} | {line.strip() for line in text.splitlines() if len(line) >= SHORTEST_LINE}
        spellings = {
            spelling for value in values if len(value) >= SHORTEST_SECRET for spelling in _spellings(value)
        }
        with self._lock:
            if spellings <= self._spellings:
                return
            self._spellings |= spellings
            # Longest first: a secret that contains another one is hidden whole.
            longest_first = sorted(self._spellings, key=lambda spelling: (-len(spelling), spelling))
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def scrub(self, text: str) -> str:
        """`text` with every registered secret replaced by `MASK`."""
        pattern = self._pattern
        return pattern.sub(MASK, text) if pattern else text


def _spellings(value: str) -> set[str]:
    raw = value.encode("utf-8", "surrogateescape")
    spelled = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    spelled |= {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        spelled.add(encode(raw).decode().rstrip("="))
        # In the middle of a longer value ("user:SECRET") the encoding depends on the position modulo 3. The
        # characters at the edges also carry bits of the neighbours and are left out.
        for before in (1, 2):
            inner = encode(b"\0" * before + raw).decode().rstrip("=")[before + 1 : -1]
            if len(inner) >= SHORTEST_LINE:
                spelled.add(inner)
    return spelled
