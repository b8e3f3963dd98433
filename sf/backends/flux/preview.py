"""From an impact to planned actions: what each affected Kustomization does to its objects, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sf.changes import danger, objects
from sf.models import ActionKind, Cause, Change, Finding, Location, PlannedAction, Reason, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.backends.flux.graph import Graph
    from sf.backends.flux.impact import Impact
    from sf.backends.flux.kustomization import Kustomization
    from sf.backends.flux.outline import Rendering
    from sf.backends.flux.repository import Repository
    from sf.changes.masking import Fingerprints

_MOST_FILES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The actions of a change in order, what they give reason to say, and what could not be determined."""

    actions: tuple[PlannedAction, ...]
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two compared states. Its graph renders what the nodes of the cluster stand for."""

    graph: Graph
    nodes: Mapping[str, Kustomization]


def preview(
    impact: Impact, before: Side, after: Side, repository: Repository, fingerprints: Fingerprints
) -> Preview:
    """What the change does to every Kustomization that it affects or removes."""
    return _Previewer(impact, before, after, repository, fingerprints).preview()


class _Previewer:
    def __init__(
        self, impact: Impact, before: Side, after: Side, repository: Repository, fingerprints: Fingerprints
    ) -> None:
        self._impact = impact
        self._before = before
        self._after = after
        self._repository = repository
        self._fingerprints = fingerprints
        self._findings: list[Finding] = []
        self._unknown: list[str] = []
        changed = {*impact.direct, *impact.removed}
        self._old = _render(before, changed)
        self._new = _render(after, changed)

    def preview(self) -> Preview:
        actions = [
            self._affected(self._after.nodes[node], order)
            for order, wave in enumerate(self._impact.order)
            for node in wave
        ]
        last = len(self._impact.order)
        actions += [self._removed(self._before.nodes[node], last) for node in self._impact.removed]
        return Preview(
            actions=tuple(actions),
            findings=tuple(self._findings),
            unknown=tuple(dict.fromkeys(self._unknown)),
        )

    def _affected(self, node: Kustomization, order: int) -> PlannedAction:
        action = PlannedAction(
            name=node.id,
            description=_description(node),
            order=order,
            action=ActionKind.NONE if node.suspended else ActionKind.RECONCILE,
            metadata=_metadata(node),
            depends_on=tuple(dependency.id for dependency in node.depends_on),
        )
        if node.id not in self._impact.direct:
            return replace(action, reasons=tuple(self._awaited(node)))
        old = self._before.nodes.get(node.id)
        reasons = tuple(self._causes(old, node))
        if node.suspended:
            self._find(
                "suspended", Severity.WARNING, f"{node.id} is suspended: Flux will not roll this out", node.id
            )
        change, changed = self._objects(node.id, old, node)
        if old is None:
            change = Change.ADD
        elif change is Change.UNCHANGED and old.spec != node.spec:
            change = Change.CHANGE
        return replace(action, change=change, reasons=reasons, objects=changed)

    def _removed(self, node: Kustomization, order: int) -> PlannedAction:
        _, changed = self._objects(node.id, node, None)
        fate = "Flux deletes its objects" if node.deletes_objects else "its objects stay in the cluster"
        return PlannedAction(
            name=node.id,
            description=f"{_description(node)} is gone; {fate}",
            order=order,
            action=ActionKind.NONE,
            metadata=_metadata(node),
            change=Change.REMOVE,
            reasons=(
                Reason(
                    cause=Cause.GIT, message=f"{node.parent or 'nothing'} defines it no more", subject=node.id
                ),
            ),
            objects=changed,
        )

    def _objects(
        self, name: str, old: Kustomization | None, new: Kustomization | None
    ) -> tuple[Change, tuple[Any, ...]]:
        """How the objects of one Kustomization change. What failed on one side is not shown as mass deletion."""
        before, after = self._old.get(name), self._new.get(name)
        self._unknown += [
            f"{name}: {sentence}" for side in (before, after) if side for sentence in side.unknown
        ]
        if after and after.error:
            as_before = before is not None and before.error is not None
            self._find(
                "build-failed",
                Severity.WARNING if as_before else Severity.ERROR,
                f"{name}: the build fails: {after.error.message}{' (as before)' if as_before else ''}",
                name,
                after.error.hint,
            )
        elif before and before.error:
            what = f"{name} could not be built before this change, so what changes is not known"
            self._find("build-failed-before", Severity.WARNING, f"{what}: {before.error.message}", name)
        if any(side is not None and (side.error or side.withheld) for side in (before, after)):
            return Change.UNKNOWN, ()
        deletes = new.prune if new else bool(old and old.deletes_objects)
        before_objects = before.objects if before else ()
        after_objects = after.objects if after else ()
        changed = objects.compare(before_objects, after_objects, self._fingerprints, deletes=deletes)
        self._findings += danger.findings(name, before_objects, after_objects, deletes=deletes)
        return (Change.CHANGE if changed else Change.UNCHANGED), changed

    def _causes(self, old: Kustomization | None, new: Kustomization) -> Iterator[Reason]:
        if old is None:
            yield Reason(cause=Cause.GIT, message="is new", subject=new.id)
            return
        for field in sorted(old.spec.keys() | new.spec.keys()):
            if old.spec.get(field) != new.spec.get(field):
                yield Reason(cause=Cause.GIT, message="changed in the Kustomization", subject=f"spec.{field}")
        if old.variables != new.variables and old.spec.get("postBuild") == new.spec.get("postBuild"):
            yield Reason(
                cause=Cause.GIT, message="variables changed", subject="spec.postBuild.substituteFrom"
            )
        files = sorted(_changed_files(old, new))
        for path, what in files[:_MOST_FILES]:
            shown = self._repository.in_repository(path)
            yield Reason(cause=Cause.GIT, message=what, subject=shown, location=Location(shown))
        if len(files) > _MOST_FILES:
            yield Reason(cause=Cause.GIT, message=f"and {len(files) - _MOST_FILES} more files changed")

    def _awaited(self, node: Kustomization) -> Iterator[Reason]:
        for dependency in node.depends_on:
            if dependency.id in self._impact.affected:
                yield Reason(cause=Cause.DEPENDENCY, message="waits for it", subject=dependency.id)

    def _find(self, code: str, severity: Severity, message: str, subject: str, hint: str = "") -> None:
        self._findings.append(
            Finding(code=code, severity=severity, message=message, subject=subject, hint=hint)
        )


def _render(side: Side, names: set[str]) -> dict[str, Rendering]:
    nodes = [node for name in sorted(names) if (node := side.nodes.get(name)) is not None]
    return {node.id: rendering for node, rendering in zip(nodes, side.graph.render_all(nodes), strict=True)}


def _changed_files(old: Kustomization, new: Kustomization) -> Iterator[tuple[str, str]]:
    before = old.closure.files if old.closure else {}
    after = new.closure.files if new.closure else {}
    for path in before.keys() | after.keys():
        if path not in after:
            yield path, "removed"
        elif path not in before:
            yield path, "added"
        elif before[path] != after[path]:
            yield path, "changed"


def _description(node: Kustomization) -> str:
    return f"Kustomization {node.id} from {node.path or '.'}"


def _metadata(node: Kustomization) -> dict[str, str]:
    return {
        "namespace": node.namespace,
        "name": node.name,
        "path": node.path,
        "source": str(node.source),
        "suspended": str(node.suspended).lower(),
        "parent": node.parent or "",
    }
