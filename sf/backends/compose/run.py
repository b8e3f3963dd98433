"""One run of the compose backend: what it was given, what it read, and what it did with that."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sf.backends.compose.deploy import Deployment, Origin
from sf.backends.compose.live import Local
from sf.backends.compose.masking import Masking
from sf.backends.compose.model import Resolver
from sf.backends.compose.planner import Outlook, Planner
from sf.backends.compose.release import is_writable
from sf.backends.compose.side import Reader, Side
from sf.changes.masking import KEY_VARIABLE, Fingerprints
from sf.ci.comparison import resolve_comparison
from sf.ci.values import repository_identity
from sf.models import (
    ActionKind,
    ActionResult,
    ActionState,
    ActionUpdated,
    Change,
    LifecyclePlan,
    LifecycleResult,
    Outcome,
    Problem,
)
from sf.process import ProgramMissing, find
from sf.tools import ansible
from sf.tools.compose import Compose
from sf.tools.docker import Engine, engine_socket
from sf.tools.git import Git

if TYPE_CHECKING:
    from sf.ci.comparison import Comparison
    from sf.config import Config
    from sf.models import PlannedAction
    from sf.runtime.context import RuntimeContext

BACKEND: Final = "compose"


class Run:
    """One run on one repository. What it needs is made when first asked for."""

    def __init__(self, config: Config, context: RuntimeContext) -> None:
        self._config = config
        self._docker = config.docker
        self._context = context
        environ = context.environ
        self._variables = {name: environ[name] for name in self._docker.env if name in environ}
        for value in (environ.get(KEY_VARIABLE, ""), *self._variables.values()):
            context.redactor.register(value)
        self._masking = Masking(Fingerprints.from_environ(environ), self._variables)
        self._git = Git(context.launcher, context.repo_root, environ)
        self._reader = Reader(self._git, self._docker, context)
        private = context.workspace.private / "docker"
        private.mkdir(mode=0o700)
        self._compose = Compose(context.launcher, environ, private)
        self._local = Local(Engine(engine_socket(environ)), Path(self._docker.stack_dir), self._variables)
        self._version = ""
        self._sides: tuple[Side, Side] | None = None
        self._comparison: Comparison | None = None
        self._outlook = Outlook()

    def check_programs(self) -> None:
        """Raises `Problem` for a program that is missing or too old."""
        self._version = self._compose.version()
        if self._docker.targets.inventory and find(ansible.PROGRAM, self._context.environ) is None:
            raise ProgramMissing(
                f"the program `{ansible.PROGRAM}` is not installed, and `docker.targets.inventory` is set",
                hint="install ansible-core",
            )

    def check_machine(self) -> None:
        """Raises `Problem` when this machine is a target and stacks cannot be deployed to it."""
        _, head = self.read()
        if not any(unit.host.local for unit in head.units.values()):
            return
        self._local.check_shared()
        stack_dir = self._local.stack_dir
        if not is_writable(stack_dir):
            raise Problem(
                f"this user may not write the deployed stacks to {stack_dir}",
                hint=f"let him have it: sudo install -d -o \"$(id -un)\" '{stack_dir}'",
            )

    def read(self) -> tuple[Side, Side]:
        """Both sides, read when first asked for."""
        if self._sides is None:
            context = self._context
            self._comparison = resolve_comparison(self._git, context.ci, base=context.base, head=context.head)
            head = self._reader.read(self._comparison.head_tree)
            same = self._comparison.base_tree == self._comparison.head_tree
            self._sides = (head if same else self._reader.read_before(self._comparison.base_tree), head)
        return self._sides

    def read_commit(self, revision: str) -> tuple[str, Side]:
        """The id of the commit that `revision` names, and what it asks for."""
        commit = self._git.resolve(revision)
        return commit, self._reader.read(self._git.tree_of(commit))

    def plan(self) -> LifecyclePlan:
        base, head = self.read()
        comparison = self._comparison
        assert comparison is not None  # noqa: S101 - `read` made it
        planner = Planner(
            base,
            head,
            resolver=self.resolver,
            masking=self._masking,
            ci=self._context.ci,
            repository=self._repository,
            repairs=self._docker.drift.tier2_action == "reconcile",
        )
        self._outlook = outlook = planner.plan(self._local)
        contents = {unit.stack.path: unit.folder.identity for unit in head.units.values()}
        if head.inventory.identity:
            contents[self._docker.targets.inventory] = head.inventory.identity
        return LifecyclePlan(
            mode=self._config.mode,
            backend=BACKEND,
            actions=tuple(outlook.actions),
            dry_run=self._context.dry_run,
            target=", ".join(self._docker.targets.selector.groups),
            repository=self._repository,
            commit=comparison.head,
            base=comparison.base or "",
            config_hash=self._config.digest,
            tools={"docker compose": self._version},
            contents=contents,
            findings=tuple(outlook.findings),
            unknown=tuple(outlook.unknown),
            fingerprint_key=self._masking.fingerprints.key_id,
        )

    def execute(self, plan: LifecyclePlan) -> LifecycleResult:
        """An action of kind NONE that was seen running as planned counts as done; one that is unknown does not."""
        deployment = Deployment(
            self._local,
            self._compose,
            variables=self._variables,
            origin=Origin(repository=self._repository, commit=plan.commit),
            wait=int(self._config.deadlines.action),
            redactor=self._context.redactor,
        )
        results = (self._carry_out(action, deployment) for action in plan.actions)
        return LifecycleResult(actions=tuple(result for result in results if result))

    def close(self) -> None:
        self._local.engine.close()

    @cached_property
    def resolver(self) -> Resolver:
        scratch = self._context.workspace.scratch / "models"
        scratch.mkdir(mode=0o700)
        return Resolver(self._compose, scratch, self._variables)

    @property
    def _repository(self) -> str:
        return self._context.ci.repository or repository_identity(self._git.remote_url())

    def _carry_out(self, action: PlannedAction, deployment: Deployment) -> ActionResult | None:
        if action.action is ActionKind.DEPLOY:
            return self._deploy(action, deployment)
        if action.name in self._outlook.reported:
            return self._ended(
                ActionResult(
                    name=action.name, success=True, outcome=Outcome.UNCHANGED, message=action.description
                )
            )
        if action.action is ActionKind.REPORT and action.change is not Change.REMOVE:
            return self._not_reached(action, action.description)
        if action.live and action.live.effect is Change.UNCHANGED:
            return self._ended(
                ActionResult(
                    name=action.name,
                    success=True,
                    outcome=Outcome.UNCHANGED,
                    message="runs as planned already",
                )
            )
        return None

    def _deploy(self, action: PlannedAction, deployment: Deployment) -> ActionResult:
        _, head = self.read()
        emit = self._context.emit
        emit(ActionUpdated(name=action.name, state=ActionState.STARTED, message=action.description))
        sight = self._outlook.sights.get(action.name)
        if sight is None:
            return self._not_reached(action, "what runs there could not be seen when the plan was made")
        started = time.monotonic()
        try:
            result = deployment.deploy(
                head.units[action.name],
                sight,
                on_line=lambda line: emit(
                    ActionUpdated(name=action.name, state=ActionState.WAITING, message=line.strip())
                ),
            )
        except Problem as problem:
            result = ActionResult(
                name=action.name,
                success=False,
                duration=time.monotonic() - started,
                message=problem.message,
                stderr=problem.hint,
            )
        return self._ended(result)

    def _not_reached(self, action: PlannedAction, why: str) -> ActionResult:
        return self._ended(
            ActionResult(name=action.name, success=False, outcome=Outcome.NOT_REACHED, message=why)
        )

    def _ended(self, result: ActionResult) -> ActionResult:
        self._context.emit(
            ActionUpdated(name=result.name, state=ActionState.ENDED, message=result.message, result=result)
        )
        return result
