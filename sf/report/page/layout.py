"""Where the nodes of a graph stand when it is drawn from left to right, each behind those it waits for.

The usual steps of a layered drawing: break cycles, give every node a layer, let long edges pass through points of
their own, order each layer by where its neighbours are, and place it as near to them as the room allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Edge = tuple[str, str]

_SWEEPS: Final = 6


class Point(NamedTuple):
    """Where a long edge passes a layer."""

    edge: Edge
    layer: int


if TYPE_CHECKING:
    Item = str | Point


@dataclass(frozen=True, slots=True)
class Layout:
    """Points as (x, y), in the unit of `place`: of a node its left upper corner, of an edge those it passes."""

    nodes: Mapping[str, tuple[float, float]]
    edges: Mapping[Edge, tuple[tuple[float, float], ...]]
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The room of a node and around it. `lane` is the height that a passing edge takes."""

    height: float = 30
    gap: float = 12
    lane: float = 8
    between: float = 56


def place(widths: Mapping[str, float], edges: Sequence[Edge], box: Box) -> Layout:
    """A layout of the nodes `widths`, in whose order ties are broken. `edges` name nodes of it only."""
    layers = _layers(widths, edges)
    columns: list[list[Item]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for node in widths:
        columns[layers[node]].append(node)
    chains = {edge: _chain(edge, layers) for edge in edges}
    for chain in chains.values():
        for item in chain:
            if isinstance(item, Point):
                columns[item.layer].append(item)
    neighbours = _neighbours(chains)
    for sweep in range(_SWEEPS):
        _order(columns, neighbours, forward=sweep % 2 == 0)
    middles = _middles(columns, neighbours, box)
    return _drawn(widths, columns, chains, middles, box)


def _layers(nodes: Mapping[str, float], edges: Sequence[Edge]) -> dict[str, int]:
    """The longest way to each node, over edges that lead to no node still being visited: those close a cycle."""
    before: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in edges:
        before[end].append(start)
    layers: dict[str, int] = {}
    for root in nodes:
        open_: dict[str, int] = {root: 0} if root not in layers else {}
        while open_:
            node = next(reversed(open_))
            waiting = next((n for n in before[node] if n not in layers and n not in open_), None)
            if waiting is not None:
                open_[waiting] = 0
                continue
            del open_[node]
            layers[node] = max((layers[n] + 1 for n in before[node] if n in layers), default=0)
    return layers


def _chain(edge: Edge, layers: Mapping[str, int]) -> list[Item]:
    """What an edge passes from its start to its end, backwards if it closes a cycle."""
    start, end = edge
    step = 1 if layers[end] >= layers[start] else -1
    points: list[Item] = [Point(edge, layer) for layer in range(layers[start] + step, layers[end], step)]
    return [start, *points, end]


def _neighbours(chains: Mapping[Edge, Sequence[Item]]) -> dict[Item, list[Item]]:
    found: dict[Item, list[Item]] = {}
    for chain in chains.values():
        for one, other in pairwise(chain):
            found.setdefault(one, []).append(other)
            found.setdefault(other, []).append(one)
    return found


def _order(columns: list[list[Item]], neighbours: Mapping[Item, Sequence[Item]], *, forward: bool) -> None:
    """Sort each column by the mean position of the neighbours in the column before it."""
    earlier: dict[Item, int] = {}
    for column in columns if forward else reversed(columns):
        means = {
            item: _mean([earlier[n] for n in neighbours.get(item, ()) if n in earlier], default=place_)
            for place_, item in enumerate(column)
        }
        column.sort(key=means.__getitem__)
        earlier = {item: position for position, item in enumerate(column)}


def _middles(
    columns: Sequence[Sequence[Item]], neighbours: Mapping[Item, Sequence[Item]], box: Box
) -> dict[Item, float]:
    """The vertical middle of every item, moved towards its neighbours for as long as that helps."""
    middles: dict[Item, float] = {}
    for column in columns:
        at = 0.0
        for item in column:
            middles[item] = at + _height(item, box) / 2
            at += _height(item, box) + box.gap
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else reversed(columns):
            wanted = [_mean([middles[n] for n in neighbours.get(item, ())], middles[item]) for item in column]
            middles |= zip(
                column, _apart(wanted, [_height(item, box) for item in column], box.gap), strict=True
            )
    return middles


def _apart(wanted: Sequence[float], heights: Sequence[float], gap: float) -> list[float]:
    """Middles in the given order as near to `wanted` as items of these heights can stand.

    Least squares under an order: neighbours that want to overlap are pooled and share the mean of their wishes.
    """
    offsets = [0.0]
    for one, other in pairwise(heights):
        offsets.append(offsets[-1] + (one + other) / 2 + gap)
    pools: list[tuple[float, int]] = []
    for wish, offset in zip(wanted, offsets, strict=False):
        total, size = wish - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / size:
            earlier, length = pools.pop()
            total, size = total + earlier, size + length
        pools.append((total, size))
    starts = [total / size for total, size in pools for _ in range(size)]
    return [start + offset for start, offset in zip(starts, offsets, strict=False)]


def _drawn(
    widths: Mapping[str, float],
    columns: Sequence[Sequence[Item]],
    chains: Mapping[Edge, Sequence[Item]],
    middles: Mapping[Item, float],
    box: Box,
) -> Layout:
    top = min((middles[item] - _height(item, box) / 2 for item in middles), default=0.0)
    lefts: dict[Item, float] = {}
    rights: dict[Item, float] = {}
    at = 0.0
    for column in columns:
        wide = max((widths[item] for item in column if isinstance(item, str)), default=0.0)
        for item in column:
            lefts[item] = at
            rights[item] = at + (widths[item] if isinstance(item, str) else wide)
        at += wide + box.between
    nodes = {node: (lefts[node], middles[node] - top - box.height / 2) for node in widths}
    edges = {
        edge: _points(chain, lefts, rights, {item: middles[item] - top for item in chain})
        for edge, chain in chains.items()
    }
    height = max((middles[item] - top + _height(item, box) / 2 for item in middles), default=0.0)
    return Layout(nodes, edges, max(at - box.between, 0.0), height)


def _points(
    chain: Sequence[Item],
    lefts: Mapping[Item, float],
    rights: Mapping[Item, float],
    middles: Mapping[Item, float],
) -> tuple[tuple[float, float], ...]:
    """From the right side of the first item, through both sides of every point, to the left side of the last."""
    start, *passed, end = chain
    points = [(rights[start], middles[start])]
    for item in passed:
        sides = [(lefts[item], middles[item]), (rights[item], middles[item])]
        points += sides if lefts[end] >= lefts[start] else reversed(sides)
    return (*points, (lefts[end], middles[end]))


def _height(item: Item, box: Box) -> float:
    return box.height if isinstance(item, str) else box.lane


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default
