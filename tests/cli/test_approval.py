"""An approval on its way from the pull request to the default branch, in both modes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.cli.jobs import Job, job

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.command import Command
    from tests.repositories import Repository

pytestmark = pytest.mark.tools

PULL = ("pull_request", "github-pull_request", "refs/pull/42/merge")


def merge_commit(main: Repository, head: str) -> None:
    main.git("merge", "--quiet", "--no-ff", "--message=merge", head)


def squash(main: Repository, head: str) -> None:
    main.git("merge", "--quiet", "--squash", head)
    main.git("commit", "--quiet", "--message=squashed")


def rebase(main: Repository, head: str) -> None:
    main.git("cherry-pick", head)


@pytest.fixture(params=["fleet", "estate"])
def reviewed(request: pytest.FixtureRequest, equipped: Command) -> Job:
    """A job of the pull request, which was planned."""
    planned = job(equipped, request.getfixturevalue(request.param))
    done = planned.run("run", **planned.actions(*PULL, planned.merge))
    assert done.code == 0, done.err
    return planned


def pushed(reviewed: Job, merge: Callable[[Repository, str], None]) -> dict[str, str]:
    """The variables of the job on the default branch, which had moved on elsewhere, after the merge."""
    main = reviewed.clone
    main.git("switch", "--quiet", "--force-create", "main", reviewed.base)
    main.commit({"README.md": "written meanwhile"})
    before = main.head
    merge(main, reviewed.change)
    after = main.head
    environ = reviewed.actions("push", "github-push", "refs/heads/main", after)
    event = reviewed.command.root / "event.json"
    event.write_text(event.read_text().replace(reviewed.base, before))
    return environ


@pytest.mark.parametrize("merge", [merge_commit, squash, rebase])
def test_what_was_approved_is_what_the_default_branch_plans(
    reviewed: Job, merge: Callable[[Repository, str], None]
) -> None:
    digest = reviewed.document("plan.json")["change_digest"]
    environ = pushed(reviewed, merge)
    done = reviewed.run("reconcile", "--dry-run", f"--change-digest={digest}", **environ)
    assert done.code == 0, done.err
    assert reviewed.document("plan.json")["change_digest"] == digest
    assert reviewed.document("plan.json")["counts"]["change"] == 1


def test_another_change_is_refused(reviewed: Job) -> None:
    digest = reviewed.document("plan.json")["change_digest"]
    environ = pushed(reviewed, merge_commit)
    reviewed.clone.git("switch", "--quiet", "main")
    [changed] = reviewed.clone.git("diff", "--name-only", reviewed.base, reviewed.change).split()
    text = (reviewed.clone.root / changed).read_text()
    after = reviewed.clone.commit({changed: text.replace("loud", "louder")})
    done = reviewed.run(
        "reconcile", "--dry-run", f"--change-digest={digest}", **{**environ, "GITHUB_SHA": after}
    )
    done.refuses(
        14,
        f"plan[...]: the change digest of this run is ..., and {digest} was approved",
        "the change is not the one that was reviewed; ...",
    )


def test_a_whole_plan_is_compared_down_to_the_commit(reviewed: Job) -> None:
    approved = reviewed.command.root / "approved.json"
    shutil.copy(reviewed.clone.root / "sf-out/plan.json", approved)
    again = reviewed.run(
        "reconcile", "--dry-run", f"--plan={approved}", **reviewed.actions(*PULL, reviewed.merge)
    )
    assert again.code == 0, again.err
    done = reviewed.run("reconcile", "--dry-run", f"--plan={approved}", **pushed(reviewed, merge_commit))
    done.refuses(
        14,
        "plan[...]: the approved plan is not the plan of this run: `commit` is ... in it, and ... now",
        "it was made for another commit; ...",
    )


def test_an_edited_plan_is_refused_before_anything_runs(reviewed: Job) -> None:
    approved = reviewed.command.root / "approved.json"
    text = (reviewed.clone.root / "sf-out/plan.json").read_text()
    approved.write_text(text.replace('"change": 1', '"change": 2'))
    done = reviewed.run(
        "reconcile", "--dry-run", f"--plan={approved}", **reviewed.actions(*PULL, reviewed.merge)
    )
    done.refuses(10, "load: plan.json ...", "...")
