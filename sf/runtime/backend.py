"""What a backend is: six names that the lifecycle calls in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sf.config import Config
    from sf.models import LifecyclePlan, LifecycleResult
    from sf.runtime.capability import Capability
    from sf.runtime.context import RuntimeContext


class LifecycleBackend(Protocol):
    """One way to bring a repository's desired state to life. A new instance serves each run.

    The rules, which the contract suite holds every registered backend to:

    - it never writes to stdout or stderr: it emits events and returns values;
    - it never changes global state: environment, working directory, HOME, umask, signal handlers, the user's
      kubeconfig or docker context;
    - it registers whatever is ephemeral with ``context.resolved.add_cleanup``;
    - `plan` is deterministic: equal inputs give equal bytes;
    - `execute` is idempotent: a second run changes nothing.

    Every method may raise `sf.models.Problem`; the lifecycle adds the phase.
    """

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    def validate(self, config: Config, context: RuntimeContext) -> None:
        """Check everything that can be checked without changing anything: programs, versions, configuration."""

    def prepare(self, config: Config, context: RuntimeContext) -> None:
        """Make what planning needs: private files, connections, materialised content."""

    def plan(self, config: Config, context: RuntimeContext) -> LifecyclePlan:
        """Say what a run would do. Reads only, and never executes code from the repository."""
        ...

    def execute(self, plan: LifecyclePlan, context: RuntimeContext) -> LifecycleResult:
        """Do what `plan`, made by this same instance, says, and report how each action ended.

        A failed action is a result, not an exception: the others still have theirs.
        """
        ...

    def cleanup(self, context: RuntimeContext) -> None:
        """Let go of what the instance holds. Called whenever `validate` was entered, whatever happened since."""
