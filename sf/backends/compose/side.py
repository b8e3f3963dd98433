"""One of the two states that are compared: which stack is to run on which host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sf.backends.compose.inventory import Inventory, gather, implicit, read_inventory
from sf.backends.compose.stack import Kind, find_stacks
from sf.backends.compose.tree import Blobs, Tree
from sf.models import Finding, Location, Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sf.backends.compose.inventory import Host
    from sf.backends.compose.stack import Stack
    from sf.backends.compose.tree import Folder
    from sf.cache import Cache
    from sf.config import DockerConfig
    from sf.runtime.context import RuntimeContext
    from sf.tools.git import Git

BASE_UNREADABLE: Final = "base-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One stack on one host."""

    host: Host
    stack: Stack
    folder: Folder

    @property
    def name(self) -> str:
        return f"{self.host.name}/{self.stack.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one tree asks for: ``units`` by name, in order. ``findings`` are about this state alone."""

    treeish: str = ""
    inventory: Inventory = field(default_factory=Inventory)
    stacks: tuple[Stack, ...] = ()
    units: dict[str, Unit] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


class Reader:
    """Reads sides. Equal inventories are read once."""

    def __init__(self, git: Git, config: DockerConfig, context: RuntimeContext, cache: Cache) -> None:
        self._git = git
        self._config = config
        self._context = context
        self._cache = cache
        self._blobs = Blobs(git.read_blobs)
        self._inventories: dict[str, Inventory] = {}

    def read(self, treeish: str) -> Side:
        """What the tree `treeish` asks for. Raises `Problem` when its inventory cannot be read."""
        tree = Tree(self._git.ls_tree(treeish), self._blobs)
        stacks = find_stacks(tree, self._config.iac.path)
        inventory = self._inventory(tree)
        selected = inventory.select(
            self._config.targets.selector.groups, source=self._config.targets.inventory
        )
        units: dict[str, Unit] = {}
        findings: list[Finding] = list(_vaulted(inventory))
        for stack in stacks:
            folder = tree.folder(stack.path)
            for host in self._hosts(stack, inventory, findings):
                if host not in selected:
                    continue
                unit = Unit(host=inventory.hosts[host], stack=stack, folder=folder)
                if unit.name in units:
                    findings.append(_twice(unit, units[unit.name]))
                units.setdefault(unit.name, unit)
        ordered = dict(sorted(units.items()))
        return Side(
            treeish=treeish,
            inventory=inventory,
            stacks=tuple(stacks),
            units=ordered,
            findings=tuple(findings),
        )

    def read_before(self, treeish: str) -> Side:
        """As `read`, for the state before: one that cannot be read asks for nothing, and a finding says so."""
        try:
            return self.read(treeish)
        except Problem as problem:
            finding = Finding(
                code=BASE_UNREADABLE,
                severity=Severity.WARNING,
                message=f"the state before cannot be read, so that every stack counts as new: {problem.message}",
                subject=problem.location.path if problem.location else "",
                location=problem.location,
                hint=problem.hint,
            )
            return Side(treeish=treeish, findings=(finding,))

    def folder(self, commit: str, path: str) -> Folder:
        """The folder at `path` as of an earlier `commit`. Raises `Problem` when git does not have it any more."""
        if not self._git.has_commit(commit):
            self._git.fetch_commit(commit)
        return Tree(self._git.ls_tree(commit), self._blobs).folder(path)

    def file(self, treeish: str, path: str) -> bytes | None:
        """The content of the plain file at `path` in the tree `treeish`; None when there is none."""
        tree = Tree(self._git.ls_tree(treeish), self._blobs)
        file = tree.file(path)
        return tree.content(file) if file else None

    def _inventory(self, tree: Tree) -> Inventory:
        if not self._config.targets.inventory:
            return implicit()
        source = gather(tree, self._config.targets.inventory)
        if source.identity not in self._inventories:
            count = len(self._inventories)
            scratch = self._context.workspace.scratch / f"inventory-{count}"
            private = self._context.workspace.scratch / f"ansible-{count}"
            for directory in (scratch, private):
                directory.mkdir(mode=0o700)
            self._inventories[source.identity] = read_inventory(
                source,
                launcher=self._context.launcher,
                environ=self._context.environ,
                scratch=scratch,
                private=private,
                cache=self._cache,
            )
        return self._inventories[source.identity]

    def _hosts(self, stack: Stack, inventory: Inventory, findings: list[Finding]) -> tuple[str, ...]:
        try:
            hosts = inventory.scope(stack.scope)
        except Problem as problem:
            findings.append(_finding("scope-ambiguous", problem, stack))
            return ()
        if hosts is None:
            findings.append(_unknown_scope(stack, self._config.targets.inventory))
            return ()
        return hosts


def _vaulted(inventory: Inventory) -> Iterator[Finding]:
    for path in inventory.skipped:
        yield Finding(
            code="inventory-encrypted",
            severity=Severity.INFO,
            message=f"{path} is encrypted with ansible-vault and was left out of the inventory",
            subject=path,
            location=Location(path),
            hint="facts that sf needs to reach a host have to stand in a plain file",
        )


def _unknown_scope(stack: Stack, inventory: str) -> Finding:
    where = (
        f"the inventory {inventory}"
        if inventory
        else "no inventory is configured, so only localhost is known; it"
    )
    return Finding(
        code="scope-unknown",
        severity=Severity.ERROR,
        message=f"{stack.path} is for {stack.scope}, and {where} has no host or group of that name",
        subject=stack.path,
        location=Location(stack.path),
        hint="correct the folder's name, or add the host: a stack never runs somewhere by default",
    )


def _twice(unit: Unit, other: Unit) -> Finding:
    return Finding(
        code="stack-twice",
        severity=Severity.ERROR,
        message=f"{other.stack.path} and {unit.stack.path} are both {unit.stack.name} on {unit.host.name}",
        subject=unit.name,
        location=Location(unit.stack.path),
        hint="rename one of the two folders",
    )


def _finding(code: str, problem: Problem, stack: Stack) -> Finding:
    return Finding(
        code=code,
        severity=Severity.ERROR,
        message=problem.message,
        subject=stack.path,
        location=problem.location or Location(stack.path),
        hint=problem.hint,
    )


def is_script(unit: Unit) -> bool:
    """Whether the stack is deployed by its own script."""
    return unit.stack.kind is Kind.SCRIPT
