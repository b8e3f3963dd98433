"""The run as JUnit XML, which GitLab, Jenkins and others show as tests: one case for each unit.

What is unknown or was not reached is a skipped case, since it is neither good nor bad. A run that failed always
has a failed case.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from sf.models import Change, Outcome, Severity, Verdict
from sf.report import wording
from sf.report.escape import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sf.models import Finding, Record
    from sf.report.wording import Row

# Not characters of XML 1.0, and not among what `visible` spells out.
_NOT_XML: Final = re.compile("[\ufffe\uffff]")
_TAIL_LINES: Final = 200
_TAIL_CHARACTERS: Final = 20_000


def document(record: Record) -> bytes:
    """The content of ``junit.xml``."""
    suite = ET.Element("testsuite", name=_text(f"sf {record.mode} {record.backend}".strip()))
    for row in wording.rows(record):
        _add_case(suite, record, row)
    if record.verdict is Verdict.FAILED:
        _add_run(suite, record)
    figures = {
        "tests": len(suite),
        "failures": len(suite.findall("testcase/failure")),
        "skipped": len(suite.findall("testcase/skipped")),
        "errors": 0,
    }
    for name, figure in figures.items():
        suite.set(name, str(figure))
    suite.set("time", f"{sum(record.timings.values()):.3f}")
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    text = ET.tostring(suites, "unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _add_case(suite: ET.Element, record: Record, row: Row) -> None:
    seconds = row.result.duration if row.result else 0.0
    case = ET.SubElement(
        suite, "testcase", classname=suite.get("name", ""), name=_text(row.name), time=f"{seconds:.3f}"
    )
    errors = [finding for finding in _errors(record) if finding.subject == row.name]
    if row.result and row.result.outcome in (Outcome.FAILED, Outcome.INTERRUPTED):
        message = row.result.message or "no reason was given"
        output, _ = wording.tail(row.result.stderr, _TAIL_LINES, _TAIL_CHARACTERS)
        command = f"to repeat it: {row.result.command}" if row.result.command else ""
        _add(case, "failure", message, "\n".join(filter(None, (message, output, command))))
    elif errors:
        _add(case, "failure", errors[0].message, "\n".join(map(_told, errors)))
    elif row.result and row.result.outcome is Outcome.NOT_REACHED:
        _add(case, "skipped", row.result.message or "not reached")
    elif row.result is None and row.action and row.action.effect is Change.UNKNOWN:
        _add(case, "skipped", "unknown: what happens could not be determined")
    if lines := list(_about(row)):
        ET.SubElement(case, "system-out").text = _text("\n".join(lines))


def _add_run(suite: ET.Element, record: Record) -> None:
    """A case for what is not about one unit: what stopped the run, and errors about something else."""
    units = {row.name for row in wording.rows(record)}
    errors = [finding for finding in _errors(record) if finding.subject not in units]
    failure = wording.untold_failure(record)
    if not errors and not failure and suite.findall("testcase/failure"):
        return
    case = ET.SubElement(suite, "testcase", classname=suite.get("name", ""), name="the run", time="0.000")
    told = [f"{failure.phase.value}: {failure.message}"] if failure else []
    told += map(_told, errors)
    _add(case, "failure", (told or [wording.headline(record)])[0].split("\n")[0], "\n".join(told))


def _errors(record: Record) -> list[Finding]:
    return [finding for finding in wording.alarms(record) if finding.severity is Severity.ERROR]


def _told(finding: Finding) -> str:
    where = f"{finding.location}: " if finding.location else ""
    hint = f"\nhint: {finding.hint}" if finding.hint else ""
    return f"{where}{finding.message} [{finding.code}]{hint}"


def _about(row: Row) -> Iterator[str]:
    if row.action:
        yield wording.effect(row.action.effect)
        yield from (wording.sentence(reason) for reason in row.action.all_reasons)
        for change, _ in wording.objects(row.action):
            yield f"{wording.SYMBOLS[change.change]} {change.identity}"
    yield from row.remarks


def _add(case: ET.Element, kind: str, message: str, body: str = "") -> None:
    ET.SubElement(case, kind, message=_text(message)).text = _text(body) or None


def _text(text: str) -> str:
    return _NOT_XML.sub(lambda match: f"\\u{ord(match[0]):04x}", visible(text))
