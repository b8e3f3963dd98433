"""What goes where: one document on stdout, progress on stderr, files in one folder; and streams that break."""

from __future__ import annotations

import json
import os
import pty
import re
from typing import TYPE_CHECKING, Any

import pytest

from sf.cli import EXIT_PHASES
from sf.console import display_width
from sf.models import Phase
from tests.cli.command import SF, document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command
    from tests.repositories import Repository

pytestmark = pytest.mark.slow

FILES = [".gitignore", "plan.json", "result.json", "summary.md"]


@pytest.fixture
def planned(equipped: Command, fleet: Repository) -> Repository:
    """A repository with the documents of a plan."""
    assert equipped("plan", cwd=fleet.root).code == 0
    return fleet


def schema(text: str) -> Any:
    return json.loads(text)["schema"]


@pytest.mark.tools
def test_json_is_the_document_and_nothing_else(equipped: Command, fleet: Repository) -> None:
    done = equipped("plan", "--output=json", cwd=fleet.root)
    assert schema(done.out) == "sf.plan/v1"
    assert done.out.encode() == (fleet.root / "sf-out/plan.json").read_bytes()
    assert "plan     done in " in done.err


def test_json_of_a_run_without_a_plan(sf: Command, fleet: Repository) -> None:
    done = sf("plan", "--output=json", cwd=fleet.root)
    assert (done.code, schema(done.out)) == (12, "sf.result/v1")


@pytest.mark.tools
def test_markdown_is_the_summary(equipped: Command, fleet: Repository, tmp_path: Path) -> None:
    summary = tmp_path / "summary"
    done = equipped("plan", "--output=markdown", cwd=fleet.root, GITHUB_STEP_SUMMARY=str(summary))
    assert done.out.startswith("#")
    # How long it took is not the same twice; all else is.
    for file in (summary, fleet.root / "sf-out/summary.md"):
        assert file.read_text().splitlines()[0] == done.out.splitlines()[0]
    before = summary.read_bytes()
    equipped("plan", cwd=fleet.root, GITHUB_STEP_SUMMARY=str(summary))
    assert summary.read_bytes().startswith(before)
    assert summary.stat().st_size > len(before)


@pytest.mark.tools
def test_text_fits_the_terminal(equipped: Command, fleet: Repository) -> None:
    done = equipped("plan", cwd=fleet.root)
    assert max(map(display_width, done.out.splitlines())) <= 80
    assert "level: loud" in done.out
    assert "level: loud" not in equipped("plan", "--no-diffs", cwd=fleet.root).out


@pytest.mark.tools
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gitops", "inspect", "--output=json"], "sf.graph/v1"),
        (["gitops", "impact", "--output=json"], "sf.impact/v1"),
        (["config", "schema"], None),
        (["doctor", "--output=json"], None),
    ],
)
def test_documents_of_other_commands(
    arguments: list[str], expected: str | None, equipped: Command, fleet: Repository
) -> None:
    done = equipped(*arguments, cwd=fleet.root)
    read = json.loads(done.out)
    assert done.err == ""
    if expected:
        assert read["schema"] == expected


@pytest.mark.tools
def test_drawings(equipped: Command, fleet: Repository, estate: Repository) -> None:
    for command in ("inspect", "impact"):
        assert "flux-system/app" in equipped("gitops", command, cwd=fleet.root).out
        drawn = equipped("gitops", command, "--output=mermaid", cwd=fleet.root)
        assert (drawn.code, drawn.err) == (0, "")
        assert "flowchart" in drawn.out or "graph" in drawn.out
    assert "web" in equipped("docker", "inspect", cwd=estate.root).out
    assert "web" in equipped("docker", "inspect", "--output=json", cwd=estate.root).out


@pytest.mark.tools
def test_report_prints_the_last_run_again(equipped: Command, planned: Repository) -> None:
    again = equipped("report", "--output=json", cwd=planned.root)
    assert again.out.encode() == (planned.root / "sf-out/plan.json").read_bytes()
    for output in ("text", "markdown"):
        printed = equipped("report", f"--output={output}", cwd=planned.root)
        assert (printed.code, printed.err) == (0, "")
        assert "flux-system/app" in printed.out


@pytest.mark.tools
def test_report_of_a_broken_document(equipped: Command, planned: Repository) -> None:
    for content in (b"", b"{", b"[]", b"\xff\xfe", b'{"schema": "sf.result/v9"}'):
        (planned.root / "sf-out/result.json").write_bytes(content)
        equipped("report", cwd=planned.root).refuses(16, "report: ...", "...")


def test_doctor_says_what_to_do(sf: Command, fleet: Repository) -> None:
    done = sf("doctor", cwd=fleet.root)
    assert done.code == EXIT_PHASES[Phase.VALIDATE]
    assert re.search(r"(?m)^failed +kustomize ", done.out)
    assert "hint: install kustomize" in done.out


def test_cleanup_with_nothing_to_do(sf: Command) -> None:
    done = sf("cleanup")
    assert (done.code, done.out) == (0, "")
    assert "nothing was left behind" in done.err


def test_config_validate(sf: Command, fleet: Repository, tmp_path: Path) -> None:
    assert sf("config", "validate", cwd=fleet.root).out == "the configuration is valid\n"
    # A file needs no repository around it.
    other = tmp_path / "other.yml"
    other.write_text("lifecycle: {mod: x}\ngitops: {pth: x}\n")
    done = sf("config", "validate", str(other))
    assert (done.code, done.out) == (10, "")
    assert len(done.errors) == 3
    assert all(line.startswith(f"error: {other}:") for line in done.errors)


@pytest.mark.parametrize("kind", ["relative", "nested", "absolute", "dotted"])
def test_output_directory(kind: str, sf: Command, fleet: Repository, tmp_path: Path) -> None:
    place = {"relative": "out", "nested": "a/b/c", "absolute": f"{tmp_path}/out", "dotted": "../beside"}[kind]
    below = fleet.root / "app"
    assert sf("plan", "--out-dir", place, cwd=below).code == 12
    out = fleet.root / place
    assert {"result.json", "summary.md", ".gitignore"} <= {file.name for file in out.iterdir()}
    assert fleet.git("status", "--porcelain") == ""
    assert sf("report", "--out-dir", place, cwd=below).code == 0


def test_an_output_directory_of_the_user_stays_his(sf: Command, fleet: Repository) -> None:
    """Were it hidden, git would not see what else he puts there."""
    assert sf("plan", "--out-dir=.", cwd=fleet.root).code == 12
    assert not (fleet.root / ".gitignore").exists()
    assert (fleet.root / "result.json").exists()


def test_a_link_in_the_place_of_a_report_is_not_followed(
    sf: Command, fleet: Repository, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (fleet.root / "sf-out").mkdir()
    (fleet.root / "sf-out/result.json").symlink_to(victim)
    assert sf("plan", cwd=fleet.root).code == 12
    assert victim.read_text() == "precious"
    assert document(fleet.root, "result.json")["failure"]["phase"] == "validate"


def test_the_plan_of_an_earlier_run_does_not_stay(sf: Command, fleet: Repository) -> None:
    (fleet.root / "sf-out").mkdir()
    (fleet.root / "sf-out/plan.json").write_text("{}")
    assert sf("plan", cwd=fleet.root).code == 12
    assert not (fleet.root / "sf-out/plan.json").exists()


def test_directory_and_configuration_file(sf: Command, fleet: Repository, tmp_path: Path) -> None:
    assert sf("-C", str(fleet.root / "app"), "config", "validate").code == 0
    moved = tmp_path / "elsewhere.yml"
    (fleet.root / ".stagefreight.yml").rename(moved)
    assert sf("-C", "fleet", "config", "validate").code == 10
    for place in (str(moved), "../elsewhere.yml"):
        assert sf("-C", "fleet", "--config", place, "config", "validate").code == 0


@pytest.mark.parametrize(
    ("environ", "colored"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
        ({"FORCE_COLOR": ""}, False),
    ],
)
def test_color_through_a_pipe(environ: dict[str, str], colored: bool, sf: Command, fleet: Repository) -> None:
    done = sf("plan", cwd=fleet.root, **environ)
    assert ("\x1b[" in done.out) == ("\x1b[" in done.err) == colored


@pytest.mark.parametrize(
    ("environ", "colored"), [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False)]
)
def test_color_on_a_terminal(environ: dict[str, str], colored: bool, sf: Command, fleet: Repository) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(fleet.root)
        os.execve(SF, [SF, "plan"], {**sf.environ, **environ})
    said = b""
    try:
        while chunk := os.read(terminal, 65536):
            said += chunk
    except OSError:  # how the end of a terminal reads on Linux
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 12
    assert (b"\x1b[" in said) == colored
    sf.left_nothing()


@pytest.mark.parametrize(
    ("script", "code", "lost"),
    [
        ('"$SF" config schema >&-', 16, "standard output is closed"),
        ('"$SF" config schema >/dev/full', 16, "standard output: [Errno 28] No space left on device"),
        ('"$SF" config schema 2>&- >/dev/full', 16, ""),
        ('"$SF" config schema >&- 2>&-', 16, ""),
        ('"$SF" --help >/dev/full', 16, "standard output: [Errno 28] No space left on device"),
        ('"$SF" --help >&-', 16, "standard output is closed"),
        ('"$SF" plna >/dev/full 2>/dev/full', 2, ""),
        ('"$SF" plna >&- 2>&-', 2, ""),
        ('"$SF" plan >&-', 12, ""),
        ('"$SF" plan >/dev/full', 12, ""),
        ('"$SF" plan 2>/dev/full', 12, ""),
        ('"$SF" plan 2>&- </dev/null', 12, ""),
        ('"$SF" plan <&- >&- 2>&-', 12, ""),
    ],
)
def test_streams_that_break(script: str, code: int, lost: str, sf: Command, fleet: Repository) -> None:
    done = sf.sh(script, cwd=fleet.root)
    assert done.code == code, done
    assert "Traceback" not in done.err
    assert "Exception ignored" not in done.err
    if lost:
        assert done.errors == [f"error: report: {lost}; the output is incomplete"]
    if "plan" in script:
        # The files of the run arrived all the same.
        assert document(fleet.root, "result.json")["failure"]["phase"] == "validate"


def test_a_reader_that_goes_away(sf: Command, fleet: Repository) -> None:
    done = sf.sh('{ "$SF" config schema; echo "code $?" >&2; } | head -c 1', cwd=fleet.root)
    assert done.out == "{"
    assert "Traceback" not in done.err
    # The schema is smaller than a pipe: whether the reader was gone before it was written is a matter of luck.
    assert re.search(r"code (0|16)\n", done.err)
    gone = sf.sh('{ sleep 0.5; "$SF" config schema; echo "code $?" >&2; } | true', cwd=fleet.root)
    assert gone.errors == ["error: report: standard output was closed; the output is incomplete"]
    assert "code 16\n" in gone.err


@pytest.mark.parametrize("place", ["/nowhere/summary", "/dev/full", "{folder}"])
def test_a_summary_that_cannot_be_written(place: str, sf: Command, fleet: Repository, tmp_path: Path) -> None:
    done = sf("plan", cwd=fleet.root, GITHUB_STEP_SUMMARY=place.format(folder=tmp_path))
    assert done.code == 12
    assert len(re.findall("(?m)^warning: the job summary could not be written to ", done.err)) == 1
