"""Backends that do nothing but what the protocol asks, and keep a diary of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from sf.models import (
    ActionKind,
    ActionResult,
    ActionState,
    ActionUpdated,
    Change,
    LifecyclePlan,
    LifecycleResult,
    Phase,
    PlannedAction,
)
from sf.runtime import Capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.config import Config
    from sf.models import Finding
    from sf.runtime import RuntimeContext

EVERYTHING = frozenset(Capability)


@dataclass
class Fake:
    """Plans one change and makes it. In the phases of `faults` it raises what is there instead."""

    diary: list[str] = field(default_factory=list)
    faults: dict[Phase, BaseException] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    results: tuple[ActionResult, ...] = (ActionResult(name="apps", success=True),)
    during: dict[Phase, Callable[[RuntimeContext], None]] = field(default_factory=dict)
    name: str = "fake"
    capabilities: frozenset[Capability] = EVERYTHING

    def validate(self, config: Config, context: RuntimeContext) -> None:
        self._enter(Phase.VALIDATE, context)
        assert config.backend == self.name

    def prepare(self, config: Config, context: RuntimeContext) -> None:
        assert config.backend == self.name
        for piece in ("first", "second"):
            context.resolved.add_cleanup(piece, partial(self.diary.append, f"undo {piece}"))
        context.workspace.write_private("token", b"correct-horse")
        self._enter(Phase.PREPARE, context)

    def plan(self, config: Config, context: RuntimeContext) -> LifecyclePlan:
        self._enter(Phase.PLAN, context)
        action = PlannedAction(
            name="apps", description="", order=0, action=ActionKind.RECONCILE, change=Change.CHANGE
        )
        return LifecyclePlan(
            mode=config.mode,
            backend=self.name,
            actions=(action,),
            findings=self.findings,
            dry_run=context.dry_run,
        )

    def execute(self, plan: LifecyclePlan, context: RuntimeContext) -> LifecycleResult:
        assert plan is context.plan
        context.emit(ActionUpdated(name="apps", state=ActionState.STARTED))
        self._enter(Phase.EXECUTE, context)
        return LifecycleResult(actions=self.results)

    def cleanup(self, context: RuntimeContext) -> None:
        self._enter(Phase.CLEANUP, context)

    def _enter(self, phase: Phase, context: RuntimeContext) -> None:
        self.diary.append(phase.value)
        if act := self.during.get(phase):
            act(context)
        if fault := self.faults.get(phase):
            raise fault
