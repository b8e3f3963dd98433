"""What a browser makes of hostile text: the same elements and attributes that harmless text leads to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from sf.report import html
from tests.hostile import hostile, record_of

if TYPE_CHECKING:
    from toolchain.chromium import Chromium, Page

pytestmark = pytest.mark.browser

# Spans, and what a diff is coloured with, depend on its lines; all else on nothing that is foreign.
PARTS = """
((source) => {
  const page = new DOMParser().parseFromString(source, "text/html");
  const walker = page.createTreeWalker(page, NodeFilter.SHOW_ALL);
  const parts = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node instanceof Element) parts.push([node.tagName, ...node.getAttributeNames()].join(" "));
    else if (!(node instanceof Text)) parts.push(node.nodeName);
  }
  return parts.filter((part) => !["SPAN", "INS", "DEL"].includes(part));
})
"""


def parts(page: Page, evil: str) -> Any:
    return page.evaluate(f"{PARTS}({json.dumps(html.document(record_of(evil)).decode())})")


def test_no_text_becomes_an_element_an_attribute_or_a_comment(chromium: Chromium) -> None:
    with chromium.page() as page:
        expected = parts(page, "x")

        @settings(max_examples=25)
        @given(hostile)
        def holds(evil: str) -> None:
            assert parts(page, evil) == expected

        holds()
        assert len(expected) > 100
