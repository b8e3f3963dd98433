"""What planning came to: actions, what was seen, what is to be said beside it, and what could not be known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sf.models import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sf.backends.compose.live import Sight
    from sf.backends.compose.orphans import Orphan
    from sf.models import PlannedAction, Problem


@dataclass(kw_only=True)
class Outlook:
    """``sights`` by action, for those that can be executed here.

    ``orphans``: by action. ``reported``: actions that only say what somebody changed on the host.
    """

    actions: list[PlannedAction] = field(default_factory=list)
    sights: dict[str, Sight] = field(default_factory=dict)
    orphans: Mapping[str, Orphan] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    unknown: dict[str, None] = field(default_factory=dict)

    def find_new(self, code: str, subject: str, problem: Problem) -> None:
        """Add an error of the state to come, once."""
        known = {(finding.code, finding.message) for finding in self.findings}
        if (code, problem.message) not in known:
            self.find(code, Severity.ERROR, subject, problem)

    def find(self, code: str, severity: Severity, subject: str, problem: Problem) -> None:
        """Add `problem` as a finding about `subject`."""
        self.findings.append(
            Finding(
                code=code,
                severity=severity,
                message=problem.message,
                subject=subject,
                location=problem.location,
                hint=problem.hint,
            )
        )

    def note(self, subjects: Iterable[str], why: str) -> None:
        """Add that it is unknown what runs on each of `subjects`."""
        self.unknown |= dict.fromkeys(f"what runs on {one} is unknown: {why}" for one in sorted(subjects))
