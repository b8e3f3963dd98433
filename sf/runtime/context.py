"""What one run knows: what it was given, and what it made for itself."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from sf.models import Problem
from sf.process import Launcher
from sf.redact import Redactor
from sf.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sf.ci.context import CIContext
    from sf.models import Event, Finding, LifecyclePlan, LifecycleResult
    from sf.runtime.approval import Approval
    from sf.runtime.backend import LifecycleBackend


class InvokerType(StrEnum):
    """Who started the run: a CI job, a person at a terminal, or a program that imported sf."""

    CI = "ci"
    LOCAL = "local"
    API = "api"


def detect_invoker(ci: CIContext) -> InvokerType:
    """CI or local, from where we run. API is what an importing program says of itself."""
    return InvokerType.LOCAL if ci.provider == "local" else InvokerType.CI


class ResolvedState:
    """The ephemeral state of one run, with the undo of each piece. Safe to add to from several threads."""

    def __init__(self) -> None:
        self.kubeconfig_path: Path | None = None
        self.ca_path: Path | None = None
        self.backend: LifecycleBackend | None = None
        self._lock = threading.Lock()
        self._cleanups: list[tuple[str, Callable[[], None]]] = []

    def add_cleanup(self, name: str, undo: Callable[[], None]) -> None:
        """Have `undo` called at the end of the run; `name` says what it removes, for the error if it fails."""
        with self._lock:
            self._cleanups.append((name, undo))

    def cleanup(self) -> tuple[Problem, ...]:
        """Call every undo once, last added first; returns the failures. One that fails never stops the rest.

        A signal does not either: what it raised is raised again when all have been called.
        """
        failures: list[Problem] = []
        stop: BaseException | None = None
        while True:
            with self._lock:
                if not self._cleanups:
                    break
                name, undo = self._cleanups.pop()
            try:
                undo()
            except Problem as problem:
                failures.append(Problem(f"{name}: {problem}", hint=problem.hint))
            except Exception as error:  # noqa: BLE001 - an undo may fail in any way, the rest must still run
                failures.append(Problem(f"{name}: {type(error).__name__}: {error}"))
            except BaseException as signalled:  # noqa: BLE001 - raised below
                stop = stop or signalled
                failures.append(Problem(f"{name}: interrupted before its end"))
        if stop:
            for failure in failures:
                stop.add_note(str(failure))
            raise stop
        return tuple(failures)


@dataclass(kw_only=True)
class RuntimeContext:
    """One run. The given fields are declarative and never change; `plan` and `result` fill as phases pass.

    `environ` is the environment as the edge read it, once; nothing below reads the process's own. `workspace`,
    `launcher` and `redactor` are the doors of this run. `base` and `head` override the compared revisions.
    `config_file` is where the configuration comes from, relative to the root unless it is outside of it. A plan
    that is not what `approval` says is refused before anything is executed. What `steering` holds was found out
    about the configuration, and makes what is behind its credentials unknown. A run is for what changed, unless it
    is for `everything` or for `only` the units of these names. `force` confirms what the configuration wants
    confirmed.
    """

    ci: CIContext
    invoker: InvokerType
    repo_root: Path
    dry_run: bool
    resolved: ResolvedState = field(default_factory=ResolvedState)
    environ: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    redactor: Redactor = field(default_factory=Redactor)
    launcher: Launcher = field(init=False)
    workspace: Workspace = field(init=False)
    base: str | None = None
    head: str | None = None
    writes_to_forge: bool = False
    live_progress: bool = False
    approval: Approval | None = None
    everything: bool = False
    only: tuple[str, ...] = ()
    config_file: str = ".stagefreight.yml"
    steering: tuple[Finding, ...] = field(default=(), init=False)
    force: bool = False
    plan: LifecyclePlan | None = field(default=None, init=False)
    result: LifecycleResult | None = field(default=None, init=False)
    emit: Callable[[Event], None] = field(default=lambda _event: None, init=False)

    @property
    def links(self) -> Mapping[str, str]:
        """Where a reader finds more, by name."""
        return {"run": self.ci.run_url} if self.ci.run_url else {}

    def __post_init__(self) -> None:
        self.environ = MappingProxyType(dict(self.environ))
        self.launcher = Launcher(self.redactor)
        self.workspace = Workspace(self.environ)
        # First added, last undone.
        self.resolved.add_cleanup("workspace", self.workspace.close)
