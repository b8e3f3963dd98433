from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sf.console import Mark, display_width, printable, unstyled
from sf.models import (
    ActionKind,
    ActionResult,
    Change,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    PlannedAction,
    Record,
    Severity,
)
from sf.report.terminal import cell, render, wrapped

text = st.text(max_size=60) | st.text(alphabet="ab 日本語é\u0301\x1b\n\t\ue003\u202e", max_size=120)


def record_of(name: str, *, stderr: str = "") -> Record:
    action = PlannedAction(
        name=name, description=name, order=0, action=ActionKind.DEPLOY, change=Change.CHANGE
    )
    finding = Finding(code="code", severity=Severity.DANGER, message=name, hint=name)
    plan = LifecyclePlan(
        mode="docker", backend="compose", actions=(action,), findings=(finding,), unknown=(name,)
    )
    result = ActionResult(
        name=name, success=False, message=name, stderr=stderr, command="docker compose up --wait"
    )
    return Record(
        mode="docker", backend="compose", dry_run=False, plan=plan, result=LifecycleResult(actions=(result,))
    )


@given(text, st.integers(1, 100))
def test_a_cell_is_exactly_as_wide_as_its_column(content: str, width: int) -> None:
    assert display_width(cell(content, width)) == width


@given(text, st.integers(10, 100))
def test_wrapping_keeps_every_word_and_the_width(content: str, width: int) -> None:
    lines = wrapped(content, width, "  ")
    assert " ".join(line[2:] for line in lines).split() == wrapped(content, 10**6)[0].split()
    for line in lines:
        assert display_width(line) <= width or " " not in line.strip()


@given(text)
def test_foreign_text_leaves_nothing_for_the_console_to_spell_out(content: str) -> None:
    rendered = unstyled(render(record_of(content, stderr=content), diffs=True))
    assert printable(rendered) == rendered


def test_foreign_text_brings_no_style_of_its_own() -> None:
    assert "evil\\ue003name" in unstyled(render(record_of(f"evil{Mark.RED}name")))


def test_colour_repeats_what_words_say() -> None:
    rendered = render(record_of("host1/web"))
    first = rendered.split("\n")[0]
    assert first.startswith(Mark.BOLD + Mark.RED)
    assert unstyled(first).startswith("Failed: 1 failed, 1 danger")


def test_the_command_and_the_words_of_the_tool_are_never_wrapped_or_cut() -> None:
    said = "cannot pull " + "x" * 300
    rendered = unstyled(render(record_of("host1/web", stderr=said)))
    assert f"    | {said}\n" in rendered
    assert "    to repeat it: docker compose up --wait\n" in rendered


def test_a_long_output_is_shown_from_its_end() -> None:
    lines = [f"line {number}" for number in range(1_000)]
    rendered = unstyled(render(record_of("host1/web", stderr="\n".join(lines) + "\n")))
    assert "| line 999\n" in rendered
    assert "| line 969\n" not in rendered
    assert "(the end of what it said)" in rendered


def test_a_name_that_is_cut_in_the_table_stands_whole_below() -> None:
    name = "host1/" + "a" * 90
    lines = unstyled(render(record_of(name))).split("\n")
    [row] = [line for line in lines if line.startswith("~ change")]
    assert display_width(row) <= 80
    assert "…" in row
    assert lines[lines.index(row) + 1] == f"    {name}"
