from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sf.models import (
    ActionKind,
    Change,
    Finding,
    LifecyclePlan,
    ObjectChange,
    PlannedAction,
    Record,
    Severity,
)
from sf.report.markdown import SMALLEST_LIMIT, SUMMARY_LIMIT, summary, utf8_size
from tests.hostile import BLANK, record_of

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OWN_HTML = re.compile(
    r"(</details>\n?)?(<details( open)?><summary>((<code>[^<>\n]*</code>|[\w, ]*))*</summary>\n?)?"
)
HOSTILE = [
    *(
        "x|y",
        "\\|",
        "\\\\|",
        "`",
        "```",
        "\n```\n",
        "<b>",
        "</summary>",
        "</details>",
        "<!--",
        "\n\n",
        "\r",
        "\n# x",
    ),
    *(
        "[a](b)",
        "![a](b)",
        "<https://e.example>",
        "https://e.example",
        "@octocat",
        "fixes #1",
        "::error::x",
        "\x1b[1m",
    ),
    *(
        "\n- x",
        "\n| a | b |\n| - | - |\n",
        "שלום",
        "\u202e",
        "\udcff",
        "\x00",
        "~~~",
        "\n---\n",
        "&lt;",
        "<br>",
        "*",
        "_",
    ),
]
hostile = (
    st.lists(st.sampled_from(HOSTILE) | st.text(max_size=4), min_size=1, max_size=10)
    .map("".join)
    .filter(lambda text: text.strip())
)


def structure(markdown: str) -> list[str]:
    return [token.type for token in PARSER.parse(markdown)]


def check_own_markup(markdown: str) -> None:
    """No HTML, link or image but ours, and every row of a table has as many cells as its head."""
    lines = markdown.split("\n")
    for token in PARSER.parse(markdown):
        if token.type == "table_open":
            first, end = token.map or (0, 0)
            assert len({line.count("|") for line in lines[first:end]}) == 1
        if token.type == "html_block":
            assert OWN_HTML.fullmatch(token.content), token.content
        for child in token.children or []:
            assert child.type != "image"
            assert child.type != "html_inline" or child.content == "<br>"
            assert child.type != "link_open" or child.attrs["href"] == "https://forge.example/run/1"


@settings(max_examples=60)
@given(hostile)
def test_hostile_text_in_every_field_changes_no_structure(text: str) -> None:
    report = summary(record_of(text))
    check_own_markup(report)
    assert structure(report) == structure(summary(record_of("x")))


def big_record(units: int, diff_size: int, findings: int = 0) -> Record:
    changes = (Change.ADD, Change.CHANGE, Change.REMOVE)
    actions = tuple(
        PlannedAction(
            name=f"ns/unit-{number:04}",
            description="",
            order=0,
            action=ActionKind.RECONCILE,
            change=changes[number % 3],
            objects=(
                ObjectChange(
                    change=changes[number % 3],
                    kind="ConfigMap",
                    name=f"object-{number:04}",
                    diff="+```é\n" * (diff_size * (1 + number % 5)),
                ),
            ),
        )
        for number in range(units)
    )
    dangers = tuple(
        Finding(
            code="loses-data", severity=Severity.DANGER, message="m" * 900, subject=f"ns/unit-{number:04}"
        )
        for number in range(findings)
    )
    plan = LifecyclePlan(mode="gitops", backend="flux", actions=actions, findings=dangers)
    return Record(mode="gitops", backend="flux", dry_run=True, plan=plan)


def in_detail(report: str) -> list[str]:
    return re.findall(r"<summary>.*ConfigMap object-(\d+)", report)


def in_table(report: str) -> list[str]:
    return re.findall(r"(?m)^\| `[^|]* \| `ns/unit-(\d+)", report)


@settings(max_examples=25)
@given(st.integers(0, 120), st.integers(1, 40), st.integers(0, 40), st.integers(SMALLEST_LIMIT, 60_000))
def test_a_report_keeps_to_its_limit_in_whole_blocks(
    units: int, diff_size: int, findings: int, limit: int
) -> None:
    record = big_record(units, diff_size, findings)
    everything = summary(record, limit=10**9)
    report = summary(record, limit=limit)
    assert utf8_size(report) <= limit
    assert report.split("\n")[0] == everything.split("\n")[0]
    check_own_markup(report)
    kept = in_detail(report)
    assert kept == [name for name in in_detail(everything) if name in set(kept)]
    left_out = re.findall(r"(?m)^([\d,]+) diffs? left out: see plan\.json", report)
    assert len(kept) + sum(int(number.replace(",", "")) for number in left_out) == units
    for name in kept:
        whole = everything.split(f"ConfigMap object-{name}</code>")[1].split("</details>")[0]
        assert f"ConfigMap object-{name}</code>{whole}</details>" in report


def test_the_table_is_whole_before_any_diff_is_shown() -> None:
    report = summary(big_record(100, 100), limit=SMALLEST_LIMIT)
    assert len(in_table(report)) == 100
    kept = in_detail(report)
    assert 0 < len(kept) < 100
    assert f"{100 - len(kept)} diffs left out: see plan.json in the artifacts." in report


def test_a_table_beyond_the_limit_loses_rows_and_says_how_many() -> None:
    report = summary(big_record(2_000, 1), limit=SMALLEST_LIMIT)
    rows = len(in_table(report))
    assert rows > 50
    assert f"\n{2_000 - rows:,} more units left out: see plan.json in the artifacts.\n" in report


def test_nothing_is_left_out_in_silence() -> None:
    record = big_record(2_000, 1, findings=500)
    quiet = tuple(replace(BLANK, name=f"{number}{'q' * 190}") for number in range(500))
    assert record.plan
    record = replace(record, plan=replace(record.plan, actions=record.plan.actions + quiet))
    report = summary(record, limit=SMALLEST_LIMIT)
    assert utf8_size(report) <= SMALLEST_LIMIT
    assert "2,000 diffs left out" in report
    assert "500 unchanged units left out" in report
    assert re.search(r"\d more units left out", report)
    assert re.search(r"\d more findings left out", report)


def test_dangers_leave_room_for_the_table() -> None:
    report = summary(big_record(30, 1, findings=2_000), limit=SMALLEST_LIMIT)
    assert len(in_table(report)) == 30
    assert "more findings left out: see plan.json in the artifacts." in report


def test_removals_come_before_changes_before_additions_and_dangers_before_all() -> None:
    report = summary(big_record(6, 1, findings=1))
    assert in_detail(report) == ["0000", "0002", "0005", "0001", "0004", "0003"]


def test_the_first_and_last_lines_fit_the_smallest_limit_at_their_longest() -> None:
    longest = "|\U000e0001" * 5_000
    assert utf8_size(summary(record_of(longest), limit=SMALLEST_LIMIT)) <= SMALLEST_LIMIT


def test_a_smaller_limit_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="below"):
        summary(record_of("x"), limit=SMALLEST_LIMIT - 1)


def test_the_default_limit_is_what_the_runner_accepts() -> None:
    assert SUMMARY_LIMIT == 1024 * 1024
    assert utf8_size(summary(big_record(3_000, 200))) <= SUMMARY_LIMIT


def test_equal_records_give_equal_bytes() -> None:
    assert summary(record_of("x")) == summary(record_of("x"))
