"""A run read back from the files it left, which may come out of an artifact and are hostile until checked.

A document is accepted when it is exactly what would be written for the record that is read from it. So nothing can
be added, left out, spelled as another type, or contradict the digests and figures beside it.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from sf.models import (
    PLAN_SCHEMA,
    RESULT_SCHEMA,
    Change,
    LifecyclePlan,
    Phase,
    Problem,
    Record,
    Verdict,
)
from sf.report.wording import clipped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAX_BYTES: Final = 64 * 1024 * 1024
_PLAN: Final = "plan.json"
_RESULT: Final = "result.json"
_AFRESH: Final = "run `sf plan` or `sf reconcile` again, which writes the files anew"
# What a document says besides the fields of the value it was made of.
_BESIDE_THE_PLAN: Final = ("schema", "counts", "verdict", "digest", "change_digest")
_BESIDE_THE_RECORD: Final = ("schema", "verdict", "plan_digest", "change_digest", "actions", "notes")
_DIGESTS: Final = ("plan_digest", "change_digest", "digest")
_LONGEST_PLACE: Final = 200
_ABSENT: Final = object()

_PLANS: Final = TypeAdapter(LifecyclePlan)
_RECORDS: Final = TypeAdapter(Record)

_Value = TypeVar("_Value")


def read_record(out_dir: Path) -> Record:
    """The last run that left its documents in `out_dir`.

    Raises `Problem` naming the file that is missing, is no document of this version or was changed since.
    """
    document = _read(out_dir / _RESULT, RESULT_SCHEMA)
    plan = None
    if document.get("plan_digest") is not None:
        plan = _plan(_read(out_dir / _PLAN, PLAN_SCHEMA))
        if plan.digest != document["plan_digest"]:
            raise Problem(f"{_PLAN} and {_RESULT} are not of the same run", hint=_AFRESH)
    record = _record(document, plan)
    _require_same(_RESULT, document, record.result_document())
    return record


def read_plan(file: Path) -> LifecyclePlan:
    """The plan that was saved in `file`, for comparing.

    Raises `Problem` when it cannot be read, is no plan of this version or was changed since.
    """
    return _plan(_read(file, PLAN_SCHEMA))


def plan_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``plan.json``."""
    schema = _PLANS.json_schema(mode="serialization")
    properties = schema["properties"]
    del properties["dry_run"]
    digest = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    properties |= {
        "schema": {"const": PLAN_SCHEMA},
        "counts": {
            "type": "object",
            "properties": {change.value: {"type": "integer", "minimum": 0} for change in Change},
            "required": [change.value for change in Change],
            "additionalProperties": False,
        },
        "verdict": {"enum": [verdict.value for verdict in Verdict]},
        "digest": digest,
        "change_digest": digest,
    }
    for definition in (schema, *schema["$defs"].values()):
        if definition.get("type") == "object":
            # A plan is written whole: fields that are empty are there as well.
            definition["required"] = sorted(definition["properties"])
            definition["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:{PLAN_SCHEMA}", **schema}


def _plan(document: Mapping[str, Any]) -> LifecyclePlan:
    plan = _validated(_PLAN, _PLANS, _without(document, _BESIDE_THE_PLAN))
    _require_same(_PLAN, document, plan.document())
    return plan


def _record(document: Mapping[str, Any], plan: LifecyclePlan | None) -> Record:
    values = _without(document, _BESIDE_THE_RECORD)
    if _was_executed(document):
        values["result"] = {name: document.get(name) for name in ("actions", "notes")}
    record = _validated(_RESULT, _RECORDS, values)
    return replace(record, plan=replace(plan, dry_run=record.dry_run) if plan else None)


def _was_executed(document: Mapping[str, Any]) -> bool:
    """Whether there was a result. One without actions looks like none, and phases tell the two apart."""
    if document.get("actions") or document.get("notes"):
        return True
    failure = document.get("failure")
    ended_early = isinstance(failure, dict) and failure.get("phase") not in (Phase.REPORT, Phase.CLEANUP)
    return document.get("dry_run") is False and not ended_early


def _read(path: Path, schema: str) -> dict[str, Any]:
    """The JSON object in the file, of this `schema`."""
    try:
        if not path.is_file():
            raise Problem(
                f"there is no {path.name} in {path.parent}",
                hint="run `sf plan` first, or name the directory of its files with --out-dir",
            )
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Problem(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise Problem(f"{path.name} is larger than {MAX_BYTES // 1024 // 1024} MiB", hint=_AFRESH)
    try:
        document = json.loads(data, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Problem(f"{path.name} is not JSON: {_reason(error)}", hint=_AFRESH) from error
    if not isinstance(document, dict):
        raise Problem(f"{path.name} is not a JSON object", hint=_AFRESH)
    if document.get("schema") != schema:
        raise Problem(
            f"{path.name} is not of the schema {schema}",
            hint=f"it may be of another version of sf; {_AFRESH}",
        )
    return document


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _without(document: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def _validated(name: str, adapter: TypeAdapter[_Value], values: dict[str, Any]) -> _Value:
    try:
        # Coercion does no harm: what was spelled differently does not come out the same (`_require_same`).
        return adapter.validate_python(values)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Problem(
            f"{name} is not what sf writes: {_place(details['loc'])}: {details['msg']}", hint=_AFRESH
        ) from error


def _require_same(name: str, given: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """Raise `Problem` for the first place where `given` is not what sf would have `written`."""
    place = _difference(_without(given, _DIGESTS), _without(written, _DIGESTS))
    if place is not None:
        raise Problem(f"{name} is not what sf writes: {_place(place)} should not be so", hint=_AFRESH)
    for digest in _DIGESTS:
        if given.get(digest, _ABSENT) != written.get(digest, _ABSENT):
            raise Problem(
                f"{name} was changed after it was written: its content does not fit its {digest}",
                hint=_AFRESH,
            )


def _difference(given: Any, written: Any) -> tuple[str | int, ...] | None:
    """The keys and positions that lead to the first difference; None if there is none."""
    if isinstance(given, dict) and isinstance(written, dict):
        names = [*written, *(name for name in given if name not in written)]
        pairs = [(name, given.get(name, _ABSENT), written.get(name, _ABSENT)) for name in names]
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        pairs = [(number, *pair) for number, pair in enumerate(zip(given, written, strict=True))]
    else:
        return None if _is_same(given, written) else ()
    for name, one, other in pairs:
        place = _difference(one, other)
        if place is not None:
            return (name, *place)
    return None


def _is_same(given: Any, written: Any) -> bool:
    # Seconds that happen to be whole may have been written without a fraction.
    kinds = (type(given), type(written))
    return bool(given == written) and (kinds[0] is kinds[1] or kinds == (int, float))


def _place(keys: tuple[str | int, ...]) -> str:
    steps = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return f"`{clipped(steps.removeprefix('.'), _LONGEST_PLACE)}`"
