"""What a change does to the services of a stack, from the models before and after it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sf import documents
from sf.backends.compose.ciphertext import is_ciphertext
from sf.models import Cause, Change, Location, ObjectChange, Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sf.backends.compose.masking import Masking
    from sf.backends.compose.model import FieldPath, Model, Service

_CHANGES: Final = "changes"
_ENCRYPTED: Final = "encrypted value changed"
Key = TypeVar("Key", bound=str | tuple[str, ...])


def compare(
    before: Model | None, after: Model | None, *, folder: str, masking: Masking
) -> tuple[ObjectChange, ...]:
    """What happens to each service between two states of the stack in `folder`; unchanged ones are left out."""
    old = before.services if before else {}
    new = after.services if after else {}
    encrypted = {name for model in (before, after) if model for name in model.encrypted}
    changes = (
        _of_service(old.get(name), new.get(name), folder, masking, encrypted) for name in sorted({*old, *new})
    )
    return tuple(change for change in changes if change.change is not Change.UNCHANGED)


def field_name(path: FieldPath) -> str:
    """How a field is called in a sentence: ``healthcheck.interval``."""
    return ".".join(path)


def _of_service(
    old: Service | None, new: Service | None, folder: str, masking: Masking, encrypted: Collection[str]
) -> ObjectChange:
    either = new or old
    assert either is not None  # noqa: S101 - the name came from one of the two
    before = old.fields if old else {}
    after = new.fields if new else {}
    reasons = tuple(_reasons(old, new, folder, encrypted)) if old and new else ()
    if old is None:
        change = Change.ADD
    elif new is None:
        change = Change.REMOVE
    else:
        change = Change.CHANGE if reasons else Change.UNCHANGED
    diff = _diff(masking.shown(before), masking.shown(after, earlier=before))
    return ObjectChange(change=change, kind="service", name=either.name, diff=diff, reasons=reasons)


def _reasons(old: Service, new: Service, folder: str, encrypted: Collection[str]) -> Iterator[Reason]:
    for path in _differing(old.fields, new.fields):
        name = field_name(path)
        closed = is_ciphertext(old.fields.get(path)) and is_ciphertext(new.fields.get(path))
        what = f"{name}: {_ENCRYPTED}" if closed else f"{name} {_verb(old.fields, new.fields, path)}"
        yield Reason(cause=Cause.GIT, subject=name, message=what)
    for file in _differing(old.files, new.files):
        verb = _verb(old.files, new.files, file)
        closed = file in encrypted and verb == _CHANGES
        yield Reason(
            cause=Cause.GIT,
            subject=file,
            message=f"{file}: {_ENCRYPTED}" if closed else f"the content of {file} {verb}",
            location=Location(f"{folder}/{file}"),
        )
    for name in _differing(old.inline, new.inline):
        verb = _verb(old.inline, new.inline, name)
        yield Reason(cause=Cause.GIT, subject=name, message=f"the content of the {name} {verb}")


def _differing(old: Mapping[Key, Any], new: Mapping[Key, Any]) -> list[Key]:
    missing = object()
    return sorted(key for key in {*old, *new} if old.get(key, missing) != new.get(key, missing))


def _verb(old: Mapping[Any, Any], new: Mapping[Any, Any], key: Any) -> str:
    if key not in old:
        return "is new"
    return _CHANGES if key in new else "goes away"


def _diff(before: Mapping[FieldPath, Any], after: Mapping[FieldPath, Any]) -> str:
    """A unified diff without file headers of two services in YAML."""
    old, new = (documents.dump(_nested(fields)).splitlines() if fields else [] for fields in (before, after))
    return "\n".join(list(difflib.unified_diff(old, new, lineterm="", n=3))[2:])


def _nested(fields: Mapping[FieldPath, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for path in sorted(fields):
        *parents, last = path
        place = document
        for key in parents:
            place = place.setdefault(key, {})
        place[last] = fields[path]
    return document
