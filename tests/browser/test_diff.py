"""How the page reads a diff: nothing of either side is lost, moved or marked that does not differ."""

from __future__ import annotations

import json
from difflib import unified_diff
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolchain.chromium import Chromium, Page

pytestmark = pytest.mark.browser

words = st.sampled_from(
    ["image:", "web", ":", "1.4", "1.5", " ", "  ", "- ", "port", "é", "שלום", "\U0001f389", "+", "-", "@@"]
)
line = st.lists(words, max_size=8).map("".join)
text = st.lists(line, max_size=12)


@pytest.fixture(scope="module")
def reader(chromium: Chromium) -> Iterator[Page]:
    """A page that has read the script of diffs and shows nothing."""
    with chromium.page() as page:
        source = resources.files("sf.report.page").joinpath("diff.js").read_text("utf-8")
        page.evaluate(f"{source}\n;undefined")
        yield page


def call(page: Page, function: str, *arguments: Any) -> Any:
    return page.evaluate(f"{function}({', '.join(map(json.dumps, arguments))})")


def test_both_sides_of_a_diff_are_whole_and_numbered(reader: Page) -> None:
    @settings(max_examples=100)
    @given(text, text)
    def holds(before: list[str], after: list[str]) -> None:
        diff = "".join(f"{row}\n" for row in list(unified_diff(before, after, lineterm="", n=99))[2:])
        pairs = call(reader, "((diff) => pairRows(parseDiff(diff)))", diff) if diff else []
        left = [one for one, _ in pairs if one and one["kind"] != "hunk"]
        right = [other for _, other in pairs if other and other["kind"] != "hunk"]
        if diff:
            assert [row["text"] for row in left] == before
            assert [row["text"] for row in right] == after
            assert [row["before"] for row in left] == list(range(1, len(before) + 1))
            assert [row["after"] for row in right] == list(range(1, len(after) + 1))

    holds()


def test_what_is_not_marked_in_two_lines_is_what_they_share(reader: Page) -> None:
    @settings(max_examples=100)
    @given(line, line)
    def holds(one: str, other: str) -> None:
        left, right = call(reader, "compareWords", one, other)
        assert "".join(part for part, _ in left) == one
        assert "".join(part for part, _ in right) == other
        shared = ["".join(part for part, differs in side if not differs) for side in (left, right)]
        assert shared[0] == shared[1]
        if one == other:
            assert shared[0] == one

    holds()


def test_lines_that_are_alike_stand_beside_each_other(reader: Page) -> None:
    diff = (
        "-image: registry.example/web:1.4.2\n-replicas: 2\n+name: shop\n+image: registry.example/web:1.5.0\n"
    )
    pairs = call(reader, "((diff) => pairRows(parseDiff(diff)))", diff)
    assert [[side and side["text"] for side in pair] for pair in pairs] == [
        [None, "name: shop"],
        ["image: registry.example/web:1.4.2", "image: registry.example/web:1.5.0"],
        ["replicas: 2", None],
    ]


def test_a_block_too_large_to_be_compared_is_paired_line_by_line(reader: Page) -> None:
    diff = "".join(f"-a{at}\n" for at in range(100)) + "".join(f"+b{at}\n" for at in range(90))
    pairs = call(reader, "((diff) => pairRows(parseDiff(diff)))", diff)
    assert len(pairs) == 100
    assert [side and side["text"] for side in pairs[99]] == ["a99", None]
