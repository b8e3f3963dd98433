"""Which fields of an object somebody else set that Flux takes away again.

Before Flux applies an object, it takes over what kubectl and its own older releases set, so that whatever of that
is not in the repository goes (kustomize-controller 1.9, ApplyCleanupOptions; fluxcd/pkg/ssa,
PatchReplaceFieldsManagers). A server-side apply that is only tried cannot show that: it has to be worked out from
``metadata.managedFields``, whose keys are ``f:name`` for a field, ``k:{...}`` for the entry of a list with these
values and ``v:...`` for the entry that is this value (structured-merge-diff, fieldpath).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sf.changes.manifest import at, entries, mapping, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANAGER: Final = "kustomize-controller"
_APPLY: Final = "Apply"
_UPDATE: Final = "Update"
# (beginning of the name, operation) of the managers whose fields Flux takes over.
_TAKEN: Final = (
    ("kubectl", _APPLY),
    ("kubectl", _UPDATE),
    ("before-first-apply", _UPDATE),
    (MANAGER, _UPDATE),
)
_ITSELF: Final = "."


def without_strangers(item: Mapping[str, Any]) -> dict[str, Any]:
    """`item`, as an apply of Flux would leave it, less the fields that only those whom Flux takes over own."""
    managed = list(entries(at(item, "metadata", "managedFields")))
    taken = [mapping(entry.get("fieldsV1")) for entry in managed if _is_taken(entry)]
    kept = [mapping(entry.get("fieldsV1")) for entry in managed if not _is_taken(entry)]
    left: Any = item
    for fields in taken:
        left = _without(left, fields, kept)
    return dict(left)


def _is_taken(entry: Mapping[str, Any]) -> bool:
    manager, operation = text(entry.get("manager")), entry.get("operation")
    return not entry.get("subresource") and any(
        manager.startswith(name) and operation == kind for name, kind in _TAKEN
    )


def _without(value: Any, owned: Mapping[str, Any], kept: Sequence[Mapping[str, Any]]) -> Any:
    """`value` less what `owned` names and none of `kept` does."""
    for key, below in owned.items():
        if key == _ITSELF:
            continue
        others = [mapping(fields[key]) for fields in kept if key in fields]
        place = _place(value, key)
        if place is None:
            continue
        if not others and (not below or _ITSELF in mapping(below)):
            value = _removed(value, place)
            continue
        child = _without(value[place], mapping(below), others)
        # A mapping of which nothing is left is not stored.
        emptied = child in ({}, []) and value[place] not in ({}, [])
        value = _removed(value, place) if emptied and not others else _replaced(value, place, child)
    return value


def _place(value: Any, key: str) -> Any:
    """Where in `value` that is which `key` names; None where there is no such place."""
    sort, _, what = key.partition(":")
    if sort == "f" and isinstance(value, dict):
        return what if what in value else None
    if sort not in {"k", "v"} or not isinstance(value, list):
        return None
    wanted = json.loads(what)
    for number, entry in enumerate(value):
        if entry == wanted or (sort == "k" and _has(entry, wanted)):
            return number
    return None


def _has(entry: Any, wanted: Any) -> bool:
    return isinstance(entry, dict) and all(entry.get(name) == value for name, value in wanted.items())


def _removed(value: Any, place: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if key != place}
    return [item for number, item in enumerate(value) if number != place]


def _replaced(value: Any, place: Any, child: Any) -> Any:
    if isinstance(value, dict):
        return {**value, place: child}
    return [child if number == place else item for number, item in enumerate(value)]
