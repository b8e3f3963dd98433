"""What of a service may be shown: values that can be secrets are only ever fingerprinted."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sf.backends.compose.ciphertext import is_ciphertext, shown_ciphertexts
from sf.redact import SHORTEST_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.compose.model import FieldPath
    from sf.changes.masking import Fingerprints


class Masking:
    """Hides values behind `fingerprints`.

    `variables` are the runner's that compose files may use: where a value of theirs shows up, its name is put.
    """

    def __init__(self, fingerprints: Fingerprints, variables: Mapping[str, str]) -> None:
        self.fingerprints = fingerprints
        self._variables = {
            value: f"${{{name}}}" for name, value in variables.items() if len(value) >= SHORTEST_SECRET
        }

    def shown(
        self, fields: Mapping[FieldPath, Any], *, earlier: Mapping[FieldPath, Any] = MappingProxyType({})
    ) -> dict[FieldPath, Any]:
        """`fields` as they may be shown, beside an `earlier` state of them."""
        return {path: self._shown(path, value, earlier.get(path, value)) for path, value in fields.items()}

    def _shown(self, path: FieldPath, value: Any, earlier: Any) -> Any:
        if not is_sensitive(path) or value is None or is_ciphertext(value, whole=True):
            return self._named(value)
        before = None if earlier is None else str(earlier)
        _, shown = self.fingerprints.pair(before, str(value), ".".join(path))
        return shown

    def _named(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._named(item) for item in value]
        if isinstance(value, dict):
            return {key: self._named(item) for key, item in value.items()}
        if isinstance(value, str):
            # The longest first: one value may be part of another.
            for secret in sorted(self._variables, key=len, reverse=True):
                value = value.replace(secret, self._variables[secret])
            return shown_ciphertexts(value)
        return value


def is_sensitive(path: FieldPath) -> bool:
    """Whether the field holds a value that people keep secrets in."""
    return path[0] == "environment" or path[:2] == ("build", "args") or "driver_opts" in path
