"""Doing what a plan says: hosts beside each other, the actions of one after each other."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sf.models import (
    ActionKind,
    ActionResult,
    ActionState,
    ActionUpdated,
    Change,
    LifecycleResult,
    Outcome,
    Problem,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sf.backends.compose.deploy import Deployment
    from sf.backends.compose.fleet import Fleet
    from sf.backends.compose.outlook import Outlook
    from sf.backends.compose.removal import Removal
    from sf.backends.compose.side import Side
    from sf.models import Event, LifecyclePlan, PlannedAction
    from sf.runtime.context import RuntimeContext


class Execution:
    """Carries out the plan that came to `outlook`."""

    def __init__(
        self,
        head: Side,
        outlook: Outlook,
        fleet: Fleet,
        context: RuntimeContext,
        *,
        deployment: Deployment,
        removal: Removal,
    ) -> None:
        self._head = head
        self._outlook = outlook
        self._fleet = fleet
        self._context = context
        self._deployment = deployment
        self._removal = removal
        self._telling = threading.Lock()

    def run(self, plan: LifecyclePlan) -> LifecycleResult:
        """An action of kind NONE that was seen running as planned counts as done; one that is unknown does not."""
        hosts: dict[str, list[PlannedAction]] = {}
        # What is taken down lets go of its ports and names, which another stack may want.
        for action in sorted(plan.actions, key=lambda one: (one.action is not ActionKind.REMOVE, one.order)):
            hosts.setdefault(action.metadata["host"], []).append(action)
        found = self._fleet.work(list(hosts.values()), self._carry_out_all)
        results = {result.name: result for results in found for result in results}
        return LifecycleResult(
            actions=tuple(results[action.name] for action in plan.actions if action.name in results)
        )

    def _carry_out_all(self, actions: Sequence[PlannedAction]) -> list[ActionResult]:
        """Carry out the actions of one host in their order; what depends on a failed one is not begun."""
        results: list[ActionResult] = []
        failed: dict[str, str] = {}
        for action in actions:
            blocked = next((name for name in action.depends_on if name in failed), None)
            if blocked and action.action is ActionKind.DEPLOY:
                result: ActionResult | None = self._not_reached(
                    action, f"{blocked} failed, and it depends on that"
                )
            else:
                result = self._carry_out(action)
            if result:
                results.append(result)
                if not result.success:
                    failed[action.name] = result.message
        return results

    def _carry_out(self, action: PlannedAction) -> ActionResult | None:
        if lost := self._fleet.failures.get(action.metadata["host"]):
            return self._not_reached(action, lost.message) if action.name in self._head.units else None
        match action.action:
            case ActionKind.DEPLOY:
                return self._deploy(action)
            case ActionKind.REMOVE:
                return self._remove(action)
            case ActionKind.REPORT if action.name not in self._outlook.orphans:
                return self._report(action)
        if action.live and action.live.effect is Change.UNCHANGED:
            gone = action.change is Change.REMOVE
            return self._ended(_unchanged(action, action.description if gone else "runs as planned already"))
        return None

    def _report(self, action: PlannedAction) -> ActionResult | None:
        if action.name in self._outlook.reported:
            return self._ended(_unchanged(action, action.description))
        return None if action.change is Change.REMOVE else self._not_reached(action, action.description)

    def _deploy(self, action: PlannedAction) -> ActionResult:
        sight = self._outlook.sights.get(action.name)
        if sight is None:
            return self._not_reached(action, "what runs there could not be seen when the plan was made")
        unit = self._head.units[action.name]
        view = self._fleet.view(unit.host)
        return self._attempt(action, lambda tell: self._deployment.deploy(unit, sight, view, on_line=tell))

    def _remove(self, action: PlannedAction) -> ActionResult:
        orphan = self._outlook.orphans[action.name]
        view = self._fleet.view(self._head.inventory.hosts[orphan.host])
        return self._attempt(
            action, lambda tell: self._removal.remove(action.name, orphan, view, on_line=tell)
        )

    def _attempt(
        self, action: PlannedAction, do: Callable[[Callable[[str], None]], ActionResult]
    ) -> ActionResult:
        """What `do` comes to; it is given where to tell what happens meanwhile."""
        self._tell(ActionUpdated(name=action.name, state=ActionState.STARTED, message=action.description))
        started = time.monotonic()

        def tell(line: str) -> None:
            self._tell(ActionUpdated(name=action.name, state=ActionState.WAITING, message=line.strip()))

        try:
            result = do(tell)
        except Problem as problem:
            result = ActionResult(
                name=action.name,
                success=False,
                outcome=Outcome.INTERRUPTED if self._context.launcher.is_cancelled else Outcome.FAILED,
                duration=time.monotonic() - started,
                message=problem.message,
                stderr=problem.hint,
            )
        return self._ended(result)

    def _not_reached(self, action: PlannedAction, why: str) -> ActionResult:
        return self._ended(
            ActionResult(name=action.name, success=False, outcome=Outcome.NOT_REACHED, message=why)
        )

    def _ended(self, result: ActionResult) -> ActionResult:
        self._tell(
            ActionUpdated(name=result.name, state=ActionState.ENDED, message=result.message, result=result)
        )
        return result

    def _tell(self, event: Event) -> None:
        """Emit `event`; listeners get one at a time."""
        with self._telling:
            self._context.emit(event)


def _unchanged(action: PlannedAction, message: str) -> ActionResult:
    return ActionResult(name=action.name, success=True, outcome=Outcome.UNCHANGED, message=message)
