"""Findings and failures as annotations, which GitHub shows beside the lines they are about.

GitHub keeps ten of each level for a step (toolkit, docs/problem-matchers.md), and 4,096 characters of a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.models import Severity
from sf.report import wording
from sf.report.escape import one_line
from sf.report.wording import clipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.models import Finding, Record

MOST_OF_A_LEVEL: Final = 10
_TEXT_LIMIT: Final = 4_000
_TITLE_LIMIT: Final = 200
_LEVELS: Final[Mapping[Severity, str]] = {
    Severity.ERROR: "error",
    Severity.DANGER: "warning",
    Severity.WARNING: "warning",
    Severity.INFO: "notice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A remark at a place. ``level`` is error, warning or notice; ``properties`` those of a workflow command."""

    level: str
    text: str
    properties: Mapping[str, str]


def annotate(record: Record) -> list[Annotation]:
    """At most ten of each level, the worst first; the last one says how many more there are."""
    levels: dict[str, list[Annotation]] = {}
    for annotation in _all(record):
        levels.setdefault(annotation.level, []).append(annotation)
    return [annotation for level in levels.values() for annotation in _limited(level)]


def _all(record: Record) -> Iterator[Annotation]:
    if failure := wording.untold_failure(record):
        hint = f" Hint: {failure.hint}" if failure.hint else ""
        yield _annotation("error", failure.message + hint, {"title": f"sf: {failure.phase.value} failed"})
    for result in wording.failures(record):
        yield _annotation(
            "error", result.message or "no reason was given", {"title": f"{result.name} failed"}
        )
    for finding in (*wording.alarms(record), *wording.advice(record)):
        yield _of(finding)


def _of(finding: Finding) -> Annotation:
    properties = {"title": f"{finding.severity.value}: {finding.code}"}
    if location := finding.location:
        properties["file"] = location.path
        properties |= {"line": str(location.line)} if location.line else {}
        properties |= {"col": str(location.column)} if location.column else {}
    subject = f"{finding.subject}: " if finding.subject else ""
    hint = f" Hint: {finding.hint}" if finding.hint else ""
    return _annotation(_LEVELS[finding.severity], f"{subject}{finding.message}{hint}", properties)


def _annotation(level: str, text: str, properties: Mapping[str, str]) -> Annotation:
    return Annotation(
        level=level,
        text=clipped(one_line(text), _TEXT_LIMIT),
        properties={name: clipped(one_line(value), _TITLE_LIMIT) for name, value in properties.items()},
    )


def _limited(found: list[Annotation]) -> list[Annotation]:
    if len(found) <= MOST_OF_A_LEVEL:
        return found
    kept = found[: MOST_OF_A_LEVEL - 1]
    more = f"{len(found) - len(kept)} more of this level: see the summary of the job"
    return [*kept, Annotation(level=kept[0].level, text=more, properties={})]
