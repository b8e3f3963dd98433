"""The board of what is at work."""

from __future__ import annotations

from sf.console import display_width, unstyled
from sf.models import ActionKind, ActionResult, ActionState, ActionUpdated, LifecyclePlan, PlannedAction
from sf.report.progress import Board


def board(*names: str) -> Board:
    actions = tuple(
        PlannedAction(name=name, description="", order=0, action=ActionKind.RECONCILE) for name in names
    )
    left_alone = PlannedAction(name="alone", description="", order=0, action=ActionKind.NONE)
    return Board(LifecyclePlan(mode="gitops", backend="flux", actions=(*actions, left_alone)))


def update(shown: Board, name: str, state: ActionState, message: str = "", *, success: bool = True) -> None:
    result = ActionResult(name=name, success=success) if state is ActionState.ENDED else None
    shown.update(ActionUpdated(name=name, state=state, message=message, result=result))


def lines(shown: Board, width: int = 60) -> list[str]:
    return [unstyled(line) for line in shown.lines(width)]


def test_who_is_at_work_and_how_many_are_done() -> None:
    shown = board("apps/a", "apps/bb", "apps/c")
    assert lines(shown) == ["0 of 3 ended, 0 at work"]
    update(shown, "apps/bb", ActionState.STARTED, "kubectl annotate …")
    update(shown, "apps/a", ActionState.WAITING, "waits for its source")
    assert lines(shown) == ["  apps/a   waits for its source", "  apps/bb  begins", "0 of 3 ended, 2 at work"]
    update(shown, "apps/a", ActionState.ENDED)
    update(shown, "apps/c", ActionState.ENDED, success=False)
    update(shown, "alone", ActionState.ENDED)
    assert lines(shown) == ["  apps/bb  begins", "2 of 3 ended, 1 not well, 1 at work"]


def test_it_stays_within_any_terminal() -> None:
    shown = board(*(f"namespace/{number:03}{'x' * 60}" for number in range(100)))
    for number in range(100):
        update(shown, f"namespace/{number:03}{'x' * 60}", ActionState.WAITING, "漢字 " * 50)
    for width in (20, 60, 200):
        made = lines(shown, width)
        assert len(made) == 13
        assert all(display_width(line) <= width for line in made)
    assert lines(shown, 100)[-1] == "0 of 100 ended, 100 at work, 88 more of them not shown"
