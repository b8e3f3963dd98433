"""What of a service may be shown: values that can be secrets are only ever fingerprinted."""

from __future__ import annotations

import hashlib
import hmac
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sf.models import Problem
from sf.redact import SHORTEST_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.compose.model import FieldPath

KEY_VARIABLE: Final = "SF_FINGERPRINT_KEY"
SHORTEST_KEY: Final = 32
_SHOWN: Final = 16
HIDDEN: Final = "(hidden)"
HIDDEN_CHANGED: Final = "(hidden, changed)"


class Masking:
    """Hides values under one key, or without one behind words.

    `variables` are the runner's that compose files may use: where a value of theirs shows up, its name is put.
    """

    def __init__(self, key: str, variables: Mapping[str, str]) -> None:
        """Raises `Problem` for a key that is too short to keep guesses away."""
        self._key = key.encode()
        if key and len(self._key) < SHORTEST_KEY:
            raise Problem(
                f"{KEY_VARIABLE} has {len(self._key)} bytes, and fingerprints need at least {SHORTEST_KEY}",
                hint="make one with `openssl rand -hex 32` and store it as a secret of the CI",
            )
        self._variables = {
            value: f"${{{name}}}" for name, value in variables.items() if len(value) >= SHORTEST_SECRET
        }

    @property
    def key_id(self) -> str:
        """Which key it is, without telling the key; empty when there is none."""
        return hashlib.sha256(b"sf fingerprint key\0" + self._key).hexdigest()[:_SHOWN] if self._key else ""

    def shown(
        self, fields: Mapping[FieldPath, Any], *, earlier: Mapping[FieldPath, Any] = MappingProxyType({})
    ) -> dict[FieldPath, Any]:
        """`fields` as they may be shown, beside an `earlier` state of them."""
        return {path: self._shown(path, value, earlier.get(path, value)) for path, value in fields.items()}

    def fingerprint(self, value: str) -> str:
        """`value` as something that is equal when values are; only to be used with a key."""
        return f"hmac-sha256:{hmac.new(self._key, value.encode(), 'sha256').hexdigest()[:_SHOWN]}"

    def _shown(self, path: FieldPath, value: Any, earlier: Any) -> Any:
        if not is_sensitive(path) or value is None:
            return self._named(value)
        if self._key:
            return self.fingerprint(str(value))
        return HIDDEN if value == earlier else HIDDEN_CHANGED

    def _named(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._named(item) for item in value]
        if isinstance(value, dict):
            return {key: self._named(item) for key, item in value.items()}
        if isinstance(value, str):
            # The longest first: one value may be part of another.
            for secret in sorted(self._variables, key=len, reverse=True):
                value = value.replace(secret, self._variables[secret])
        return value


def is_sensitive(path: FieldPath) -> bool:
    """Whether the field holds a value that people keep secrets in."""
    return path[0] == "environment" or path[:2] == ("build", "args") or "driver_opts" in path
