"""Where secrets stand in a text inside an object: a patch, a file of a ConfigMap, values of a chart as one text.

Such a text is YAML, JSON, a dotenv or ini file, a command line or anything else, and need not be well-formed, so
is not parsed: what counts is a name that sounds like a secret before ``:`` or ``=``. Of what follows, so much is
taken as any of these formats would read, and rather too much than too little.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sf.changes.secret_names import URL_PASSWORD, names_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

# Without any of these there is nothing to look for.
_HINT: Final = re.compile(
    r"pass|pwd|auth|dsn|salt|secret|token|credential|key|stringdata|://[^/\s:@]*:", re.IGNORECASE
)
# A colon is YAML's when a blank or the end follows, and JSON's behind a quote; without either it is the tag of an
# image. A name that is longer is none.
_PAIR: Final = re.compile(
    r"(?<![\w.])(?P<quote>[\"']?)(?P<key>[A-Za-z_][\w.\-/]{0,99})(?P=quote)[ \t]*"
    r"(?P<mark>=>|:=|=(?!=)|:(?=[ \t\r\n]|\Z)|(?<=[\"']):|(?<=[\"'][ \t]):)[ \t]*"
)
_FLAG: Final = re.compile(r"(?<!\S)--?(?P<key>[A-Za-z][\w.-]{0,99})[ \t]+(?P<value>[^\s-]\S*)")
_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----(?P<body>.*?)(?:-----END|\Z)", re.DOTALL
)
_LONG: Final = re.compile(r"(?P<quote>\"{3}|'{3})(?P<text>.*?)(?:(?P=quote)|\Z)", re.DOTALL)
_DOUBLE: Final = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"', re.DOTALL)
_SINGLE: Final = re.compile(r"'(?P<text>(?:[^']|'')*)'")
_BLOCK: Final = re.compile(r"[|>][-+0-9]{0,3}[ \t]*(?:#[^\n]*)?\r?(?=\n|\Z)")
# Names of values that are somewhere else, and what no secret is.
_REFERENCE: Final = re.compile(
    r"[\"']?(?:\$\{[A-Za-z_]\w*\}|\$[A-Za-z_]\w*|\$\([A-Za-z_]\w*\)|\{\{-? ?[.$][\w.$]* ?-?\}\}|null|~|true"
    r"|false)?[\"']?,?[ \t]*(?:#[^\n]*)?"
)
_COMMENT: Final = re.compile(r"[ \t]#[^\n]*")
_END_IN_BRACES: Final = re.compile(r"[,}\]\n]")
_END_OF_LINE: Final = re.compile(r"\n")
_END_IN_QUERY: Final = re.compile(r"[\s\"';&]")
_END_OF_WORD: Final = re.compile(r"[\s\"';]")
_SECRET_KIND: Final = re.compile(r"[\"']?kind[\"']?[ \t]*:[ \t]*[\"']?Secret\b")
_BESIDE: Final = re.compile(r"\b(?:name|path)[\"']?[ \t]*:[ \t]*[\"']?(?P<name>[^\s\"',}]+)")
# In a manifest of a Secret, what these hold is secret whatever it is called.
_SECRET_FIELDS: Final = frozenset({"data", "stringdata"})
_OPENING: Final = {"{": "}", "[": "]"}
# How far around a name its line and its entry are looked for: texts may be one line of megabytes.
_NEAR: Final = 512


class Span(NamedTuple):
    """A secret at ``text[start:end]``, under the name ``key``."""

    start: int
    end: int
    key: str


def secrets_in(text: str, *, of_secret: bool = False) -> list[Span]:
    """Where secrets stand in `text`, in order, none within another. `of_secret`: it is about a Secret."""
    if not (of_secret or _HINT.search(text)):
        return []
    found = sorted(_found(text, of_secret=of_secret or _SECRET_KIND.search(text) is not None))
    spans: list[Span] = []
    for span in found:
        if spans and span.start < spans[-1].end:
            # The one that begins first holds the name that all of it belongs to.
            spans[-1] = spans[-1]._replace(end=max(span.end, spans[-1].end))
        elif span.end > span.start:
            spans.append(span)
    return spans


def _found(text: str, *, of_secret: bool) -> Iterator[Span]:
    for match in _PRIVATE_KEY.finditer(text):
        yield Span(*match.span("body"), "private key")
    for match in URL_PASSWORD.finditer(text):
        yield Span(*match.span("password"), "password of a URL")
    for match in _FLAG.finditer(text):
        if names_secret(match["key"]):
            yield Span(*match.span("value"), match["key"])
    position = 0
    while pair := _PAIR.search(text, position):
        position = pair.end()
        if _is_secret(text, pair, of_secret=of_secret):
            start, end = _value(text, pair)
            if not _REFERENCE.fullmatch(text[start:end]):
                yield Span(start, end, pair["key"])
                position = max(end, position)


def _is_secret(text: str, match: re.Match[str], *, of_secret: bool) -> bool:
    name = match["key"].lower()
    if name == "stringdata" or (of_secret and name in _SECRET_FIELDS):
        return True
    if name == "value":
        beside = [found["name"] for found in _BESIDE.finditer(_entry(text, match))]
        return any(_path_names_secret(path, of_secret=of_secret) for path in beside)
    return names_secret(match["key"])


def _path_names_secret(path: str, *, of_secret: bool) -> bool:
    """Whether the pointer of a JSON patch, or the name of a variable, leads to a secret."""
    steps = path.split("/")
    return any(map(names_secret, steps)) or (
        bool(path)
        and not _SECRET_FIELDS.isdisjoint(step.lower() for step in steps if of_secret or step != "data")
    )


def _entry(text: str, match: re.Match[str]) -> str:
    """The entry of a list, or the mapping in braces, that `match` belongs to."""
    first, last = max(0, match.start() - _NEAR), match.end() + _NEAR
    if _BESIDE.search(text, first, last) is None:
        return ""
    opened = text.rfind("{", first, match.start())
    if opened > text.rfind("}", first, match.start()):
        closed = text.find("}", match.end(), last)
        return text[opened : closed if closed != -1 else last]
    column = _column(text, match.start())
    start = _line_start(text, match.start())
    while start > first and not _begins_entry(text, start, column):
        start = _line_start(text, start - 1)
    end = text.find("\n", match.end(), last)
    while end != -1 and not _begins_entry(text, end + 1, column):
        end = text.find("\n", end + 1, last)
    return text[start : end if end != -1 else last]


def _begins_entry(text: str, start: int, column: int) -> bool:
    """Whether the line at `start` begins an entry that something in `column` can belong to."""
    indent = _indent(text, start)
    return indent < column and text.startswith("-", start + indent)


def _value(text: str, match: re.Match[str]) -> tuple[int, int]:
    """From where to where the value goes that follows `match`."""
    start = match.end()
    column = _column(text, match.start())
    character = text[start : start + 1]
    before = text[_line_start(text, match.start()) : match.start()].strip(" \t-")
    if character in _OPENING and not text.startswith("{{", start):
        return start, _closed(text, start)
    for quoted in (_LONG, _DOUBLE, _SINGLE):
        if found := quoted.match(text, start):
            return found.span("text")
    block = _BLOCK.match(text, start)
    if block or character in {"", "\n", "\r"}:
        if not match["mark"].startswith(":"):
            return start, start
        end = block.end() if block else start
        below = _continued(text, _line_end(text, end), column, entries=not block)
        return (min(_line_end(text, end) + 1, below), below)
    if before not in {"", "export", "set", "ENV"}:
        return start, _word_end(text, match)
    end = _line_end(text, start)
    while text.endswith("\\", start, end) and end < len(text):
        end = _line_end(text, end + 1)
    if comment := _COMMENT.search(text, start, end):
        end = comment.start()
    continued = _continued(text, _line_end(text, end), column, entries=False)
    return start, continued if continued > _line_end(text, end) else len(text[:end].rstrip(" \t\r,"))


def _word_end(text: str, match: re.Match[str]) -> int:
    """Where a value ends that stands in the middle of a line."""
    start = match.end()
    line = text[_line_start(text, match.start()) : start]
    in_braces = line.count("{") > line.count("}") or line.count("[") > line.count("]")
    if match["mark"] == ":":
        ends = _END_IN_BRACES if in_braces else _END_OF_LINE
    else:
        ends = _END_IN_QUERY if "?" in line else _END_OF_WORD
    found = ends.search(text, start)
    return found.start() if found else len(text)


def _continued(text: str, end: int, column: int, *, entries: bool) -> int:
    """The end of the lines behind `end` that stand deeper than `column`; `entries` of a list need not."""
    last = end
    while end < len(text):
        start = end + 1
        end = _line_end(text, start)
        if not text[start:end].strip():
            continue
        indent = _indent(text, start)
        is_entry = entries and indent == column and text.startswith("- ", start + indent)
        if indent <= column and not is_entry:
            break
        last = end
    return last


def _closed(text: str, start: int) -> int:
    """The end of what the bracket at `start` opens, or of the text."""
    expected: list[str] = []
    position = start
    while position < len(text):
        character = text[position]
        if character in _OPENING:
            expected.append(_OPENING[character])
        elif expected and character == expected[-1]:
            expected.pop()
            if not expected:
                return position + 1
        elif character == '"' and (quoted := _DOUBLE.match(text, position)):
            position = quoted.end() - 1
        position += 1
    return len(text)


def _column(text: str, position: int) -> int:
    return position - _line_start(text, position)


def _line_start(text: str, position: int) -> int:
    near = max(0, position - _NEAR)
    found = text.rfind("\n", near, position)
    return found + 1 if found != -1 else near


def _indent(text: str, start: int) -> int:
    end = start
    while text[end : end + 1] in {" ", "\t"}:
        end += 1
    return end - start


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return end if end != -1 else len(text)
