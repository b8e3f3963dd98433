"""One issue for each target that is not as its repository says, from the first run that sees it to the last.

Opened by a scheduled run that finds drift, kept up to date while it lasts, closed with a remark when it is gone. A
run that could not look at everything neither opens nor closes on a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.ci.context import EventKind, Trust
from sf.models import Problem, Verdict
from sf.report.comment import Run, marked, marker_of
from sf.report.escape import title
from sf.report.wording import clipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.ci.context import CIContext
    from sf.models import LifecyclePlan, Record
    from sf.report.comment import Marker
    from sf.report.forges.api import Forge, Issue

_TITLE_LIMIT: Final = 120
_NOTE: Final = (
    "**What is running is not what the default branch says.** This issue follows the scheduled runs, and is closed"
    " by the first one that finds no drift."
)
_GONE: Final = "The drift is gone: the last scheduled run found everything as the default branch says."
_TWICE: Final = "Another run opened an issue about the same drift a moment before, which stays."


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftIssue:
    """The issue that says how the target of a run drifted."""

    forge: Callable[[], Forge]
    ci: CIContext
    label: str = ""

    def show(self, record: Record) -> str:
        """Bring the issue up to date. Returns a warning, empty when all is well or there is nothing to do.

        `record` is scrubbed (`sf.report.scrubbing`). Only a trusted run on schedule knows what drift is.
        """
        ci, plan = self.ci, record.plan
        if ci.event is not EventKind.SCHEDULE or ci.trust is not Trust.TRUSTED or not plan or record.failure:
            return ""
        if not plan.has_changes and plan.verdict is not Verdict.NO_CHANGES:
            return ""
        try:
            return self._write(self.forge(), record, plan)
        except Problem as problem:
            hint = f"; {problem.hint}" if problem.hint else ""
            return f"the issue about drift is not up to date: {problem}{hint}. The reports have everything"

    def _write(self, forge: Forge, record: Record, plan: LifecyclePlan) -> str:
        body, mine = marked(
            record, label=self.label, run=Run.of(self.ci), limit=forge.limit, topic="drift", note=_NOTE
        )
        found = _of_the_same(forge.own_issues(), mine)
        newest = max((marker.run for _, marker in found), key=lambda run: run.number, default=None)
        if newest and mine.run.is_older_than(newest):
            return f"the issue about drift is of a newer run ({newest.number}) and stays as it is"
        if not plan.has_changes:
            for issue, _ in found:
                forge.close_issue(issue.number, _GONE)
        elif not found:
            forge.open_issue(_title(plan), body)
            self._close_later_ones(forge, mine)
        else:
            issue, marker = found[0]
            if marker.content != mine.content:
                forge.edit_issue(issue.number, body)
        return ""

    def _close_later_ones(self, forge: Forge, mine: Marker) -> None:
        """What two runs opened at the same time becomes one issue, whichever of them looks last."""
        for issue, _ in _of_the_same(forge.own_issues(), mine)[1:]:
            forge.close_issue(issue.number, _TWICE)


def _title(plan: LifecyclePlan) -> str:
    what = plan.target or plan.repository or plan.mode
    return f"Drift: {title(clipped(what, _TITLE_LIMIT))}"


def _of_the_same(issues: list[Issue], mine: Marker) -> list[tuple[Issue, Marker]]:
    """Those about the same target, the oldest first."""
    found = [(issue, marker_of(issue.body)) for issue in issues]
    return [
        (issue, marker)
        for issue, marker in found
        if marker and (marker.key, marker.target) == (mine.key, mine.target)
    ]
