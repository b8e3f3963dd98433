"""Why a Kustomization says that its dependencies are not ready, and whether waiting for them has a point."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.backends.flux.state import State

    Lookup = Callable[[str], State | None]

_PASSING: Final = frozenset({"HealthCheckCanceled", "Progressing", "ProgressingWithRetry", "ArtifactFailed"})


class Prospect(Enum):
    """What becomes of something that is blocked."""

    AGAIN = auto()
    """Nothing is in its way any more; Flux would look again in half a minute."""
    LATER = auto()
    NEVER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocker:
    prospect: Prospect
    message: str = ""


def find_blocker(state: State, revision: str, lookup: Lookup) -> Blocker:
    """The first dependency in the way of `state`, which waits for those of its source to apply `revision`."""
    return _Search(revision, lookup).below(state)


class _Search:
    def __init__(self, revision: str, lookup: Lookup) -> None:
        self._revision = revision
        self._lookup = lookup
        self._seen: set[str] = set()

    def below(self, state: State) -> Blocker:
        later = None
        for name in state.depends_on:
            if name in self._seen:
                continue
            self._seen.add(name)
            found = self._judge(name, shared=state)
            if found and found.prospect is Prospect.NEVER:
                return found
            later = later or found
        return later or Blocker(prospect=Prospect.AGAIN)

    def _judge(self, name: str, *, shared: State) -> Blocker | None:
        """What `name` holds up for `shared`, if they may share a source; None when it is ready."""
        state = self._lookup(name)
        if state is None:
            return Blocker(prospect=Prospect.NEVER, message=f"{name} is not in the cluster")
        ready, follows = state.condition("Ready"), state.source == shared.source
        if ready.status == "True" and state.observed and (not follows or state.applied == self._revision):
            return None
        if state.suspended:
            return Blocker(
                prospect=Prospect.NEVER, message=f"{name} is suspended at {state.applied or 'no revision'}"
            )
        if ready.status == "False" and ready.reason == "DependencyNotReady":
            deeper = self.below(state)
            if deeper.prospect is not Prospect.AGAIN:
                return deeper
        elif ready.status == "False" and ready.reason not in _PASSING and self._concerns(state, follows):
            return Blocker(prospect=Prospect.NEVER, message=f"{name} fails: {ready.told}")
        return Blocker(prospect=Prospect.LATER, message=f"{name}: {state.doing or 'is not ready'}")

    def _concerns(self, state: State, follows: bool) -> bool:
        """Whether its failure is about what is waited for, and not about what came before."""
        return not follows or state.attempted == self._revision
