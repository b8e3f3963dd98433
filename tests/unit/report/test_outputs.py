from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sf.models import ActionKind, Change, LifecyclePlan, PlannedAction, Record
from sf.report.outputs import dotenv, step_outputs, values

CHANGED = PlannedAction(name="a", description="", order=0, action=ActionKind.DEPLOY, change=Change.CHANGE)
PLAN = LifecyclePlan(mode="docker", backend="compose", actions=(CHANGED,))
PLANNED = Record(mode="docker", backend="compose", dry_run=True, plan=PLAN)
UNPLANNED = Record(mode="docker", backend="compose", dry_run=True)


def test_what_later_steps_decide_by() -> None:
    told = values(PLANNED, "sf-out")
    assert told["has-changes"] == "true"
    assert told["verdict"] == "changes"
    assert told["change"] == "1"
    assert told["change-digest"] == PLAN.change_digest
    assert told["plan-path"] == "sf-out/plan.json"


def test_without_a_plan_nothing_is_claimed() -> None:
    told = values(UNPLANNED, "sf-out")
    assert told["verdict"] == "failed"
    assert not any(told[name] for name in ("has-changes", "digest", "change-digest", "change", "plan-path"))
    assert told["result-path"] == "sf-out/result.json"


@given(st.text())
def test_gitlab_takes_the_variables_whatever_the_folder_is_called(folder: str) -> None:
    lines = dotenv(values(PLANNED, folder)).decode().removesuffix("\n").split("\n")
    assert len(lines) <= 20
    assert sum(map(len, lines)) + len(lines) <= 5 * 1024
    assert all(re.fullmatch(r"SF_[A-Z_]+=[ -~]*", line) for line in lines)


def test_a_value_that_looks_like_another_output_stays_a_value() -> None:
    written = step_outputs({"verdict": "x\nEOF\nadmin=true"}, "sf-0123")
    assert written == "verdict<<sf-0123\nx\nEOF\nadmin=true\nsf-0123\n"
