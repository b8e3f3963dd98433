"""The report for a terminal: readable at 80 columns, in the middle of the night, with or without colour.

Returns text with the console's marks in it. What is foreign is made visible here already and not left to the
console, because a column can only be kept by who knows how wide a name will be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sf.console import WIDTH, Mark, display_width, styled
from sf.models import ActionResult, Change, Finding, ObjectChange, Outcome, Reason, Record, Severity, Verdict
from sf.report import wording
from sf.report.escape import one_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sf.report.wording import Row

_EFFECT_WIDTH: Final = 11
_WAVE_WIDTH: Final = 4
_GAP: Final = "  "
_NARROWEST_NAME: Final = 16
_TAIL_LINES: Final = 30
_TAIL_CHARACTERS: Final = 8_000
_COLORS: Final = {
    Change.ADD: Mark.GREEN,
    Change.CHANGE: Mark.YELLOW,
    Change.REMOVE: Mark.RED,
    Change.UNKNOWN: Mark.CYAN,
    Change.UNCHANGED: Mark.DIM,
}
_VERDICT_COLORS: Final = {
    Verdict.NO_CHANGES: Mark.GREEN,
    Verdict.CHANGES: Mark.YELLOW,
    Verdict.INCOMPLETE: Mark.CYAN,
    Verdict.FAILED: Mark.RED,
}
_SEVERITY_COLORS: Final = {
    Severity.ERROR: Mark.RED,
    Severity.DANGER: Mark.RED,
    Severity.WARNING: Mark.YELLOW,
    Severity.INFO: Mark.CYAN,
}


def render(record: Record, *, width: int = WIDTH, diffs: bool = False) -> str:
    """The whole report, in lines of `width` columns where words allow it, ending in a newline.

    `diffs` adds what changes inside each object. Commands and output of tools are never cut or wrapped.
    """
    sections = [
        _top(record, width),
        _failures(record, width),
        _findings(wording.alarms(record), width),
        _unknown(record, width),
        _units(record, width, diffs=diffs),
        _proof(record, width),
        _findings(wording.advice(record), width),
        _bottom(record, width),
    ]
    return "\n".join("".join(f"{line}\n" for line in section) for section in sections if section)


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """`text` in lines of at most `width` columns, the indent included; a longer word stays whole to be copied."""
    lines: list[str] = []
    line = ""
    for word in one_line(text).split(" "):
        longer = f"{line} {word}" if line else word
        if line and display_width(indent + longer) > width:
            lines.append(indent + line)
            line = word
        else:
            line = longer
    return [*lines, indent + line]


def cell(text: str, width: int) -> str:
    """`text` filled up to exactly `width` columns, or cut with an ellipsis."""
    text = one_line(text)
    if display_width(text) > width:
        while display_width(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - display_width(text))


def _top(record: Record, width: int) -> list[str]:
    digest = wording.digest(record)
    words = wording.headline(record) + (f" ({digest})" if digest else "")
    facts = " ".join(f"{word} {name}" for word, name in wording.facts(record))
    return [
        *(styled(line, Mark.BOLD, _VERDICT_COLORS[record.verdict]) for line in wrapped(words, width)),
        *(styled(line, Mark.DIM) for line in wrapped(facts, width)),
        *([styled(wording.PLAN_ONLY, Mark.DIM)] if record.dry_run else []),
    ]


def _failures(record: Record, width: int) -> list[str]:
    lines = []
    if failure := wording.untold_failure(record):
        backend = f" ({failure.backend})" if failure.backend else ""
        lines += _alarm(
            f"{wording.stop(record)} in {failure.phase.value}{backend}", failure.message, failure.hint, width
        )
    for result in wording.failures(record):
        lines += _failed_action(result, width)
    return lines


def _failed_action(result: ActionResult, width: int) -> list[str]:
    after = f" after {wording.seconds(result.duration)}" if result.duration else ""
    lines = [f"{styled('failed', Mark.RED, Mark.BOLD)} {one_line(result.name)}{after}"]
    lines += wrapped(result.message or "no reason was given", width, "    ")
    output, cut = wording.tail(result.stderr, _TAIL_LINES, _TAIL_CHARACTERS)
    if output:
        lines += ["    (the end of what it said)"] if cut else []
        lines += [styled(f"    | {line}", Mark.DIM) for line in visible(output).split("\n")]
    if result.command:
        lines.append(f"    {styled('to repeat it:', Mark.CYAN)} {one_line(result.command)}")
    return lines


def _findings(findings: Iterable[Finding], width: int) -> list[str]:
    lines = []
    for finding in findings:
        label = styled(finding.severity.value, _SEVERITY_COLORS[finding.severity], Mark.BOLD)
        subject = f" {one_line(finding.subject)}" if finding.subject else ""
        lines.append(f"{label}{subject} {styled(f'[{one_line(finding.code)}]', Mark.DIM)}")
        lines += wrapped(finding.message, width, "    ")
        if finding.location:
            lines.append(f"    at {one_line(str(finding.location))}")
        lines += _hint(finding.hint, width)
    return lines


def _alarm(label: str, message: str, hint: str, width: int) -> list[str]:
    head = styled(one_line(label), Mark.RED, Mark.BOLD)
    return [head, *wrapped(message, width, "    "), *_hint(hint, width)]


def _hint(hint: str, width: int) -> list[str]:
    return wrapped(f"hint: {hint}", width, "    ") if hint else []


def _unknown(record: Record, width: int) -> list[str]:
    unknown = record.plan.unknown if record.plan else ()
    if not unknown:
        return []
    head = styled("could not be determined", Mark.CYAN, Mark.BOLD)
    return [head, *(line for sentence in unknown for line in _bullet("?", sentence, width))]


def _bullet(symbol: str, text: str, width: int) -> list[str]:
    first, *more = wrapped(text, width, "      ")
    return [f"    {symbol} {first.lstrip()}", *more]


def _units(record: Record, width: int, *, diffs: bool) -> list[str]:
    shown = [row for row in wording.rows(record) if not row.is_quiet]
    if not shown:
        return []
    endings = max(display_width(row.ending) for row in shown)
    rest = _EFFECT_WIDTH + _WAVE_WIDTH + endings + len(_GAP) * (3 if endings else 2)
    widest = max(display_width(one_line(row.name)) for row in shown)
    name_width = max(min(widest, width - rest), _NARROWEST_NAME)
    titles = ["EFFECT".ljust(_EFFECT_WIDTH), "UNIT".ljust(name_width), "WAVE"]
    if endings:
        titles.append("RESULT")
    lines = [styled(_GAP.join(titles), Mark.DIM)]
    for row in shown:
        lines.append(_unit(row, name_width))
        if display_width(name := one_line(row.name)) > name_width:
            lines.append(f"    {name}")
        lines += _about(row, width, diffs=diffs)
    return lines


def _proof(record: Record, width: int) -> list[str]:
    lines = [line for pair in wording.proof(record) for line in _bullet("-", ": ".join(pair), width)]
    return [styled("what this run proved", Mark.BOLD), *lines] if lines else []


def _unit(row: Row, name_width: int) -> str:
    change = row.action.effect if row.action else Change.UNKNOWN
    failed = row.result is not None and row.result.outcome is Outcome.FAILED
    cells = [
        styled(cell(row.effect, _EFFECT_WIDTH), _COLORS[change]),
        styled(cell(row.name, name_width), Mark.BOLD),
        str(row.action.order if row.action else "").rjust(_WAVE_WIDTH),
    ]
    if row.ending:
        cells.append(styled(row.ending, Mark.RED) if failed else row.ending)
    return _GAP.join(cells)


def _about(row: Row, width: int, *, diffs: bool) -> list[str]:
    """Below a unit: why, and what happens to each object."""
    lines = []
    if row.action:
        for reason in row.action.all_reasons:
            lines += wrapped(_reason(reason), width, "    ")
        for change, running in wording.objects(row.action):
            lines += _object(change, width, running=running, diffs=diffs)
    for remark in row.remarks:
        lines += wrapped(remark, width, "    ")
    return lines


def _object(change: ObjectChange, width: int, *, running: bool, diffs: bool) -> list[str]:
    symbol = wording.SYMBOLS[change.change]
    where = " (as it runs)" if running else ""
    lines = [styled(f"    {symbol} {one_line(change.identity)}", _COLORS[change.change]) + where]
    for reason in change.reasons:
        lines += wrapped(_reason(reason), width, "        ")
    if diffs and change.diff:
        lines += [_diff_line(line) for line in visible(change.diff).rstrip("\n").split("\n")]
    return lines


def _diff_line(line: str) -> str:
    color = {"+": Mark.GREEN, "-": Mark.RED, "@": Mark.CYAN}.get(line[:1], Mark.PLAIN)
    return styled(f"        {line}", color)


def _reason(reason: Reason) -> str:
    where = f" ({reason.location})" if reason.location else ""
    return wording.sentence(reason) + where


def _bottom(record: Record, width: int) -> list[str]:
    lines = []
    if plan := record.plan:
        lines.append(f"change digest {plan.change_digest}")
    if phases := wording.durations(record):
        each = ", ".join(f"{phase} {wording.seconds(spent)}" for phase, spent in phases)
        lines += wrapped(f"took {wording.seconds(sum(record.timings.values()))}: {each}", width)
    return [styled(line, Mark.DIM) for line in lines]
