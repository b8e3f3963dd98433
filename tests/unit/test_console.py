"""What reaches the two streams: nothing that a terminal or a runner could take for an order."""

from __future__ import annotations

import io
import json
import re
import subprocess  # noqa: TID251 - only a process of its own can have its streams closed
import sys
import time
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sf.console import Console, Mark, display_width, printable, styled, unstyled, without_commands
from sf.models import Location, Problem
from sf.redact import Redactor

HOSTILE: Final = st.lists(
    st.characters(exclude_categories=[]) | st.sampled_from(["\x1b", "\x9b", "\r", "\n", *Mark])
).map("".join)
COMMANDS: Final = st.lists(
    st.sampled_from(
        ["::", ":", "##[", "##", "#", "[", "add-mask::x", "\n", "\r\n", "\r", " ", "\t", "\x85", *Mark]
    )
).map("".join)
OUR_SGR: Final = re.compile(r"\x1b\[(?:[012]|3[1-6])m")
CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Streams:
    def __init__(self, *secrets: str, color: bool = False, in_ci: bool = False) -> None:
        redactor = Redactor()
        for secret in secrets:
            redactor.register(secret)
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.console = Console(self.stdout, self.stderr, redactor, color=color, in_ci=in_ci)

    def shown(self, text: str) -> str:
        self.console.document(text)
        self.console.note(text)
        assert self.stdout.getvalue() == self.stderr.getvalue()
        return self.stdout.getvalue()


@given(HOSTILE, st.booleans(), st.booleans())
@example("\x1b]0;title\x07\x9b31m\r overwritten", True, True)
def test_no_control_character_gets_through(text: str, color: bool, in_ci: bool) -> None:
    shown = Streams(color=color, in_ci=in_ci).shown(text)

    assert not CONTROL.search(OUR_SGR.sub("", shown) if color else shown)
    assert shown.endswith("\n")


@given(COMMANDS | HOSTILE, st.booleans())
@example("::add-mask::x", False)
@example(f"##{Mark.PLAIN}[", True)
@example(f"{Mark.RED}::add-mask::x", False)
@example(f"#{Mark.RED}#[add-mask]x", False)
@example(f"a\n \t{Mark.RED}::add-mask::x", True)
def test_no_line_of_a_ci_log_is_a_workflow_command(text: str, color: bool) -> None:
    shown = OUR_SGR.sub("", Streams(color=color, in_ci=True).shown(text))

    assert "##[" not in shown
    assert not [line for line in re.split(r"[\r\n]", shown) if line.strip().startswith("::")]


@given(COMMANDS | HOSTILE)
def test_a_command_only_gains_something_invisible(text: str) -> None:
    plain = unstyled(text).replace("\u200b", "")

    assert without_commands(plain).replace("\u200b", "") == plain


@given(HOSTILE)
def test_marks_never_leak(text: str) -> None:
    for color in (False, True):
        assert not set(Mark) & set(Streams(color=color).shown(text))


@given(HOSTILE)
def test_no_style_outlives_its_line(text: str) -> None:
    for line in Streams(color=True).shown(text).split("\n"):
        styles = OUR_SGR.findall(line)
        assert not styles or styles[-1] == "\x1b[0m"


def test_styles_become_escape_sequences_line_by_line() -> None:
    text = styled("one\n\ntwo", Mark.RED, Mark.BOLD)

    assert Streams(color=True).shown(text) == "\x1b[31m\x1b[1mone\x1b[0m\n\n\x1b[31m\x1b[1mtwo\x1b[0m\n"
    assert Streams().shown(text) == "one\n\ntwo\n"


def test_a_reader_sees_what_was_there() -> None:
    assert printable("a\tb\r\nc\rd\x1b\x9b\u202e\udcff") == "a\tb\nc\\x0dd\\x1b\\x9b\\u202e\\udcff"


def test_outside_of_ci_a_double_colon_is_left_alone() -> None:
    assert Streams().shown("::notice::x ##[y]") == "::notice::x ##[y]\n"


def test_many_empty_lines_cost_no_more_than_their_number() -> None:
    started = time.process_time()
    without_commands("\n" * 300_000 + " " * 300_000)

    # Looking for the end of the blanks from every line would take minutes.
    assert time.process_time() - started < 2


def test_secrets_are_scrubbed_on_both_streams() -> None:
    streams = Streams("correct-horse")
    streams.console.document("a correct-horse")
    streams.console.data('{"a": "correct-horse"}')
    streams.console.note("a correct-horse")

    assert streams.stdout.getvalue() == 'a ***\n{"a": "***"}'
    assert streams.stderr.getvalue() == "a ***\n"


@given(st.dictionaries(st.text(), st.text() | st.just("##[error]::x")))
def test_a_document_for_programs_is_the_same_value_and_no_command(value: dict[str, str]) -> None:
    streams = Streams(in_ci=True)
    streams.console.data(json.dumps(value, ensure_ascii=False))

    assert json.loads(streams.stdout.getvalue()) == value
    assert "##[" not in streams.stdout.getvalue()


def test_a_problem_shows_place_message_and_hint() -> None:
    streams = Streams(color=True)
    streams.console.problem(Problem("no such key", hint="did you mean path?", location=Location("a.yml", 3)))

    assert streams.stderr.getvalue() == (
        "\x1b[31m\x1b[1merror:\x1b[0m a.yml:3: no such key\n\x1b[36mhint:\x1b[0m did you mean path?\n"
    )
    assert streams.stdout.getvalue() == ""


def test_a_problem_without_hint_has_no_second_line() -> None:
    streams = Streams()
    streams.console.problem(Problem("no such key"))

    assert streams.stderr.getvalue() == "error: no such key\n"


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("plain", 5),
        (styled("plain", Mark.RED), 5),
        ("世界", 4),
        ("e\u0301", 1),
        ("\uff21", 2),
        ("a\u200b\u200d\ufe0fb", 2),
        ("é", 1),
        ("", 0),
    ],
)
def test_the_width_is_that_on_a_terminal(text: str, width: int) -> None:
    assert display_width(text) == width


# --- streams that are gone, in processes of their own ---

WRITER: Final = """
import sys
from sf.console import Console
from sf.redact import Redactor
console = Console(sys.stdout, sys.stderr, Redactor())
for number in range(20000):
    console.document(f"line {number}")
console.data("{}")
console.note("lost: " + console.lost)
"""


def shell(line: str, script: str = WRITER, **environ: str) -> subprocess.CompletedProcess[str]:
    """What a shell says that runs `line`, in which ``$sf`` writes to a console."""
    return subprocess.run(
        ["sh", "-c", line.replace("$sf", '"$0" -c "$1"'), sys.executable, script],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"PATH": "/usr/bin:/bin", **environ},
    )


def test_a_reader_that_leaves_early_is_no_fault_but_noticed() -> None:
    ran = shell("{ $sf; echo code $? >&2; } | head -n 1")

    assert ran.stdout == "line 0\n"
    assert ran.stderr == "lost: standard output was closed\ncode 0\n"


def test_a_stdout_that_was_closed_from_the_start() -> None:
    ran = shell("$sf >&-; echo code $? >&2")

    assert ran.stderr == "lost: standard output is closed\ncode 0\n"


def test_a_full_disk_under_stdout() -> None:
    ran = shell("$sf >/dev/full; echo code $? >&2")

    assert ran.stderr == "lost: standard output: [Errno 28] No space left on device\ncode 0\n"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_without_stderr_the_document_still_comes(redirection: str) -> None:
    ran = shell(f"{{ $sf; echo code $?; }} {redirection} | tail -n 2")

    assert ran.stdout == "line 19999\n{}code 0\n"


def test_both_streams_gone() -> None:
    ran = shell("if $sf >&- 2>&-; then echo fine; fi")

    assert (ran.stdout, ran.stderr) == ("fine\n", "")


def test_a_terminal_without_utf8_loses_nothing_and_json_stays_the_same_value() -> None:
    script = """
import sys
from sf.console import Console
from sf.redact import Redactor
console = Console(sys.stdout, sys.stderr, Redactor())
console.data('{"a": "\\u00e9\\u4e16\\U0001f600"}')
console.note("caf\\u00e9" + console.lost)
"""
    ran = shell("$sf", script, PYTHONIOENCODING="ascii:strict")

    assert json.loads(ran.stdout) == {"a": "é世😀"}
    assert ran.stderr == "caf\\xe9\n"  # Python's own stderr always spells what it cannot encode


def test_a_stream_that_python_closed_is_noticed() -> None:
    streams = Streams()
    streams.stdout.close()
    streams.console.document("x")
    streams.console.document("y")

    assert streams.console.lost == "standard output was closed"


@pytest.mark.parametrize(
    ("text", "properties", "line"),
    [
        ("plain", {}, "::warning::plain"),
        ("a", {"file": "x.yaml", "line": "3"}, "::warning file=x.yaml,line=3::a"),
        ("100%\r\n::error::x", {}, "::warning::100%25%0A::error::x"),
        ("\r", {"title": "a:b,c%\n"}, "::warning title=a%3Ab%2Cc%25%0A::\\x0d"),
        ("\ue003x\x1b[1m", {}, "::warning::x\\x1b[1m"),
    ],
)
def test_a_command_of_ours_says_only_what_it_is_to_say(
    text: str, properties: dict[str, str], line: str
) -> None:
    err = io.StringIO()
    Console(io.StringIO(), err, Redactor(), in_ci=True).command("warning", text, properties)
    assert err.getvalue() == line + "\n"


def test_a_command_of_ours_hides_secrets() -> None:
    redactor = Redactor()
    redactor.register("hunter22")
    err = io.StringIO()
    Console(io.StringIO(), err, redactor).command("error", "a hunter22", {"title": "hunter22"})
    assert err.getvalue() == "::error title=***::a ***\n"


class Screen:
    """As much of a terminal as the board needs: lines, a cursor, and two orders."""

    def __init__(self) -> None:
        self.lines = [""]

    def show(self, text: str) -> list[str]:
        for up, word in re.findall(r"\x1b\[(\d+)A\r\x1b\[J|([^\x1b]+)", text):
            if up:
                del self.lines[len(self.lines) - 1 - int(up) :]
                self.lines.append("")
            else:
                first, *more = word.split("\n")
                self.lines[-1] += first
                self.lines += more
        return self.lines


def test_the_board_stays_below_the_notes() -> None:
    stderr = io.StringIO()
    console = Console(io.StringIO(), stderr, Redactor(), is_live=True)
    console.note("first")
    console.board(["a waits", "b waits"])
    console.note("c ended")
    console.board(["a waits \x1b[2J"])
    assert Screen().show(stderr.getvalue()) == ["first", "c ended", "a waits \\x1b[2J", ""]
    console.board([])
    console.note("last")
    assert Screen().show(stderr.getvalue()) == ["first", "c ended", "last", ""]


def test_without_a_terminal_there_is_no_board() -> None:
    streams = Streams()
    streams.console.board(["a waits"])
    streams.console.note("note")
    assert streams.stderr.getvalue() == "note\n"
