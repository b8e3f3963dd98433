"""A workflow that uses the action, run by act for every kind of event."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.action.conftest import IMAGE, PAYLOADS, Origin, origin
from tests.action.runner import ACTION, typed
from tests.cli.conftest import ESTATE, FLEET
from tests.forge.fake import REPOSITORY
from tests.repositories import Repository
from toolchain import release, runners, standins

if TYPE_CHECKING:
    from tests.forge.fake import Fake
    from toolchain.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

WORKFLOW: Final = """\
on: [pull_request, push, schedule, workflow_dispatch]
env:
  SF_CI_API_URL: {api}
  SF_CONFIG_DOCKER__STACK_DIR: {stacks}
  SF_CONFIG_DEADLINES__ACTION: 30s
jobs:
  sf:
    runs-on: ubuntu-latest
    steps:
      - id: sf
        uses: ./
        with:
          token: job-token
          detailed-exitcode: true
      - if: always()
        env:
          VERDICT: ${{{{ steps.sf.outputs.verdict }}}}
          CHANGES: ${{{{ steps.sf.outputs.has-changes }}}}
          OUTCOME: ${{{{ steps.sf.outcome }}}}
        run: echo "told verdict=$VERDICT changes=$CHANGES outcome=$OUTCOME"
"""
ROOT: Final = Path(__file__).parents[2]
# What sf prints last of all, when the step after the job found nothing.
CLEAN: Final = "nothing was left behind"


def act(engine: Engine, root: Path, repository: Path, event: str, *options: str) -> tuple[int, str]:
    """Run the workflows of `repository` for an event whose payload is below `root`; exit code and output."""
    argv = [str(runners.ensure_act() / "act"), event, "--eventpath", str(root / "event.json"), *options]
    argv += ["--bind", "--pull=false", "--no-cache-server", "--defaultbranch", "main"]
    helper = standins.helper(engine)
    argv += [word for name in ("latest", "24.04") for word in ("--platform", f"ubuntu-{name}={helper}")]
    argv += ["--container-daemon-socket", engine.socket]
    home = {"HOME": str(root / "home"), "XDG_CACHE_HOME": str(root / "cache")}
    return typed(argv, repository, {**engine.environment, **home})


@dataclass(frozen=True, slots=True)
class Act:
    """act, with a checkout that is both the action and the repository it is used on."""

    engine: Engine
    root: Path
    clone: Repository
    origin: Origin

    def run(self, event: str, payload: str, branch: str, commit: str) -> tuple[int, str]:
        """Check `commit` out as `branch` and run the workflow; act's exit code and output."""
        self.clone.git("switch", "--quiet", "--force-create", branch, commit)
        (self.root / "event.json").write_text(self.origin.payload(payload, commit))
        return act(self.engine, self.root, self.clone.root, event)

    def document(self, name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.clone.root / "sf-out" / name).read_text())
        return loaded


def prepared(actions: Engine, forge: Fake, root: Path, files: dict[str, str], path: str) -> Act:
    stacks = root / "clone/stacks"
    whole = {
        **files,
        # What a release does to it; act builds nothing from named contexts.
        "action.yml": release.with_image(ACTION.read_text(), f"docker://{IMAGE}"),
        ".github/workflows/sf.yml": WORKFLOW.format(api=forge.url, stacks=stacks),
        ".gitignore": "/stacks/\n",
    }
    made = origin(root / "origin", whole, path)
    clone = made.checkout(root / "clone", made.merge)
    clone.git("remote", "set-url", "origin", f"https://github.com/{REPOSITORY}")
    (root / "home").mkdir()
    return Act(actions, root, clone, made)


@pytest.fixture
def on_fleet(actions: Engine, forge: Fake, tmp_path: Path) -> Act:
    return prepared(actions, forge, tmp_path, FLEET, "app/settings.yaml")


@pytest.fixture
def on_estate(actions: Engine, forge: Fake, tmp_path: Path) -> Act:
    return prepared(actions, forge, tmp_path, ESTATE, "docker-compose/localhost/web/compose.yaml")


def test_a_pull_request(on_fleet: Act, forge: Fake) -> None:
    code, text = on_fleet.run("pull_request", "github-pull_request", "merged", on_fleet.origin.merge)
    # Exit code 20 is what was asked for when there are changes.
    assert (code, "exit with `FAILURE`: 20" in text) == (1, True), text
    assert "told verdict=incomplete changes=true outcome=failure" in text
    assert ["flux-system/app" in body for body in forge.bodies()] == [True], text
    assert CLEAN in text
    assert on_fleet.clone.git("status", "--porcelain") == ""


def test_a_pull_request_of_a_fork(on_fleet: Act, forge: Fake) -> None:
    forge.accounts.clear()
    code, text = on_fleet.run("pull_request", "github-pull_request-fork", "merged", on_fleet.origin.merge)
    assert (code, "told verdict=incomplete changes=true" in text, forge.bodies()) == (1, True, []), text


def test_a_push_a_schedule_and_a_run_by_hand(on_estate: Act) -> None:
    commit = on_estate.origin.merge
    code, text = on_estate.run("push", "github-push", "main", commit)
    assert on_estate.document("result.json")["dry_run"] is False, text
    assert "told verdict=changes changes=true" in text
    running = on_estate.engine.docker("ps", "--filter", "label=com.docker.compose.service=web", "--quiet")
    assert running.split(), text
    for event, payload in (
        ("schedule", "github-schedule"),
        ("workflow_dispatch", "github-workflow_dispatch"),
    ):
        code, text = on_estate.run(event, payload, "main", commit)
        assert (code, CLEAN in text) == (0, True), text
        assert on_estate.document("result.json")["dry_run"] is True
        assert "outcome=success" in text


@pytest.mark.parametrize("job", ["plan", "refused"])
def test_our_own_workflow(job: str, actions: Engine, tmp_path: Path) -> None:
    repository = Repository.init(tmp_path / "sf")
    repository.git("remote", "add", "origin", f"https://github.com/{REPOSITORY}")
    for path in ("examples", ".github/workflows"):
        shutil.copytree(ROOT / path, repository.root / path)
    repository.commit({"action.yml": release.with_image(ACTION.read_text(), f"docker://{IMAGE}")})
    (tmp_path / "home").mkdir()
    (tmp_path / "event.json").write_text((PAYLOADS / "github-workflow_dispatch.json").read_text())
    options = ("--workflows", ".github/workflows/action.yml", "--job", job)
    code, text = act(actions, tmp_path, repository.root, "workflow_dispatch", *options)
    assert (code, "Job succeeded" in text) == (0, True), text
