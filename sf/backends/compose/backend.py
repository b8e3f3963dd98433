"""The compose backend: the lifecycle's six names, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.backends.compose.run import BACKEND, Run
from sf.models import Problem
from sf.runtime.capability import Capability

if TYPE_CHECKING:
    from sf.config import Config
    from sf.models import LifecyclePlan, LifecycleResult
    from sf.runtime.context import RuntimeContext


class ComposeBackend:
    """Plans and deploys compose stacks, on the machine it runs on and on hosts that are reached over ssh."""

    name = BACKEND
    capabilities = frozenset(
        {
            Capability.RECONCILE,
            Capability.DRY_RUN,
            Capability.IMPACT_ANALYSIS,
            Capability.PLAN_EXECUTE,
            Capability.STRUCTURED_PROGRESS,
        }
    )

    def __init__(self) -> None:
        self._run: Run | None = None

    def validate(self, config: Config, context: RuntimeContext) -> None:
        """Check programs, keys and, before executing, that stacks can be deployed to the hosts."""
        self._run = run = Run(config, context)
        run.check_programs()
        if not context.dry_run:
            run.check_hosts()

    def prepare(self, config: Config, context: RuntimeContext) -> None:  # noqa: ARG002 - made in validate
        """Read both states that are compared."""
        self._begun.read()

    def plan(self, config: Config, context: RuntimeContext) -> LifecyclePlan:  # noqa: ARG002 - made in validate
        """What a run would do. Hosts are only read, and only by a trusted run."""
        return self._begun.plan()

    def execute(self, plan: LifecyclePlan, context: RuntimeContext) -> LifecycleResult:  # noqa: ARG002
        """Deploy what the plan says is to be deployed: hosts beside each other, stacks of one in their order."""
        return self._begun.execute(plan)

    def cleanup(self, context: RuntimeContext) -> None:  # noqa: ARG002 - the run knows its own
        """Let go of the hosts. Files of the run go with the workspace."""
        if self._run:
            self._run.close()
            self._run = None

    @property
    def _begun(self) -> Run:
        if self._run is None:
            raise Problem("the compose backend was asked to work before it was validated")
        return self._run
