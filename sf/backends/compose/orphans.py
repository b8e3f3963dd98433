"""What sf deployed to a host and the repository no longer has there, and whether sf may take it down.

Whoever deletes a folder may mean it; whoever renames the root of all stacks, or checks out another repository,
does not. So what is configured beyond reporting is only done when everything speaks for it (`doubts`).
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.backends.compose.side import is_script
from sf.backends.compose.stack import Kind
from sf.config import FILE_NAME
from sf.models import (
    ActionKind,
    Cause,
    Change,
    Finding,
    LiveState,
    ObjectChange,
    PlannedAction,
    Reason,
    Severity,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sf.backends.compose.live import Sight, View
    from sf.backends.compose.record import Record
    from sf.backends.compose.side import Side, Unit
    from sf.tools.docker import Container

_LEFT_OVER: Final = "left over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the configuration says of orphans.

    ``handling``: report, down or prune. More orphans than ``threshold`` are only reported. ``repository``: the
    identity that this repository is to have. ``declared``: it says which hosts take part. ``confirmed``: prune has
    been confirmed or need not be.
    """

    handling: str
    threshold: int
    root: str
    repository: str
    declared: bool
    confirmed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A project on a host that no stack of the repository is.

    ``record`` is None when the deployment's record is lost. ``held``: why it is only reported whatever is
    configured; empty when nothing speaks against taking it down.
    """

    host: str
    project: str
    record: Record | None
    containers: tuple[Container, ...]
    volumes: tuple[str, ...]
    message: str
    held: str = ""

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(container.service for container in self.containers))

    @property
    def stack(self) -> str:
        """The folder that it was deployed from; empty when that is not known."""
        return self.record.stack if self.record else ""


class Search:
    """Finds orphans on hosts that were looked at."""

    def __init__(
        self,
        head: Side,
        *,
        repository: str,
        projects: Collection[tuple[str, str]],
        sights: Mapping[str, Sight],
        prunes: bool,
    ) -> None:
        """`projects`: (host, project) of every stack that is to run. `sights`: what was seen, by unit."""
        self._head = head
        self._repository = repository
        self._projects = projects
        self._sights = sights
        self._prunes = prunes

    def find(self, views: Mapping[str, View]) -> list[Orphan]:
        """Every orphan, by host and project."""
        found: list[Orphan] = []
        for host, view in sorted(views.items()):
            orphans = list(self._on(host, view))
            volumes = view.machine.engine.volumes() if orphans else {}
            found += [replace(orphan, volumes=tuple(volumes.get(orphan.project, ()))) for orphan in orphans]
        return found

    def _on(self, host: str, view: View) -> Iterator[Orphan]:
        for project in sorted({*view.records, *view.containers}):
            record = view.records.get(project)
            containers = tuple(view.containers.get(project, ()))
            if (host, project) not in self._projects and self._is_ours(view, project):
                yield Orphan(
                    host=host,
                    project=project,
                    record=record,
                    containers=containers,
                    volumes=(),
                    message=self._message(host, record),
                    held=self._held(host, record),
                )

    def _is_ours(self, view: View, project: str) -> bool:
        record, containers = view.records.get(project), view.containers.get(project, ())
        if record is None:
            # Containers say where they were deployed to. By whom, only the record could tell.
            return any(container.folder == str(view.stack_dir / project) for container in containers)
        if record.repository != self._repository or self._is_judged_elsewhere(view, record):
            return False
        return bool(containers) or self._prunes or not record.removed

    def _is_judged_elsewhere(self, view: View, record: Record) -> bool:
        """Whether the host is only another name of the one it was deployed to, which is still there."""
        return record.host != view.machine.name and record.host in self._head.inventory.hosts

    def _message(self, host: str, record: Record | None) -> str:
        if record is None:
            return "it stands where sf deploys to, and no stack of the repository is that project"
        # Many hosts may have a stack of one name: only one that is new there can be this one.
        if now := [
            unit.host.name
            for unit in self._elsewhere(host, record)
            if unit.stack.path == record.stack or not self._runs(unit)
        ]:
            return f"{record.stack} was deployed here, and is for {', '.join(now)} now; volumes do not move"
        return f"it was deployed from {record.stack}, which is not for {host} any more"

    def _held(self, host: str, record: Record | None) -> str:
        if record is None:
            return "it has no deployment record, so it may be another repository's"
        if record.host != host:
            return f"it was deployed under the host name {record.host}"
        if not record.files and not record.removed:
            return "what its deploy.sh left running cannot be told; remove its folder on the host by hand"
        name = posixpath.basename(record.stack)
        here = self._head.units.get(f"{host}/{name}")
        if here and (is_script(here) or here.name not in self._sights):
            return f"{host} still has a stack {name}, whose project is not known"
        if new := [unit.host.name for unit in self._elsewhere(host, record) if not self._runs(unit)]:
            return f"this run is the first that brings it up on {', '.join(new)}"
        return ""

    def _elsewhere(self, host: str, record: Record) -> list[Unit]:
        """The stacks of the same name that other hosts have."""
        name = posixpath.basename(record.stack)
        units = self._head.units.values()
        return [unit for unit in units if unit.stack.name == name and unit.host.name != host]

    def _runs(self, unit: Unit) -> bool:
        sight = self._sights.get(unit.name)
        return sight is not None and sight.record is not None and sight.record.complete


def doubts(
    terms: Terms,
    head: Side,
    findings: Sequence[Finding],
    *,
    repository: str,
    number: int,
    blind: Collection[str],
) -> list[str]:
    """What speaks against taking `number` orphans down, a clause each. `blind`: hosts that could not be seen."""
    reasons = []
    if not head.configured:
        reasons.append(f"the commit has no {FILE_NAME}")
    if not head.stacks:
        reasons.append(f"there is no stack at all below {terms.root}")
    if not terms.repository:
        reasons.append("`docker.repository` does not say which repository this has to be")
    elif terms.repository != repository:
        is_now = repository or "one without a remote"
        reasons.append(f"`docker.repository` is {terms.repository}, and this repository is {is_now}")
    if not terms.declared:
        reasons.append("`docker.targets.selector` does not say which hosts take part")
    if any(finding.severity is Severity.ERROR for finding in findings):
        reasons.append("the plan has errors")
    if blind:
        reasons.append(f"{', '.join(sorted(blind))} could not be seen")
    if number > terms.threshold:
        reasons.append(f"{number} are more than `docker.drift.orphan_threshold` allows ({terms.threshold})")
    if not terms.confirmed:
        reasons.append("`prune` has to be confirmed by `sf reconcile --force`")
    return reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """What is done about orphans: the action of each by its name, and the findings that go with them."""

    orphans: Mapping[str, Orphan]
    actions: Mapping[str, PlannedAction]
    findings: tuple[Finding, ...] = ()


def handle(
    orphans: Sequence[Orphan],
    planned: Mapping[str, PlannedAction],
    terms: Terms,
    doubtful: Sequence[str],
    *,
    seen: Collection[str],
) -> Handling:
    """Decide about `orphans` on the hosts that were `seen`. `planned` are the actions so far.

    Those of stacks that just left the repository are replaced, so that one stack on one host stays one action.
    """
    named = _named(orphans, planned)
    settled = {
        name: _settled(action)
        for name, action in planned.items()
        if _left(action) and action.metadata["host"] in seen and name not in named
    }
    acting = {
        name
        for name, orphan in named.items()
        if terms.handling != "report" and not doubtful and not orphan.held
    }
    actions = {
        name: _action(name, orphan, planned.get(name), terms.handling if name in acting else "report")
        for name, orphan in named.items()
    }
    findings = [_danger(name, named[name], terms.handling) for name in sorted(acting)]
    if doubtful and named and terms.handling != "report":
        findings.append(_degraded(sorted(named), terms.handling, doubtful))
    return Handling(orphans=named, actions={**settled, **actions}, findings=tuple(findings))


def _left(action: PlannedAction) -> bool:
    return action.change is Change.REMOVE and action.metadata["kind"] == Kind.COMPOSE


def _settled(action: PlannedAction) -> PlannedAction:
    return replace(
        action,
        action=ActionKind.NONE,
        description="nothing that this repository deployed is left of it there",
        live=LiveState(effect=Change.UNCHANGED),
    )


def _named(orphans: Sequence[Orphan], planned: Mapping[str, PlannedAction]) -> dict[str, Orphan]:
    """Each orphan under the name of the action that it gets."""
    gone = {
        (action.metadata["host"], action.metadata["path"]): name
        for name, action in planned.items()
        if _left(action)
    }
    named: dict[str, Orphan] = {}
    for orphan in orphans:
        name = gone.get((orphan.host, orphan.stack), f"{orphan.host}/{orphan.project}")
        if name in named or (name in planned and planned[name].change is not Change.REMOVE):
            name = f"{orphan.host}/{orphan.project} ({_LEFT_OVER})"
        named[name] = orphan
    return named


def _action(name: str, orphan: Orphan, before: PlannedAction | None, handling: str) -> PlannedAction:
    reasons = [Reason(cause=Cause.ORPHAN, message=orphan.message)]
    if orphan.held:
        reasons.append(Reason(cause=Cause.ORPHAN, message=f"it is left alone: {orphan.held}"))
    observed = {container.service: container.state for container in orphan.containers}
    if orphan.record and orphan.record.commit:
        observed["deployed commit"] = orphan.record.commit
    live = LiveState(
        effect=Change.REMOVE,
        reasons=tuple(reasons),
        # What the commits already say is not said twice.
        objects=()
        if before and before.objects
        else tuple(ObjectChange(change=Change.REMOVE, kind="service", name=name) for name in orphan.services),
        observed=observed,
    )
    kind = ActionKind.REPORT if handling == "report" else ActionKind.REMOVE
    description = _describe(orphan, handling)
    if before:
        return replace(before, action=kind, description=description, live=live)
    metadata = {"host": orphan.host, "kind": Kind.COMPOSE.value, "path": orphan.stack, "scope": ""}
    return PlannedAction(
        name=name, description=description, order=0, action=kind, metadata=metadata, live=live
    )


def _describe(orphan: Orphan, handling: str) -> str:
    project, host = orphan.project, orphan.host
    if handling == "report":
        return f"report that the repository does not have {project} on {host}; it is not stopped"
    files = " and its files" if handling == "prune" else ""
    return f"stop {project} on {host} and remove its containers and networks{files}; its volumes stay"


def _danger(name: str, orphan: Orphan, handling: str) -> Finding:
    services = ", ".join(orphan.services) or "nothing of it runs"
    volumes = f"; its volumes stay: {', '.join(orphan.volumes)}" if orphan.volumes else ""
    files = "; its files go, what containers wrote beside them stays" if handling == "prune" else ""
    return Finding(
        code="orphan-removed",
        severity=Severity.DANGER,
        message=f"{orphan.project} is taken down on {orphan.host} ({services}){files}{volumes}",
        subject=name,
    )


def _degraded(names: Sequence[str], handling: str, doubtful: Sequence[str]) -> Finding:
    return Finding(
        code="orphans-reported",
        severity=Severity.WARNING,
        message=f"{', '.join(names)}: only reported although `docker.drift.orphan_action` is {handling},"
        f" because {', and '.join(doubtful)}",
        subject="docker.drift.orphan_action",
        hint="see that this is the right commit of the right repository, then settle what is named here",
    )
