from __future__ import annotations

from sf.models import (
    ActionResult,
    Failure,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    Location,
    Phase,
    Record,
    Severity,
)
from sf.report.annotations import MOST_OF_A_LEVEL, annotate


def record(*findings: Finding, **fields: object) -> Record:
    plan = LifecyclePlan(mode="gitops", backend="flux", findings=findings)
    return Record(**{"mode": "gitops", "backend": "flux", "dry_run": True, "plan": plan, **fields})  # type: ignore[arg-type]


def finding(severity: Severity, message: str = "m", location: Location | None = None) -> Finding:
    return Finding(code="some-code", severity=severity, message=message, subject="unit", location=location)


def test_a_finding_stands_at_its_place() -> None:
    [annotation] = annotate(record(finding(Severity.WARNING, "a\nb", Location("x/y.yaml", 4, 2))))
    assert annotation.level == "warning"
    assert annotation.text == "unit: a b"
    assert annotation.properties == {
        "title": "warning: some-code",
        "file": "x/y.yaml",
        "line": "4",
        "col": "2",
    }


def test_failures_come_before_findings() -> None:
    result = LifecycleResult(actions=(ActionResult(name="a", success=False, message="unhealthy"),))
    found = annotate(
        record(
            finding(Severity.DANGER),
            result=result,
            failure=Failure(phase=Phase.CLEANUP, backend="flux", message="left", hint="remove it"),
        )
    )
    assert [(one.level, one.text) for one in found] == [
        ("error", "left Hint: remove it"),
        ("error", "unhealthy"),
        ("warning", "unit: m"),
    ]


def test_no_more_of_a_level_than_github_keeps_and_the_last_one_says_so() -> None:
    found = annotate(record(*[finding(Severity.INFO, str(number)) for number in range(25)]))
    assert len(found) == MOST_OF_A_LEVEL
    assert found[-1].text == "16 more of this level: see the summary of the job"
    assert len(annotate(record(*[finding(Severity.INFO)] * MOST_OF_A_LEVEL))) == MOST_OF_A_LEVEL
