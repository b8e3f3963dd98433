"""The nouns that everything else speaks of: problem, finding, plan, result, event, record.

Frozen values without behaviour beyond what follows from their own fields. This module imports nothing of sf,
so every other one may import it. Whatever becomes a document (``plan.json``) is defined here, once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - documents are read back by the types of these fields
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Final

PLAN_SCHEMA: Final = "sf.plan/v1"
RESULT_SCHEMA: Final = "sf.result/v1"

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file of the repository. ``line`` and ``column`` count from 1; 0 means unknown."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.path
        return f"{self.path}:{self.line}:{self.column}" if self.column else f"{self.path}:{self.line}"


class Problem(Exception):  # noqa: N818 - it names what the reader has, not that Python raised it
    """Something a person has to know about: what happened, where, and what to do about it.

    Every error that sf raises on purpose is one of these, and its text is the product: one sentence for
    ``message``, the place if there is one, and a ``hint`` that names the next step.
    """

    def __init__(self, message: str, *, hint: str = "", location: Location | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.location = location

    def __str__(self) -> str:
        return f"{self.location}: {self.message}" if self.location else self.message


class Interrupted(BaseException):
    """A signal asked this run to stop. A ``BaseException``, so that no handler of errors swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Phase(StrEnum):
    """The steps of one run, in their only order. Load is the caller's, cleanup always runs."""

    LOAD = "load"
    RESOLVE = "resolve"
    VALIDATE = "validate"
    PREPARE = "prepare"
    PLAN = "plan"
    EXECUTE = "execute"
    REPORT = "report"
    CLEANUP = "cleanup"


class Severity(StrEnum):
    """How much a finding matters. ``danger`` works as told but may hurt; ``error`` makes the plan fail."""

    INFO = "info"
    WARNING = "warning"
    DANGER = "danger"
    ERROR = "error"


class Change(StrEnum):
    """What happens to a unit or an object. ``unknown`` is never shown as ``unchanged``."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"


class ActionKind(StrEnum):
    """The verb of a planned action: what execute would do for the unit."""

    RECONCILE = "reconcile"
    DEPLOY = "deploy"
    REMOVE = "remove"
    REPORT = "report"
    NONE = "none"


class Cause(StrEnum):
    """Where a reason comes from: the commits, the live state, or another unit."""

    GIT = "git"
    DEPENDENCY = "dependency"
    DRIFT = "drift"
    ORPHAN = "orphan"


class Verdict(StrEnum):
    """The one word a reader sees first."""

    NO_CHANGES = "no-changes"
    CHANGES = "changes"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


class Outcome(StrEnum):
    """How one action ended."""

    DONE = "done"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    NOT_REACHED = "not-reached"
    INTERRUPTED = "interrupted"


_SUCCESSFUL: Final = frozenset({Outcome.DONE, Outcome.UNCHANGED, Outcome.SUPERSEDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something the reader should know that is not a change itself.

    ``code`` is a stable kebab-case identifier, ``subject`` the unit or object it is about.
    """

    code: str
    severity: Severity
    message: str
    subject: str = ""
    location: Location | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a unit is in the plan: a cause, the field or file it is about, and a sentence."""

    cause: Cause
    message: str
    subject: str = ""
    location: Location | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """What happens to one Kubernetes object or one compose service.

    ``diff`` is a unified diff without file headers, already masked; empty when there is nothing to show.
    """

    change: Change
    kind: str
    name: str
    group: str = ""
    namespace: str = ""
    diff: str = ""
    reasons: tuple[Reason, ...] = ()

    @property
    def identity(self) -> str:
        """``group/kind namespace/name``, leaving out what is empty."""
        kind = f"{self.group}/{self.kind}" if self.group else self.kind
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{kind} {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """What was observed for a unit, and what executing would therefore do to it."""

    effect: Change
    reasons: tuple[Reason, ...] = ()
    objects: tuple[ObjectChange, ...] = ()
    observed: Mapping[str, str] = field(default_factory=lambda: NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAction:
    """One unit (a Kustomization, a stack on a host) and what is to be done with it.

    ``change``, ``reasons`` and ``objects`` come from the compared commits alone: they are what a reviewer
    approves. What was seen running is apart, in ``live``. ``order`` is the wave, counted from 0;
    ``depends_on`` holds names of other actions or units. ``metadata`` is for the backend's own facts.
    """

    name: str
    description: str
    order: int
    action: ActionKind
    metadata: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    change: Change = Change.UNCHANGED
    reasons: tuple[Reason, ...] = ()
    objects: tuple[ObjectChange, ...] = ()
    depends_on: tuple[str, ...] = ()
    live: LiveState | None = None

    @property
    def effect(self) -> Change:
        """What happens to the unit: from what was observed where that is known, else from the commits."""
        return self.live.effect if self.live else self.change

    @property
    def all_reasons(self) -> tuple[Reason, ...]:
        return self.reasons + (self.live.reasons if self.live else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecyclePlan:
    """What one run would do, complete and canonical: equal inputs give equal bytes.

    ``contents`` holds what was compared as content ids (tree and blob ids, closure hashes), never commit ids.
    ``unknown`` holds what could not be determined, one sentence each; it makes the verdict ``incomplete``.
    ``dry_run`` says how this run was started; it is not part of the document.
    """

    mode: str
    backend: str
    actions: tuple[PlannedAction, ...] = ()
    dry_run: bool = False
    target: str = ""
    repository: str = ""
    commit: str = ""
    base: str = ""
    config_hash: str = ""
    tools: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    contents: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    fingerprint_key: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many units per `Change`, every one named."""
        seen = Counter(action.effect for action in self.actions)
        return {change.value: seen[change] for change in Change}

    @property
    def has_changes(self) -> bool:
        return any(self.counts[change] for change in (Change.ADD, Change.CHANGE, Change.REMOVE))

    @property
    def verdict(self) -> Verdict:
        if any(finding.severity is Severity.ERROR for finding in self.findings):
            return Verdict.FAILED
        if self.unknown or self.counts[Change.UNKNOWN]:
            return Verdict.INCOMPLETE
        return Verdict.CHANGES if self.has_changes else Verdict.NO_CHANGES

    @property
    def change_digest(self) -> str:
        """sha256 (hex) over what a reviewer approves: no live state, no commit ids, no tool versions."""
        approved = {
            "mode": self.mode,
            "backend": self.backend,
            "target": self.target,
            "config_hash": self.config_hash,
            "contents": self.contents,
            "actions": [
                {
                    "name": action.name,
                    "change": action.change,
                    "depends_on": action.depends_on,
                    "objects": action.objects,
                }
                for action in self.actions
                if action.change is not Change.UNCHANGED or action.reasons
            ],
        }
        return hashlib.sha256(canonical_json(approved)).hexdigest()

    @property
    def digest(self) -> str:
        """sha256 (hex) over the whole document but the digest itself."""
        return hashlib.sha256(canonical_json(self._document())).hexdigest()

    def document(self) -> dict[str, Any]:
        """The plan as it is saved in ``plan.json``: plain JSON values, both digests included."""
        return {**self._document(), "digest": self.digest}

    def _document(self) -> dict[str, Any]:
        fields: dict[str, Any] = plain(self)
        del fields["dry_run"]
        return {
            "schema": PLAN_SCHEMA,
            **fields,
            "counts": self.counts,
            "verdict": self.verdict.value,
            "change_digest": self.change_digest,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionResult:
    """How one action ended. ``duration`` in seconds; ``command`` is what a person would type to repeat it."""

    name: str
    success: bool
    duration: float = 0.0
    message: str = ""
    stderr: str = ""
    outcome: Outcome | None = None
    command: str = ""
    objects: tuple[ObjectChange, ...] = ()

    def __post_init__(self) -> None:
        outcome = self.outcome or (Outcome.DONE if self.success else Outcome.FAILED)
        if (outcome in _SUCCESSFUL) is not self.success:
            raise ValueError(f"{self.name}: success={self.success} contradicts outcome {outcome.value}")
        object.__setattr__(self, "outcome", outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleResult:
    """How every action ended, in the order of the plan."""

    actions: tuple[ActionResult, ...] = ()
    notes: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    @property
    def success(self) -> bool:
        return all(action.success for action in self.actions)

    @property
    def failed(self) -> tuple[ActionResult, ...]:
        return tuple(action for action in self.actions if not action.success)


class ActionState(StrEnum):
    """Where an action is while execute runs."""

    STARTED = "started"
    WAITING = "waiting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted:
    phase: Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnded:
    """A phase is over; ``duration`` in seconds, ``error`` empty when all went well."""

    phase: Phase
    duration: float
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanReady:
    plan: LifecyclePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionUpdated:
    name: str
    state: ActionState
    message: str = ""
    result: ActionResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultReady:
    result: LifecycleResult


Event = PhaseStarted | PhaseEnded | PlanReady | ActionUpdated | ResultReady


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What stopped a run, as a document may show it."""

    phase: Phase
    backend: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything a report is made of. Reports are pure functions of this one value.

    ``timings`` holds seconds per phase; ``links`` URLs by name (``run``, ``change``, ``commit``).
    """

    mode: str
    backend: str
    dry_run: bool
    plan: LifecyclePlan | None = None
    result: LifecycleResult | None = None
    failure: Failure | None = None
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    links: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    @property
    def verdict(self) -> Verdict:
        """A run that failed is never anything else than failed."""
        if self.failure or self.plan is None or (self.result and not self.result.success):
            return Verdict.FAILED
        return self.plan.verdict

    def result_document(self) -> dict[str, Any]:
        """The run as it is saved in ``result.json``."""
        return {
            "schema": RESULT_SCHEMA,
            "mode": self.mode,
            "backend": self.backend,
            "dry_run": self.dry_run,
            "verdict": self.verdict.value,
            "plan_digest": self.plan.digest if self.plan else None,
            "change_digest": self.plan.change_digest if self.plan else None,
            "actions": plain(self.result.actions) if self.result else [],
            "notes": plain(self.result.notes) if self.result else {},
            "failure": plain(self.failure),
            "timings": plain(self.timings),
            "links": plain(self.links),
        }


_SCALARS: Final = frozenset({str, int, bool, float, type(None)})


def plain(value: Any) -> Any:
    """`value` as JSON knows it: dataclasses and mappings become dicts, enums their values, tuples lists."""
    if type(value) in _SCALARS:
        # Nearly all there is. Enums may be texts as well, and have a type of their own.
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [plain(item) for item in value]
        return items if isinstance(value, (list, tuple)) else sorted(items)
    return value


def canonical_json(value: Any) -> bytes:
    """`value` in the one spelling that digests are made of: sorted keys, no blanks, UTF-8.

    Lone surrogates (bytes of a file name that are not UTF-8) become escapes, so every string has bytes.
    """
    return _encoded(value, separators=(",", ":"))


def pretty_json(value: Any) -> bytes:
    """`value` for people and files: sorted keys, two blanks, a final newline."""
    return _encoded(value, indent=2) + b"\n"


def _encoded(value: Any, **layout: Any) -> bytes:
    text = json.dumps(plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False, **layout)
    return text.encode("utf-8", "backslashreplace")
