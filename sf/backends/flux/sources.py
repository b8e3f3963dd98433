"""The sources of one run: each asked once to fetch, and accepted when it offers the planned commit."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.backends.flux.requests import Target, ask, new_request, target_of_source
from sf.backends.flux.state import State
from sf.backends.flux.verdict import Standing, Verdict, judge_source
from sf.tools.kubectl import Passing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sf.backends.flux.kustomization import SourceRef
    from sf.backends.flux.revision import Lineage
    from sf.backends.flux.watcher import Watcher
    from sf.models import Problem
    from sf.tools.kubectl import Kubectl

# Seconds. A git server may take a moment to show everybody what was pushed, and one failed fetch is no outage.
PATIENCE: Final = 15.0
# Before it is asked again; twice as long each time.
_PAUSE: Final = 2.0
_OPEN: Final = frozenset({Standing.UNDERWAY, Standing.STALE})


@dataclass(slots=True)
class _Source:
    target: Target
    request: str = ""
    first: float = 0.0
    again: float = 0.0
    pause: float = _PAUSE
    # Why it could not be asked.
    problem: Problem | None = None


class Sources:
    """The sources that hold this repository. They become asked by `step`, as often as it takes to be sure."""

    def __init__(
        self, refs: Iterable[SourceRef], watcher: Watcher, kubectl: Kubectl, lineage: Lineage
    ) -> None:
        self._sources = {ref: _Source(target_of_source(ref)) for ref in refs}
        self._watcher = watcher
        self._kubectl = kubectl
        self._lineage = lineage

    def verdict(self, ref: SourceRef) -> Verdict:
        """Where it stands. What is UNDERWAY may still change."""
        source = self._sources[ref]
        if source.problem and not isinstance(source.problem, Passing):
            return Verdict(
                standing=Standing.FAILED, message=f"{ref}: {source.problem}", hint=source.problem.hint
            )
        found = judge_source(
            self._state(source), str(ref), self._lineage.planned, source.request, self._lineage.relation
        )
        if found.standing is not Standing.STALE:
            return found
        patient = time.monotonic() < source.first + PATIENCE
        return replace(found, standing=Standing.UNDERWAY if patient else Standing.FAILED)

    def accepted(self, ref: SourceRef) -> str:
        """The revision of what it offers now, if that is the planned commit."""
        state = self._state(self._sources[ref])
        return state.artifact if state and state.artifact_commit == self._lineage.planned else ""

    def step(self, needed: Iterable[SourceRef]) -> None:
        """Ask those of `needed` that have not been asked, or were asked too early."""
        now = time.monotonic()
        due = [source for ref in needed if (source := self._sources[ref]).again <= now and self._asks(ref)]
        if not due:
            return
        request = new_request()
        failed = ask(self._kubectl, (source.target for source in due), request)
        for source in due:
            source.again = time.monotonic() + source.pause
            source.problem = failed.get(source.target)
            if source.problem is None:
                source.first = source.first or time.monotonic()
                source.request = request
                source.pause *= 2

    def _asks(self, ref: SourceRef) -> bool:
        source = self._sources[ref]
        state = self._state(source)
        if state is None or self.verdict(ref).standing not in _OPEN:
            return False
        return not source.request or state.handled == source.request

    def _state(self, source: _Source) -> State | None:
        found = self._watcher.objects(source.target.collection).get(source.target.name)
        return State(found) if found else None
