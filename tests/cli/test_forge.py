"""What whole jobs write on a forge: comments, the issue about drift, and the plan of another job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.jobs import MERGE_REQUEST, gitlab, job
from tests.forge.fake import CHANGE, PROJECT, REPOSITORY, Fake, Fault, serving
from tests.forge.runs import BOT, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.command import Command, Ended
    from tests.cli.jobs import Job
    from tests.repositories import Repository

pytestmark = pytest.mark.tools

PULL = ("pull_request", "github-pull_request", "refs/pull/42/merge")
FORK = ("pull_request", "github-pull_request-fork", "refs/pull/42/merge")


@pytest.fixture
def github() -> Iterator[Fake]:
    with serving("github") as fake:
        fake.accounts = {TOKEN: BOT}
        yield fake


@pytest.fixture
def gitlab_server() -> Iterator[Fake]:
    with serving("gitlab") as fake:
        fake.accounts = {TOKEN: BOT}
        yield fake


def on(fake: Fake, environ: dict[str, str]) -> dict[str, str]:
    """The variables of a job whose forge is `fake`."""
    if event := environ.get("GITHUB_EVENT_PATH"):
        text = Path(event).read_text().replace('"number": 42', f'"number": {CHANGE}')
        Path(event).write_text(text)
    return {
        **environ,
        "GITHUB_API_URL": fake.url,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_TOKEN": TOKEN,
        "GITHUB_RUN_ID": "10",
        "SF_CONFIG_REPORT__COMMENT": "auto",
    }


def sf(job: Job, *arguments: str, **environ: str) -> Ended:
    return job.command(*arguments, cwd=job.clone.root, **environ)


def test_a_pull_request_gets_one_comment_whatever_is_pushed_to_it(fleet_job: Job, github: Fake) -> None:
    environ = on(github, fleet_job.actions(*PULL, fleet_job.merge))
    first, done = (sf(fleet_job, "run", **environ) for _ in range(2))
    assert (first.code, "warning" in first.err) == (0, False), first.err
    assert (done.code, "warning" in done.err) == (0, False), done.err
    [body] = github.bodies()
    assert body.startswith("## Incomplete: 1 to change")
    assert fleet_job.document("plan.json")["change_digest"] in body
    assert github.writes() == ["POST"]
    assert TOKEN not in done.err + done.out + body


def test_a_merge_request_gets_a_note(fleet_job: Job, gitlab_server: Fake) -> None:
    facts = {
        **MERGE_REQUEST,
        "CI_MERGE_REQUEST_IID": str(CHANGE),
        "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
        "CI_COMMIT_SHA": fleet_job.change,
    }
    environ = gitlab(fleet_job, **facts) | {
        "CI_API_V4_URL": gitlab_server.url,
        "CI_PROJECT_ID": PROJECT,
        "CI_MERGE_REQUEST_PROJECT_ID": PROJECT,
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": PROJECT,
        "GITLAB_TOKEN": TOKEN,
    }
    done = sf(fleet_job, "run", **environ)
    assert (done.code, "warning" in done.err) == (0, False), done.err
    [body] = gitlab_server.bodies()
    assert body.startswith("## Incomplete: 1 to change")


def test_a_forge_in_trouble_never_changes_the_exit_code(fleet_job: Job, github: Fake) -> None:
    github.faults = [Fault(403, "Resource not accessible by integration", method="POST", times=99)]
    done = sf(
        fleet_job, "run", "--detailed-exitcode", **on(github, fleet_job.actions(*PULL, fleet_job.merge))
    )
    assert done.code == 20, done.err
    [warning] = [line for line in done.err.splitlines() if "warning" in line]
    assert "there is no comment: the token may not do this: 403" in warning
    assert "flux-system/app" in fleet_job.summary


@pytest.mark.engine
@pytest.mark.slow
def test_drift_has_an_issue_from_the_first_run_that_sees_it_to_the_last(
    deploying: Command, estate: Repository, github: Fake
) -> None:
    scheduled = job(deploying, estate)
    commit = scheduled.base
    asked = {"SF_CONFIG_REPORT__DRIFT_ISSUE": "true"}
    watch = ("schedule", "github-schedule", "refs/heads/main", commit)
    for _ in range(2):
        done = sf(scheduled, "run", **on(github, scheduled.actions(*watch)), **asked)
        assert (done.code, "warning" in done.err) == (0, False), done.err
    [issue] = github.issues
    assert issue.open
    assert "localhost/web" in issue.body
    push = scheduled.actions("push", "github-push", "refs/heads/main", commit)
    done = sf(scheduled, "run", **on(github, push), **asked)
    assert done.code == 0, done.err
    assert issue.open, "only a run on schedule closes it"
    done = sf(scheduled, "run", **on(github, scheduled.actions(*watch)), **asked)
    assert (done.code, issue.open) == (0, False), done.err


class Relay:
    """A job with rights and without a checkout, after one that planned the change of a fork."""

    def __init__(self, planned: Job, github: Fake) -> None:
        environ = on(github, planned.actions(*FORK, planned.merge))
        done = sf(planned, "run", **{**environ, "GITHUB_TOKEN": ""})
        assert done.code == 0, done.err
        self._job, self._github = planned, github
        self.folder = planned.command.root / "empty"
        self.folder.mkdir()
        self.file = self.folder / "plan.json"
        self.file.write_bytes((planned.clone.root / "sf-out/plan.json").read_bytes())
        github.heads = {3: "d" * 40, CHANGE: planned.change}

    def run(self, payload: str = "", **facts: str) -> Ended:
        after = self._job.actions(
            "workflow_run", payload or "github-workflow_run", "refs/heads/main", self._job.base
        )
        event = Path(after["GITHUB_EVENT_PATH"])
        event.write_text(event.read_text().replace("Acme/Fleet", REPOSITORY))
        environ = {**on(self._github, after), "GITHUB_WORKSPACE": str(self.folder), **facts}
        return self._job.command("report", "--plan=plan.json", cwd=self.folder, **environ)

    def edit(self, **values: Any) -> None:
        document = json.loads(self.file.read_text())
        self.file.write_text(json.dumps(document | values))


@pytest.fixture
def relayed(fleet_job: Job, github: Fake) -> Relay:
    return Relay(fleet_job, github)


def test_the_plan_of_a_fork_is_posted_by_a_job_with_rights(
    relayed: Relay, github: Fake, fleet_job: Job
) -> None:
    digest = json.loads(relayed.file.read_text())["change_digest"]
    first, done = relayed.run(), relayed.run()
    assert (first.code, "warning" in first.err) == (0, False), first.err
    assert (done.code, "warning" in done.err) == (0, False), done.err
    [body] = github.bodies()
    assert body.startswith("## Incomplete: 1 to change")
    assert "Made by a run without rights" in body
    assert digest in body
    assert "run=777 attempt=2" in body
    assert github.writes() == ["POST"]
    assert "flux-system/app" in done.out
    assert digest in fleet_job.summary
    assert (relayed.folder / "sf-out/comment.md").is_file()


def test_a_plan_that_was_edited_is_not_posted(relayed: Relay, github: Fake) -> None:
    relayed.edit(commit="f" * 40)
    relayed.run().refuses(10, "load: plan.json...digest...", "...")
    assert github.asked == []


def test_a_plan_of_another_repository_is_not_posted(relayed: Relay, github: Fake) -> None:
    done = relayed.run(GITHUB_REPOSITORY="shop/other")
    done.refuses(10, "load: the plan is of the repository ...shop/fleet...", "take the artifact ...")
    assert github.writes() == []


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        ({3: "d" * 40}, "no open pull request ends with commit"),
        ({3: "d" * 40, 4: "", CHANGE: ""}, "2 open pull requests end with commit"),
    ],
)
def test_what_cannot_be_told_apart_is_not_commented_on(
    relayed: Relay, github: Fake, fleet_job: Job, heads: dict[int, str], said: str
) -> None:
    github.heads = {number: commit or fleet_job.change for number, commit in heads.items()}
    done = relayed.run()
    assert done.code == 0, done.err
    assert f"there is no comment: {said}" in done.err
    assert github.writes() == []


def test_a_run_before_that_was_no_pull_request_has_no_comment(relayed: Relay, github: Fake) -> None:
    payload = Path(relayed.folder / "push.json")
    relayed.run()
    github.entries.clear()
    text = Path(relayed.folder.parent / "event.json").read_text()
    payload.write_text(text.replace('"event": "pull_request"', '"event": "push"'))
    done = relayed.run(GITHUB_EVENT_PATH=str(payload))
    assert done.code == 0, done.err
    assert "the run before was not about a pull request, but a push" in done.err
    assert github.entries == []


def test_on_a_laptop_a_plan_is_printed_and_nothing_else(relayed: Relay, sf_here: Command) -> None:
    done = sf_here("report", "--plan=plan.json", "--output=markdown", cwd=relayed.folder)
    assert done.code == 0, done.err
    assert done.out.startswith("## Incomplete: 1 to change")


@pytest.fixture
def sf_here(fleet_job: Job) -> Command:
    return fleet_job.command
