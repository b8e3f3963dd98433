"""Which names people keep secrets under, and what else gives a secret away."""

from __future__ import annotations

import re
from typing import Final

URL_PASSWORD: Final = re.compile(r"://[^/\s:@]*:(?P<password>[^/\s@]+)@")

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_PARTS: Final = (
    *("password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "privatekey"),
    *("accesskey", "encryptionkey", "signingkey", "masterkey"),
)
_SECRET_WORDS: Final = frozenset({"pass", "pwd", "auth", "dsn", "salt"})
_REFERENCE_ENDS: Final = frozenset({"file", "path", "dir", "name", "namespace", "ref", "url", "uri", "type"})
_NO_SECRETS: Final = frozenset({"topologykey", "publickey", "imagepullsecrets"})


def names_secret(name: str) -> bool:
    """Whether people keep secrets under `name`: ``DB_PASSWORD`` and ``apiKey``, not ``secretName``."""
    words = [word.lower() for word in _WORD.findall(name)]
    joined = "".join(words)
    if not words or words[-1] in _REFERENCE_ENDS or "existing" in words or joined in _NO_SECRETS:
        return False
    return (
        any(part in joined for part in _SECRET_PARTS)
        or not _SECRET_WORDS.isdisjoint(words)
        or (len(words) > 1 and "key" in words)
        or name == "KEY"
    )
