"""From an impact to its execution: which Kustomizations are to come where, in which order, with which rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.backends.flux.evidence import find_evidence
from sf.backends.flux.execution import Execution
from sf.backends.flux.kustomization import waves
from sf.backends.flux.proof import Proof
from sf.backends.flux.requests import kustomizations, target_of_source
from sf.backends.flux.revision import Lineage
from sf.backends.flux.rights import SOURCES, needed
from sf.backends.flux.selection import is_suspended
from sf.backends.flux.sources import Sources
from sf.backends.flux.unit import Limits, Unit
from sf.backends.flux.watcher import Watcher
from sf.models import ActionKind, ActionResult, ActionState, ActionUpdated, Change, LifecycleResult, Outcome
from sf.tools.kubectl import Kubectl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sf.backends.flux.cluster import Cluster
    from sf.backends.flux.impact import Impact
    from sf.backends.flux.kustomization import Kustomization, SourceRef
    from sf.config import Config
    from sf.models import LifecyclePlan, PlannedAction
    from sf.runtime.context import RuntimeContext
    from sf.tools.git import Git
    from sf.tools.kubernetes import Collection, Right


class Reconciliation:
    """What a run does to the cluster: `names` of the newer state of `impact` come to the planned commit."""

    def __init__(self, impact: Impact, names: Iterable[str], config: Config, *, force: bool = False) -> None:
        """With `force`, Kustomizations that are where they should be are asked all the same."""
        self._impact = impact
        self._limits = Limits(
            action=config.deadlines.action,
            run=config.deadlines.run,
            concurrency=config.gitops.concurrency,
            force=force,
        )
        self.units = tuple(_units(impact, set(names)))

    @property
    def rights(self) -> list[Right]:
        """What the cluster has to allow: to ask the Kustomizations and their sources, and to see the rest."""
        asked = {unit.node.namespace for unit in self.units}
        seen = needed(self._namespaces - asked, (), act=False)
        return sorted({*needed(asked, self._sources, act=True), *seen})

    def run(
        self, plan: LifecyclePlan, cluster: Cluster, git: Git, context: RuntimeContext
    ) -> LifecycleResult:
        """Bring them there, and say what that proved of `plan`. `context` has the result whatever happens."""
        results = {
            result.name: result
            for action in plan.actions
            if action.name not in self._impact.shown and (result := _left_alone(action))
        }
        for result in results.values():
            context.emit(
                ActionUpdated(
                    name=result.name, state=ActionState.ENDED, message=result.message, result=result
                )
            )
        if not self.units:
            return LifecycleResult(actions=tuple(results.values()))
        watcher = Watcher(cluster.api, self._collections)
        context.resolved.add_cleanup("watches of the cluster", watcher.close)
        told = cluster.outlived_by(self._limits.run)
        proof = Proof(plan, self.units, watcher)
        execution = self._execution(plan, watcher, cluster, git, context)
        try:
            execution.run()
        finally:
            results |= execution.results
            context.result = proof.result(
                [results[action.name] for action in plan.actions if action.name in results],
                {"credentials": told.message} if told else {},
            )
        return context.result

    def _execution(
        self, plan: LifecyclePlan, watcher: Watcher, cluster: Cluster, git: Git, context: RuntimeContext
    ) -> Execution:
        kubectl = Kubectl(context.launcher, cluster.environ)
        lineage = Lineage(git, plan.commit)
        return Execution(
            self.units,
            watcher=watcher,
            sources=Sources(self._sources, watcher, kubectl, lineage),
            kubectl=kubectl,
            lineage=lineage,
            limits=self._limits,
            emit=context.emit,
            evidence=lambda state, verdict: find_evidence(cluster.api, kubectl, state, verdict),
            is_cancelled=lambda: context.launcher.is_cancelled,
        )

    @property
    def _sources(self) -> set[SourceRef]:
        return {unit.source for unit in self.units if unit.source and unit.source.kind in SOURCES}

    @property
    def _namespaces(self) -> set[str]:
        """Where the units are, and everything they wait for."""
        nodes = {**self._impact.before, **self._impact.after}
        names = {unit.node.id for unit in self.units}
        waiting = list(names)
        while waiting:
            node = nodes.get(waiting.pop())
            for dependency in node.depends_on if node else ():
                if dependency.id not in names:
                    names.add(dependency.id)
                    waiting.append(dependency.id)
        return {name.rpartition("/")[0] for name in names}

    @property
    def _collections(self) -> set[Collection]:
        return {
            *map(kustomizations, self._namespaces),
            *(target_of_source(source).collection for source in self._sources),
        }


def _units(impact: Impact, chosen: set[str]) -> Iterator[Unit]:
    for name in (name for wave in waves(impact.after, chosen) for name in wave):
        node = impact.after[name]
        yield Unit(node=node, after=_awaited(node, impact, chosen), definer=_definer(node, impact, chosen))
    for name in impact.removed:
        node = impact.before[name]
        if node.parent and _is_pruned(node, impact):
            definer = node.parent if node.parent in chosen else None
            yield Unit(node=node, definer=definer, gone=True)


def _awaited(node: Kustomization, impact: Impact, chosen: set[str]) -> frozenset[str]:
    """Those of `chosen` that `node` depends on, also through others."""
    found: set[str] = set()
    seen = {node.id}
    waiting = [node]
    while waiting:
        for dependency in waiting.pop().depends_on:
            if dependency.id in seen:
                continue
            seen.add(dependency.id)
            if dependency.id in chosen:
                found.add(dependency.id)
            elif other := impact.after.get(dependency.id):
                waiting.append(other)
    return frozenset(found)


def _definer(node: Kustomization, impact: Impact, chosen: set[str]) -> str | None:
    """The one of `chosen` that has to be applied for `node` to be what was planned."""
    old = impact.before.get(node.id)
    if node.parent not in chosen or node.parent == node.id or (old and old.spec == node.spec):
        return None
    # Flux would wait for ever, in its way: nothing is gained by waiting with it.
    return None if _leads_to(node.parent, node.id, impact) else node.parent


def _leads_to(start: str, target: str, impact: Impact) -> bool:
    """Whether `start` depends on `target`."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        node = impact.after.get(waiting.pop())
        for dependency in node.depends_on if node else ():
            if dependency.id == target:
                return True
            if dependency.id not in seen:
                seen.add(dependency.id)
                waiting.append(dependency.id)
    return False


def _is_pruned(node: Kustomization, impact: Impact) -> bool:
    """Whether Flux deletes a Kustomization that is not in the repository any more."""
    parent = impact.after.get(node.parent or "")
    if parent:
        return parent.prune and not parent.suspended
    gone = impact.before.get(node.parent or "")
    return gone is not None and gone.deletes_objects


def _left_alone(action: PlannedAction) -> ActionResult | None:
    """What there is to say of an action that has nothing to do; None where that is nothing, or it has."""
    if action.action is not ActionKind.NONE:
        return None
    if is_suspended(action):
        message = "is suspended and left alone"
    elif action.live and action.live.effect is Change.UNCHANGED:
        message = "is where it should be already"
    else:
        return None
    return ActionResult(name=action.name, success=True, outcome=Outcome.UNCHANGED, message=message)
