"""Comments, issues and merged changes on a real Gitea."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.http import Http
from sf.models import LifecycleResult
from sf.redact import Redactor
from sf.report.drift import DriftIssue
from sf.report.forges import FORGES
from sf.report.sticky import StickyComment
from tests.forge.runs import record
from tests.forge.test_drift import settled
from toolchain.gitea import Gitea

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sf.report.forges.api import Forge

pytestmark = pytest.mark.extra

OWNER = "shop"


@pytest.fixture(scope="session")
def server() -> Iterator[Gitea]:
    with Gitea.start() as gitea:
        yield gitea


@dataclass(frozen=True)
class Project:
    """A repository with one open pull request, which its owner opened."""

    url: str
    name: str
    token: str
    change: int
    head: str

    def api(self, method: str, path: str, values: Any = None, *, token: str = "") -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v1/repos/{self.name}{path}",
            method=method,
            data=None if values is None else json.dumps(values).encode(),
            headers={"Authorization": f"token {token or self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def comments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", f"/issues/{self.change}/comments")
        return found

    def issues(self, state: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", f"/issues?state={state}&type=issues")
        return found

    def run(self, **facts: Any) -> CIContext:
        return CIContext(
            **{
                "provider": Provider.GITEA,
                "event": EventKind.PULL_REQUEST,
                "trust": Trust.TRUSTED,
                "change_number": self.change,
                "head_commit": self.head,
                "run_id": "10",
                "run_attempt": 1,
                "api_url": f"{self.url}/api/v1",
                **facts,
            }
        )

    def forge(self, ci: CIContext, token: str) -> Callable[[], Forge]:
        environ = {"GITHUB_REPOSITORY": self.name, "GITEA_TOKEN": token}
        return lambda: FORGES[ci.provider](ci, environ, Http(Redactor()), 20.0)

    def sticky(self, token: str, **facts: Any) -> StickyComment:
        ci = self.run(**facts)
        return StickyComment(forge=self.forge(ci, token), ci=ci, pause=lambda _seconds: None)

    def drift(self, token: str, run: str) -> DriftIssue:
        ci = self.run(event=EventKind.SCHEDULE, change_number=None, run_id=run)
        return DriftIssue(forge=self.forge(ci, token), ci=ci)


@pytest.fixture(scope="session")
def bot(server: Gitea) -> str:
    return server.user("sf-bot")


@pytest.fixture(scope="session")
def owner(server: Gitea) -> str:
    return server.user(OWNER)


@pytest.fixture
def project(server: Gitea, owner: str, bot: str, request: pytest.FixtureRequest) -> Project:
    assert bot
    name = request.node.name.replace("_", "-")
    anywhere = Project(server.url, f"{OWNER}/{name}", owner, 0, "")
    user = urllib.request.Request(
        f"{server.url}/api/v1/user/repos",
        method="POST",
        data=json.dumps({"name": name, "auto_init": True, "default_branch": "main"}).encode(),
        headers={"Authorization": f"token {owner}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(user):
        anywhere.api("PUT", "/collaborators/sf-bot", {"permission": "write"})
    file = {"content": "eA==", "message": "change", "branch": "main", "new_branch": "change"}
    head = anywhere.api("POST", "/contents/x", file)["commit"]["sha"]
    pull = anywhere.api("POST", "/pulls", {"title": "a change", "head": "change", "base": "main"})
    return Project(server.url, anywhere.name, owner, pull["number"], head)


def test_one_comment_goes_from_planned_to_executed(project: Project, bot: str) -> None:
    assert project.sticky(bot).show(record()) == ""
    assert project.sticky(bot, run_id="11").show(record("+b\n")) == ""
    [comment] = project.comments()
    assert comment["user"]["login"] == "sf-bot"
    assert "+b" in comment["body"]
    project.api("POST", f"/pulls/{project.change}/merge", {"Do": "merge"})
    merged = project.api("GET", f"/pulls/{project.change}")["merge_commit_sha"]
    push = {
        "event": EventKind.PUSH,
        "change_number": None,
        "branch": "main",
        "default_branch": "main",
        "commit": merged,
        "head_commit": merged,
        "run_id": "12",
    }
    assert project.sticky(bot, **push).show(record(dry_run=False, result=LifecycleResult())) == ""
    [comment] = project.comments()
    assert "state=executed" in comment["body"]


def test_a_marker_by_somebody_else_is_not_ours(project: Project, bot: str, owner: str) -> None:
    assert project.sticky(bot).show(record()) == ""
    [ours] = project.comments()
    project.api("DELETE", f"/issues/comments/{ours['id']}", token=bot)
    for number in range(60):
        body = ours["body"] if number == 0 else f"comment {number}"
        project.api("POST", f"/issues/{project.change}/comments", {"body": body}, token=owner)
    assert project.sticky(bot, run_id="11").show(record("+b\n")) == ""
    assert project.sticky(bot, run_id="12").show(record("+c\n")) == ""
    assert [comment["user"]["login"] for comment in project.comments()] == [OWNER] * 60 + ["sf-bot"]


def test_a_token_that_may_only_read_is_one_readable_warning(project: Project, server: Gitea) -> None:
    reader = server.token("sf-bot", scopes="read:repository,read:issue,read:user")
    warning = project.sticky(reader).show(record())
    assert "the token may not do this: 403" in warning
    assert project.comments() == []


def test_the_longest_comment_is_taken(project: Project, bot: str) -> None:
    assert project.sticky(bot).show(record("+" + "é" * 60_000 + "\n")) == ""
    assert len(project.comments()) == 1


def test_a_change_is_found_by_its_last_commit(project: Project, bot: str) -> None:
    forge = project.forge(project.run(), bot)()
    assert forge.changes_at(project.head) == [project.change]
    assert forge.changes_at("0" * 40) == []
    assert forge.change_merged_as(project.head) is None


def test_the_issue_about_drift_is_opened_updated_and_closed(project: Project, bot: str, owner: str) -> None:
    project.api("POST", "/issues", {"title": "of a person", "body": "hello"}, token=owner)
    assert project.drift(bot, "10").show(record("+a\n")) == ""
    assert project.drift(bot, "11").show(record("+b\n")) == ""
    assert {issue["title"] for issue in project.issues("open")} == {"of a person", "Drift: clusters/a"}
    [ours] = [issue for issue in project.issues("open") if issue["user"]["login"] == "sf-bot"]
    assert "+b" in ours["body"]
    assert project.drift(bot, "12").show(settled()) == ""
    assert [issue["number"] for issue in project.issues("closed")] == [ours["number"]]
    [remark] = project.api("GET", f"/issues/{ours['number']}/comments")
    assert "drift is gone" in remark["body"]
