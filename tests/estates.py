"""A repository of compose stacks, and whole runs of the lifecycle on it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sf.backends.compose.backend import ComposeBackend
from sf.backends.compose.inspection import estate_document
from sf.backends.compose.run import Run as ComposeRun
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.runtime import InvokerType, LifecycleError, RuntimeContext, register, registered, run_lifecycle
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sf.config import Config
    from sf.models import ActionResult, Event, LifecyclePlan, LifecycleResult, PlannedAction

CONFIG: Final = """\
lifecycle: {mode: docker}
docker:
  targets: {inventory: inventory.yml}
"""
INVENTORY: Final = """\
all:
  hosts:
    bench: {docker_local: true}
    remote: {ansible_host: 192.0.2.7, ansible_user: deploy}
  children:
    pair: {hosts: {bench: {}, remote: {}}}
    away: {hosts: {remote: {}}}
    here: {hosts: {bench: {}}}
"""
LARGE: Final = """\
services:
  web: &web {{image: "busybox:1.36", scale: 0, ports: ["{port}:80"], volumes: ["./files:/files:ro"]}}
  worker: {{<<: *web, ports: [], environment: {{PORT: "{port}"}}}}
"""
# Where ansible-inventory is: beside the interpreter of the tests, or wherever the machine has it.
SEARCH_PATH: Final = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"  # noqa: TID251


@dataclass
class Run:
    """What one run left behind."""

    plan: LifecyclePlan | None
    result: LifecycleResult | None
    error: LifecycleError | None
    events: list[Event] = field(default_factory=list)

    def action(self, name: str) -> PlannedAction:
        assert self.plan is not None, self.error
        return next(action for action in self.plan.actions if action.name == name)

    def ended(self, name: str) -> ActionResult:
        assert self.result is not None, self.error
        return next(action for action in self.result.actions if action.name == name)

    @property
    def document(self) -> dict[str, Any]:
        assert self.plan is not None, self.error
        return self.plan.document()


class Estate:
    """A repository of stacks under a folder of a test. `environ` is what every run gets."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.stack_dir = root / "stacks"
        self.temporary = root / "tmp"
        self.temporary.mkdir()
        self.settings: dict[str, str] = {}
        self.environ = {"TMPDIR": str(self.temporary), "HOME": str(root / "home"), **environ}
        self.repository = Repository.init(root / "repository")
        self.repository.commit({".stagefreight.yml": CONFIG, "inventory.yml": INVENTORY}, "an empty estate")

    def commit(self, files: Mapping[str, str]) -> str:
        """Commit `files`, whose paths are below the folder of stacks."""
        return self.repository.commit({f"docker-compose/{path}": text for path, text in files.items()})

    def configure(self, line: str) -> str:
        """Commit `line` as one more key of the section `docker`."""
        config = (self.repository.root / ".stagefreight.yml").read_text()
        return self.repository.commit({".stagefreight.yml": f"{config}  {line}\n"})

    @property
    def config(self) -> Config:
        data = (self.repository.root / ".stagefreight.yml").read_bytes()
        # Compose waits for a container that restarts all the time until the deadline.
        settings = {"SF_CONFIG_DOCKER__STACK_DIR": str(self.stack_dir), "SF_CONFIG_DEADLINES__ACTION": "20s"}
        return load_config(data, environ={**settings, **self.settings})

    def context(self, *, dry_run: bool = True, **about: Any) -> RuntimeContext:
        """`about`: fields of the CI context, and ``environ`` and some other fields of the run's own."""
        run = {name: about.pop(name) for name in ("base", "head", "approval", "force") if name in about}
        environ = {**self.environ, **about.pop("environ", {})}
        defaults = {"provider": Provider.LOCAL, "event": EventKind.UNKNOWN, "trust": Trust.TRUSTED}
        ci = CIContext(**{**defaults, **about})
        root = self.repository.root
        return RuntimeContext(
            ci=ci, invoker=InvokerType.API, repo_root=root, dry_run=dry_run, environ=environ, **run
        )

    def run(
        self, *, dry_run: bool = True, listen: Callable[[Event], None] | None = None, **about: Any
    ) -> Run:
        if ("docker", "compose") not in registered():
            register("docker", "compose", ComposeBackend)
        context = self.context(dry_run=dry_run, **about)
        events: list[Event] = []
        error = None

        def hear(event: Event) -> None:
            events.append(event)
            if listen:
                listen(event)

        try:
            run_lifecycle(self.config, context, events=hear)
        except LifecycleError as caught:
            error = caught
        # Whatever happened, a run leaves nothing behind.
        assert list(self.temporary.iterdir()) == []
        return Run(context.plan, context.result, error, events)

    def document(self) -> dict[str, Any]:
        """What `sf docker inspect` prints."""
        context = self.context()
        try:
            return estate_document(self.config, context)
        finally:
            context.workspace.close()

    def resolved(self) -> int:
        """How many models a plan makes."""
        context = self.context()
        run = ComposeRun(self.config, context)
        try:
            run.check_programs()
            run.plan()
            return run.resolver.count
        finally:
            run.close()
            context.workspace.close()

    def plan(self, **about: Any) -> Run:
        return self.run(**about)

    def reconcile(self, **about: Any) -> Run:
        return self.run(dry_run=False, **about)


def large_estate(
    hosts: Sequence[str], stacks: int, *, facts: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """The files of an estate: `stacks` stacks, the first of them for the group ``every``, the others in turn.

    Nothing of them ever runs, so that many can be brought up: they have no containers.
    """
    listed = "".join(f"    {host}: {{{facts.get(host, '')}}}\n" for host in hosts)
    members = ", ".join(f"{host}: {{}}" for host in hosts)
    files = {"inventory.yml": f"all:\n  hosts:\n{listed}  children:\n    every: {{hosts: {{{members}}}}}\n"}
    for number in range(stacks):
        scope = hosts[number % len(hosts)] if number else "every"
        folder = f"docker-compose/{scope}/s{number:03}"
        files[f"{folder}/compose.yaml"] = LARGE.format(port=20000 + number)
        files[f"{folder}/files/text"] = f"{number}\n"
    return files
