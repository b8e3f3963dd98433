"""Where nodes and edges of a drawn graph are: properties of any graph, cycles included."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from sf.report.page.layout import Box, place

BOX = Box()
NODES = [f"n{at}" for at in range(9)]
edges = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), unique=True, max_size=20)
# From a node to a later one only: without cycles.
forward = edges.map(
    lambda pairs: list(dict.fromkeys((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]))
)
WIDTHS = {name: 40.0 + 10 * at for at, name in enumerate(NODES)}


@given(edges)
def test_no_node_covers_another_and_all_are_inside(pairs: list[tuple[str, str]]) -> None:
    layout = place(WIDTHS, pairs, BOX)
    assert layout.nodes.keys() == WIDTHS.keys()
    for one, other in combinations(NODES, 2):
        (x, y), (to_x, to_y) = layout.nodes[one], layout.nodes[other]
        beside = x + WIDTHS[one] <= to_x or to_x + WIDTHS[other] <= x
        assert beside or abs(y - to_y) >= BOX.height + BOX.gap - 1e-6
    for name, (x, y) in layout.nodes.items():
        assert x >= 0
        assert y >= -1e-6
        assert x + WIDTHS[name] <= layout.width + 1e-6
        assert y + BOX.height <= layout.height + 1e-6


@given(forward)
def test_what_waits_stands_behind_and_edges_lead_there(pairs: list[tuple[str, str]]) -> None:
    layout = place(WIDTHS, pairs, BOX)
    for start, end in pairs:
        points = layout.edges[start, end]
        assert points[0] == (layout.nodes[start][0] + WIDTHS[start], layout.nodes[start][1] + BOX.height / 2)
        assert points[-1] == (layout.nodes[end][0], layout.nodes[end][1] + BOX.height / 2)
        assert [x for x, _ in points] == sorted(x for x, _ in points)


@given(forward)
def test_an_edge_passes_no_node(pairs: list[tuple[str, str]]) -> None:
    layout = place(WIDTHS, pairs, BOX)
    for points in layout.edges.values():
        for (x, y), (to_x, to_y) in zip(points[1:-1:2], points[2:-1:2], strict=True):
            assert y == to_y
            for left, top in layout.nodes.values():
                assert not (x <= left < to_x and top < y < top + BOX.height)


@given(edges)
def test_the_same_graph_is_drawn_the_same_way(pairs: list[tuple[str, str]]) -> None:
    assert place(WIDTHS, pairs, BOX) == place(WIDTHS, pairs, BOX)


def test_nothing_needs_no_room() -> None:
    layout = place({}, [], BOX)
    assert (layout.width, layout.height) == (0.0, 0.0)


def test_a_chain_is_a_straight_line() -> None:
    layout = place({"a": 50, "b": 50, "c": 50}, [("a", "b"), ("b", "c")], BOX)
    assert len({y for _, y in layout.nodes.values()}) == 1
