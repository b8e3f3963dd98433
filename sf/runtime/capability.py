"""What a backend can do, and what a run needs of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from sf.models import Phase
from sf.runtime.errors import LifecycleError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sf.config import Config
    from sf.runtime.backend import LifecycleBackend
    from sf.runtime.context import RuntimeContext


class Capability(StrEnum):
    """Named abilities of a backend; a run that needs one it lacks ends before anything is touched."""

    RECONCILE = "reconcile"
    DRY_RUN = "dry-run"
    IMPACT_ANALYSIS = "impact-analysis"
    CLUSTER_AUTH = "cluster-auth"
    FORGE_AUTH = "forge-auth"
    STRUCTURED_PROGRESS = "structured-progress"
    PLAN_EXECUTE = "plan-execute"


def has_capability(backend: LifecycleBackend, capability: Capability) -> bool:
    return capability in backend.capabilities


def validate_capabilities(backend: LifecycleBackend, required: Iterable[Capability]) -> None:
    """Raise `LifecycleError` that names every missing capability, not only the first."""
    missing = [capability.value for capability in sorted(required) if not has_capability(backend, capability)]
    if missing:
        raise LifecycleError(
            Phase.RESOLVE,
            backend.name,
            f"the backend {backend.name} lacks what this run needs: {', '.join(missing)}",
            hint="run `sf plan`, which needs less, or choose a backend that offers it"
            if Capability.RECONCILE in required
            else "choose a backend that offers it",
        )


def derive_required(config: Config, context: RuntimeContext) -> frozenset[Capability]:
    """What this run asks of its backend.

    Every run plans. One that executes also needs `RECONCILE` and `PLAN_EXECUTE`, and `CLUSTER_AUTH` when it talks
    to a cluster; the rest follows from what the context asks for.
    """
    required = {Capability.DRY_RUN, Capability.IMPACT_ANALYSIS}
    if not context.dry_run:
        required |= {Capability.RECONCILE, Capability.PLAN_EXECUTE}
        if config.mode == "gitops":
            required.add(Capability.CLUSTER_AUTH)
    if context.writes_to_forge:
        required.add(Capability.FORGE_AUTH)
    if context.live_progress:
        required.add(Capability.STRUCTURED_PROGRESS)
    return frozenset(required)
