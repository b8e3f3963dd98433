"""Which changed object a reader has to see first, for where there is not room for every diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sf.models import Change, ObjectChange, PlannedAction
from sf.report import wording

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.models import Record

_FAILED: Final = 0
_DANGEROUS: Final = 1
_BY_CHANGE: Final[Mapping[Change, int]] = {Change.REMOVE: 2, Change.CHANGE: 3, Change.ADD: 4}
_ANY_OTHER: Final = 5


class Diff(NamedTuple):
    """One changed object of a unit, and whether that was seen running. The lowest ``priority`` matters most.

    ``place`` is the number of the unit in the plan and that of the object among the changed ones of the unit.
    """

    priority: int
    place: tuple[int, int]
    action: PlannedAction
    change: ObjectChange
    running: bool

    @property
    def is_urgent(self) -> bool:
        """Whether the unit failed, or something about it or the object is dangerous."""
        return self.priority <= _DANGEROUS


def by_priority(record: Record) -> list[Diff]:
    """Every changed object: of failed units first, then the dangerous ones, then by change, in plan order."""
    failed = {result.name for result in wording.failures(record)}
    dangerous = {finding.subject for finding in wording.alarms(record) if finding.subject}

    def priority(action: PlannedAction, change: ObjectChange) -> int:
        if action.name in failed:
            return _FAILED
        if action.name in dangerous or change.identity in dangerous:
            return _DANGEROUS
        return _BY_CHANGE.get(change.change, _ANY_OTHER)

    diffs = [
        Diff(priority(action, change), (unit, number), action, change, running)
        for unit, action in enumerate(record.plan.actions if record.plan else ())
        for number, (change, running) in enumerate(wording.objects(action))
    ]
    return sorted(diffs, key=lambda diff: diff.priority)
