"""Jobs of a forge: a clone, and the variables and payload that its runner gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import fleets
from tests.cli.command import document

if TYPE_CHECKING:
    from tests.cli.command import Command, Ended
    from tests.repositories import Repository

PAYLOADS = Path(__file__).parents[1] / "unit/ci/payloads"
SERVER, NAME = fleets.URL.removesuffix("/acme/fleet"), "acme/fleet"


@dataclass(frozen=True, slots=True)
class Job:
    """A runner that checked out a clone of `origin`. Its ids replace those of the recorded payloads."""

    command: Command
    clone: Repository
    base: str
    change: str
    merge: str

    def run(self, *arguments: str, **environ: str) -> Ended:
        return self.command(*arguments, cwd=self.clone.root, SF_CONFIG_REPORT__COMMENT="off", **environ)

    def actions(self, event: str, payload: str, ref: str, commit: str) -> dict[str, str]:
        """Check `commit` out, and the variables of an Actions runner for it."""
        self.clone.git("switch", "--quiet", "--detach", commit)
        text = (PAYLOADS / f"{payload}.json").read_text()
        for letter, real in (("a", self.base), ("b", commit), ("c", self.change), ("9", self.merge)):
            text = text.replace(letter * 40, real)
        file = self.command.root / "event.json"
        file.write_text(text)
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_REF": ref,
            "GITHUB_SHA": commit,
            "GITHUB_SERVER_URL": SERVER,
            "GITHUB_REPOSITORY": NAME,
            "GITHUB_WORKSPACE": str(self.clone.root),
            "GITHUB_STEP_SUMMARY": str(self.command.root / "summary"),
            "GITHUB_OUTPUT": str(self.command.root / "outputs"),
        }

    @property
    def summary(self) -> str:
        return (self.command.root / "summary").read_text()

    def document(self, name: str) -> dict[str, Any]:
        return document(self.clone.root, name)


def job(command: Command, origin: Repository) -> Job:
    base, change = origin.git("rev-parse", "main"), origin.head
    origin.git("switch", "--quiet", "main")
    origin.git("switch", "--quiet", "--create", "merged")
    origin.git("merge", "--quiet", "--no-ff", "--message=merge", "change")
    merge = origin.head
    origin.git("switch", "--quiet", "main")
    clone = origin.clone(command.root / "clone")
    return Job(command, clone, base, change, merge)


def gitlab(job: Job, **more: str) -> dict[str, str]:
    job.clone.git("switch", "--quiet", "--detach", more["CI_COMMIT_SHA"])
    return {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_DEFAULT_BRANCH": "main",
        "CI_PROJECT_ID": "7",
        "CI_PROJECT_URL": fleets.URL,
        "CI_PROJECT_DIR": str(job.clone.root),
        "CI_SERVER_URL": SERVER,
        **more,
    }


MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "42",
    "CI_MERGE_REQUEST_PROJECT_ID": "7",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "change",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
}
