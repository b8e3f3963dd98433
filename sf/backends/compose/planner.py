"""From two sides and one look at the hosts to the actions of a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sf.backends.compose.difference import compare
from sf.backends.compose.model import Unreadable
from sf.backends.compose.plaintext import in_memory
from sf.backends.compose.side import BASE_UNREADABLE, is_script
from sf.backends.compose.stack import SCRIPT, required_stacks
from sf.ci.context import EventKind, Trust
from sf.models import (
    ActionKind,
    Cause,
    Change,
    Finding,
    LiveState,
    Location,
    PlannedAction,
    Problem,
    Reason,
    Severity,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sf.backends.compose.fleet import Fleet
    from sf.backends.compose.inventory import Host
    from sf.backends.compose.live import Sight, View
    from sf.backends.compose.masking import Masking
    from sf.backends.compose.model import Model, Resolver
    from sf.backends.compose.record import Record
    from sf.backends.compose.side import Side, Unit
    from sf.backends.compose.tree import Folder
    from sf.ci.context import CIContext
    from sf.models import ObjectChange

PULL_REQUEST: Final = frozenset(
    {EventKind.PULL_REQUEST, EventKind.PULL_REQUEST_TARGET, EventKind.MERGE_GROUP}
)
# Folders read by one process; git hands out a bounded number of bytes.
_TOGETHER: Final = 50
_DEPLOYED: Final = frozenset({Change.ADD, Change.CHANGE})


@dataclass(kw_only=True)
class Outlook:
    """What planning came to: ``sights`` by action, for those that can be executed here.

    ``reported``: actions that only say what somebody changed on the host.
    """

    actions: list[PlannedAction] = field(default_factory=list)
    sights: dict[str, Sight] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    unknown: dict[str, None] = field(default_factory=dict)


class Planner:
    """Plans every unit of either side. Reads only."""

    def __init__(
        self,
        base: Side,
        head: Side,
        *,
        resolver: Resolver,
        masking: Masking,
        ci: CIContext,
        repository: str,
        repairs: bool,
        at_rest: str,
        scripts: bool,
    ) -> None:
        """`repairs`: whether what somebody changed on a host is put right, or only reported.

        `at_rest`: where plaintext of files that containers mount stands on a host. `scripts`: whether stacks may
        be deployed by one of their own.
        """
        self._base = base
        self._head = head
        self._resolver = resolver
        self._masking = masking
        self._ci = ci
        self._repository = repository
        self._repairs = repairs
        self._at_rest = at_rest
        self._scripts = scripts
        self._models: dict[tuple[str, str], Model | Unreadable] = {}
        self._projects: dict[tuple[str, str], Unit] = {}
        self._dependencies: dict[str, tuple[str, ...]] = {}
        self._outlook = Outlook()

    def plan(self, fleet: Fleet, *, reaches_out: bool) -> Outlook:
        """One action per stack and host, in order of their names; stacks of one host follow each other.

        Without `reaches_out` nothing is asked of hosts that are reached over ssh.
        """
        self._outlook.findings += self._head.findings
        if self._base is not self._head:
            self._outlook.findings += [one for one in self._base.findings if one.code == BASE_UNREADABLE]
        names = sorted({*self._base.units, *self._head.units})
        views = self._look(fleet, reaches_out=reaches_out)
        self._read_ahead(names, views)
        places = self._places(names)
        for name in names:
            self._outlook.actions.append(self._action(name, places[name], views))
        return self._outlook

    def _look(self, fleet: Fleet, *, reaches_out: bool) -> dict[str, View]:
        """Views of the hosts that may and can be seen, by name; of the others it is noted why."""
        hosts = {unit.host.name: unit.host for unit in self._head.units.values()}
        if self._ci.trust is Trust.UNTRUSTED:
            self._note(hosts, "this run is not trusted, so nothing was looked at there")
            return {}
        if not reaches_out:
            distant = {name for name, host in hosts.items() if not host.local}
            self._note(distant, "it is reached over ssh, and `docker.ssh.known_hosts` is not set")
            hosts = {name: host for name, host in hosts.items() if host.local}
        hosts = {name: host for name, host in sorted(hosts.items()) if self._same_host(host)}
        fleet.look(hosts.values())
        for name in sorted(set(fleet.failures) & set(hosts)):
            self._note([name], "its Docker Engine or its deployment records could not be read")
            self._find("host-unreadable", Severity.WARNING, name, fleet.failures[name])
        return {name: fleet.view(host) for name, host in hosts.items() if name not in fleet.failures}

    def _read_ahead(self, names: Sequence[str], views: Mapping[str, View]) -> None:
        """Have git hand out in one go what will be read of the stacks that are resolved."""
        wanted: list[Folder] = []
        for name in names:
            old, new = self._base.units.get(name), self._head.units.get(name)
            changed = old is None or new is None or old.folder.identity != new.folder.identity
            view = views.get(new.host.name) if new else None
            if changed or (new and view and not view.knows(new)):
                wanted += [unit.folder for unit in (old, new) if unit and (changed or unit is new)]
        for start in range(0, len(wanted), _TOGETHER):
            first, *others = wanted[start : start + _TOGETHER]
            first.read_ahead(others)

    def _places(self, names: Sequence[str]) -> dict[str, int]:
        """Where each unit stands in the order of its host: by name, but behind those that it depends on."""
        self._dependencies = {name: self._depends_on(name) for name in names}
        ordered: dict[str, None] = {}

        def put(name: str, above: tuple[str, ...]) -> None:
            if name in above:
                circle = " → ".join((*above[above.index(name) :], name))
                problem = Problem(
                    f"the stacks depend on each other in a circle: {circle}",
                    hint="take one of them out of `depends_on_stack`",
                    location=Location(self._unit(name).stack.path),
                )
                self._find_new("dependency-circle", name, problem)
            elif name not in ordered:
                for other in self._dependencies[name]:
                    put(other, (*above, name))
                ordered.setdefault(name)

        for name in names:
            put(name, ())
        places: dict[str, int] = {}
        counts: dict[str, int] = {}
        for name in ordered:
            host = self._unit(name).host.name
            places[name] = counts[host] = counts.get(host, -1) + 1
        return places

    def _depends_on(self, name: str) -> tuple[str, ...]:
        """The units of the same host that `name` names; one that is not there is a finding."""
        unit = self._head.units.get(name)
        if unit is None or is_script(unit):
            return ()
        try:
            stacks = required_stacks(unit.folder)
        except Problem as problem:
            self._find_new("stack-unreadable", unit.stack.path, problem)
            return ()
        names = [f"{unit.host.name}/{stack}" for stack in stacks]
        for other, stack in zip(names, stacks, strict=True):
            if other not in self._head.units:
                missing = Problem(
                    f"{unit.stack.path} depends on the stack {stack}, and {unit.host.name} has none of that name",
                    hint="correct `depends_on_stack`; it names stacks of the same host",
                    location=Location(unit.stack.path),
                )
                self._find_new("dependency-missing", name, missing)
        return tuple(other for other in names if other in self._head.units)

    def _unit(self, name: str) -> Unit:
        return self._head.units.get(name) or self._base.units[name]

    def _action(self, name: str, order: int, views: Mapping[str, View]) -> PlannedAction:
        old, new = self._base.units.get(name), self._head.units.get(name)
        unit = new or old
        assert unit is not None  # noqa: S101 - the name came from one of the two
        change, objects = self._declared(unit, old, new)
        live = self._live(new, views.get(new.host.name)) if new else None
        if new:
            self._tell_of_memory(new, change)
        kind = self._kind(unit, change, live)
        if live is None and change is Change.UNCHANGED:
            live = LiveState(effect=Change.UNKNOWN)
        return PlannedAction(
            name=name,
            description=_describe(unit, kind, change, reported=name in self._outlook.reported),
            order=order,
            action=kind,
            metadata={
                "host": unit.host.name,
                "kind": unit.stack.kind.value,
                "path": unit.stack.path,
                "scope": unit.stack.scope,
            },
            change=change,
            reasons=tuple(self._reasons(unit, old, new, objects)) if change is not Change.UNCHANGED else (),
            objects=objects,
            depends_on=self._dependencies[name],
            live=live,
        )

    def _declared(
        self, unit: Unit, old: Unit | None, new: Unit | None
    ) -> tuple[Change, tuple[ObjectChange, ...]]:
        """What the commits do to a unit, and to each of its services."""
        if old and new and old.folder.identity == new.folder.identity:
            return Change.UNCHANGED, ()
        before, after = (self._model(side) if side else None for side in (old, new))
        folder = unit.stack.path
        if new and after:
            self._claim(new, after.project)
        objects: tuple[ObjectChange, ...] = ()
        if (old is None or before) and (new is None or after):
            objects = compare(before, after, folder=folder, masking=self._masking)
        if old is None:
            return Change.ADD, objects
        return (Change.CHANGE if new else Change.REMOVE), objects

    def _live(self, unit: Unit, view: View | None) -> LiveState | None:
        """What runs of `unit`; None when that is unknown, which is then noted."""
        if is_script(unit) and not self._scripts:
            self._note([unit.name], "what a deploy.sh leaves running cannot be told")
            return None
        if view is None:
            return None
        try:
            sight = view.see_script(unit) if is_script(unit) else view.see(unit, lambda: self._resolved(unit))
        except Unreadable as problem:
            self._find_once("stack-unreadable", unit, problem)
            return None
        self._claim(unit, sight.project)
        if sight.record and sight.record.repository != self._repository:
            self._outlook.findings.append(_foreign(unit, sight.record))
            return sight.live
        self._outlook.sights[unit.name] = sight
        if sight.by_hand and not self._repairs:
            self._outlook.reported.add(unit.name)
        return sight.live

    def _tell_of_memory(self, unit: Unit, change: Change) -> None:
        """Say what is lost when the host starts anew, where that is how plaintext is to be kept."""
        sight = self._outlook.sights.get(unit.name)
        if sight and sight.live.effect in _DEPLOYED:
            encrypted: Mapping[str, str] = sight.encrypted
        elif change in _DEPLOYED and (model := self._model(unit)):
            encrypted = model.encrypted
        else:
            return
        self._outlook.findings += in_memory(unit, encrypted, self._at_rest)

    def _claim(self, unit: Unit, project: str) -> None:
        """Note whose the name of a project is: two stacks under one name would remove each other's containers."""
        owner = self._projects.setdefault((unit.host.name, project), unit)
        if owner.name != unit.name:
            self._outlook.findings.append(_shared_project(owner, unit, project))

    def _same_host(self, host: Host) -> bool:
        """Whether a pull request leaves alone where we would look; if not, it is told and not followed."""
        before = self._base.inventory.hosts.get(host.name)
        if self._ci.event not in PULL_REQUEST or before == host:
            return True
        self._note([host.name], "this change decides how it is reached, so nothing was looked at there")
        if not any(finding.subject == host.name for finding in self._outlook.findings):
            self._outlook.findings.append(
                Finding(
                    code="host-steered",
                    severity=Severity.DANGER,
                    message=f"the change makes {host.name} the machine that sf itself runs on"
                    if host.local
                    else f"the change decides how {host.name} is reached",
                    subject=host.name,
                    hint="merge it only if that is meant: its stacks are then deployed to the runner's engine"
                    if host.local
                    else "merge it only if that is meant: sf then logs in there with the keys of the pipeline",
                )
            )
        return False

    def _kind(self, unit: Unit, change: Change, live: LiveState | None) -> ActionKind:
        if unit.name not in self._head.units or (is_script(unit) and not self._scripts):
            return ActionKind.NONE if change is Change.UNCHANGED else ActionKind.REPORT
        if unit.name in self._outlook.reported:
            return ActionKind.REPORT
        effect = live.effect if live else change
        return ActionKind.DEPLOY if effect in _DEPLOYED else ActionKind.NONE

    def _reasons(
        self, unit: Unit, old: Unit | None, new: Unit | None, objects: Collection[ObjectChange]
    ) -> Iterable[Reason]:
        path = unit.stack.path
        location = Location(path)
        if old is None:
            yield Reason(cause=Cause.GIT, message=f"{path} is new on {unit.host.name}", location=location)
        elif new is None:
            yield Reason(
                cause=Cause.GIT,
                message=f"{path} is no longer for {unit.host.name}; what runs there is left as it is",
                location=location,
            )
        elif not objects and self._readable(old, new):
            yield Reason(
                cause=Cause.GIT,
                message=f"files in {path} change that no service uses",
                location=location,
            )

    def _readable(self, old: Unit, new: Unit) -> bool:
        return not is_script(new) and all(self._model(unit) is not None for unit in (old, new))

    def _model(self, unit: Unit) -> Model | None:
        """The model of a compose stack; None, with a finding, when it cannot be had."""
        if is_script(unit):
            return None
        try:
            return self._resolved(unit)
        except Unreadable as problem:
            self._find_once("stack-unreadable", unit, problem)
            return None

    def _resolved(self, unit: Unit) -> Model:
        """As `Resolver.resolve`, once per folder and content: a group's stack is the same on each member."""
        key = (unit.stack.path, unit.folder.identity)
        if key not in self._models:
            self._models[key] = self._resolve(unit.folder)
        found = self._models[key]
        if isinstance(found, Unreadable):
            raise found
        return found

    def _resolve(self, folder: Folder) -> Model | Unreadable:
        try:
            return self._resolver.resolve(folder)
        except Unreadable as problem:
            return problem

    def _find_once(self, code: str, unit: Unit, problem: Problem) -> None:
        """A stack that cannot be read is an error of the state to come, and a remark about the one before."""
        is_head = unit.name in self._head.units and unit is self._head.units[unit.name]
        severity = Severity.ERROR if is_head else Severity.WARNING
        known = {(finding.code, finding.subject, finding.message) for finding in self._outlook.findings}
        if (code, unit.stack.path, problem.message) not in known:
            self._find(code, severity, unit.stack.path, problem)

    def _find_new(self, code: str, subject: str, problem: Problem) -> None:
        """An error of the state to come, told once."""
        known = {(finding.code, finding.message) for finding in self._outlook.findings}
        if (code, problem.message) not in known:
            self._find(code, Severity.ERROR, subject, problem)

    def _find(self, code: str, severity: Severity, subject: str, problem: Problem) -> None:
        self._outlook.findings.append(
            Finding(
                code=code,
                severity=severity,
                message=problem.message,
                subject=subject,
                location=problem.location,
                hint=problem.hint,
            )
        )

    def _note(self, subjects: Iterable[str], why: str) -> None:
        self._outlook.unknown |= dict.fromkeys(
            f"what runs on {one} is unknown: {why}" for one in sorted(subjects)
        )


def _shared_project(owner: Unit, unit: Unit, project: str) -> Finding:
    return Finding(
        code="project-twice",
        severity=Severity.ERROR,
        message=f"{owner.stack.path} and {unit.stack.path} are both the project {project} on {unit.host.name}",
        subject=unit.name,
        location=Location(unit.stack.path),
        hint="give one of them another `name:`",
    )


def _foreign(unit: Unit, record: Record) -> Finding:
    return Finding(
        code="stack-foreign",
        severity=Severity.ERROR,
        message=f"the project {record.project} on {unit.host.name} was deployed from"
        f" {record.repository or 'a repository without a remote'}",
        subject=unit.name,
        location=Location(unit.stack.path),
        hint="give this stack another `name:`, or take the other one down first and remove its folder",
    )


def _describe(unit: Unit, kind: ActionKind, change: Change, *, reported: bool) -> str:
    name, host = unit.stack.name, unit.host.name
    if reported:
        return f"report that {name} was changed on {host}; `docker.drift.tier2_action` says not to undo it"
    if kind is ActionKind.DEPLOY and is_script(unit):
        return f"run {SCRIPT} of {name} on {host}"
    if kind is ActionKind.DEPLOY:
        return f"bring {name} up on {host} and wait until it is healthy"
    if kind is ActionKind.NONE:
        return f"leave {name} on {host} as it is"
    if change is Change.REMOVE:
        return f"report that {name} on {host} has left the repository; it is not stopped"
    return f"report that {name} on {host} has changed; its {SCRIPT} is only run with `docker.scripts: true`"
