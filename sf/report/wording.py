"""The words and the reading order that every report for people shares."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.models import (
    ActionKind,
    ActionResult,
    Change,
    Finding,
    LifecycleResult,
    ObjectChange,
    Outcome,
    Phase,
    PlannedAction,
    Reason,
    Record,
    Severity,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.models import Failure

SYMBOLS: Final = {
    Change.ADD: "+",
    Change.CHANGE: "~",
    Change.REMOVE: "-",
    Change.UNCHANGED: "=",
    Change.UNKNOWN: "?",
}
_PLANNED: Final = {
    Change.ADD: "to add",
    Change.CHANGE: "to change",
    Change.REMOVE: "to remove",
    Change.UNKNOWN: "unknown",
    Change.UNCHANGED: "unchanged",
}
_VERDICTS: Final = {
    Verdict.NO_CHANGES: "No changes",
    Verdict.CHANGES: "Changes",
    Verdict.INCOMPLETE: "Incomplete",
    Verdict.FAILED: "Failed",
}
_EXECUTED: Final = {**_VERDICTS, Verdict.NO_CHANGES: "Executed", Verdict.CHANGES: "Executed"}
_OUTCOMES: Final[Mapping[Outcome | None, str]] = {
    Outcome.FAILED: "failed",
    Outcome.INTERRUPTED: "interrupted",
    Outcome.NOT_REACHED: "not reached",
    Outcome.DONE: "done",
    Outcome.SUPERSEDED: "superseded",
    Outcome.UNCHANGED: "already up to date",
}
_ALARMS: Final = (Severity.ERROR, Severity.DANGER)
_HEXADECIMAL: Final = re.compile("[0-9a-f]{40,64}")
_URL: Final = re.compile(r"https?://[A-Za-z0-9./_~:?=&%#+-]{1,300}")
_MOST_LINKS: Final = 5
SHORT_IDENTIFIER: Final = 12
WORTH_NAMING: Final = 0.05
PLAN_ONLY: Final = "Planned only, nothing was executed."


@dataclass(frozen=True, slots=True)
class Row:
    """One unit as a table shows it: what was planned for it, and how that ended."""

    name: str
    action: PlannedAction | None
    result: ActionResult | None

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to say about the unit but its name."""
        action, result = self.action, self.result
        return (
            action is not None
            and action.effect is Change.UNCHANGED
            and not action.all_reasons
            and not objects(action)
            and (result is None or result.outcome is Outcome.UNCHANGED)
        )

    @property
    def effect(self) -> str:
        """Such as ``~ change``; empty when the plan does not know the unit."""
        return effect(self.action.effect) if self.action else ""

    @property
    def ending(self) -> str:
        """Such as ``done in 4.0 s``; empty when nothing was executed."""
        if self.result is None:
            return ""
        word = outcome(self.result)
        took = "in" if self.result.success else "after"
        return f"{word} {took} {seconds(self.result.duration)}" if self.result.duration else word

    @property
    def remarks(self) -> tuple[str, ...]:
        """What there is to say beyond the reasons, a sentence each."""
        remarks = []
        if self.action and not self.action.all_reasons and not objects(self.action):
            remarks.append(self.action.description)
        if self.action and self.action.action is ActionKind.REPORT:
            remarks.append("only reported, nothing is done about it")
        if self.result and self.result.message and self.result.outcome is not Outcome.FAILED:
            remarks.append(self.result.message)
        return tuple(filter(None, remarks))


@dataclass(frozen=True, slots=True)
class Figure:
    """So many of a kind: ``key`` is a `Change`, an `Outcome` or a `Severity`, ``words`` such as ``to add``."""

    key: str
    number: int
    words: str

    def __str__(self) -> str:
        return f"{self.number:,} {self.words}"


def headline(record: Record) -> str:
    """Verdict and counts in one line of our own words."""
    units = list(map(str, _units(record))) or _emptiness(record)
    told = ", ".join([*units, *map(str, _levels(record))])
    return f"{verdict(record)}: {told}" if told else verdict(record)


def verdict(record: Record) -> str:
    """The verdict as a reader finds it: what was planned, or how executing it ended."""
    if record.failure and not record.result:
        return f"Failed in {record.failure.phase.value}"
    if record.result is None:
        return _VERDICTS[record.verdict]
    return "Interrupted" if _interrupted(record) else _EXECUTED[record.verdict]


def figures(record: Record) -> list[Figure]:
    """The counts of units by what happens or happened to them, then those of errors and dangers."""
    return _units(record) + _levels(record)


def rows(record: Record) -> list[Row]:
    """Every unit in the order of the plan."""
    results = {result.name: result for result in record.result.actions} if record.result else {}
    planned = record.plan.actions if record.plan else ()
    known = [Row(action.name, action, results.pop(action.name, None)) for action in planned]
    return known + [Row(name, None, result) for name, result in results.items()]


def failures(record: Record) -> tuple[ActionResult, ...]:
    """The actions that failed by themselves, as opposed to those that were stopped or never begun."""
    actions = record.result.actions if record.result else ()
    return tuple(action for action in actions if action.outcome is Outcome.FAILED)


def untold_failure(record: Record) -> Failure | None:
    """What stopped the run, unless findings or failed actions tell it better."""
    failure = record.failure
    if failure is None:
        return None
    told_by_findings = failure.phase is Phase.PLAN and any(
        f.severity is Severity.ERROR for f in alarms(record)
    )
    told_by_actions = failure.phase is Phase.EXECUTE and failures(record)
    return None if told_by_findings or told_by_actions else failure


def alarms(record: Record) -> list[Finding]:
    """Errors, then dangers."""
    return _findings(record, _ALARMS)


def advice(record: Record) -> list[Finding]:
    """Warnings, then information."""
    return _findings(record, (Severity.WARNING, Severity.INFO))


def proof(record: Record) -> list[tuple[str, str]]:
    """What the run found out beyond its actions, as pairs of what it is about and a sentence."""
    return list(record.result.notes.items()) if record.result else []


def objects(action: PlannedAction) -> list[tuple[ObjectChange, bool]]:
    """The objects that change, each with whether that was seen running (True) or in the commits (False)."""
    running = action.live.objects if action.live else ()
    both = [(change, False) for change in action.objects] + [(change, True) for change in running]
    return [(change, live) for change, live in both if change.change is not Change.UNCHANGED]


def tally(action: PlannedAction) -> str:
    """Such as ``2 to change, 1 to remove``, counting objects."""
    return ", ".join(map(str, _tally(Counter(change.change.value for change, _ in objects(action)))))


def effect(change: Change) -> str:
    return f"{SYMBOLS[change]} {change.value}"


def outcome(result: ActionResult) -> str:
    return _OUTCOMES[result.outcome]


def sentence(reason: Reason) -> str:
    """Cause and message, such as ``drift: not running``."""
    told = reason.location and reason.location.path == reason.subject
    about = f" ({reason.subject})" if reason.subject not in reason.message and not told else ""
    return f"{reason.cause.value}: {reason.message}{about}"


def digest(record: Record) -> str:
    """The beginning of the change digest, enough for a person to compare; empty without a plan."""
    return short(record.plan.change_digest) if record.plan else ""


def facts(record: Record) -> list[tuple[str, str]]:
    """What the report is about, as pairs of our own word and a name."""
    named = [("", record.mode), ("with", record.backend)]
    if plan := record.plan:
        base = plan.base if plan.base != plan.commit else ""
        named += [("for", plan.target), ("at", short(plan.commit)), ("compared with", short(base))]
    return [(word, name) for word, name in named if name]


def links(record: Record) -> list[tuple[str, str]]:
    """Short names and URLs; what could be anything but a plain web address is left out."""
    named = list(record.links.items())[:_MOST_LINKS]
    return [(clipped(name, 20), url) for name, url in named if _URL.fullmatch(url)]


def short(identifier: str) -> str:
    """The beginning of a digest or commit id; any other name stays whole."""
    return identifier[:SHORT_IDENTIFIER] if _HEXADECIMAL.fullmatch(identifier) else identifier


def stop(record: Record) -> str:
    """Failed or interrupted: how to call what ended the run early."""
    return "interrupted" if _interrupted(record) else "failed"


def durations(record: Record) -> list[tuple[str, float]]:
    """The phases that took time worth naming, in seconds."""
    return [(phase, spent) for phase, spent in record.timings.items() if spent >= WORTH_NAMING]


def seconds(duration: float) -> str:
    """Such as ``4.0 s`` or ``2 min 05 s``."""
    if duration < 59.95:  # what rounds to 60.0 is a minute
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} min {rest:02} s"


def count(number: int, noun: str) -> str:
    return f"{number:,} {_plural(number, noun)}"


def clipped(text: str, limit: int) -> str:
    """`text` with at most `limit` characters, the last one an ellipsis if any were left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def tail(text: str, lines: int, characters: int) -> tuple[str, bool]:
    """The end of a tool's output, where the error stands, and whether anything before it was left out."""
    whole = text.strip("\r\n")
    end = "\n".join(whole.split("\n")[-lines:])[-characters:]
    return end, len(end) < len(whole)


def _interrupted(record: Record) -> bool:
    outcomes = {action.outcome for action in record.result.actions} if record.result else set()
    return Outcome.INTERRUPTED in outcomes and Outcome.FAILED not in outcomes


def _emptiness(record: Record) -> list[str]:
    if record.result:
        return ["nothing to do"]
    return ["no units"] if record.plan else []


def _units(record: Record) -> list[Figure]:
    if record.result:
        return _outcomes(record.result)
    return _tally(record.plan.counts) if record.plan else []


def _levels(record: Record) -> list[Figure]:
    seen = Counter(finding.severity for finding in alarms(record))
    return [Figure(level.value, seen[level], _plural(seen[level], level.value)) for level in seen]


def _tally(counts: Mapping[str, int]) -> list[Figure]:
    return [
        Figure(change.value, counts[change], words)
        for change, words in _PLANNED.items()
        if counts.get(change)
    ]


def _outcomes(result: LifecycleResult) -> list[Figure]:
    seen = Counter(action.outcome for action in result.actions)
    return [
        Figure(key.value, seen[key], words)
        for key, words in _OUTCOMES.items()
        if key is not None and seen[key]
    ]


def _plural(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


def _findings(record: Record, severities: tuple[Severity, ...]) -> list[Finding]:
    found = record.plan.findings if record.plan else ()
    return [finding for severity in severities for finding in found if finding.severity is severity]
