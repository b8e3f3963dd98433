"""What the script of the page draws from: every unit, its objects and their diffs, as JSON inside of the page.

Within a budget: units by what matters most, then diffs the same way, each whole or left out and counted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sf.models import Change, Outcome
from sf.report import wording
from sf.report.diffs import by_priority
from sf.report.escape import one_line, visible
from sf.report.page.units import explained

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sf.models import Finding, ObjectChange, Reason, Record
    from sf.report.wording import Row

_NAME_LIMIT: Final = 400
_MESSAGE_LIMIT: Final = 1_000
_MOST_REASONS: Final = 20
# What could end the element that holds the JSON, or a line of it, is spelled as JSON can.
_ACTIVE: Final = {ord(active): f"\\u{ord(active):04x}" for active in "<>&\u2028\u2029"}
_FRAME: Final = 200


def document(record: Record, *, room: int) -> str:
    """The JSON in at most `room` bytes of UTF-8, safe inside of a ``<script>`` element."""
    alarms = _by_subject(wording.alarms(record))
    rows = wording.rows(record)
    units = [_unit(row, alarms) for row in rows]
    room -= _FRAME
    kept = set()
    for index in sorted(range(len(rows)), key=lambda index: (_rank(rows[index], alarms), index)):
        if (size := _size(units[index])) <= room:
            kept.add(index)
            room -= size
    left = 0
    for diff in by_priority(record):
        unit, number = diff.place
        if not diff.change.diff or unit not in kept:
            continue
        told = units[unit]["objects"][number]
        # Spelled as JSON it is no shorter: what is too long is not spelled at all.
        shown = {"diff": visible(diff.change.diff)} if len(diff.change.diff) <= room else {}
        if shown and (size := _size(shown)) <= room:
            del told["left"]
            told |= shown
            room -= size
        else:
            left += 1
    page = {
        "units": [unit for index, unit in enumerate(units) if index in kept],
        "first": _first(rows, alarms, sorted(kept)),
        "left": {"units": len(units) - len(kept), "diffs": left},
    }
    return _json(page)


def _unit(row: Row, alarms: Mapping[str, Sequence[Finding]]) -> dict[str, Any]:
    action, result = row.action, row.result
    unit = {
        "name": key(row.name),
        "change": action.effect.value if action else Change.UNKNOWN.value,
        "quiet": row.is_quiet,
        "wave": action.order if action else None,
        "tally": wording.tally(action) if action else "",
        "reasons": _reasons(action.all_reasons) if action else [],
        "remarks": [one_line(wording.clipped(remark, _MESSAGE_LIMIT)) for remark in row.remarks],
        "after": [key(name) for name in action.depends_on[:_MOST_REASONS]] if action else [],
        "alarms": _alarms(alarms.get(row.name, ())),
        "outcome": result.outcome.value if result and result.outcome else "",
        "ending": row.ending,
        "message": one_line(wording.clipped(result.message, _MESSAGE_LIMIT))
        if result and result.outcome is Outcome.FAILED
        else "",
        "objects": [
            _object(change, running, alarms)
            for change, running in (wording.objects(action) if action else ())
        ],
    }
    return {key: value for key, value in unit.items() if value or key in {"wave", "objects"}}


def _object(change: ObjectChange, running: bool, alarms: Mapping[str, Sequence[Finding]]) -> dict[str, Any]:
    told = {
        "name": key(change.identity),
        "change": change.change.value,
        "running": running,
        "reasons": _reasons(change.reasons),
        "alarms": _alarms(alarms.get(change.identity, ())),
        # Until it is known that there is room for the diff.
        "left": int(bool(change.diff)),
    }
    return {key: value for key, value in told.items() if value}


def _reasons(reasons: Sequence[Reason]) -> list[str]:
    return [one_line(explained(reason)) for reason in reasons[:_MOST_REASONS]]


def _by_subject(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.subject:
            found.setdefault(finding.subject, []).append(finding)
    return found


def _alarms(findings: Iterable[Finding]) -> list[list[str]]:
    return [
        [finding.severity.value, one_line(wording.clipped(finding.message, _MESSAGE_LIMIT))]
        for finding in findings
    ]


def _rank(row: Row, alarms: Mapping[str, Sequence[Finding]]) -> int:
    """The lowest for what a reader has to see first."""
    if row.result and row.result.outcome is Outcome.FAILED:
        return 0
    about = [
        row.name,
        *(change.identity for change, _ in (wording.objects(row.action) if row.action else ())),
    ]
    if any(subject in alarms for subject in about):
        return 1
    return 3 if row.is_quiet else 2


def _first(rows: Sequence[Row], alarms: Mapping[str, Sequence[Finding]], kept: Sequence[int]) -> int:
    """The position of the unit that is shown at the start."""
    return min(range(len(kept)), key=lambda at: (_rank(rows[kept[at]], alarms), at), default=0)


def key(foreign: str) -> str:
    """The name of a unit or an object as the script knows it, and finds it elsewhere on the page."""
    return one_line(wording.clipped(foreign, _NAME_LIMIT))


def _size(value: Any) -> int:
    return len(_json(value).encode()) + 1


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ACTIVE)
