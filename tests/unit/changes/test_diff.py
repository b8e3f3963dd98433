"""A difference is read by people: only content differs, long text line by line, and never without bound."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.changes.diff import LONGEST_LINE, MOST_LINES, unified

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOYMENT = {
    "spec": {
        "template": {"spec": {"containers": [{"image": "web:1", "name": "web"}], "hostname": "a"}},
        "selector": {"app": "web"},
        "replicas": 2,
    },
    "metadata": {"labels": {"app": "web"}, "namespace": "shop", "name": "web"},
    "kind": "Deployment",
    "apiVersion": "apps/v1",
}


def with_image(image: str) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "web", "image": image}], "hostname": "a"}}
    return {**DEPLOYMENT, "spec": {**DEPLOYMENT["spec"], "template": template}}  # type: ignore[dict-item]


def test_a_change_stands_below_the_field_it_is_in() -> None:
    assert (
        unified(DEPLOYMENT, with_image("web:2"))
        == """\
@@ -13,5 +13,5 @@ spec.template
     spec:
       containers:
       - name: web
-        image: web:1
+        image: web:2
       hostname: a"""
    )


def test_the_order_of_keys_is_no_difference() -> None:
    assert unified(DEPLOYMENT, with_image("web:1")) == ""


def test_an_object_that_is_new_is_shown_in_the_habitual_order() -> None:
    assert (
        unified(None, {"data": {"b": "1", "a": "2"}, "metadata": {"name": "x"}, "kind": "ConfigMap"})
        == """\
@@ -0,0 +1,6 @@
+kind: ConfigMap
+metadata:
+  name: x
+data:
+  a: '2'
+  b: '1'"""
    )


def test_text_is_compared_by_line_also_where_yaml_would_quote_it() -> None:
    before = {"data": {"app.conf": "one \ntwo\n\tthree\r\n"}}
    after = {"data": {"app.conf": "one \nTWO\n\tthree\r\n"}}
    assert (
        unified(before, after)
        == """\
@@ -1,5 +1,5 @@
 data:
   app.conf: |
     one\x20
-    two
+    TWO
     \tthree\\r"""
    )


def test_a_final_line_break_is_a_difference() -> None:
    assert unified({"a": "x\ny"}, {"a": "x\ny\n"}).splitlines()[1:3] == ["-a: |-", "+a: |"]


def test_text_that_looks_like_the_place_of_a_text_is_shown_as_it_is() -> None:
    assert unified(None, ["sf-text-block-1", "a\nb"]).splitlines()[1:] == [
        *("+- |-", "+    sf-text-block-1", "+- |-", "+    a", "+    b")
    ]


def test_a_long_difference_is_cut_with_a_count() -> None:
    lines = unified(None, [f"line {number}" for number in range(MOST_LINES * 2)]).splitlines()
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"\\ {MOST_LINES + 1:,} more lines not shown"


def test_a_long_line_is_cut_with_its_length() -> None:
    assert unified(None, "x" * 5000).splitlines()[1] == f"+{'x' * LONGEST_LINE}… (5,000 characters)"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([1, 2] * 3000, [1, 3] * 3000),
        (list(range(6000)), list(range(6000))[::-1]),
        ([n if n % 2 else -n for n in range(20000)], [n if n % 2 else f"{n}" for n in range(20000)]),
    ],
    ids=["repeated", "reversed", "every second line"],
)
def test_no_input_takes_long(before: Any, after: Any) -> None:
    started = time.process_time()
    assert unified(before, after)
    assert time.process_time() - started < 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)
LINES = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@given(JSON, JSON)
def test_any_two_values_have_a_difference_that_is_the_same_each_time(before: Any, after: Any) -> None:
    assert unified(before, after) == unified(before, after)
    assert unified(before, before) == ""


@given(LINES, LINES)
def test_the_difference_makes_the_one_side_from_the_other(before: list[int], after: list[int]) -> None:
    made = [f"- {value}" for value in before]
    for row in reversed(list(hunks(unified(before, after)))):
        start, old, new = row
        assert made[start : start + len(old)] == old
        made[start : start + len(old)] = new
    assert made == [f"- {value}" for value in after]


def hunks(text: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Where each starts in the older side, from 0, and its lines on both sides."""
    for hunk in filter(None, re.split(r"^@@ ", text, flags=re.MULTILINE)):
        header, *rows = hunk.rstrip("\n").split("\n")
        first, _, length = header.split()[0].removeprefix("-").partition(",")
        old = [row[1:] for row in rows if row[0] != "+"]
        new = [row[1:] for row in rows if row[0] != "-"]
        assert len(old) == int(length or 1)
        yield int(first) - (length != "0"), old, new
