"""Two states of an object as a unified diff that a person reads.

Both are written as YAML in one order of keys, so only content differs. Text of several lines is always written
line by line, also where YAML would have to quote it. A hunk header carries, after the line numbers, the field that
the hunk is in: the numbers count lines of a text that stands nowhere else.

Python's own `difflib` takes quadratic time and more. Here lines that occur once on both sides are matched first,
and it sees only what lies between them, as long as that is cheap.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sf import documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONTEXT: Final = 3
"""Unchanged lines around a change."""
MOST_LINES: Final = 2_000
LONGEST_LINE: Final = 1_000
"""In characters."""
MOST_COMPARISONS: Final = 2_000_000
"""Up to which number of steps `difflib` looks for the smallest difference."""

_FIRST_KEYS: Final = ("apiVersion", "kind", "metadata", "name", "namespace")
_LAST_KEYS: Final = ("status",)
_RANKS: Final = {
    **{key: (0, rank) for rank, key in enumerate(_FIRST_KEYS)},
    **{key: (2, rank) for rank, key in enumerate(_LAST_KEYS)},
}
_ANY_KEY: Final = (1, 0)
# The text of a block is put in after YAML is written; until then this and a number stand in its place.
_PLACE: Final = "sf-text-block-"
_BLOCK: Final = re.compile(rf"(.*(?:: |- )){_PLACE}([0-9]+)")
_KEY: Final = re.compile(r"((?: |- )*)([A-Za-z0-9_./-]{1,100}):(?: |$)")


class _Line(NamedTuple):
    """A line of the diff: `` ``, ``-`` or ``+``, and the text."""

    sign: str
    text: str


class _Hunk(NamedTuple):
    """Lines that are shown together. Starts count lines of each side from 0."""

    before: int
    after: int
    lines: Sequence[_Line]


def unified(before: Any | None, after: Any | None) -> str:
    """The difference of two JSON values, without file headers; empty when they are written alike.

    None is a value that does not exist. At most `MOST_LINES` lines: a last one tells how many more there are.
    """
    old = [] if before is None else _written(before)
    new = [] if after is None else _written(after)
    lines = [line for hunk in _hunks(_script(old, new)) for line in _formatted(hunk, old, new)]
    if len(lines) > MOST_LINES:
        left_out = len(lines) - MOST_LINES
        lines[MOST_LINES:] = [f"\\ {left_out:,} more {'line' if left_out == 1 else 'lines'} not shown"]
    return "\n".join(lines)


def _written(value: Any) -> list[str]:
    blocks: list[str] = []
    lines: list[str] = []
    for line in documents.dump(_prepared(value, blocks)).removesuffix("\n").split("\n"):
        place = _BLOCK.fullmatch(line)
        if place is None or int(place[2]) >= len(blocks):
            lines.append(line)
        else:
            lines += _block(place[1], blocks[int(place[2])])
    return lines


def _prepared(value: Any, blocks: list[str]) -> Any:
    """`value` with its keys in order, and with its long texts moved to `blocks`."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (_RANKS.get(key, _ANY_KEY), key))
        return {_printable(key): _prepared(value[key], blocks) for key in keys}
    if isinstance(value, (list, tuple)):
        return [_prepared(item, blocks) for item in value]
    if isinstance(value, str):
        if "\n" not in value and _PLACE not in value:
            return _printable(value)
        blocks.append(value)
        return f"{_PLACE}{len(blocks) - 1}"
    return value


def _printable(value: str) -> str:
    """`value` with escapes for what has no UTF-8."""
    return value.encode("utf-8", "backslashreplace").decode()


def _block(opening: str, value: str) -> Iterator[str]:
    """`value` as the block that YAML would write if it could; unprintable characters as escapes."""
    key = _KEY.match(opening)
    indent = " " * (len(key[1]) if key else opening.rfind("- ") + 2) + "  "
    yield f"{opening}{'|' if value.endswith(chr(10)) else '|-'}"
    for line in value.removesuffix("\n").split("\n"):
        escaped = "".join(
            character if character.isprintable() or character == "\t" else ascii(character)[1:-1]
            for character in line
        )
        yield f"{indent}{escaped}" if escaped else ""


def _script(old: Sequence[str], new: Sequence[str]) -> list[_Line]:
    """Every line of both sides in order, with its sign."""
    script: list[_Line] = []
    at_old = at_new = 0
    for match_old, match_new in (*_matches(old, new), (len(old), len(new))):
        script += [_Line("-", line) for line in old[at_old:match_old]]
        script += [_Line("+", line) for line in new[at_new:match_new]]
        script += [_Line(" ", line) for line in old[match_old : match_old + 1]]
        at_old, at_new = match_old + 1, match_new + 1
    return script


def _matches(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of indices of lines that are the same, increasing on both sides."""
    at_old = at_new = 0
    for anchor_old, anchor_new in (*_anchors(old, new), (len(old), len(new))):
        for match_old, match_new in _matches_between(old[at_old:anchor_old], new[at_new:anchor_new]):
            yield at_old + match_old, at_new + match_new
        if anchor_old < len(old):
            yield anchor_old, anchor_new
        at_old, at_new = anchor_old + 1, anchor_new + 1


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """The longest increasing run of lines that occur exactly once on each side (patience diff)."""
    in_old, in_new = Counter(old), Counter(new)
    places = {line: index for index, line in enumerate(new) if in_new[line] == 1}
    common = [(index, places[line]) for index, line in enumerate(old) if in_old[line] == 1 and line in places]
    # For each length the run that ends earliest; every element knows the one before it.
    ends: list[int] = []
    last: list[int] = []
    previous: list[int] = []
    for position, (_, place) in enumerate(common):
        length = bisect_left(ends, place)
        previous.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [place]
        last[length : length + 1] = [position]
    run = []
    position = last[-1] if last else -1
    while position >= 0:
        run.append(common[position])
        position = previous[position]
    return run[::-1]


def _matches_between(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The same for a part without lines that could be anchors; its ends first, because they cost nothing."""
    shorter = min(len(old), len(new))
    head = next((index for index in range(shorter) if old[index] != new[index]), shorter)
    rest = shorter - head
    tail = next((index for index in range(rest) if old[-1 - index] != new[-1 - index]), rest)
    yield from ((index, index) for index in range(head))
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    if _steps(middle_old, middle_new) <= MOST_COMPARISONS:
        matcher = difflib.SequenceMatcher(None, middle_old, middle_new, autojunk=False)
        for block in matcher.get_matching_blocks():
            yield from ((head + block.a + step, head + block.b + step) for step in range(block.size))
    yield from ((len(old) - tail + index, len(new) - tail + index) for index in range(tail))


def _steps(old: Sequence[str], new: Sequence[str]) -> int:
    """How long `difflib` may take: it can look at every pair of equal lines again for each match it finds."""
    in_old, in_new = Counter(old), Counter(new)
    equal_pairs = sum(count * in_new[line] for line, count in in_old.items())
    return (len(old) + equal_pairs) * min(len(old), len(new))


def _hunks(script: Sequence[_Line]) -> Iterator[_Hunk]:
    """The changed parts of `script`, each with its context; parts whose contexts touch are one."""
    starts = _starts(script)
    first = end = 0
    for index, line in enumerate(script):
        if line.sign == " ":
            continue
        if index - CONTEXT > end and end:
            yield _Hunk(*starts[first], script[first:end])
            end = 0
        if not end:
            first = max(0, index - CONTEXT)
        end = min(len(script), index + CONTEXT + 1)
    if end:
        yield _Hunk(*starts[first], script[first:end])


def _starts(script: Sequence[_Line]) -> list[tuple[int, int]]:
    """How many lines of each side come before each line of `script`."""
    starts = []
    old = new = 0
    for line in script:
        starts.append((old, new))
        old += line.sign != "+"
        new += line.sign != "-"
    return starts


def _formatted(hunk: _Hunk, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    before = _range(hunk.before, sum(line.sign != "+" for line in hunk.lines))
    after = _range(hunk.after, sum(line.sign != "-" for line in hunk.lines))
    field = ".".join(_parents(hunk, old, new))
    yield f"@@ -{before} +{after} @@{' ' if field else ''}{field}"
    for line in hunk.lines:
        yield line.sign + _clipped(line.text)


def _range(start: int, length: int) -> str:
    """As POSIX writes it: a range of no lines names the line before it."""
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _parents(hunk: _Hunk, old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The keys above the first line that is shown, outermost first."""
    side, start = (old, hunk.before) if hunk.lines[0].sign != "+" else (new, hunk.after)
    depth = _depth(hunk.lines[0].text)
    parents: list[str] = []
    for line in reversed(side[max(0, start - MOST_LINES) : start]):
        if not depth:
            break
        key = _KEY.match(line)
        if key and _depth(line) < depth:
            parents.append(key[2])
            depth = _depth(line)
    return parents[::-1]


def _depth(line: str) -> int:
    """How deep a line is. Entries of a list stand as far left as the key they belong to, and count as deeper."""
    content = line.lstrip(" ")
    return 2 * (len(line) - len(content)) + content.startswith("- ")


def _clipped(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}… ({len(line):,} characters)"
