"""The report as Markdown, for job summaries and comments: what matters first, the diffs a click
away, never over the limit.

The text is made of blocks that are shown whole or left out with a count, so a cut never leaves a fence, a table or
a ``<details>`` open. Foreign text only gets in through `sf.report.escape`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from sf.models import (
    ActionResult,
    Change,
    Finding,
    ObjectChange,
    Outcome,
    PlannedAction,
    Reason,
    Record,
    Severity,
)
from sf.report import dependencies, wording
from sf.report.escape import code, fenced, html, prose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sf.report.wording import Row

    Measure = Callable[[str], int]

# GitHub drops a larger summary as a whole (1 MiB for each step).
SUMMARY_LIMIT: Final = 1_048_576
# What the first and the last lines can need, every field at its longest.
SMALLEST_LIMIT: Final = 16_384
_FACT_LIMIT: Final = 100
_NAME_LIMIT: Final = 200
_MESSAGE_LIMIT: Final = 1_000
_REASON_LIMIT: Final = 5
_NAMES_LIMIT: Final = 500
_TAIL_LINES: Final = 30
_TAIL_CHARACTERS: Final = 4_000
# A diff that matters most is open from the start if it can be taken in at a glance.
_GLANCE_LINES: Final = 20
_GLANCE_NODES: Final = 12
_URL: Final = re.compile(r"https?://[A-Za-z0-9./_~:?=&%#+-]{1,300}")


def utf8_size(text: str) -> int:
    """Bytes of UTF-8, which is how GitHub's runner counts."""
    return len(text.encode())


@dataclass(frozen=True, slots=True)
class Section:
    """A title and blocks, each shown whole or left out; `left_out` announces how many, given that number."""

    title: str
    blocks: Sequence[str]
    left_out: Callable[[int], str]

    def least(self, size: Measure) -> int:
        """The size of the announcement that everything was left out."""
        return size(f"{self.title}{self.left_out(len(self.blocks))}\n") if self.blocks else 0

    def fitted(self, room: int, size: Measure) -> str:
        """The section in no more than `room`, which is no less than `least`."""
        if not self.blocks:
            return ""
        everything = self.title + "".join(self.blocks).rstrip("\n") + "\n\n"
        if size(everything) <= room:
            return everything
        room -= self.least(size)
        kept = []
        for block in self.blocks:
            if size(block) <= room:
                room -= size(block)
                kept.append(block)
        return f"{self.title}{''.join(kept)}{self.left_out(len(self.blocks) - len(kept))}\n"


class _Diff(NamedTuple):
    priority: int
    action: PlannedAction
    change: ObjectChange
    running: bool


def document(record: Record) -> bytes:
    """The content of ``summary.md``."""
    return summary(record).encode()


def summary(record: Record, *, limit: int = SUMMARY_LIMIT, size: Measure = utf8_size, note: str = "") -> str:
    """The whole report in at most `limit`, as `size` counts it.

    Verdict and table come first and are whole as long as they fit at all; diffs follow by what matters most.
    `note` is a sentence of ours that stands below the verdict. Raises `ValueError` for a limit below
    `SMALLEST_LIMIT`.
    """
    if limit < SMALLEST_LIMIT:
        raise ValueError(f"a limit of {limit} is below {SMALLEST_LIMIT}")
    top, bottom = _top(record, note), _bottom(record)
    # What is wrong may take a part of the room only, so that neither it nor the table can push out the other.
    sections = (
        (_failures(record), 4),
        (_alarms(record), 4),
        (_unknown(record), 4),
        (_table(record), 1),
        (_proof(record), 4),
        (_picture(record), 4),
        (_advice(record), 2),
        (_quiet(record), 1),
        (_diffs(record), 1),
    )
    room = limit - size(top) - size(bottom) - sum(section.least(size) for section, _ in sections)
    parts = [top]
    for section, share in sections:
        least = section.least(size)
        part = section.fitted(least + room // share, size)
        room -= max(0, size(part) - least)
        parts.append(part)
    return "".join([*parts, bottom])


def _top(record: Record, note: str) -> str:
    digest = wording.digest(record)
    first = f"## {wording.headline(record)}" + (f" · {code(digest)}" if digest else "")
    facts = " ".join(f"{word} {_fact(name)}".lstrip() for word, name in wording.facts(record))
    notes = "".join(f"\n{line}" for line in (wording.PLAN_ONLY * record.dry_run, note) if line)
    return f"{first}\n\nIn mode {facts}.{notes}\n\n"


def _bottom(record: Record) -> str:
    lines = []
    if plan := record.plan:
        lines.append(f"Change digest, for an approval: {code(plan.change_digest)}")
    if phases := wording.durations(record):
        each = ", ".join(
            f"{prose(wording.clipped(phase, 20))} {wording.seconds(spent)}" for phase, spent in phases[:10]
        )
        lines.append(f"Took {wording.seconds(sum(record.timings.values()))}: {each}")
    links = [
        f"[{prose(wording.clipped(name, 20))}]({url})"
        for name, url in list(record.links.items())[:5]
        if _URL.fullmatch(url)
    ]
    if links:
        lines.append(f"See {', '.join(links)}")
    return "".join(f"{line}\n\n" for line in lines).removesuffix("\n")


def _failures(record: Record) -> Section:
    blocks = [_failed_action(result) for result in wording.failures(record)]
    if failure := wording.untold_failure(record):
        backend = f" ({_name(failure.backend)})" if failure.backend else ""
        where = f"**{wording.stop(record).capitalize()}** in {failure.phase.value}{backend}"
        told = f"{where}: {_message(failure.message)}\n\n"
        hint = f"**Hint:** {_message(failure.hint)}\n\n" if failure.hint else ""
        blocks.insert(0, told + hint)
    return Section(
        "### What went wrong\n\n",
        blocks,
        lambda number: (
            f"{wording.count(number, 'more failure')} left out: see result.json in the artifacts.\n\n"
        ),
    )


def _failed_action(result: ActionResult) -> str:
    after = f" after {wording.seconds(result.duration)}" if result.duration else ""
    parts = [f"**Failed** {_name(result.name)}{after}: {_message(result.message or 'no reason was given')}\n"]
    output, cut = wording.tail(result.stderr, _TAIL_LINES, _TAIL_CHARACTERS)
    if output:
        parts.append("The last it said:\n" if cut else "What it said:\n")
        parts.append(fenced(output, "text"))
    if result.command:
        parts.append("To repeat it by hand:\n")
        parts.append(fenced(wording.clipped(result.command, _TAIL_CHARACTERS), "sh"))
    return "\n".join(parts) + "\n"


def _alarms(record: Record) -> Section:
    return _findings("### Errors and dangers\n\n", wording.alarms(record))


def _advice(record: Record) -> Section:
    return _findings("### Also worth knowing\n\n", wording.advice(record))


def _findings(title: str, findings: Iterable[Finding]) -> Section:
    return Section(
        title,
        [_finding(finding) for finding in findings],
        lambda number: (
            f"- {wording.count(number, 'more finding')} left out: see plan.json in the artifacts.\n"
        ),
    )


def _finding(finding: Finding) -> str:
    word = {Severity.INFO: "Note"}.get(finding.severity, finding.severity.value.capitalize())
    subject = f" {_name(finding.subject)}" if finding.subject else ""
    where = f", at {_name(str(finding.location))}" if finding.location else ""
    hint = f"<br>**Hint:** {_message(finding.hint)}" if finding.hint else ""
    return f"- **{word}**{subject}: {_message(finding.message)} ({_name(finding.code)}{where}){hint}\n"


def _unknown(record: Record) -> Section:
    unknown = record.plan.unknown if record.plan else ()
    return Section(
        "### What could not be determined\n\n",
        [f"- **Unknown:** {_message(sentence)}\n" for sentence in unknown],
        lambda number: (
            f"- {wording.count(number, 'more unknown')} left out: see plan.json in the artifacts.\n"
        ),
    )


def _proof(record: Record) -> Section:
    return Section(
        "### What this run proved\n\n",
        [f"- **{_name(about)}:** {_message(sentence)}\n" for about, sentence in wording.proof(record)],
        lambda number: (
            f"- {wording.count(number, 'more line')} left out: see result.json in the artifacts.\n"
        ),
    )


def _table(record: Record) -> Section:
    shown = [row for row in wording.rows(record) if not row.is_quiet]
    columns = ["Effect", "Unit", "Wave", "Objects"]
    if record.result:
        columns.append("Result")
    columns.append("Why")
    return Section(
        "### Units\n\n" + _cells(columns) + _cells(["---"] * len(columns)),
        [_cells(_row(row, with_result=record.result is not None)) for row in shown],
        lambda number: f"\n{wording.count(number, 'more unit')} left out: see plan.json in the artifacts.\n",
    )


def _row(row: Row, *, with_result: bool) -> list[str]:
    action = row.action
    cells = [
        code(row.effect) if action else "",
        _name(row.name),
        str(action.order) if action else "",
        wording.tally(action) if action else "",
    ]
    if with_result:
        failed = row.result is not None and row.result.outcome is Outcome.FAILED
        cells.append(f"**{row.ending}**" if failed else row.ending)
    cells.append("<br>".join(_why(row)))
    return cells


def _why(row: Row) -> list[str]:
    reasons = _reasons(row.action) if row.action else []
    said = reasons[:_REASON_LIMIT]
    if len(reasons) > _REASON_LIMIT:
        said.append(f"and {wording.count(len(reasons) - _REASON_LIMIT, 'more reason')}")
    return said + [_message(remark) for remark in row.remarks]


def _reasons(action: PlannedAction) -> list[str]:
    """The unit's own reasons, or else those of its objects."""
    return [_reason(reason) for reason in action.all_reasons] or [
        f"{_name(change.identity)} {_reason(reason)}"
        for change, _ in wording.objects(action)
        for reason in change.reasons
    ]


def _reason(reason: Reason) -> str:
    where = f" ({_name(str(reason.location))})" if reason.location else ""
    return _message(wording.sentence(reason)) + where


def _picture(record: Record) -> Section:
    neighbourhood = dependencies.affected(record.plan)
    if not neighbourhood.edges:
        return Section("", [], str)
    number = len(neighbourhood.nodes)
    if (chart := dependencies.mermaid(neighbourhood)) is None:
        units = wording.count(number, "unit")
        picture = f"{units} are too many to be drawn here: see plan.json in the artifacts.\n"
    else:
        is_open = " open" if number <= _GLANCE_NODES else ""
        title = f"{wording.count(number, 'unit')} in the order in which they reconcile"
        picture = f"<details{is_open}><summary>{title}</summary>\n\n```mermaid\n{chart}```\n\n</details>\n"
    return Section(
        "### Dependencies\n\n",
        [picture],
        lambda _number: "The picture of the dependencies left out: see plan.json in the artifacts.\n",
    )


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _quiet(record: Record) -> Section:
    """The names of the units that nothing happens to, folded, in one block."""
    names = [row.name for row in wording.rows(record) if row.is_quiet]
    listed = ", ".join(map(_name, names[:_NAMES_LIMIT]))
    more = f" and {len(names) - _NAMES_LIMIT:,} more" if len(names) > _NAMES_LIMIT else ""
    title = wording.count(len(names), "unchanged unit")
    block = f"<details><summary>{title}</summary>\n\nUnchanged: {listed}{more}\n\n</details>\n"
    return Section(
        "", [block] if names else [], lambda _number: f"{title} left out: see plan.json in the artifacts.\n"
    )


def _diffs(record: Record) -> Section:
    return Section(
        "### Changes in detail\n\n",
        [_details(diff) for diff in _by_priority(record)],
        lambda number: f"{wording.count(number, 'diff')} left out: see plan.json in the artifacts.\n",
    )


def _by_priority(record: Record) -> list[_Diff]:
    """Every changed object: of failed units first, then the dangerous ones, then by change, in plan order."""
    failed = {result.name for result in wording.failures(record)}
    dangerous = {finding.subject for finding in wording.alarms(record) if finding.subject}
    by_change = {Change.REMOVE: 2, Change.CHANGE: 3, Change.ADD: 4}

    def priority(action: PlannedAction, change: ObjectChange) -> int:
        if action.name in failed:
            return 0
        if action.name in dangerous or change.identity in dangerous:
            return 1
        return by_change.get(change.change, 5)

    diffs = chain.from_iterable(
        [
            _Diff(priority(action, change), action, change, running)
            for change, running in wording.objects(action)
        ]
        for action in (record.plan.actions if record.plan else ())
    )
    return sorted(diffs, key=lambda diff: diff.priority)


def _details(diff: _Diff) -> str:
    change = diff.change
    urgent = diff.priority <= 1 and change.diff.count("\n") < _GLANCE_LINES
    where = ", as it runs" if diff.running else ""
    unit = html(wording.clipped(diff.action.name, _NAME_LIMIT))
    identity = html(wording.clipped(change.identity, _NAME_LIMIT))
    reasons = "".join(f"- {_reason(reason)}\n" for reason in change.reasons[:_REASON_LIMIT])
    body = fenced(change.diff, "diff") if change.diff else "No diff to show.\n"
    return (
        f"<details{' open' if urgent else ''}><summary>{html(wording.effect(change.change))} {identity}"
        f" in {unit}{where}</summary>\n\n{reasons}{chr(10) if reasons else ''}{body}\n</details>\n\n"
    )


def _fact(text: str) -> str:
    return code(wording.clipped(text, _FACT_LIMIT))


def _name(text: str) -> str:
    return code(wording.clipped(text, _NAME_LIMIT))


def _message(text: str) -> str:
    return prose(wording.clipped(text, _MESSAGE_LIMIT))
