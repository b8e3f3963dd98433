from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sf.models import (
    ActionKind,
    ActionResult,
    Cause,
    Change,
    Failure,
    LifecyclePlan,
    LifecycleResult,
    LiveState,
    ObjectChange,
    Phase,
    PlannedAction,
    Problem,
    Reason,
    Record,
)
from sf.redact import Redactor
from sf.report import FORMATS
from sf.report.delivery import CIFiles, deliver
from sf.report.markdown import summary
from sf.report.scrubbing import scrubbed
from sf.report.terminal import render
from sf.workspace import OutputDirectory

if TYPE_CHECKING:
    from pathlib import Path

PLAN = LifecyclePlan(mode="docker", backend="compose")
PLANNED = Record(mode="docker", backend="compose", dry_run=True, plan=PLAN)
UNPLANNED = Record(
    mode="docker",
    backend="compose",
    dry_run=True,
    failure=Failure(phase=Phase.PREPARE, backend="compose", message="no engine"),
)


@pytest.fixture
def out(tmp_path: Path) -> OutputDirectory:
    directory = OutputDirectory(tmp_path / "sf-out")
    directory.prepare()
    return directory


def test_every_format_is_written_and_the_summary_appended(out: OutputDirectory, tmp_path: Path) -> None:
    step_summary = tmp_path / "step-summary"
    step_summary.write_text("of another step\n\n")
    step_outputs = tmp_path / "step-outputs"
    ci = CIFiles(summary=step_summary, outputs=step_outputs)
    assert deliver(PLANNED, out=out, folder="sf-out", ci=ci) == []
    assert {file.name for file in out.path.iterdir()} == {".gitignore", "sf.env", *FORMATS}
    assert json.loads((out.path / "plan.json").read_bytes())["digest"] == PLAN.digest
    assert json.loads((out.path / "result.json").read_bytes())["plan_digest"] == PLAN.digest
    assert (out.path / "summary.md").read_text() == summary(PLANNED)
    assert step_summary.read_text() == "of another step\n\n" + summary(PLANNED)
    assert f"SF_DIGEST={PLAN.digest}\n" in (out.path / "sf.env").read_text()
    name, delimiter = step_outputs.read_text().split("\n")[0].split("<<")
    assert name == "verdict"
    assert f"digest<<{delimiter}\n{PLAN.digest}\n{delimiter}\n" in step_outputs.read_text()


def test_the_plan_of_an_earlier_run_does_not_stay(out: OutputDirectory) -> None:
    deliver(PLANNED, out=out, folder="sf-out", ci=CIFiles())
    deliver(UNPLANNED, out=out, folder="sf-out", ci=CIFiles())
    assert not (out.path / "plan.json").exists()
    assert json.loads((out.path / "result.json").read_bytes())["failure"]["message"] == "no engine"


def test_a_summary_that_cannot_be_appended_is_a_warning(out: OutputDirectory, tmp_path: Path) -> None:
    [warning] = deliver(PLANNED, out=out, folder="", ci=CIFiles(summary=tmp_path / "missing" / "summary"))
    assert "could not be written to" in warning
    assert warning.endswith("summary: No such file or directory")
    assert (out.path / "summary.md").exists()


def test_an_output_directory_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match="cannot be written"):
        deliver(PLANNED, out=OutputDirectory(tmp_path / "file"), folder="sf-out", ci=CIFiles())


def test_no_secret_survives_escaping_or_cutting() -> None:
    secret = "p@ss|w_rd-" * 8
    redactor = Redactor()
    redactor.register(secret)
    reason = Reason(cause=Cause.DRIFT, message=f"{'x' * 950} {secret}")
    change = ObjectChange(
        change=Change.CHANGE, kind="service", name="web", diff=f"+A={secret}\n", reasons=(reason,)
    )
    action = PlannedAction(
        name=f"host1/{secret}",
        description="",
        order=0,
        action=ActionKind.DEPLOY,
        metadata={"password": secret},
        live=LiveState(effect=Change.CHANGE, reasons=(reason,), objects=(change,)),
    )
    record = Record(
        mode="docker",
        backend="compose",
        dry_run=False,
        plan=LifecyclePlan(mode="docker", backend="compose", actions=(action,)),
        result=LifecycleResult(
            actions=(ActionResult(name=action.name, success=False, stderr=secret, command=f"login {secret}"),)
        ),
        timings={"plan": 1.5},
    )
    clean = scrubbed(record, redactor)
    shown = render(clean, diffs=True) + "".join(
        (format_(clean) or b"").decode() for format_ in FORMATS.values()
    )
    assert "host1/***" in shown
    assert "w_rd" not in shown
    assert "ss&#124;" not in shown
    assert clean.timings == {"plan": 1.5}
    assert scrubbed(record, Redactor()) == record
