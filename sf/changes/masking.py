"""Secret values are never shown. With a key they have a fingerprint, without one they are the same or not.

A plain hash of a password can be guessed, so there is none. A fingerprint is an HMAC under ``SF_FINGERPRINT_KEY``
and covers where the value stands, so that two equal passwords of two objects do not give each other away.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_VARIABLE: Final = "SF_FINGERPRINT_KEY"
SHORTEST_KEY: Final = 32
HIDDEN: Final = "(hidden)"
HIDDEN_CHANGED: Final = "(hidden, changed)"
_SHOWN: Final = 16
_APART: Final = "\0"
_SECRET_WORDS: Final = ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "PRIVATE_KEY")
# SOPS writes its ciphertexts so, whatever the format of the file (getsops/sops, README, "Encrypting").
_ENCRYPTED: Final = "ENC["


class Fingerprints:
    """Fingerprints under one key; without a key there are none, and callers say "changed" instead."""

    def __init__(self, key: str = "") -> None:
        """Raises `Problem` for a key that is too short to keep guesses away."""
        self._key = key.encode("utf-8", "surrogateescape")
        if key and len(self._key) < SHORTEST_KEY:
            raise Problem(
                f"{KEY_VARIABLE} has {len(self._key)} bytes, and fingerprints need at least {SHORTEST_KEY}",
                hint="make one with `openssl rand -hex 32` and store it as a secret of the CI",
            )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Fingerprints:
        return cls(environ.get(KEY_VARIABLE, ""))

    def __bool__(self) -> bool:
        return bool(self._key)

    @property
    def key_id(self) -> str:
        """Which key it is, without telling the key; empty when there is none."""
        return self._hmac("sf fingerprint key") if self._key else ""

    def of(self, value: str, context: str) -> str:
        """`value` at the place `context`, as something that is equal when both are. Only with a key."""
        return f"hmac-sha256:{self._hmac(f'{context}{_APART}{value}')}"

    def pair(self, before: str | None, after: str | None, context: str) -> tuple[str | None, str | None]:
        """Both states of a secret as they may be shown beside each other; None stays None."""
        if self._key:
            return tuple(None if value is None else self.of(value, context) for value in (before, after))  # type: ignore[return-value]
        changed = before is not None and after is not None and before != after
        return (
            None if before is None else HIDDEN,
            None if after is None else HIDDEN_CHANGED if changed else HIDDEN,
        )

    def _hmac(self, text: str) -> str:
        data = text.encode("utf-8", "surrogateescape")
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()[:_SHOWN]


def masked(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, fingerprints: Fingerprints
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Two states of one Kubernetes object with every secret value replaced; either may be missing.

    Secret are the values of a Secret, ciphertexts of SOPS, and environment values whose names say so.
    """
    old, new = _Masker(fingerprints).pair(_opened(before), _opened(after), ())
    return old, new


class _Masker:
    def __init__(self, fingerprints: Fingerprints) -> None:
        self._fingerprints = fingerprints

    def pair(self, before: Any, after: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
        """Both states with secrets replaced. What only one of them has is compared with nothing."""
        if isinstance(before, dict) and isinstance(after, dict):
            return self._mappings(before, after, path)
        if isinstance(before, list) and isinstance(after, list):
            return self._lists(before, after, path)
        if isinstance(before, (dict, list)) or isinstance(after, (dict, list)):
            return self._alone(before, path)[0], self._alone(after, path)[1]
        return self._leaf(before, after, path)

    def _alone(self, value: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
        """`value` as either state, beside one of another shape."""
        if isinstance(value, dict):
            return self._mappings(value, {}, path)[0], self._mappings({}, value, path)[1]
        if isinstance(value, list):
            return self._lists(value, [], path)[0], self._lists([], value, path)[1]
        return self._leaf(value, None, path)[0], self._leaf(None, value, path)[1]

    def _mappings(
        self, before: dict[str, Any], after: dict[str, Any], path: tuple[str, ...]
    ) -> tuple[Any, Any]:
        both = {
            name: self.pair(before.get(name), after.get(name), (*path, str(name)))
            for name in {**before, **after}
        }
        return {name: both[name][0] for name in before}, {name: both[name][1] for name in after}

    def _lists(self, before: list[Any], after: list[Any], path: tuple[str, ...]) -> tuple[Any, Any]:
        rows = [self.pair(old, new, (*path, "*")) for old, new in zip_longest(before, after)]
        return [row[0] for row in rows[: len(before)]], [row[1] for row in rows[: len(after)]]

    def _leaf(self, before: Any, after: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
        if isinstance(before, _Secret) or isinstance(after, _Secret):
            context = "/".join(path)
            old, new = (None if value is None else str(value) for value in (before, after))
            return self._fingerprints.pair(old, new, context)
        return _without_ciphertext(before), _without_ciphertext(after)


class _Secret(str):
    """A string that must not be shown."""

    __slots__ = ()


def _opened(item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A copy of `item` in which secret values are marked. SOPS's own bookkeeping is left out."""
    if item is None:
        return None
    copy = {key: _marked(value) for key, value in item.items() if key != "sops"}
    if item.get("kind") == "Secret" and item.get("apiVersion") == "v1":
        for field in ("data", "stringData"):
            values = item.get(field)
            if isinstance(values, dict):
                copy[field] = {
                    key: value
                    if _is_ciphertext(value)
                    else _Secret(_decoded(value) if field == "data" else value)
                    for key, value in values.items()
                }
    return copy


def _marked(value: Any) -> Any:
    """`value` with the values of environment variables marked whose names say that they are secret."""
    if isinstance(value, list):
        return [_marked(item) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {key: _marked(item) for key, item in value.items()}
    if (
        isinstance(value.get("name"), str)
        and isinstance(value.get("value"), str)
        and names_secret(value["name"])
    ):
        copy["value"] = _Secret(value["value"])
    return copy


def names_secret(name: str) -> bool:
    """Whether an environment variable of this name is likely to hold a secret."""
    upper = name.upper()
    return any(
        word in upper
        for word in ("PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY", "API_KEY", "PRIVATE_KEY")
    )


def _decoded(value: Any) -> str:
    """The text that the ``data`` of a Secret stands for, so that it equals the same text in ``stringData``."""
    try:
        return base64.b64decode(str(value), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return str(value)


def _is_ciphertext(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_ENCRYPTED)


def _without_ciphertext(value: Any) -> Any:
    """A ciphertext by a short id of its own: it is long, and it is no secret."""
    if not _is_ciphertext(value):
        return value
    return f"(encrypted {hashlib.sha256(value.encode('utf-8', 'surrogateescape')).hexdigest()[:8]})"
