"""A build that fails is an error of the change that broke it, never silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.backends import register_builtins
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.models import Change, Phase, Severity
from sf.runtime import InvokerType, LifecycleError, RuntimeContext, run_lifecycle
from tests import fleets
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tools

GOOD = {"app/kustomization.yaml": fleets.kustomization(["settings.yaml"])}
BROKEN = {"app/kustomization.yaml": fleets.kustomization(["nowhere.yaml"])}


def context(repository: Repository, program_path: str) -> RuntimeContext:
    register_builtins()
    return RuntimeContext(
        ci=CIContext(provider=Provider.GITHUB, event=EventKind.UNKNOWN, trust=Trust.UNTRUSTED),
        invoker=InvokerType.API,
        repo_root=repository.root,
        dry_run=True,
        environ={"PATH": program_path},
        base="HEAD~1",
    )


def fleet(root: Path, *states: dict[str, str]) -> Repository:
    repository = Repository.init(root / "fleet")
    app = {"clusters/one/app.yaml": fleets.flux_kustomization("app", "./app")}
    settings = {"app/settings.yaml": fleets.config_map("settings", level="quiet")}
    repository.commit({**fleets.cluster("one"), **app, **settings, **states[0]})
    for state in states[1:]:
        repository.commit(state)
    return repository


CONFIG = load_config(b"lifecycle: {mode: gitops}\ngitops: {path: clusters/one}\n")


def test_a_change_that_breaks_a_build_fails_the_plan(tmp_path: Path, program_path: str) -> None:
    run = context(fleet(tmp_path, GOOD, BROKEN), program_path)
    with pytest.raises(LifecycleError, match=r"flux-system/app: the build fails: .*nowhere\.yaml") as caught:
        run_lifecycle(CONFIG, run)
    assert caught.value.phase is Phase.PLAN
    assert run.plan is not None
    (action,) = [action for action in run.plan.actions if action.name == "flux-system/app"]
    assert (action.change, action.objects) == (Change.UNKNOWN, ())


def test_one_that_was_broken_before_is_said_and_stops_nobody(tmp_path: Path, program_path: str) -> None:
    still = {**BROKEN, "app/settings.yaml": fleets.config_map("settings", level="loud"), "app/x": "y"}
    still["app/kustomization.yaml"] = fleets.kustomization(["nowhere.yaml", "settings.yaml"])
    run = context(fleet(tmp_path, BROKEN, still), program_path)
    run_lifecycle(CONFIG, run)
    assert run.plan is not None
    (found,) = [finding for finding in run.plan.findings if finding.code == "build-failed"]
    assert found.severity is Severity.WARNING
    assert found.message.endswith("(as before)")
