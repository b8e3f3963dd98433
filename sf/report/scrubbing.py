"""Secrets leave a record before anything is made of it.

The doors scrub text as it stands. A renderer cuts it short and escapes it, and half a secret, or one with an
entity in the middle, is found by nobody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sf.models import Record
    from sf.redact import Redactor


def scrubbed(record: Record, redactor: Redactor) -> Record:
    """`record` with every registered secret masked, wherever it stands."""
    clean: Record = _scrubbed(record, redactor)
    return clean


def _scrubbed(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return redactor.scrub(value)
    if isinstance(value, tuple):
        return tuple(_scrubbed(item, redactor) for item in value)
    if isinstance(value, Mapping):
        items = ((_scrubbed(key, redactor), _scrubbed(item, redactor)) for key, item in value.items())
        return MappingProxyType(dict(items))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _scrubbed(getattr(value, f.name), redactor) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value
