"""Whole jobs of every forge: `sf run` with the checkout, variables and payload that the forge gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.jobs import MERGE_REQUEST, Job, gitlab, job

if TYPE_CHECKING:
    from tests.cli.command import Command
    from tests.repositories import Repository
    from toolchain.engine import Engine

pytestmark = pytest.mark.tools


PULL = ("pull_request", "github-pull_request", "refs/pull/42/merge")
FORK = ("pull_request", "github-pull_request-fork", "refs/pull/42/merge")


def test_a_pull_request_is_planned(fleet_job: Job) -> None:
    github = fleet_job.actions(*PULL, fleet_job.merge)
    done = fleet_job.run("run", "--detailed-exitcode", **github)
    assert done.code == 20, done.err
    plan = fleet_job.document("plan.json")
    assert (plan["base"], plan["commit"]) == (fleet_job.base, fleet_job.merge)
    assert [action["name"] for action in plan["actions"]] == ["flux-system/app"]
    assert fleet_job.document("result.json")["dry_run"] is True
    assert "flux-system/app" in fleet_job.summary
    assert "has-changes" in (fleet_job.command.root / "outputs").read_text()


def test_a_pull_request_of_a_fork_is_planned_and_never_executed(estate_job: Job) -> None:
    github = estate_job.actions(*FORK, estate_job.merge)
    done = estate_job.run("run", **github)
    assert done.code == 0, done.err
    assert estate_job.document("result.json")["dry_run"] is True
    estate_job.run("reconcile", **github).refuses(
        11,
        "resolve[compose]: a pull_request event is not trusted here, so nothing is executed",
        "run `sf plan` on it; reconcile from a push to the default branch",
    )


@pytest.mark.parametrize(
    ("event", "payload", "ref"),
    [
        ("schedule", "github-schedule", "refs/heads/main"),
        ("workflow_dispatch", "github-workflow_dispatch", "refs/heads/main"),
        ("push", "github-push", "refs/heads/change"),
        ("release", "github-release", "refs/tags/v1.2.0"),
    ],
)
def test_other_events_are_planned(event: str, payload: str, ref: str, fleet_job: Job) -> None:
    done = fleet_job.run("run", **fleet_job.actions(event, payload, ref, fleet_job.change))
    assert done.code == 0, done.err
    plan = fleet_job.document("plan.json")
    assert fleet_job.document("result.json")["dry_run"] is True
    assert plan["commit"] == fleet_job.change
    assert bool(plan["counts"]["change"]) == (event in {"push", "release"})


def test_a_broken_plan_fails_the_job(fleet_job: Job) -> None:
    github = fleet_job.actions(*PULL, fleet_job.merge)
    Path(github["GITHUB_EVENT_PATH"]).unlink()
    fleet_job.run("run", **github).refuses(
        10, "load: ...: the event payload cannot be read: No such file or directory", "mount ..."
    )


@pytest.mark.engine
@pytest.mark.slow
def test_a_push_to_the_default_branch_deploys(deploying: Command, estate: Repository, engine: Engine) -> None:
    pushed = job(deploying, estate)
    github = pushed.actions("push", "github-push", "refs/heads/main", pushed.merge)
    done = pushed.run("run", "--detailed-exitcode", **github)
    assert done.code == 20, done.err
    assert '"LEVEL=loud"' in engine.docker("inspect", "web-web-1")
    result = pushed.document("result.json")
    assert [(action["name"], action["outcome"]) for action in result["actions"]] == [
        ("localhost/web", "done")
    ]
    assert "localhost/web" in pushed.summary
    # The runner does it again: there is nothing left to do.
    again = pushed.run("run", **github)
    assert (again.code, pushed.document("result.json")["actions"][0]["outcome"]) == (0, "unchanged"), (
        again.err
    )


@pytest.mark.parametrize("merged", [True, False])
def test_a_merge_request_is_planned(fleet_job: Job, *, merged: bool) -> None:
    change = {
        **MERGE_REQUEST,
        "CI_COMMIT_SHA": fleet_job.merge if merged else fleet_job.change,
        **(
            {
                "CI_MERGE_REQUEST_EVENT_TYPE": "merged_result",
                "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": fleet_job.change,
                "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": fleet_job.base,
            }
            if merged
            else {"CI_MERGE_REQUEST_EVENT_TYPE": "detached"}
        ),
    }
    done = fleet_job.run("run", **gitlab(fleet_job, **change))
    assert done.code == 0, done.err
    plan = fleet_job.document("plan.json")
    assert plan["base"] == fleet_job.base
    assert plan["counts"]["change"] == 1


def test_a_pull_request_at_gitea_is_planned(fleet_job: Job) -> None:
    """There is no merge commit: the merge is computed, on top of what the target branch has."""
    event = ("pull_request", "gitea-pull_request", "refs/pull/42/head")
    gitea = {**fleet_job.actions(*event, fleet_job.change), "GITEA_ACTIONS": "true"}
    done = fleet_job.run("run", "--detailed-exitcode", **gitea)
    assert done.code == 20, done.err
    plan = fleet_job.document("plan.json")
    assert plan["base"] == fleet_job.base
    assert plan["counts"]["change"] == 1


def test_a_log_that_the_runner_reads_holds_no_foreign_command(fleet_job: Job) -> None:
    """A file of the repository, whose name is printed, gives the runner no orders."""
    name = "x\n::error::pwned"
    fleet_job.clone.git("switch", "--quiet", "--detach", fleet_job.change)
    generator = '[{name: named, files: ["data=x\\n::error::pwned"]}]'
    commit = fleet_job.clone.commit(
        {f"app/{name}": "data", "app/kustomization.yaml": f"configMapGenerator: {generator}\n"}
    )
    github = fleet_job.actions("push", "github-push", "refs/heads/change", commit)
    said = "".join(
        fleet_job.run("plan", f"--output={output}", **github).out for output in ("text", "markdown")
    )
    assert "pwned" in said
    assert not any(line.lstrip().startswith("::error::pwned") for line in said.splitlines())
