"""How executing the plan went: wave by wave, how every unit ended and how long it took."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from sf.models import Outcome
from sf.report import wording
from sf.report.markup import EMPTY, Html, element, joined, name
from sf.report.page.lists import MOST_HELD, rest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sf.models import ActionResult, Record
    from sf.report.wording import Row

_MOST_ROWS: Final = 30
_NAME_LIMIT: Final = 200
_MESSAGE_LIMIT: Final = 1_000
_BAR_WIDTH: Final = 120
_ENDINGS: Final = (
    Outcome.FAILED,
    Outcome.INTERRUPTED,
    Outcome.NOT_REACHED,
    Outcome.DONE,
    Outcome.SUPERSEDED,
    Outcome.UNCHANGED,
)


def waves(record: Record) -> Html:
    """A table of the units that were executed, in waves; inside of one those that failed come first."""
    ended = [row for row in wording.rows(record) if row.result]
    if not ended:
        return EMPTY
    rows = sorted(ended, key=lambda row: (_wave(row), _rank(row)))
    longest = max(_result(row).duration for row in rows)
    waiting = rows[_MOST_ROWS : _MOST_ROWS + MOST_HELD]
    columns = ("Result", "Unit", "Time", "What it said")
    table = element(
        "table",
        element("thead", element("tr", *(element("th", column, scope="col") for column in columns))),
        *_bodies(rows[:_MOST_ROWS], longest),
        class_="waves",
    )
    more = rest(_bodies(waiting, longest), len(waiting), len(rows) - _MOST_ROWS - len(waiting), "unit")
    return joined([table, more])


def _bodies(rows: Sequence[Row], longest: float) -> list[Html]:
    return [_body(wave, list(group), longest) for wave, group in groupby(rows, key=_wave)]


def _body(wave: int, rows: Sequence[Row], longest: float) -> Html:
    spent = max(_result(row).duration for row in rows)
    title = joined(
        [f"Wave {wave}", element("span", f" longest {wording.seconds(spent)}") if spent else EMPTY]
    )
    head = element("tr", element("th", title, scope="rowgroup", colspan=4))
    return element("tbody", head, *(_row(row, longest) for row in rows))


def _row(row: Row, longest: float) -> Html:
    result = _result(row)
    remark = "" if result.outcome is Outcome.FAILED else wording.clipped(result.message, _MESSAGE_LIMIT)
    if result.outcome is Outcome.FAILED:
        remark = "see above"
    took = wording.seconds(result.duration) if result.duration else ""
    return element(
        "tr",
        element("td", element("span", wording.outcome(result), class_=f"badge is-{_outcome(result)}")),
        element("th", name(wording.clipped(row.name, _NAME_LIMIT)), scope="row"),
        element("td", element("span", took), _bar(result.duration, longest), class_="time"),
        element("td", remark),
    )


def _bar(duration: float, longest: float) -> Html:
    if not duration:
        return EMPTY
    # A style attribute would need a hole in the page's policy; an attribute of SVG does not.
    width = max(2, round(_BAR_WIDTH * duration / longest))
    bar = element("rect", width=width, height=6, rx=3)
    return element("svg", bar, class_="bar", width=_BAR_WIDTH, height=6, aria_hidden="true")


def _wave(row: Row) -> int:
    return row.action.order if row.action else 0


def _rank(row: Row) -> int:
    return _ENDINGS.index(Outcome(_outcome(_result(row))))


def _outcome(result: ActionResult) -> str:
    return result.outcome.value if result.outcome else ""


def _result(row: Row) -> ActionResult:
    if row.result is None:
        raise ValueError(f"{row.name} was not executed")
    return row.result
