"""The dependencies of the units that a plan affects, drawn as SVG: it needs no script and prints as it is."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from sf.console import display_width
from sf.models import Change, Outcome
from sf.report import dependencies, wording
from sf.report.escape import one_line
from sf.report.markup import EMPTY, Html, element, joined
from sf.report.page import data
from sf.report.page.layout import Box, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sf.models import Record
    from sf.report.page.layout import Edge

# More lines than this cross each other beyond reading.
_MOST_NODES: Final = 120
_MOST_EDGES: Final = 240
# What is small enough is open from the start.
_GLANCE_NODES: Final = 20
_LABEL_CHARACTERS: Final = 34
# Fixed-width type of 12 pixels is 7.2 wide; fonts differ a little.
_CHARACTER: Final = 7.35
_PADDING: Final = 34.0
_MARGIN: Final = 4
_BOX: Final = Box()
_ENDINGS: Final = {
    Outcome.DONE: "\u2713",
    Outcome.SUPERSEDED: "\u2713",
    Outcome.FAILED: "\u00d7",
    Outcome.INTERRUPTED: "\u00d7",
    Outcome.NOT_REACHED: "\u2026",
}


class _State(NamedTuple):
    key: str
    symbol: str


# Another repository has it, or none, or nothing happens to it.
_OUTSIDE: Final = _State("not-in-the-plan", "\u00b7")


def graph(record: Record) -> Html:
    """Who waits for whom among the affected units; nothing when nobody waits."""
    neighbourhood = dependencies.affected(record.plan)
    edges = neighbourhood.edges
    waiting = {name for edge in edges for name in edge}
    nodes = {name: change for name, change in neighbourhood.nodes.items() if name in waiting}
    if not edges:
        return EMPTY
    units = wording.count(len(nodes), "unit")
    if len(nodes) > _MOST_NODES or len(edges) > _MOST_EDGES:
        return element("p", f"{units} are too many to be drawn: plan.json names them.")
    states = _states(record, nodes)
    picture = _picture(states, edges)
    return element(
        "details",
        element("summary", f"{units} that wait for each other, from left to right"),
        element(
            "div", picture, class_="picture", tabindex=0, role="region", aria_label="Dependencies, drawn"
        ),
        _legend(states.values()),
        open=len(nodes) <= _GLANCE_NODES,
    )


def _states(record: Record, nodes: Mapping[str, Change]) -> dict[str, _State]:
    """What a node is drawn as: how it ended if it was executed, else what is planned for it, if anything is."""
    states = dict.fromkeys(nodes, _OUTSIDE)
    for action in record.plan.actions if record.plan else ():
        states[action.name] = _State(action.effect.value, wording.SYMBOLS[action.effect])
    for result in record.result.actions if record.result else ():
        if result.outcome and result.outcome is not Outcome.UNCHANGED:
            states[result.name] = _State(result.outcome.value, _ENDINGS[result.outcome])
    return {name: states[name] for name in nodes}


def _picture(states: Mapping[str, _State], edges: Sequence[Edge]) -> Html:
    labels = {name: wording.clipped(one_line(name), _LABEL_CHARACTERS) for name in states}
    widths = {name: _PADDING + _CHARACTER * display_width(label) for name, label in labels.items()}
    layout = place(widths, edges, _BOX)
    drawn = [_edge(points) for points in layout.edges.values()]
    drawn += [
        _node(name, labels[name], state, widths[name], layout.nodes[name]) for name, state in states.items()
    ]
    width, height = (round(size + 2 * _MARGIN) for size in (layout.width, layout.height))
    waits = [f"{wording.clipped(end, 100)} waits for {wording.clipped(start, 100)}" for start, end in edges]
    arrow = element("path", d="M0,0 L8,4 L0,8 z")
    marker = element(
        "marker",
        arrow,
        id="arrow",
        viewBox="0 0 8 8",
        refX=8,
        refY=4,
        markerWidth=7,
        markerHeight=7,
        orient="auto",
    )
    return element(
        "svg",
        element("title", "Dependencies", id="graph-title"),
        element("desc", "; ".join(waits), id="graph-text"),
        element("defs", marker),
        *drawn,
        class_="graph",
        role="img",
        aria_labelledby="graph-title",
        aria_describedby="graph-text",
        width=width,
        height=height,
        viewBox=f"{-_MARGIN} {-_MARGIN} {width} {height}",
    )


def _node(name: str, label: str, state: _State, width: float, corner: tuple[float, float]) -> Html:
    x, y = corner
    middle = _BOX.height / 2
    return element(
        "g",
        element("title", f"{data.key(name)}: {state.key}"),
        element("rect", class_="plate", width=_number(width), height=_number(_BOX.height), rx=6),
        element("rect", class_="mark", x=7, y=_number(middle - 8), width=16, height=16, rx=4),
        element("text", state.symbol, class_="symbol", x=15, y=_number(middle + 4)),
        element("text", label, x=29, y=_number(middle + 4)),
        class_=f"node is-{state.key}",
        transform=f"translate({_number(x)},{_number(y)})",
        data_find=data.key(name),
    )


def _edge(points: Sequence[tuple[float, float]]) -> Html:
    """A smooth line through `points`: level at each of them."""
    path = [f"M{_number(points[0][0])},{_number(points[0][1])}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        half = _number((x + to_x) / 2)
        path.append(f"C{half},{_number(y)} {half},{_number(to_y)} {_number(to_x)},{_number(to_y)}")
    return element("path", class_="edge", d=" ".join(path), marker_end="url(#arrow)")


def _legend(states: Iterable[_State]) -> Html:
    keys = [
        joined(
            [element("span", state.symbol, class_=f"mark is-{state.key}"), f" {state.key.replace('-', ' ')} "]
        )
        for state in sorted(set(states))
    ]
    return element("p", *keys, class_="legend quiet")


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
