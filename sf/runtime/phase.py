"""The story of one run, from a configuration to a clean machine. Read this first.

Load is the caller's: it brings a `Config` and a `RuntimeContext`. Then

    resolve   which backend, and can it do what this run needs?
    validate  is everything there that the run will use?
    prepare   make what planning needs
    plan      say what would happen; a dry run ends here
    execute   do that, and only that
    report    tell it, whatever happened
    cleanup   leave nothing behind, whatever happened

A phase that fails skips the rest up to report. What was learned until then stays readable on the context.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sf.ci.context import Trust
from sf.models import (
    Interrupted,
    LifecyclePlan,
    LifecycleResult,
    Phase,
    PhaseEnded,
    PhaseStarted,
    PlanReady,
    Problem,
    Record,
    ResultReady,
    Severity,
)
from sf.runtime.capability import derive_required, validate_capabilities
from sf.runtime.errors import LifecycleError
from sf.runtime.registry import resolve_backend
from sf.runtime.steering import steer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sf.config import Config
    from sf.models import Event
    from sf.runtime.backend import LifecycleBackend
    from sf.runtime.context import RuntimeContext

    Reporter = Callable[[Record], None]


def run_lifecycle(
    config: Config,
    context: RuntimeContext,
    *,
    events: Callable[[Event], None] | None = None,
    reporters: Sequence[Reporter] = (),
) -> LifecycleResult | None:
    """Run every phase, in order, for any mode and any caller.

    `events` receives each event as it happens, in the thread it happens in; `reporters` are called with the
    `Record` of the run in phase report, also after a failure. Returns the result of execute, None after a dry run.

    Raises `LifecycleError` naming the phase that failed; `context.plan` and `context.result` hold what came
    before it.
    """
    run = _Run(config, context, events)
    try:
        run.forward()
        run.report(reporters)
    finally:
        run.cleanup()
    run.raise_what_went_wrong()
    return context.result


class _Run:
    """The state of one pass through the phases."""

    def __init__(
        self, config: Config, context: RuntimeContext, events: Callable[[Event], None] | None
    ) -> None:
        self._config = config
        self._context = context
        self._emit = context.emit = events or (lambda _event: None)
        self._phase = Phase.RESOLVE
        self._validated: LifecycleBackend | None = None
        self._error: LifecycleError | None = None
        self._stop: BaseException | None = None
        self._timings: dict[str, float] = {}

    def forward(self) -> None:
        """Resolve to execute. What fails is remembered, so that report and cleanup still have their turn."""
        context = self._context
        try:
            with self._entered(Phase.RESOLVE):
                # Secrets of a run that was killed do not wait for somebody to clean up.
                context.workspace.sweep()
                config, context.steering = steer(self._config, context)
                backend = resolve_backend(config.mode, config.backend)
                context.resolved.backend = backend
                validate_capabilities(backend, derive_required(config, context))
                _refuse_untrusted(context)
            with self._entered(Phase.VALIDATE):
                self._validated = backend
                backend.validate(config, context)
            with self._entered(Phase.PREPARE):
                backend.prepare(config, context)
            with self._entered(Phase.PLAN):
                plan = backend.plan(config, context)
                context.plan = plan = replace(plan, findings=(*context.steering, *plan.findings))
                self._emit(PlanReady(plan=plan))
                self._refuse_errors(plan)
                if context.approval:
                    context.approval.check(plan)
            if context.dry_run:
                return
            with self._entered(Phase.EXECUTE):
                context.result = result = backend.execute(plan, context)
                self._emit(ResultReady(result=result))
                self._refuse_failures(result)
        except BaseException as error:  # noqa: BLE001 - raised again when everything is cleaned up
            self._remember(error)

    def report(self, reporters: Sequence[Reporter]) -> None:
        with self._collected(Phase.REPORT):
            record = self._record()
            for reporter in reporters:
                reporter(record)

    def cleanup(self) -> None:
        context = self._context
        undo = context.resolved
        with self._collected(Phase.CLEANUP):
            # What is cleaned up may need programs again.
            context.launcher.resume()
            if backend := self._validated:
                # Added last it is called first: the backend lets go before what it stands on is removed.
                undo.add_cleanup(f"backend {backend.name}", lambda: backend.cleanup(context))
            if problems := undo.cleanup():
                hint = next((problem.hint for problem in problems if problem.hint), "")
                raise Problem("; ".join(map(str, problems)), hint=hint)

    def raise_what_went_wrong(self) -> None:
        if self._stop:
            raise self._stop from self._error
        if self._error:
            raise self._error

    @property
    def _name(self) -> str:
        backend = self._context.resolved.backend
        return backend.name if backend else ""

    @contextmanager
    def _entered(self, phase: Phase, emit: Callable[[Event], None] | None = None) -> Iterator[None]:
        """Announce and time `phase`; a `Problem` inside becomes its `LifecycleError`."""
        emit = emit or self._emit
        self._phase = phase
        emit(PhaseStarted(phase=phase))
        started = time.monotonic()
        error = ""
        try:
            yield
        except LifecycleError as problem:
            error = str(problem)
            raise
        except Problem as problem:
            error = str(problem)
            raise LifecycleError(phase, self._name, problem.message, problem) from problem
        except BaseException as stop:
            error = _last_words(stop)
            raise
        finally:
            self._timings[phase.value] = duration = time.monotonic() - started
            emit(PhaseEnded(phase=phase, duration=duration, error=error))

    @contextmanager
    def _collected(self, phase: Phase) -> Iterator[None]:
        """As `_entered`, for phases that follow a failure: theirs comes on top of it, never instead."""
        try:
            with self._entered(phase, self._announce):
                yield
        except BaseException as error:  # noqa: BLE001 - raised again when everything is cleaned up
            self._remember(error)

    def _announce(self, event: Event) -> None:
        """Emit `event`. A listener that fails is remembered; report and cleanup do their work all the same."""
        try:
            self._emit(event)
        except BaseException as error:  # noqa: BLE001 - raised again when everything is cleaned up
            self._remember(error)

    def _remember(self, error: BaseException) -> None:
        """Keep what went wrong until everything is cleaned up: the first as such, later ones on top of it."""
        if not isinstance(error, LifecycleError):
            # A signal, or a fault of ours: nothing more is started, and it is raised as it is. A fault that comes
            # on top of an earlier error does not take its place.
            self._context.launcher.cancel()
            if self._error is None or not isinstance(error, Exception):
                self._stop = self._stop or error
            error = LifecycleError(self._phase, self._name, _last_words(error), error)
        if self._error is None:
            self._error = error
        else:
            self._error.also += (error,)

    def _refuse_errors(self, plan: LifecyclePlan) -> None:
        errors = [finding for finding in plan.findings if finding.severity is Severity.ERROR]
        if errors:
            first = errors[0]
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise Problem(f"{first.message}{more}", hint=first.hint, location=first.location)

    def _refuse_failures(self, result: LifecycleResult) -> None:
        if result.failed:
            names = ", ".join(action.name for action in result.failed)
            raise Problem(
                f"{len(result.failed)} of {len(result.actions)} actions failed: {names}",
                hint=f"the first one said: {result.failed[0].message}" if result.failed[0].message else "",
            )

    def _record(self) -> Record:
        context = self._context
        return Record(
            mode=self._config.mode,
            backend=self._config.backend,
            dry_run=context.dry_run,
            plan=context.plan,
            result=context.result,
            failure=self._error.failure if self._error else None,
            timings=dict(self._timings),
            links=context.links,
        )


def _refuse_untrusted(context: RuntimeContext) -> None:
    """What anybody can cause may be planned, never executed."""
    if not context.dry_run and context.ci.trust is not Trust.TRUSTED:
        raise Problem(
            f"a {context.ci.event.value} event is not trusted here, so nothing is executed",
            hint="run `sf plan` on it; reconcile from a push to the default branch",
        )


def _last_words(stop: BaseException) -> str:
    if isinstance(stop, (Interrupted, KeyboardInterrupt)):
        return "the run was interrupted"
    return f"{type(stop).__name__}: {stop}"
