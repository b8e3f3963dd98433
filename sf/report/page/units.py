"""The units and what happens to their objects, as plain HTML: for readers without the script, and for paper.

It is bounded, the most important first chosen, and says how much is not shown. With the script the page has all.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from sf.report import wording
from sf.report.diffs import by_priority
from sf.report.escape import visible
from sf.report.markup import EMPTY, Html, element, joined, name
from sf.report.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sf.models import Reason, Record
    from sf.report.diffs import Diff
    from sf.report.wording import Row

_MOST_UNITS: Final = 30
_MOST_OBJECTS: Final = 30
_MOST_DIFF_CHARACTERS: Final = 200_000
_MOST_NAMES: Final = 500
_MOST_REASONS: Final = 2
_NAME_LIMIT: Final = 200
_MESSAGE_LIMIT: Final = 1_000
# What matters most is open from the start if it can be taken in at a glance.
_GLANCE_LINES: Final = 20
_MEANINGS: Final = {"+": "ins", "-": "del"}


def units(record: Record) -> Html:
    """The changes for who reads without the script, which puts its own in the place of these."""
    rows = [row for row in wording.rows(record) if not row.is_quiet]
    diffs = by_priority(record)
    shown = _shown(diffs)
    chosen = sorted(range(len(rows)), key=lambda index: (rows[index].name not in shown, index))[:_MOST_UNITS]
    items = [_unit(rows[index], shown.get(rows[index].name, [])) for index in sorted(chosen)]
    objects = len(diffs) - sum(len(shown.get(rows[index].name, ())) for index in chosen)
    content = [*items, _left_out(len(rows) - len(chosen), objects), _quiet(record)]
    return element("div", *content, id="plain") if any(content) else EMPTY


def _shown(diffs: Iterable[Diff]) -> Mapping[str, list[Diff]]:
    """The objects there is room for, by the name of their unit."""
    shown: dict[str, list[Diff]] = {}
    room, number = _MOST_DIFF_CHARACTERS, 0
    for diff in diffs:
        size = len(diff.change.diff)
        if number < _MOST_OBJECTS and size <= room:
            shown.setdefault(diff.action.name, []).append(diff)
            room -= size
            number += 1
    return shown


def _left_out(units_: int, objects: int) -> Html:
    parts = [
        count(number, f"more {noun}") for number, noun in ((units_, "unit"), (objects, "object")) if number
    ]
    told = f"{' and '.join(parts)} not shown here: see plan.json, or read this page with JavaScript."
    return element("p", told, class_="quiet") if parts else EMPTY


def _quiet(record: Record) -> Html:
    names = [row.name for row in wording.rows(record) if row.is_quiet]
    if not names:
        return EMPTY
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    listed = [joined([", " if index else "", _name(one)]) for index, one in enumerate(names[:_MOST_NAMES])]
    return element(
        "details", element("summary", count(len(names), "unchanged unit")), element("p", *listed, more)
    )


def _unit(row: Row, diffs: Iterable[Diff]) -> Html:
    action = row.action
    facts = [wording.tally(action), f"wave {action.order}"] if action else []
    facts.append(row.ending)
    return element(
        "details",
        element(
            "summary",
            mark(row.effect),
            _name(row.name),
            element("span", "".join(f" · {fact}" for fact in facts if fact), class_="quiet"),
        ),
        _sentences(row),
        *(_object(diff) for diff in diffs),
        class_="unit",
        open=True,
    )


def _sentences(row: Row) -> Html:
    reasons = row.action.all_reasons if row.action else ()
    told = [explained(reason) for reason in reasons[:_MOST_REASONS]]
    if len(reasons) > _MOST_REASONS:
        told.append(f"and {count(len(reasons) - _MOST_REASONS, 'more reason')}")
    told += [wording.clipped(remark, _MESSAGE_LIMIT) for remark in row.remarks]
    return element("ul", *(element("li", sentence) for sentence in told)) if told else EMPTY


def _object(diff: Diff) -> Html:
    change = diff.change
    where = " as it runs" if diff.running else ""
    reasons = [element("li", explained(reason)) for reason in change.reasons[:_MOST_REASONS]]
    return element(
        "details",
        element("summary", mark(wording.effect(change.change)), _name(change.identity), where),
        element("ul", *reasons) if reasons else EMPTY,
        element("pre", *_colored(visible(change.diff)), class_="diff") if change.diff else EMPTY,
        open=diff.is_urgent and change.diff.count("\n") < _GLANCE_LINES,
    )


def _colored(diff: str) -> Iterator[Html]:
    """The lines of a diff, what is removed and what is added each in an element of its meaning."""
    lines = diff.removesuffix("\n").split("\n")
    for sign, run in groupby(lines, key=lambda line: line[:1] if line[:1] in _MEANINGS else " "):
        yield element(_MEANINGS.get(sign, "span"), "".join(f"{line}\n" for line in run))


def mark(effect: str) -> Html:
    """The symbol of a change and the word for it, from what `wording.effect` says."""
    symbol, _, word = effect.partition(" ")
    return joined([element("span", symbol, class_=f"mark is-{word}"), f" {word} "]) if effect else EMPTY


def explained(reason: Reason) -> str:
    """A reason and the place it names."""
    where = f" ({reason.location})" if reason.location else ""
    return wording.clipped(wording.sentence(reason) + where, _MESSAGE_LIMIT)


def _name(foreign: str) -> Html:
    return name(wording.clipped(foreign, _NAME_LIMIT))
