"""The difference of two values as people read it: a unified diff of their YAML."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from sf import documents

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTEXT: Final = 3
MOST_LINES: Final = 2000
# Beyond this many lines on one side difflib, which is quadratic, is not asked.
_MOST_COMPARED: Final = 5000
_FIRST: Final = ("apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "spec")


def unified(before: Any, after: Any) -> str:
    """A unified diff without file headers; None stands for nothing. Long ones are cut, with a count."""
    old, new = _lines(before), _lines(after)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    if max(len(old), len(new)) - start - end > _MOST_COMPARED:
        changed = [f"-{line}" for line in old[start : len(old) - end]]
        changed += [f"+{line}" for line in new[start : len(new) - end]]
    else:
        changed = list(difflib.unified_diff(old, new, lineterm="", n=_CONTEXT))[2:]
    if len(changed) > MOST_LINES:
        changed = [*changed[:MOST_LINES], f"@@ {len(changed) - MOST_LINES} more lines differ @@"]
    return "\n".join(changed)


def _lines(value: Any) -> list[str]:
    return [] if value is None else documents.dump(_ordered(value)).splitlines()


def _ordered(value: Any) -> Any:
    """`value` with mappings in the order that people write objects in: what it is, who it is, the rest by name."""
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _ordered(value[key]) for key in sorted(value, key=_rank)}


def _rank(key: str) -> tuple[int, str]:
    return (_FIRST.index(key) if key in _FIRST else len(_FIRST), key)


def _common(one: list[str], other: list[str]) -> int:
    """How many lines both begin with."""
    count = 0
    for mine, yours in zip(one, other, strict=False):
        if mine != yours:
            break
        count += 1
    return count


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of top-level fields that differ, sorted."""
    return sorted(key for key in {**before, **after} if before.get(key) != after.get(key))
