"""A pipeline that includes the template, run by gitlab-ci-local for every kind of event."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import pytest

from tests.action.conftest import IMAGE, Origin, origin
from tests.action.runner import typed
from tests.cli.conftest import ESTATE
from toolchain import runners, standins

if TYPE_CHECKING:
    from tests.repositories import Repository
    from toolchain.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

TEMPLATE: Final = Path(__file__).parents[2] / ".gitlab-ci-template.yml"
PIPELINE: Final = f"""\
include:
  - local: sf.yml
    inputs:
      image: {IMAGE}
      stage: test
      out-dir: reports
      label: "$(mkdir -p reports; touch reports/made) `touch reports/made` '$HOME'"
      detailed-exitcode: true
"""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A project whose pipelines run here."""

    engine: Engine
    root: Path
    clone: Repository
    origin: Origin

    def run(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Run the jobs that the rules choose for `variables`; the exit code and what was printed."""
        argv = [*runners.gitlab_ci_local(), "--pull-policy", "if-not-present", "--no-color"]
        argv += [
            "--helper-image",
            standins.helper(self.engine),
            "--ignore-predefined-vars",
            "CI_PIPELINE_SOURCE",
        ]
        # Its stacks need the folder and the engine of the machine.
        argv += [
            "--volume",
            f"{self.stacks}:{self.stacks}",
            "--volume",
            f"{self.socket}:/var/run/docker.sock",
        ]
        known = {
            "GITLAB_CI": "true",
            "CI_PROJECT_URL": "https://gitlab.example/acme/estate",
            "CI_DEFAULT_BRANCH": "main",
            "SF_CONFIG_DOCKER__STACK_DIR": str(self.stacks),
            "SF_CONFIG_DEADLINES__ACTION": "30s",
            **variables,
        }
        argv += [word for name, value in known.items() for word in ("--variable", f"{name}={value}")]
        home = {"HOME": str(self.root / "home")}
        return typed([*argv, *arguments], self.clone.root, {**home, **self.engine.environment})

    @property
    def stacks(self) -> Path:
        return self.root / "stacks"

    @property
    def socket(self) -> str:
        return self.engine.socket.removeprefix("unix://")

    def artifact(self, job: str, name: str) -> Path:
        # Its folders are named after the jobs, with a space in base64.
        return self.clone.root / ".gitlab-ci-local/artifacts" / job.replace(" ", "IA") / "reports" / name


@pytest.fixture
def pipeline(actions: Engine, tmp_path: Path) -> Pipeline:
    files = {
        **ESTATE,
        ".gitlab-ci.yml": PIPELINE,
        "sf.yml": TEMPLATE.read_text(),
        ".gitignore": "/.gitlab-ci-local/\n",
    }
    made = origin(tmp_path / "origin", files, "docker-compose/localhost/web/compose.yaml")
    clone = made.checkout(tmp_path / "clone", made.merge)
    for folder in ("home", "stacks"):
        (tmp_path / folder).mkdir()
    clone.git("remote", "set-url", "origin", "git@gitlab.example:acme/estate.git")
    return Pipeline(actions, tmp_path, clone, made)


def test_a_merge_request(pipeline: Pipeline) -> None:
    request = {
        "CI_MERGE_REQUEST_IID": "7",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "change",
        "CI_MERGE_REQUEST_EVENT_TYPE": "merged_result",
        "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": pipeline.origin.base,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": pipeline.origin.change,
        "CI_COMMIT_SHA": pipeline.origin.merge,
    }
    code, text = pipeline.run(CI_PIPELINE_SOURCE="merge_request_event", **request)
    # There are changes, which was asked to be shown as a warning.
    assert (code, "sf reconcile" in text, "sf drift" in text) == (0, False, False), text
    assert not pipeline.artifact("sf plan", "made").exists(), "a shell read the text of an input"
    plan = json.loads(pipeline.artifact("sf plan", "plan.json").read_text())
    assert (plan["commit"], plan["base"]) == (pipeline.origin.merge, pipeline.origin.base), text
    assert json.loads(pipeline.artifact("sf plan", "terraform.json").read_text())["update"] == 1
    assert ET.parse(pipeline.artifact("sf plan", "junit.xml")).getroot().tag == "testsuites"
    assert "SF_HAS_CHANGES=true" in pipeline.artifact("sf plan", "sf.env").read_text()
    assert isinstance(json.loads(pipeline.artifact("sf plan", "codequality.json").read_text()), list)
    assert "nothing was left behind" in text


def test_the_default_branch_and_then_a_schedule(pipeline: Pipeline) -> None:
    pipeline.clone.git("switch", "--quiet", "--force-create", "main", pipeline.origin.merge)
    branch = {"CI_COMMIT_BRANCH": "main", "CI_COMMIT_SHA": pipeline.origin.merge}
    push = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BEFORE_SHA": pipeline.origin.base}
    code, text = pipeline.run(**push, **branch)
    assert code == 0, text
    result = json.loads(pipeline.artifact("sf reconcile", "result.json").read_text())
    assert result["dry_run"] is False
    assert pipeline.engine.docker("ps", "--filter", "label=com.docker.compose.service=web", "--quiet"), text
    code, text = pipeline.run(CI_PIPELINE_SOURCE="schedule", **branch)
    assert code == 0, text
    assert json.loads(pipeline.artifact("sf drift", "plan.json").read_text())["verdict"] == "no-changes"
