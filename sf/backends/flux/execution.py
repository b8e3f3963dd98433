"""Brings Kustomizations to the planned commit: each asked once all that it depends on is there, and then watched.

What an action waits for is decided here, in one thread; nothing is polled. A Kustomization that fails stops those
that depend on it, and nobody else.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sf.backends.flux.blockers import Prospect, find_blocker
from sf.backends.flux.requests import ask, kustomizations, new_request, shown, target_of
from sf.backends.flux.revision import Relation
from sf.backends.flux.state import State
from sf.backends.flux.verdict import Standing, Verdict, Wanted, judge
from sf.models import ActionResult, ActionState, ActionUpdated, Outcome, Problem
from sf.process import Cancelled
from sf.tools.kubectl import Passing
from sf.tools.kubernetes import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sf.backends.flux.revision import Lineage
    from sf.backends.flux.sources import Sources
    from sf.backends.flux.unit import Limits, Unit
    from sf.backends.flux.watcher import Watcher
    from sf.models import Event
    from sf.tools.kubectl import Kubectl

# Seconds. What should be there by now may be on its way to us.
GRACE: Final = 10.0
# Seconds that credentials may be refused: an API server that starts does not know everybody at once.
LOCKED_OUT: Final = 30.0
# Between two requests of the same object.
_PAUSE: Final = 2.0
# The longest wait for news, so that deadlines and the end of the run are noticed.
_TICK: Final = 0.5


_STOPPED: Final = "the run was stopped; Flux goes on by itself"
# What kustomize-controller says of the one step that takes its time.
_CHECKING: Final = "Running health checks"


@dataclass(slots=True)
class _Work:
    """What is known of a unit that has not ended."""

    unit: Unit
    # Where it stood when the run began.
    before: State | None
    was_there: bool = False
    begun: float = 0.0
    wanted: Wanted = field(default_factory=Wanted)
    asked_at: float = 0.0
    problem: Problem | None = None
    told: str = ""


class Execution:
    """One pass over some units, given so that each stands behind those it waits for."""

    def __init__(
        self,
        units: Iterable[Unit],
        *,
        watcher: Watcher,
        sources: Sources,
        kubectl: Kubectl,
        lineage: Lineage,
        limits: Limits,
        emit: Callable[[Event], None],
        evidence: Callable[[State, Verdict], str],
        is_cancelled: Callable[[], bool],
    ) -> None:
        """`evidence` finds out what is behind a failure, as text for people. It may raise `NoAnswer`."""
        self._watcher = watcher
        self._sources = sources
        self._kubectl = kubectl
        self._lineage = lineage
        self._limits = limits
        self._emit = emit
        self._evidence = evidence
        self._is_cancelled = is_cancelled
        self._units = {unit.node.id: unit for unit in units}
        self._open: dict[str, _Work] = {}
        self._until = time.monotonic() + limits.run
        self._locked_out = 0.0
        self._is_silent = False
        self._at_work = 0
        self.results: dict[str, ActionResult] = {}
        for unit in self._units.values():
            self._open[unit.node.id] = self._first_look(unit)

    def run(self) -> None:
        """Work until every unit has its result. Raises `Cancelled` when the run is told to stop."""
        try:
            while self._open:
                self._refuse_if_cancelled()
                self._pass()
                if self._open:
                    self._watcher.wait(_TICK)
        except BaseException:
            for work in list(self._open.values()):
                self._interrupt(work)
            raise

    def _refuse_if_cancelled(self) -> None:
        if self._is_cancelled():
            raise Cancelled(_STOPPED)

    def _first_look(self, unit: Unit) -> _Work:
        before = self._state(unit.node.id)
        work = _Work(unit, before)
        if before:
            work.wanted = Wanted(before=before.condition("Ready"))
        if unit.gone:
            work.was_there = before is None
        else:
            work.was_there = self._judge(work).standing is Standing.THERE
        return work

    def _pass(self) -> None:
        """Look at everything that is not held up by something else, and ask what is to be asked, in few calls."""
        needed = {
            work.unit.source
            for work in self._open.values()
            if work.unit.source and (self._limits.force or not work.was_there)
        }
        self._sources.step(needed)
        before = -1
        to_ask: list[_Work] = []
        while before != len(self._open):
            before = len(self._open)
            to_ask = [work for work in list(self._open.values()) if self._is_free(work) and self._look(work)]
        if to_ask:
            self._ask(to_ask)

    def _is_free(self, work: _Work) -> bool:
        """Whether nothing that `work` waits for is in its way; with its begin, if this is it."""
        if work.begun:
            return True
        if not self._is_awaited(work) or not self._is_defined(work):
            return False
        if time.monotonic() >= self._until:
            self._end(work, Outcome.NOT_REACHED, f"not reached: the run may take {self._limits.run:g} s")
            return False
        if self._at_work >= self._limits.concurrency:
            return False
        self._at_work += 1
        work.begun = time.monotonic()
        return True

    def _is_awaited(self, work: _Work) -> bool:
        """Whether all that `work` depends on is there; it ends when something of that cannot be."""
        for name in sorted(work.unit.after):
            result = self.results.get(name)
            if result is None:
                return False
            if not result.success:
                self._end(work, Outcome.NOT_REACHED, f"not reached: dependency {name} {_fate(result)}")
                return False
        return True

    def _is_defined(self, work: _Work) -> bool:
        """Whether the unit that brings `work` in its new form has done so, be it not healthy itself yet."""
        definer = work.unit.definer
        if definer is None:
            return True
        result, state = self.results.get(definer), self._state(definer)
        if result and result.success:
            return True
        if state and state.attempted and state.attempted == self._offered(definer) and state.checks_health:
            return True
        if result:
            self._end(work, Outcome.NOT_REACHED, f"not reached: {definer}, which defines it, {_fate(result)}")
        return False

    def _offered(self, name: str) -> str:
        """The revision of the planned commit that the source of the unit `name` offers."""
        source = self._units[name].source
        return self._sources.accepted(source) if source else ""

    def _look(self, work: _Work) -> bool:
        """Whether `work` is to be asked now. Ends it when there is no more to come."""
        state, verdict = self._state(work.unit.node.id), self._judge(work)
        asks = self._decide(work, state, verdict)
        if work.unit.node.id in self._open:
            self._look_at_clock(work, state, verdict)
        return asks and work.unit.node.id in self._open

    def _decide(self, work: _Work, state: State | None, verdict: Verdict) -> bool:
        if work.unit.gone:
            self._look_if_gone(work, verdict)
        elif verdict.standing is Standing.THERE and (work.wanted.request or not self._limits.force):
            self._end(work, Outcome.UNCHANGED if self._untouched(work) else Outcome.DONE, verdict.message)
        elif verdict.standing is Standing.SUSPENDED:
            self._end(work, Outcome.UNCHANGED, verdict.message)
        elif not self._held_up_by_source(work) and not self._held_up_by_problem(work):
            if work.wanted.request:
                return self._continue(work, state, verdict)
            if verdict.standing not in {Standing.MISSING, Standing.DELETING}:
                return True
            self._patient(work, verdict, GRACE)
        return False

    def _untouched(self, work: _Work) -> bool:
        return work.was_there and not work.wanted.request

    def _look_if_gone(self, work: _Work, verdict: Verdict) -> None:
        if verdict.standing is Standing.MISSING:
            outcome = Outcome.UNCHANGED if work.was_there else Outcome.DONE
            self._end(work, outcome, "is gone from the cluster")
        else:
            self._tell(
                work, verdict.message if verdict.standing is Standing.DELETING else "is not pruned yet"
            )

    def _held_up_by_source(self, work: _Work) -> bool:
        """Whether the source decides, or does not let begin, what becomes of `work`."""
        if work.unit.source is None:
            return False
        verdict = self._sources.verdict(work.unit.source)
        match verdict.standing:
            case Standing.THERE:
                return False
            case Standing.SUPERSEDED:
                self._end(work, Outcome.SUPERSEDED, verdict.message)
            case Standing.MISSING:
                self._patient(work, verdict, GRACE)
            case Standing.UNDERWAY:
                self._tell(work, f"waits for {verdict.message}")
            case _:
                self._fail(work, verdict)
        return True

    def _held_up_by_problem(self, work: _Work) -> bool:
        """Whether the last request could not be made; one that can be made again is."""
        problem = work.problem
        if problem is None:
            return False
        if not isinstance(problem, Passing):
            self._end(work, Outcome.FAILED, problem.message, problem.hint)
        elif time.monotonic() >= work.asked_at + _PAUSE:
            work.problem = None
            return False
        else:
            self._tell(work, f"cannot be asked yet: {problem}")
        return True

    def _continue(self, work: _Work, state: State | None, verdict: Verdict) -> bool:
        """Whether `work`, which was asked before, is to be asked again."""
        match verdict.standing:
            case Standing.FAILED:
                self._fail(work, verdict)
            case Standing.MISSING | Standing.DELETING:
                gone = Verdict(
                    standing=verdict.standing, message=f"{verdict.message}, while it was waited for"
                )
                self._fail(work, gone)
            case Standing.STALE:
                return time.monotonic() >= work.asked_at + _PAUSE
            case Standing.BLOCKED:
                assert state is not None  # noqa: S101 - something said so
                blocker = find_blocker(state, work.wanted.revision, self._state)
                if blocker.prospect is Prospect.AGAIN:
                    return time.monotonic() >= work.asked_at + _PAUSE
                if blocker.prospect is Prospect.NEVER:
                    self._end(work, Outcome.NOT_REACHED, f"not reached: dependency {blocker.message}")
                else:
                    self._tell(work, f"waits for {blocker.message}")
            case Standing.ELSEWHERE if state and state.applied_commit:
                if self._lineage.relation(state.applied_commit) is Relation.NEWER:
                    self._end(work, Outcome.SUPERSEDED, f"superseded by {state.applied_commit}")
            case _ if verdict.message.startswith(_CHECKING):
                self._tell(work, verdict.message)
            case _:
                self._tell(work, "is being reconciled")
        return False

    def _look_at_clock(self, work: _Work, state: State | None, verdict: Verdict) -> None:
        now = time.monotonic()
        if locked_out := self._refusal(now):
            self._end(work, Outcome.FAILED, locked_out.message, locked_out.hint)
        elif now >= self._until:
            self._late(work, state, verdict, f"the run may take {self._limits.run:g} s")
        elif now >= work.begun + self._limits.action:
            self._late(work, state, verdict, f"not there after {self._limits.action:g} s")

    def _late(self, work: _Work, state: State | None, verdict: Verdict, why: str) -> None:
        trouble = next(iter(self._watcher.trouble.values()), None)
        request = work.wanted.request
        if trouble:
            message, hint = f"{why}: {trouble}", trouble.hint
        elif work.told and (work.problem or not request):
            message, hint = f"{why}: {work.told}", ""
        elif (
            request and state and state.handled != request and state.condition("Ready") == work.wanted.before
        ):
            message = f"{why}: nobody has reacted to the request"
            hint = "is kustomize-controller running? `flux check`, `flux logs --kind=Kustomization`"
        else:
            message, hint = f"{why}: {verdict.message or work.told or 'nothing happened'}", verdict.hint
        self._fail(work, Verdict(standing=Standing.FAILED, message=message, hint=hint))

    def _refusal(self, now: float) -> Problem | None:
        """Why nothing can be seen any more, once the API server has refused us for too long."""
        refused = next((p for p in self._watcher.trouble.values() if not isinstance(p, NoAnswer)), None)
        self._locked_out = (self._locked_out or now) if refused else 0.0
        return refused if refused and now >= self._locked_out + LOCKED_OUT else None

    def _ask(self, works: list[_Work]) -> None:
        request = new_request()
        for work in works:
            self._update(work, ActionState.STARTED, shown(target_of(work.unit.node), request))
        failed = ask(self._kubectl, (target_of(work.unit.node) for work in works), request)
        for work in works:
            work.asked_at = time.monotonic()
            work.problem = failed.get(target_of(work.unit.node))
            if work.problem is None:
                source = work.unit.source
                work.wanted = Wanted(
                    commit=self._lineage.planned if source else "",
                    revision=self._sources.accepted(source) if source else "",
                    request=request,
                    asked=work.wanted.asked + 1,
                    before=work.wanted.before,
                )

    def _judge(self, work: _Work) -> Verdict:
        wanted = work.wanted
        if not wanted.request and work.unit.source:
            wanted = Wanted(
                commit=self._lineage.planned,
                revision=self._sources.accepted(work.unit.source),
                before=wanted.before,
            )
        return judge(self._state(work.unit.node.id), wanted)

    def _state(self, name: str) -> State | None:
        namespace, _, rest = name.rpartition("/")
        found = self._watcher.objects(kustomizations(namespace)).get(rest)
        return State(found) if found else None

    def _patient(self, work: _Work, verdict: Verdict, seconds: float) -> None:
        """Fail when `verdict` has not changed for so many seconds."""
        if time.monotonic() >= work.begun + seconds:
            self._fail(work, verdict)
        else:
            self._tell(work, verdict.message)

    def _fail(self, work: _Work, verdict: Verdict) -> None:
        state = self._state(work.unit.node.id)
        told = [verdict.hint]
        if state and not self._is_silent:
            try:
                told.append(self._evidence(state, verdict))
            except NoAnswer as problem:
                # Each attempt takes its time, and there may be many that fail.
                self._is_silent = True
                told.append(problem.message)
        self._end(work, Outcome.FAILED, verdict.message, "\n".join(filter(None, told)))

    def _interrupt(self, work: _Work) -> None:
        if work.begun:
            self._end(work, Outcome.INTERRUPTED, _STOPPED)
        else:
            self._end(work, Outcome.NOT_REACHED, "not reached: the run was stopped")

    def _end(self, work: _Work, outcome: Outcome, message: str, stderr: str = "") -> None:
        node = work.unit.node
        result = ActionResult(
            name=node.id,
            success=outcome in {Outcome.DONE, Outcome.UNCHANGED, Outcome.SUPERSEDED},
            outcome=outcome,
            duration=time.monotonic() - work.begun if work.begun else 0.0,
            message=message,
            stderr=stderr,
            command=f"flux reconcile kustomization {node.name} --namespace={node.namespace} --with-source"
            if work.wanted.request
            else "",
        )
        del self._open[node.id]
        self._at_work -= bool(work.begun)
        self.results[node.id] = result
        self._emit(ActionUpdated(name=node.id, state=ActionState.ENDED, message=message, result=result))

    def _tell(self, work: _Work, message: str) -> None:
        """Say once what `work` waits for."""
        if message != work.told:
            self._update(work, ActionState.WAITING, message)
            work.told = message

    def _update(self, work: _Work, state: ActionState, message: str) -> None:
        self._emit(ActionUpdated(name=work.unit.node.id, state=state, message=message))


def _fate(result: ActionResult) -> str:
    return {Outcome.NOT_REACHED: "was not reached", Outcome.INTERRUPTED: "was interrupted"}.get(
        result.outcome or Outcome.FAILED, "failed"
    )
