"""What is being done right now, for a person who looks on: a line for each action at work, and one of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sf.console import Mark, styled
from sf.models import ActionKind, ActionState
from sf.report.terminal import cell

if TYPE_CHECKING:
    from sf.models import ActionUpdated, LifecyclePlan

# Together with the line of figures they leave room on any terminal.
_MOST_LINES: Final = 12
_WIDEST_NAME: Final = 40
_GAP: Final = "  "


class Board:
    """The actions of one plan while they are carried out."""

    def __init__(self, plan: LifecyclePlan) -> None:
        self._waiting = {action.name for action in plan.actions if action.action is not ActionKind.NONE}
        self._planned = len(self._waiting)
        self._at_work: dict[str, str] = {}
        self._ended = self._failed = 0

    def update(self, event: ActionUpdated) -> None:
        if event.state is ActionState.ENDED:
            self._at_work.pop(event.name, None)
            self._ended += event.name in self._waiting
            self._failed += event.result is not None and not event.result.success
        elif event.state is ActionState.STARTED:
            # What it is started with has its place in the log, and not here.
            self._at_work[event.name] = "begins"
        else:
            self._at_work[event.name] = event.message

    def lines(self, width: int) -> list[str]:
        """What there is to show, in lines of at most `width` columns."""
        names = sorted(self._at_work)
        shown = names[:_MOST_LINES]
        column = min(max(map(len, shown), default=0), _WIDEST_NAME, width // 2)
        rest = max(width - column - 2 * len(_GAP), 0)
        lines = [
            f"{_GAP}{styled(cell(name, column), Mark.BOLD)}{_GAP}{cell(self._at_work[name], rest).rstrip()}"
            for name in shown
        ]
        more = f", {len(names) - len(shown)} more of them not shown" if len(names) > len(shown) else ""
        failed = f", {self._failed} not well" if self._failed else ""
        figures = f"{self._ended} of {self._planned} ended{failed}, {len(names)} at work{more}"
        return [*lines, styled(cell(figures, width).rstrip(), Mark.DIM)]
