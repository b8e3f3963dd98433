"""What is running, put beside what a change would do: the live state of each planned action.

Nothing here changes what a reviewer approves: `PlannedAction.live` and warnings only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sf.backends.flux.drift import Drift
from sf.backends.flux.kustomization import Kustomization
from sf.backends.flux.revision import Relation
from sf.backends.flux.rights import SOURCES
from sf.backends.flux.sight import held
from sf.changes.manifest import identity
from sf.models import ActionKind, Cause, Change, Finding, LiveState, ObjectChange, Reason, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sf.backends.flux.kustomization import SourceRef
    from sf.backends.flux.preview import Preview
    from sf.backends.flux.revision import Lineage
    from sf.backends.flux.sight import Sight
    from sf.backends.flux.state import State
    from sf.changes.manifest import Identity
    from sf.models import PlannedAction

_SHORT: Final = 12
_LEFT_OVER: Final = "Flux applied it, and the repository holds it no more"
_STAYS: Final = "stays in the cluster: Flux does not delete it"
_AMISS: Final = frozenset({Relation.OLDER, Relation.FOREIGN, Relation.UNKNOWN})
_WAITING: Final = "DependencyNotReady"
_LONGEST_MESSAGE: Final = 500
# How Go writes a span of time. It is another one with every attempt, and a plan must not be.
_DURATION: Final = re.compile(r"\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?(?:ns|µs|ms|s)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The actions with their live state, and what else there is to say."""

    actions: tuple[PlannedAction, ...]
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Which commit is to be running: that of ``lineage``, or still the one ``before`` it (empty: none).

    ``merged``: it is the planned one, rather than the one that a change is yet to be merged into.
    """

    lineage: Lineage
    before: str = ""
    merged: bool


@dataclass(kw_only=True)
class Observer:
    """Judges each action by what was seen. ``drifts`` holds what was compared, by unit."""

    sight: Sight
    nodes: Mapping[str, Kustomization]
    expected: Expectation
    preview: Preview
    drifts: Mapping[str, Drift]
    _unknown: list[str] = field(default_factory=list, init=False)

    def observe(self) -> Observation:
        actions = tuple(self._observed(action) for action in self.preview.actions)
        return Observation(
            actions=actions,
            findings=tuple(self._of_sources(actions)),
            unknown=tuple(dict.fromkeys(self._unknown)),
        )

    def _observed(self, action: PlannedAction) -> PlannedAction:
        state = self.sight.kustomizations.get(action.name)
        live = _absent(action) if state is None else self._present(action, state)
        suspended = state is not None and state.suspended
        done = live.effect is Change.UNCHANGED and not (action.change is Change.UNCHANGED and action.reasons)
        return replace(action, live=live, action=ActionKind.NONE if suspended or done else action.action)

    def _present(self, action: PlannedAction, state: State) -> LiveState:
        node = self.nodes[action.name]
        relation = None if node.external else self._relation(state)
        drift = self.drifts.get(action.name, Drift())
        self._unknown += [f"{action.name}: {sentence}" for sentence in drift.unknown]
        leftovers, deletes = self._leftovers(action, state), self._deletes(action, state)
        differs = bool(drift.objects) or (deletes and bool(leftovers))
        effect = self._effect(action, state, relation, differs=differs)
        reasons = [*_conditions(state), *self._revision(state, relation)]
        if effect is Change.UNCHANGED and action.change is not Change.UNCHANGED:
            reasons.append(_live("is at this commit already, and ready"))
        return LiveState(
            effect=effect,
            reasons=tuple(reasons),
            objects=(*drift.objects, *(_pruned(item, deletes=deletes) for item in leftovers)),
            observed=dict(self._facts(node, state)),
        )

    def _effect(
        self, action: PlannedAction, state: State, relation: Relation | None, *, differs: bool
    ) -> Change:
        """What executing would do to a unit that is there. `differs`: something in the cluster does."""
        if action.change in {Change.REMOVE, Change.UNKNOWN}:
            return action.change
        current = self.expected.merged and relation in {Relation.SAME, Relation.NEWER}
        if current and _is_ready(state) and not differs:
            return Change.UNCHANGED
        if action.change is not Change.UNCHANGED:
            return Change.CHANGE
        if state.suspended:
            return Change.UNCHANGED
        if state.condition("Ready").status not in {"True", "False"}:
            return Change.UNKNOWN
        amiss = differs or relation in _AMISS or not _is_ready(state)
        return Change.CHANGE if amiss else Change.UNCHANGED

    def _relation(self, state: State) -> Relation | None:
        """How what was applied last stands to what is to be running.

        None when nothing was applied, it is no commit, or it is what was to be running before.
        """
        commit = state.applied_commit
        return self.expected.lineage.relation(commit) if commit not in {"", self.expected.before} else None

    def _revision(self, state: State, relation: Relation | None) -> Iterator[Reason]:
        planned, found = self.expected.lineage.planned[:_SHORT], state.applied_commit[:_SHORT]
        what = "this commit" if self.expected.merged else f"the base of this plan, {planned},"
        match relation:
            case Relation.OLDER:
                yield _live(f"runs {found}, which is older than {what}".rstrip(","))
            case Relation.NEWER:
                yield _live(f"runs {found}, which contains {what} and is newer")
            case Relation.FOREIGN:
                yield _live(f"runs {found}, which is not in the history of {what}".rstrip(","))
            case Relation.UNKNOWN:
                yield _live(f"runs {found}, which this clone lacks, so it cannot be compared")
            case None if not state.applied:
                yield _live("has not been applied yet")
            case _:
                pass

    def _leftovers(self, action: PlannedAction, state: State) -> list[Identity]:
        """What is in the inventory and in neither state of the repository."""
        wanted = self._wanted(action)
        if wanted is None:
            return []
        told = {(change.group, change.kind, change.namespace, change.name) for change in action.objects}
        return [item for item in sorted(held(state) - wanted) if tuple(item) not in told]

    def _deletes(self, action: PlannedAction, state: State) -> bool:
        """Whether Flux deletes what it applied and will find no more."""
        if action.change is Change.REMOVE:
            return _deletes_all(state)
        return state.spec.get("prune") is True and not state.suspended

    def _wanted(self, action: PlannedAction) -> frozenset[Identity] | None:
        """What the newer state holds; None where that is not known as a whole."""
        if action.change is Change.REMOVE:
            return frozenset()
        rendering = self.preview.after.get(action.name)
        if rendering is None or rendering.error or rendering.unknown or rendering.withheld:
            return None
        return frozenset(map(identity, rendering.objects))

    def _facts(self, node: Kustomization, state: State) -> Iterator[tuple[str, str]]:
        """What was seen, for machines and for the comparison with a saved plan."""
        yield "suspended", str(state.suspended).lower()
        yield "ready", state.condition("Ready").status or "unknown"
        if state.applied:
            yield "revision", state.applied
        yield "inventory", f"{len(state.inventory)} objects"
        source = self.sight.sources.get(node.source)
        if source is not None and source.artifact:
            yield "source", source.artifact

    def _of_sources(self, actions: Iterable[PlannedAction]) -> Iterator[Finding]:
        """What is wrong with the sources of the units that are there, once for each."""
        used: dict[SourceRef, list[str]] = {}
        for action in actions:
            if action.change is not Change.REMOVE and action.name in self.sight.kustomizations:
                used.setdefault(self.nodes[action.name].source, []).append(action.name)
        for source in sorted(used):
            if (wrong := self._wrong_with(source)) is not None:
                code, message = wrong
                yield Finding(code=code, severity=Severity.WARNING, message=message, subject=str(source))

    def _wrong_with(self, source: SourceRef) -> tuple[str, str] | None:
        state = self.sight.sources.get(source)
        if source.kind not in SOURCES:
            return None
        if state is None:
            return "source-missing", f"{source} is not in the cluster, so nothing new can be applied from it"
        if state.suspended:
            return "source-suspended", f"{source} is suspended in the cluster: no newer commit reaches it"
        ready = state.condition("Ready")
        if ready.status == "False":
            return "source-failing", f"{source} is failing in the cluster: {_worded(ready.told)}"
        return None


def _absent(action: PlannedAction) -> LiveState:
    if action.change is Change.REMOVE:
        return LiveState(effect=Change.UNCHANGED, reasons=(_live("is not in the cluster any more"),))
    reasons = () if action.change is Change.ADD else (_live("is not in the cluster"),)
    effect = Change.UNKNOWN if action.change is Change.UNKNOWN else Change.ADD
    return LiveState(effect=effect, reasons=reasons, observed={"ready": "not there yet"})


def _conditions(state: State) -> Iterator[Reason]:
    """What stands in the way of the unit."""
    if state.suspended:
        yield _live("is suspended in the cluster: Flux applies nothing until it is resumed")
    ready = state.condition("Ready")
    if ready.status == "False" and ready.reason == _WAITING:
        yield _live(f"is waiting: {_worded(ready.message)}")
    elif ready.status == "False":
        yield _live(f"is failing: {_worded(ready.told)}")
    elif ready.status != "True" and not state.suspended:
        yield _live(f"is being reconciled: {_worded(state.doing)}" if state.doing else "is being reconciled")
    elif ready.status == "True" and not state.observed:
        yield _live("was changed since Flux last looked at it")


def _is_ready(state: State) -> bool:
    return state.observed and state.condition("Ready").status == "True" and not state.suspended


def _deletes_all(state: State) -> bool:
    """Whether Flux deletes the objects when the Kustomization goes: not while it is suspended.

    Source: kustomize-controller 1.9, finalizerShouldDeleteResources.
    """
    declared = Kustomization(namespace=state.namespace, name=state.name, spec=state.spec)
    return declared.deletes_objects and not state.suspended


def _pruned(item: Identity, *, deletes: bool) -> ObjectChange:
    reasons = [Reason(cause=Cause.DRIFT, message=_LEFT_OVER)]
    if not deletes:
        reasons.append(Reason(cause=Cause.LIVE, message=_STAYS))
    return ObjectChange(change=Change.REMOVE, **item._asdict(), reasons=tuple(reasons))


def _worded(message: str) -> str:
    text = _DURATION.sub("some time", " ".join(message.split()))
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"


def _live(message: str) -> Reason:
    return Reason(cause=Cause.LIVE, message=message)
