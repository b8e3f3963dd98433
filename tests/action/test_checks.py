"""What forges say about such files, said before they see them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess  # noqa: TID251 - the checkers are what a person would type
import sys
from pathlib import Path
from typing import Final

import pytest

from sf import documents
from toolchain import release, runners, standins

pytestmark = [pytest.mark.tools, pytest.mark.slow]

ROOT: Final = Path(__file__).parents[2]
WORKFLOWS: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
EXAMPLES: Final = sorted(
    file for file in (ROOT / "docs/examples").glob("*.yml") if not file.name.startswith("gitlab")
)
TEMPLATE: Final = ROOT / ".gitlab-ci-template.yml"
IMAGE: Final = f"ghcr.io/owner/sf@sha256:{'0' * 64}"


def check(*command: str | Path, cwd: Path = ROOT) -> None:
    folder = runners.ensure_checkers()
    done = subprocess.run(
        [*command],
        cwd=cwd,
        env={"PATH": f"{folder}/bin:{os.defpath}", "PYTHONPATH": str(folder), "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def schema(name: str, *files: Path | str) -> None:
    check(sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{name}", *files)


@pytest.fixture
def adopted(tmp_path: Path) -> Path:
    """A user's repository with all the examples; what Gitea and Forgejo have of their own is put as on GitHub."""
    target = tmp_path / ".github/workflows"
    target.mkdir(parents=True)
    for file in EXAMPLES:
        text = file.read_text().replace("uses: https://github.com/", "uses: ")
        (target / file.name).write_text(
            re.sub(r"^enable-openid-connect: true\n", "", text, flags=re.MULTILINE)
        )
    shutil.copy(ROOT / ".github/zizmor.yml", tmp_path / ".github")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def test_there_is_something_to_check() -> None:
    assert {file.stem for file in WORKFLOWS} == {"action", "release", "test"}
    assert {"github", "github-approval", "github-drift", "gitea", "forgejo"} < {
        file.stem for file in EXAMPLES
    }


def test_the_schemas_of_github(adopted: Path) -> None:
    schema("github-actions", ROOT / "action.yml")
    schema("github-workflows", *WORKFLOWS, *sorted((adopted / ".github/workflows").iterdir()))
    schema("dependabot", ROOT / ".github/dependabot.yml")


def test_the_schema_of_gitlab(tmp_path: Path) -> None:
    _, jobs = TEMPLATE.read_text().split("\n---\n")
    (tmp_path / "jobs.yml").write_text(jobs)
    files = (tmp_path / "jobs.yml", ROOT / "docs/examples/gitlab.yml")
    schema("gitlab-ci", "--data-transform", "gitlab-ci", *files)


def test_actionlint(adopted: Path) -> None:
    program = runners.ensure_act() / "actionlint"
    check(program, *WORKFLOWS)
    check(program, cwd=adopted)


def test_zizmor(adopted: Path) -> None:
    for repository in (ROOT, adopted):
        check(
            "zizmor", "--offline", "--no-progress", "--config", repository / ".github/zizmor.yml", repository
        )


def test_hadolint() -> None:
    check("hadolint", "Dockerfile")


def test_every_foreign_action_and_image_is_pinned() -> None:
    for file in (*WORKFLOWS, *EXAMPLES):
        for used in re.findall(r"uses: (\S+)", file.read_text()):
            assert used == "./" or re.search(r"@[0-9a-f]{40}$|(^|/)OWNER/sf@v1$", used), used
    text = (ROOT / "Dockerfile").read_text()
    stages = set(re.findall(r" AS (\w+)$", text, re.MULTILINE))
    assert set(standins.images()) <= stages
    for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        assert image in stages or image in standins.images().values()
    assert "# syntax" not in text


def test_the_image_has_the_libraries_that_the_tests_have() -> None:
    tested, image = (
        set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements-dev.txt", "requirements-image.txt")
    )
    wanted = set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert wanted < image < tested


def test_a_release_names_its_image_by_digest() -> None:
    files = release.released(IMAGE)
    action = documents.load(files["action.yml"], path="action.yml")
    assert action["runs"]["image"] == f"docker://{IMAGE}"
    template = documents.load_all(files[TEMPLATE.name], path=TEMPLATE.name)[0].value
    assert template["spec"]["inputs"]["image"]["default"] == IMAGE
