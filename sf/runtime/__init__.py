"""The lifecycle: its vocabulary and its one entry, `run_lifecycle`.

This is sf's public API for programs that import it::

    from sf.runtime import InvokerType, RuntimeContext, run_lifecycle
"""

from sf.models import (
    ActionKind,
    ActionResult,
    ActionState,
    ActionUpdated,
    Change,
    Event,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    Outcome,
    Phase,
    PhaseEnded,
    PhaseStarted,
    PlannedAction,
    PlanReady,
    Record,
    ResultReady,
    Severity,
    Verdict,
)
from sf.runtime.backend import LifecycleBackend
from sf.runtime.capability import Capability, derive_required, has_capability, validate_capabilities
from sf.runtime.context import InvokerType, ResolvedState, RuntimeContext, detect_invoker
from sf.runtime.errors import LifecycleError
from sf.runtime.phase import run_lifecycle
from sf.runtime.registry import register, registered, resolve_backend

__all__ = [
    "ActionKind",
    "ActionResult",
    "ActionState",
    "ActionUpdated",
    "Capability",
    "Change",
    "Event",
    "Finding",
    "InvokerType",
    "LifecycleBackend",
    "LifecycleError",
    "LifecyclePlan",
    "LifecycleResult",
    "Outcome",
    "Phase",
    "PhaseEnded",
    "PhaseStarted",
    "PlanReady",
    "PlannedAction",
    "Record",
    "ResolvedState",
    "ResultReady",
    "RuntimeContext",
    "Severity",
    "Verdict",
    "derive_required",
    "detect_invoker",
    "has_capability",
    "register",
    "registered",
    "resolve_backend",
    "run_lifecycle",
    "validate_capabilities",
]
