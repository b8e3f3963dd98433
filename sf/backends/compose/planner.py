"""From two sides and one look at the hosts to the actions of a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sf.backends.compose.afar import watch
from sf.backends.compose.clashes import clashes
from sf.backends.compose.difference import compare
from sf.backends.compose.images import check_tags, with_tags
from sf.backends.compose.lookout import Lookout
from sf.backends.compose.model import Unreadable
from sf.backends.compose.order import Order
from sf.backends.compose.orphans import Search, doubts, handle
from sf.backends.compose.outlook import Outlook
from sf.backends.compose.plaintext import in_memory
from sf.backends.compose.renaming import renamings
from sf.backends.compose.side import BASE_UNREADABLE, is_script
from sf.backends.compose.stack import SCRIPT
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
    from sf.backends.compose.images import Tag
    from sf.backends.compose.live import Sight, View
    from sf.backends.compose.masking import Masking
    from sf.backends.compose.model import Model, Resolver
    from sf.backends.compose.orphans import Terms
    from sf.backends.compose.record import Record
    from sf.backends.compose.side import Side, Unit
    from sf.backends.compose.tree import Folder
    from sf.ci.context import CIContext
    from sf.models import ObjectChange

# Folders read by one process; git hands out a bounded number of bytes.
_TOGETHER: Final = 50
_DEPLOYED: Final = frozenset({Change.ADD, Change.CHANGE})


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
        asks_registries: bool,
        terms: Terms,
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
        self._asks_registries = asks_registries
        self._terms = terms
        self._tags: dict[str, dict[tuple[str, str], Tag]] = {}
        self._at_rest = at_rest
        self._scripts = scripts
        self._models: dict[tuple[str, str], Model | Unreadable] = {}
        self._projects: dict[tuple[str, str], Unit] = {}
        self._seen: dict[str, Sight] = {}
        self._outlook = Outlook()
        self._order = Order(base, head, self._outlook)

    def plan(self, fleet: Fleet, *, reaches_out: bool) -> Outlook:
        """One action per stack and host, in order of their names; stacks of one host follow each other.

        Without `reaches_out` nothing is asked of hosts that are reached over ssh.
        """
        self._outlook.findings += self._head.findings
        if self._base is not self._head:
            self._outlook.findings += [one for one in self._base.findings if one.code == BASE_UNREADABLE]
        names = sorted({*self._base.units, *self._head.units})
        lookout = Lookout(self._base, self._head, self._outlook, ci=self._ci, everywhere=self._terms.declared)
        views = lookout.look(fleet, reaches_out=reaches_out)
        self._read_ahead(names, views)
        if self._asks_registries:
            tags = fleet.work(list(views.values()), check_tags)
            self._tags = dict(zip(views, tags, strict=True))
        places = self._order.places(names)
        for name in names:
            self._outlook.actions.append(self._action(name, places[name], views))
        self._find_clashes()
        self._handle_orphans(views, lookout.blind)
        return self._outlook

    def _find_clashes(self) -> None:
        hosts: dict[str, list[Unit]] = {}
        for unit in self._head.units.values():
            if not is_script(unit):
                hosts.setdefault(unit.host.name, []).append(unit)
        for units in hosts.values():
            self._outlook.findings += clashes(units, self._known, self._model)

    def _known(self, unit: Unit) -> Model | None:
        """The model of a stack that this plan has resolved already."""
        found = self._models.get((unit.stack.path, unit.folder.identity))
        return None if isinstance(found, Unreadable) else found

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

    def _handle_orphans(self, views: Mapping[str, View], blind: Collection[str]) -> None:
        outlook = self._outlook
        search = Search(
            self._head,
            repository=self._repository,
            projects=self._projects,
            sights=self._seen,
            prunes=self._terms.handling == "prune",
        )
        orphans = search.find(views)
        doubtful = doubts(
            self._terms,
            self._head,
            outlook.findings,
            repository=self._repository,
            number=len(orphans),
            blind=blind,
        )
        planned = {action.name: action for action in outlook.actions}
        handling = handle(orphans, planned, self._terms, doubtful, seen=views)
        outlook.orphans = handling.orphans
        outlook.actions = [action for _, action in sorted({**planned, **handling.actions}.items())]
        outlook.findings += handling.findings

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
            depends_on=self._order.dependencies[name],
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
        if new and before and after:
            self._outlook.findings += renamings(new, before, after)
        if old is None:
            return Change.ADD, objects
        return (Change.CHANGE if new else Change.REMOVE), objects

    def _live(self, unit: Unit, view: View | None) -> LiveState | None:
        """What runs of `unit`; None when that is unknown, which is then noted."""
        if is_script(unit) and (unit.host.reading_only or not self._scripts):
            self._outlook.note([unit.name], "what a deploy.sh leaves running cannot be told")
            return None
        if view is None:
            return None
        try:
            if unit.host.reading_only:
                return self._watched(unit, view)
            sight = view.see_script(unit) if is_script(unit) else view.see(unit, lambda: self._resolved(unit))
        except Unreadable as problem:
            self._find_once("stack-unreadable", unit, problem)
            return None
        sight, unknown = with_tags(sight, self._tags.get(unit.host.name, {}))
        self._outlook.unknown |= dict.fromkeys(f"{unit.name}: {sentence}" for sentence in unknown)
        self._claim(unit, sight.project)
        self._seen[unit.name] = sight
        if sight.record and not sight.record.removed and sight.record.repository != self._repository:
            self._outlook.findings.append(_foreign(unit, sight.record))
            return sight.live
        self._outlook.sights[unit.name] = sight
        if sight.by_hand and not self._repairs:
            self._outlook.reported.add(unit.name)
        return sight.live

    def _watched(self, unit: Unit, view: View) -> LiveState:
        """How a stack does where only its engine can be asked; that all is as it should be cannot be known."""
        sight = watch(unit, view, self._resolved(unit))
        self._claim(unit, sight.project)
        self._outlook.note([unit.name], "its deployment record cannot be read over TLS")
        live = sight.live
        return replace(live, effect=Change.UNKNOWN) if live.effect is Change.UNCHANGED else live

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
                message=f"{path} is no longer for {unit.host.name}",
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
            self._outlook.find(code, severity, unit.stack.path, problem)


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
        hint=f"give this stack another `name:`; or, if it moved here, run `sf docker adopt {unit.name}`",
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
