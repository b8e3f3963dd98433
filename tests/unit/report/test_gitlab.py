from __future__ import annotations

import json
from typing import Any

from sf.models import ActionKind, Change, Finding, LifecyclePlan, Location, PlannedAction, Record, Severity
from sf.report.gitlab import code_quality, terraform


def record(*findings: Finding, actions: tuple[PlannedAction, ...] = ()) -> Record:
    plan = LifecyclePlan(mode="gitops", backend="flux", findings=findings, actions=actions)
    return Record(mode="gitops", backend="flux", dry_run=True, plan=plan)


def finding(line: int = 3, severity: Severity = Severity.DANGER) -> Finding:
    return Finding(
        code="loses-data",
        severity=severity,
        message="data\nis lost",
        subject="a",
        location=Location("b/c.yaml", line),
        hint="retain it",
    )


def issues(*findings: Finding) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(code_quality(record(*findings)))
    return found


def test_a_finding_is_an_issue_at_its_line() -> None:
    [issue] = issues(finding())
    assert len(issue.pop("fingerprint")) == 64
    assert issue == {
        "check_name": "loses-data",
        "description": "a: data is lost (retain it)",
        "severity": "major",
        "location": {"path": "b/c.yaml", "lines": {"begin": 3}},
    }


def test_a_finding_keeps_its_identity_when_it_moves() -> None:
    assert issues(finding(3))[0]["fingerprint"] == issues(finding(30))[0]["fingerprint"]


def test_equal_findings_are_two_issues() -> None:
    first, second = issues(finding(3), finding(30))
    assert first["fingerprint"] != second["fingerprint"]


def test_a_finding_without_a_place_is_left_out_and_line_0_is_the_first() -> None:
    nowhere = Finding(code="x", severity=Severity.INFO, message="m")
    assert [issue["location"]["lines"]["begin"] for issue in issues(nowhere, finding(0))] == [1]


def test_the_widget_counts_units() -> None:
    actions = tuple(
        PlannedAction(name=f"{number}", description="", order=0, action=ActionKind.DEPLOY, change=change)
        for number, change in enumerate(
            [Change.ADD, Change.CHANGE, Change.CHANGE, Change.REMOVE, Change.UNKNOWN]
        )
    )
    assert json.loads(terraform(record(actions=actions)) or b"") == {"create": 1, "update": 2, "delete": 1}


def test_a_run_without_a_plan_has_no_counts() -> None:
    assert terraform(Record(mode="gitops", backend="flux", dry_run=True)) is None
