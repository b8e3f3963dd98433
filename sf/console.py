"""The door to the human: text on stdout and stderr, and nothing else writes there.

Whatever is printed is hostile until it went through here. Secrets are scrubbed, control characters become visible,
and in a CI log no line can be read as a workflow command. Colour travels as private-use characters (`Mark`) inside
ordinary strings and becomes an escape sequence only here, so foreign text can never bring its own.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sf.models import Problem
    from sf.redact import Redactor

WIDTH: Final = 80


class Mark(StrEnum):
    """Styles, as characters of the private use area. Every line ends in the plain style by itself."""

    PLAIN = "\ue000"
    BOLD = "\ue001"
    DIM = "\ue002"
    RED = "\ue003"
    GREEN = "\ue004"
    YELLOW = "\ue005"
    CYAN = "\ue006"


_SGR: Final = {
    Mark.PLAIN: "\x1b[0m",
    Mark.BOLD: "\x1b[1m",
    Mark.DIM: "\x1b[2m",
    Mark.RED: "\x1b[31m",
    Mark.GREEN: "\x1b[32m",
    Mark.YELLOW: "\x1b[33m",
    Mark.CYAN: "\x1b[36m",
}
_MARKS: Final = re.compile("[" + "".join(Mark) + "]")
# C0 and C1 controls but newline and tab, bidirectional overrides (they make a log lie), lone surrogates.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# `::command::` counts at the start of a line, `##[command]` anywhere in it (actions/runner, ActionCommand.cs).
# Escape sequences of our own are looked through. Each blank is tried once, however many lines are empty.
_SGRS: Final = r"(?:\x1b\[\d+m)*"
_COMMAND: Final = re.compile(rf"(?m)^(?:[^\S\n]|\x1b\[\d+m)*:(?={_SGRS}:)|#{_SGRS}#(?={_SGRS}\[)")
_DATA: Final = {ord(character): f"%{ord(character):02X}" for character in "%\r\n"}
_PROPERTY: Final = _DATA | {ord(character): f"%{ord(character):02X}" for character in ":,"}
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_ZERO_WIDTH: Final = "\u200b"


def styled(text: str, *marks: Mark) -> str:
    """`text` in the given styles, line by line, so that a cut between lines never leaks a style."""
    start = "".join(marks)
    return "\n".join(f"{start}{line}{Mark.PLAIN}" if line else line for line in text.split("\n"))


def unstyled(text: str) -> str:
    """`text` without its marks."""
    return _MARKS.sub("", text)


def display_width(text: str) -> int:
    """The number of terminal columns that `text` takes."""
    visible = unstyled(text)
    if visible.isascii():
        return len(visible)
    return sum(map(_columns, visible))


def _columns(character: str) -> int:
    # Marks and format characters (joiners, variation selectors) are drawn into their neighbour.
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def printable(text: str) -> str:
    r"""`text` with every control character but newline and tab spelled out, such as ``\x1b``."""

    def spell(match: re.Match[str]) -> str:
        code = ord(match[0])
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return _CONTROL.sub(spell, text.replace("\r\n", "\n"))


def without_commands(text: str) -> str:
    """`text` that no runner takes for a workflow command; it looks the same to a reader."""
    return _COMMAND.sub(lambda match: match[0] + _ZERO_WIDTH, text)


class Console:
    """Writes to the two streams of the process.

    `in_ci` makes every line safe for a runner that reads workflow commands from the log. `is_live`: stderr is a
    terminal, on which lines can be replaced.
    """

    def __init__(  # the streams may be None: Python's own sign that the descriptor was closed at the start
        self,
        stdout: TextIO | None,
        stderr: TextIO | None,
        redactor: Redactor,
        *,
        color: bool = False,
        in_ci: bool = False,
        is_live: bool = False,
        width: int = WIDTH,
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._redactor = redactor
        self._color = color
        self._in_ci = in_ci
        self.is_live = is_live
        self._board: tuple[str, ...] = ()
        self.width = width
        #: What kept a document from reaching stdout; empty while all went well.
        self.lost = "" if stdout else "standard output is closed"

    def document(self, text: str) -> None:
        """Print a whole report for people to stdout."""
        self._write_stdout(self._safe(text))

    def data(self, text: str) -> None:
        """Print a document for programs to stdout, unchanged but for scrubbed secrets.

        ``##[`` inside a JSON string is spelled as an escape, which is the same value to a parser and no
        workflow command to a runner.
        """
        self._write_stdout(self._redactor.scrub(text).replace("##[", "##\\u005b"))

    def note(self, text: str) -> None:
        """Print a line of progress or advice to stderr, above the board if there is one."""
        self._write_stderr(f"{self._erased()}{self._safe(text)}{self._drawn()}")

    def board(self, lines: Sequence[str]) -> None:
        """Show `lines` in place of those shown before, for as long as nothing but notes is printed.

        Each has to fit into the width. Without a terminal nothing is shown.
        """
        if self.is_live:
            erased = self._erased()
            self._board = tuple(lines)
            self._write_stderr(erased + self._drawn())

    def problem(self, problem: Problem) -> None:
        """Print one error: where it happened, what, and what to do."""
        self.note(f"{styled('error:', Mark.RED, Mark.BOLD)} {problem}")
        if problem.hint:
            self.note(f"{styled('hint:', Mark.CYAN)} {problem.hint}")

    def command(self, name: str, text: str, properties: Mapping[str, str]) -> None:
        """Give the runner a workflow command of ours, such as ``warning``, on stderr; no-one else can give one.

        Escaped as actions/runner reads it (ActionCommand.cs).
        """
        pairs = ",".join(f"{key}={self._escaped(value, _PROPERTY)}" for key, value in properties.items())
        self._write_stderr(f"::{name}{' ' * bool(pairs)}{pairs}::{self._escaped(text, _DATA)}\n")

    def _drawn(self) -> str:
        return self._safe("\n".join(self._board)) if self._board else ""

    def _erased(self) -> str:
        """What takes the board away: so many lines up, and clear from there on (ECMA-48, CUU and ED)."""
        return f"\x1b[{len(self._board)}A\r\x1b[J" if self._board else ""

    def _escaped(self, text: str, active: Mapping[int, str]) -> str:
        return unstyled(printable(self._redactor.scrub(text))).translate(active)

    def _safe(self, text: str) -> str:
        text = printable(self._redactor.scrub(text))
        text = _colored(text) if self._color else unstyled(text)
        if self._in_ci:
            # Last, since taking out marks can bring the parts of a command together.
            text = without_commands(text)
        return text if text.endswith("\n") else text + "\n"

    def _write_stdout(self, text: str) -> None:
        if self.lost or self._stdout is None:
            return
        try:
            _put(self._stdout, text)
        except (OSError, ValueError) as error:
            closed = isinstance(error, ValueError) or error.errno == errno.EPIPE
            self.lost = "standard output was closed" if closed else f"standard output: {error}"
            _silence(self._stdout)

    def _write_stderr(self, text: str) -> None:
        if self._stderr is None:
            return
        try:
            _put(self._stderr, text)
        except (OSError, ValueError):
            # There is nobody left to tell.
            _silence(self._stderr)
            self._stderr = None


def _colored(text: str) -> str:
    """`text` with its marks as escape sequences; a line that was left in another style ends plain."""
    return "\n".join(
        _MARKS.sub(lambda match: _SGR[Mark(match[0])], line)
        + ("" if _MARKS.findall(line)[-1:] in ([], [Mark.PLAIN]) else _SGR[Mark.PLAIN])
        for line in text.split("\n")
    )


def _put(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        # A terminal without UTF-8. As JSON escapes, which leave a JSON document the same value.
        stream.write(_NOT_ASCII.sub(lambda match: json.dumps(match[0])[1:-1], text))
    stream.flush()


def _silence(stream: TextIO) -> None:
    """Point the descriptor of a broken stream at nothing, so that the flush at exit cannot fail again."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = stream.fileno()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, descriptor)
        os.close(nothing)
