"""Runs of a CI on a fake forge, and what they have to tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.http import Http
from sf.models import ActionKind, Change, LifecyclePlan, ObjectChange, PlannedAction, Record
from sf.redact import Redactor
from sf.report.forges import FORGES
from tests.forge.fake import CHANGE, PROJECT, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.report.forges.api import Forge
    from tests.forge.fake import Fake

COMMIT: Final = "4f0c2a9be1d37f6a5b8c0d9e2f1a3b4c5d6e7f80"
MERGED: Final = "90ab1c2d3e4f5061728394a5b6c7d8e9f0a1b2c3"
BOT: Final = "github-actions[bot]"
TOKEN: Final = "a-token-of-the-bot"
VARIABLES: Final = {"github": "GITHUB_TOKEN", "gitea": "GITEA_TOKEN", "gitlab": "GITLAB_TOKEN"}


def record(diff: str = "+a\n", **fields: Any) -> Record:
    """A plan with one change."""
    change = ObjectChange(change=Change.CHANGE, kind="ConfigMap", name="a", diff=diff)
    action = PlannedAction(
        name="ns/a",
        description="",
        order=0,
        action=ActionKind.RECONCILE,
        change=Change.CHANGE,
        objects=(change,),
    )
    plan = LifecyclePlan(mode="gitops", backend="flux", actions=(action,), target="clusters/a")
    return replace(Record(mode="gitops", backend="flux", dry_run=True, plan=plan), **fields)


def run_on(fake: Fake, **facts: Any) -> CIContext:
    """A run for a pull request on the forge."""
    return CIContext(
        **{
            "provider": Provider(fake.kind),
            "event": EventKind.PULL_REQUEST,
            "trust": Trust.TRUSTED,
            "change_number": CHANGE,
            "head_commit": COMMIT,
            "run_id": "10",
            "run_attempt": 1,
            "api_url": fake.url,
            **facts,
        }
    )


def forge_of(
    ci: CIContext, *, patience: float = 5.0, environ: dict[str, str] | None = None
) -> Callable[[], Forge]:
    """What connects a run with its forge, as the bot unless `environ` says otherwise."""
    known = {"GITHUB_REPOSITORY": REPOSITORY, "CI_PROJECT_ID": PROJECT, VARIABLES[ci.provider.value]: TOKEN}
    variables = known if environ is None else environ
    return lambda: FORGES[ci.provider](ci, variables, Http(Redactor()), patience)
