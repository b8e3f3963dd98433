"""What an execution proved: what is live now, and whether the preview was right about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.backends.flux.requests import kustomizations
from sf.backends.flux.sight import held
from sf.backends.flux.state import State
from sf.changes.manifest import Identity
from sf.models import Change, LifecycleResult, ObjectChange, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sf.backends.flux.unit import Unit
    from sf.backends.flux.watcher import Watcher
    from sf.models import ActionResult, LifecyclePlan, PlannedAction

_MOST_NAMES: Final = 20
_PROVEN: Final = frozenset({Outcome.DONE, Outcome.UNCHANGED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """What the preview of one Kustomization said about its objects, against its inventory.

    ``changed`` are the objects that were seen to change; what is `strange` was announced otherwise, or not at all.
    """

    announced: int
    changed: tuple[ObjectChange, ...]
    strange: tuple[str, ...]


class Proof:
    """Remembers what was there before the execution, to be held against what is there after it."""

    def __init__(self, plan: LifecyclePlan, units: Iterable[Unit], watcher: Watcher) -> None:
        self._plan = plan
        self._units = {unit.node.id: unit for unit in units}
        self._watcher = watcher
        self._namespaces = sorted({unit.node.namespace for unit in self._units.values()})
        self._before = self._states()

    def result(self, results: Sequence[ActionResult], notes: Mapping[str, str]) -> LifecycleResult:
        """The whole result: `results`, each with the objects that changed, and what they prove together."""
        after = self._states()
        actions = {action.name: action for action in self._plan.actions}
        shown: list[ActionResult] = []
        accuracies: dict[str, Accuracy] = {}
        for one in results:
            unit, state = self._units.get(one.name), after.get(one.name)
            if unit is None or unit.gone or state is None or one.outcome not in _PROVEN:
                shown.append(one)
                continue
            found = compare(
                actions[one.name], self._before.get(one.name), state, moved=one.outcome is Outcome.DONE
            )
            accuracies[one.name] = found
            shown.append(replace(one, objects=found.changed))
        return LifecycleResult(
            actions=tuple(shown),
            notes={
                "planned commit": self._plan.commit,
                "live": self._live(results, after),
                **_preview(accuracies),
                **self._others(after),
                **notes,
            },
        )

    def _live(self, results: Sequence[ActionResult], after: Mapping[str, State]) -> str:
        """How many are at the planned commit, and where the others are."""
        mine = [one for one in results if (unit := self._units.get(one.name)) and unit.source]
        there = [one for one in mine if one.outcome in _PROVEN and self._is_at_commit(after.get(one.name))]
        rest = [
            f"{one.name} at {after[one.name].applied or 'no revision'}"
            if one.name in after
            else f"{one.name}: none"
            for one in mine
            if one not in there
        ]
        return "; ".join([f"{len(there)} of {len(mine)} at the planned commit", *_some(rest)])

    def _others(self, after: Mapping[str, State]) -> dict[str, str]:
        """Who came to the planned commit meanwhile without having been asked: a source moves all that use it."""
        names = [
            name
            for name, state in sorted(after.items())
            if name not in self._units
            and self._is_at_commit(state)
            and not self._is_at_commit(self._before.get(name))
        ]
        return {"applied by Flux, not requested": ", ".join(_some(names))} if names else {}

    def _is_at_commit(self, state: State | None) -> bool:
        return state is not None and state.applied_commit == self._plan.commit

    def _states(self) -> dict[str, State]:
        return {
            f"{namespace}/{name}": State(found)
            for namespace in self._namespaces
            for name, found in self._watcher.objects(kustomizations(namespace)).items()
        }


def compare(action: PlannedAction, before: State | None, after: State, *, moved: bool) -> Accuracy:
    """Hold what `action` announced against the inventories. `moved`: `before` is where the change began."""
    announced = {
        Identity(change.group, change.kind, change.namespace, change.name): change
        for change in action.objects
        if change.change is not Change.UNCHANGED
    }
    there = held(after)
    strange, changed = [], []
    for item, change in announced.items():
        if (item in there) is (change.change is Change.REMOVE):
            what = "still there" if change.change is Change.REMOVE else "not there"
            strange.append(f"{change.identity} is {what}, and was to be {_ANNOUNCED[change.change]}")
        elif moved:
            changed.append(replace(change, diff="", reasons=()))
    if moved and before is not None:
        for item in sorted((held(before) ^ there) - announced.keys()):
            came = item in there
            found = ObjectChange(change=Change.ADD if came else Change.REMOVE, **item._asdict())
            changed.append(found)
            strange.append(f"{found.identity} {'came' if came else 'went'} unannounced")
    return Accuracy(announced=len(announced), changed=tuple(changed), strange=tuple(strange))


_ANNOUNCED: Final = {
    Change.ADD: "added",
    Change.CHANGE: "changed",
    Change.REMOVE: "removed",
    Change.UNKNOWN: "changed",
}


def _preview(accuracies: Mapping[str, Accuracy]) -> dict[str, str]:
    if not accuracies:
        return {}
    announced = sum(found.announced for found in accuracies.values())
    strange = [f"{name}: {words}" for name, found in accuracies.items() for words in found.strange]
    wrong = sum("unannounced" not in words for words in strange)
    figure = f"{announced - wrong} of {announced} announced objects are as announced"
    return {"preview": "; ".join([figure, *_some(strange)])}


def _some(names: Sequence[str]) -> list[str]:
    more = len(names) - _MOST_NAMES
    return [*names[:_MOST_NAMES], *([f"and {more} more"] if more > 0 else [])]
