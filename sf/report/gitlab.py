"""Reports that GitLab shows in a merge request: code quality from findings, the Terraform widget's counts.

Sources: docs.gitlab.com "Code Quality", "Report artifact types".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sf.models import Change, Severity, canonical_json, pretty_json
from sf.report import wording
from sf.report.escape import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.models import Finding, Location, Record

_SEVERITIES: Final[Mapping[Severity, str]] = {
    Severity.ERROR: "critical",
    Severity.DANGER: "major",
    Severity.WARNING: "minor",
    Severity.INFO: "info",
}


def code_quality(record: Record) -> bytes:
    """``codequality.json``: every finding that has a place in a file. GitLab cannot show others."""
    found = [*wording.alarms(record), *wording.advice(record)]
    issues = {}
    for finding in found:
        if finding.location:
            # Equal findings at several lines of a file are told apart by their number.
            number = 0
            while (fingerprint := _fingerprint(finding, number)) in issues:
                number += 1
            issues[fingerprint] = _issue(finding, finding.location, fingerprint)
    return pretty_json(list(issues.values()))


def _issue(finding: Finding, location: Location, fingerprint: str) -> dict[str, Any]:
    subject = f"{finding.subject}: " if finding.subject else ""
    hint = f" ({finding.hint})" if finding.hint else ""
    return {
        "check_name": one_line(finding.code),
        "description": one_line(f"{subject}{finding.message}{hint}"),
        "fingerprint": fingerprint,
        "severity": _SEVERITIES[finding.severity],
        "location": {"path": one_line(location.path), "lines": {"begin": max(location.line, 1)}},
    }


def _fingerprint(finding: Finding, number: int) -> str:
    """What makes a finding the same one in another commit. Not its line, which moves with every edit above."""
    path = finding.location.path if finding.location else ""
    facts = [finding.code, finding.subject, finding.message, path, number]
    return hashlib.sha256(canonical_json(facts)).hexdigest()


def terraform(record: Record) -> bytes | None:
    """``terraform.json``: how many units are created, updated and deleted; None when the run has no plan."""
    if record.plan is None:
        return None
    counts = record.plan.counts
    return pretty_json(
        {
            "create": counts[Change.ADD],
            "update": counts[Change.CHANGE],
            "delete": counts[Change.REMOVE],
        }
    )
