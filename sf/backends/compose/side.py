"""One of the two states that are compared: which stack is to run on which host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sf.backends.compose.inventory import Inventory, gather, implicit, read_inventory
from sf.backends.compose.stack import Kind, find_stacks
from sf.backends.compose.targets import context_inventory, state_inventory
from sf.backends.compose.tree import Blobs, Tree
from sf.config import FILE_NAME, load_config
from sf.models import Finding, Location, Problem, Severity
from sf.tools.contexts import read_contexts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.backends.compose.inventory import Host
    from sf.backends.compose.stack import Stack
    from sf.backends.compose.tree import Folder
    from sf.cache import Cache
    from sf.config import DockerConfig, TargetsConfig
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
    """What one tree asks for: ``units`` by name, in order. ``findings`` are about this state alone.

    ``selected``: names of the hosts that take part. ``configured``: whether it has a configuration of sf.
    """

    treeish: str = ""
    inventory: Inventory = field(default_factory=Inventory)
    stacks: tuple[Stack, ...] = ()
    units: dict[str, Unit] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    selected: frozenset[str] = frozenset()
    configured: bool = False


class Reader:
    """Reads sides. Equal inventories are read once."""

    def __init__(self, git: Git, config: DockerConfig, context: RuntimeContext, cache: Cache) -> None:
        self._git = git
        self._config = config
        self._context = context
        self._cache = cache
        self._blobs = Blobs(git.read_blobs)
        self._inventories: dict[str, Inventory] = {}

    def read(self, treeish: str, *, before: bool = False) -> Side:
        """What the tree `treeish` asks for. Raises `Problem` when its inventory cannot be read.

        With `before` hosts that stand in the configuration are those of the tree's own.
        """
        tree = Tree(self._git.ls_tree(treeish), self._blobs)
        stacks = find_stacks(tree, self._config.iac.path)
        inventory = self._inventory(tree, before=before)
        selector = self._config.targets.selector
        selected = inventory.select(selector.groups, selector.hosts)
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
            selected=selected,
            configured=FILE_NAME in tree,
        )

    def read_before(self, treeish: str) -> Side:
        """As `read`, for the state before: one that cannot be read asks for nothing, and a finding says so."""
        try:
            return self.read(treeish, before=True)
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

    def _inventory(self, tree: Tree, *, before: bool) -> Inventory:
        targets = self._config.targets
        if targets.is_local:
            return implicit()
        if targets.source == "docker-context":
            return context_inventory(read_contexts(self._context.environ))
        if targets.source == "inline":
            hosts = self._stated_before(tree) if before else targets.hosts
            return state_inventory(hosts, FILE_NAME)
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

    def _stated_before(self, tree: Tree) -> Mapping[str, Mapping[str, Any]]:
        """The hosts of the configuration in `tree`: what a pull request adds to them is not followed."""
        file = tree.file(FILE_NAME)
        if file is None:
            return {}
        return load_config(tree.content(file), environ=self._context.environ).docker.targets.hosts

    def _hosts(self, stack: Stack, inventory: Inventory, findings: list[Finding]) -> tuple[str, ...]:
        try:
            hosts = inventory.scope(stack.scope)
        except Problem as problem:
            code = "host-unusable" if stack.scope in inventory.unusable else "scope-ambiguous"
            findings.append(_finding(code, problem, stack))
            return ()
        if hosts is None:
            findings.append(_unknown_scope(stack, self._config.targets))
            return ()
        if not hosts:
            empty = Problem(
                f"{stack.path} is for {stack.scope}, a group without hosts, and runs nowhere",
                hint="add hosts to the group, or remove the folder",
            )
            findings.append(_finding("scope-empty", empty, stack))
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


def _unknown_scope(stack: Stack, targets: TargetsConfig) -> Finding:
    where = {
        "ansible": f"the inventory {targets.inventory}",
        "inline": "`docker.targets.hosts`",
        "docker-context": "the store of docker contexts",
    }[targets.source]
    if targets.is_local:
        where = "no inventory is configured, so only localhost is known; it"
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
