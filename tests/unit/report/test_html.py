"""The page as text: what a parser of HTML finds in it, whatever stands in the record."""

from __future__ import annotations

import hashlib
import json
import subprocess  # noqa: TID251 - another interpreter, with another seed
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sf.models import (
    ActionKind,
    ActionResult,
    Cause,
    Change,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    LiveState,
    ObjectChange,
    PlannedAction,
    Reason,
    Record,
    Severity,
)
from sf.report import html
from sf.report.escape import visible
from sf.report.markup import element, joined, name, text
from sf.report.page import data
from tests.hostile import hostile, record_of
from tests.records import STATES


class Skeleton(HTMLParser):
    """Elements and the names of their attributes in order, without any text."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[tuple[Any, ...]] = []
        self.json = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append((tag, *(key for key, _ in attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.parts.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.parts.append(("comment", data))

    def handle_pi(self, data: str) -> None:
        self.parts.append(("instruction", data))

    def unknown_decl(self, data: str) -> None:
        self.parts.append(("declaration", data))

    def handle_data(self, data: str) -> None:
        if self.parts and self.parts[-1] == ("script", "type", "id"):
            self.json += data


def skeleton(page: bytes) -> Skeleton:
    parser = Skeleton()
    parser.feed(page.decode())
    parser.close()
    return parser


@given(hostile)
def test_no_text_becomes_an_element_an_attribute_a_script_or_a_comment(evil: str) -> None:
    found, expected = (skeleton(html.document(record_of(words))).parts for words in (evil, "x"))
    # What a diff is coloured with depends on its lines, all else on nothing that is foreign.
    inside = {("span",), ("/span",), ("ins",), ("/ins",), ("del",), ("/del",)}
    assert [part for part in found if part not in inside] == [part for part in expected if part not in inside]


@given(hostile)
def test_the_data_is_one_value_and_holds_no_active_character(evil: str) -> None:
    told = data.document(record_of(evil), room=1_000_000)
    assert not set(told) & set("<>&\u2028\u2029\r\n\x00")
    told.encode()
    units = json.loads(told)["units"]
    assert [one["diff"] for one in units[0]["objects"]] == [visible(evil)] * 2


@given(hostile)
def test_markup_is_what_it_was_made_of(evil: str) -> None:
    class Texts(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, attrs))

        def handle_data(self, data: str) -> None:
            texts.append(data)

    tags: list[tuple[str, list[tuple[str, str | None]]]] = []
    texts: list[str] = []
    parser = Texts()
    parser.feed(element("p", evil, name(evil), title=evil, hidden=True, id=None))
    parser.close()
    assert [tag for tag, _ in tags] == ["p", "code"]
    assert [key for key, _ in tags[0][1]] == ["title", "hidden"]
    assert "".join(texts).startswith("".join(skeleton_text(text(evil))))


def skeleton_text(markup: str) -> list[str]:
    texts: list[str] = []

    class Texts(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

    parser = Texts()
    parser.feed(markup)
    parser.close()
    return texts


def test_what_is_markup_stays_markup_and_what_is_not_does_not() -> None:
    assert joined([element("b", "<"), "<b>"]) == "<b>&lt;</b>&lt;b&gt;"
    assert element("input", type="search", value='"') == '<input type="search" value="&quot;">'


@pytest.mark.parametrize("state", STATES)
def test_the_same_record_makes_the_same_page_under_every_seed(state: str) -> None:
    program = (
        "import hashlib, sys; from sf.report import html; from tests.records import STATES;"
        "print(hashlib.sha256(html.document(STATES[sys.argv[1]])).hexdigest())"
    )
    expected = hashlib.sha256(html.document(STATES[state])).hexdigest()
    for seed in ("1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", program, state],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


@given(st.permutations(["docker", "compose", "git", "sops"]), st.permutations(["web", "db", "proxy"]))
def test_the_order_of_names_in_a_mapping_does_not_show(tools: list[str], seen: list[str]) -> None:
    def record(tools: list[str], seen: list[str]) -> Record:
        live = LiveState(effect=Change.CHANGE, observed=dict.fromkeys(seen, "up"))
        action = PlannedAction(
            name="a",
            description="",
            order=0,
            action=ActionKind.DEPLOY,
            live=live,
            metadata=dict.fromkeys(seen, "1"),
        )
        plan = LifecyclePlan(
            mode="docker",
            backend="compose",
            actions=(action,),
            tools=dict.fromkeys(tools, "1"),
            notes=dict.fromkeys(seen, ""),
        )
        return Record(mode="docker", backend="compose", dry_run=True, plan=plan)

    assert html.document(record(tools, seen)) == html.document(record(sorted(tools), sorted(seen)))


def sized(sizes: list[tuple[Change, int]]) -> Record:
    actions = tuple(
        PlannedAction(
            name=f"unit-{at}",
            description="",
            order=0,
            action=ActionKind.RECONCILE,
            change=change,
            objects=(ObjectChange(change=change, kind="Secret", name=f"o-{at}", diff=f"+{'<' * size}\n"),),
        )
        for at, (change, size) in enumerate(sizes)
    )
    plan = LifecyclePlan(mode="gitops", backend="flux", actions=actions)
    return Record(mode="gitops", backend="flux", dry_run=True, plan=plan)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.sampled_from([Change.ADD, Change.CHANGE, Change.REMOVE]), st.integers(1, 3_000)),
        max_size=40,
    ),
    st.integers(130_000, 400_000),
)
def test_a_page_stays_within_its_limit_and_counts_what_it_left_out(
    sizes: list[tuple[Change, int]], limit: int
) -> None:
    record = sized(sizes)
    page = html.document(record, limit=limit)
    assert len(page) <= limit
    told = json.loads(skeleton(page).json)
    objects = [unit["objects"][0] for unit in told["units"]]
    whole = [one for one in objects if "diff" in one]
    for one in whole:
        assert one["diff"] == "+<\n".replace("<", "<" * sizes[int(one["name"].split("-")[1])][1])
    assert told["left"]["diffs"] == len([one for one in objects if "left" in one])
    assert len(whole) + told["left"]["diffs"] == len(objects)
    assert len(objects) + told["left"]["units"] == len(sizes)


def test_what_matters_most_is_kept_when_there_is_no_room_for_all() -> None:
    record = sized([(Change.ADD, 4_000), (Change.CHANGE, 4_000), (Change.REMOVE, 4_000)])
    smallest = len(html.document(record, limit=0))
    told = json.loads(skeleton(html.document(record, limit=smallest + 40_000)).json)
    assert [unit["name"] for unit in told["units"] if "diff" in unit["objects"][0]] == ["unit-2"]


def test_what_failed_is_shown_first() -> None:
    told = json.loads(skeleton(html.document(STATES["execute-failed"])).json)
    assert told["units"][told["first"]]["name"] == "host1/web"
    told = json.loads(skeleton(html.document(STATES["changes"])).json)
    assert told["units"][told["first"]]["name"] == "flux-system/legacy"


@pytest.mark.parametrize("state", STATES)
def test_every_failure_and_danger_is_in_the_page(state: str) -> None:
    record = STATES[state]
    page = html.document(record).decode()
    findings = record.plan.findings if record.plan else ()
    for words in (*(finding.message for finding in findings), *(record.plan.unknown if record.plan else ())):
        assert str(text(words)) in page
    for result in record.result.failed if record.result else ():
        assert str(text(result.command)) in page


@pytest.mark.slow
def test_no_flood_of_text_makes_the_page_larger_than_its_limit() -> None:
    flood = '"' * 5_000
    findings = tuple(
        Finding(code=flood, severity=level, message=flood, subject=flood, hint=flood)
        for level in (Severity.ERROR, Severity.INFO)
        for _ in range(600)
    )
    actions = tuple(
        PlannedAction(
            name=f"{at}{flood}",
            description=flood,
            order=0,
            action=ActionKind.RECONCILE,
            change=Change.CHANGE,
            reasons=(Reason(cause=Cause.GIT, message=flood, subject=flood),) * 30,
            objects=(ObjectChange(change=Change.ADD, kind=flood, name=flood, diff=flood),) * 20,
            depends_on=(f"{at - 1}{flood}",),
        )
        for at in range(100)
    )
    results = tuple(
        ActionResult(name=action.name, success=False, message=flood, stderr=flood, command=flood)
        for action in actions
    )
    plan = LifecyclePlan(
        mode=flood,
        backend=flood,
        actions=actions,
        target=flood,
        tools={f"{at}{flood}": flood for at in range(50)},
        findings=findings,
        unknown=(flood,) * 600,
    )
    record = Record(
        mode=flood, backend=flood, dry_run=False, plan=plan, result=LifecycleResult(actions=results)
    )
    assert len(html.document(record, limit=12_000_000)) <= 12_000_000
    assert len(html.document(record, limit=0)) <= 12_000_000
