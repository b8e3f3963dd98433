from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from sf.models import (
    ActionKind,
    ActionResult,
    Change,
    Failure,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    Outcome,
    Phase,
    PlannedAction,
    Record,
    Severity,
)
from sf.report.junit import document


def action(name: str, change: Change = Change.CHANGE) -> PlannedAction:
    return PlannedAction(name=name, description="", order=0, action=ActionKind.DEPLOY, change=change)


def record(*actions: PlannedAction, **fields: object) -> Record:
    findings = fields.pop("findings", ())
    plan = LifecyclePlan(mode="docker", backend="compose", actions=actions, findings=findings)  # type: ignore[arg-type]
    return Record(**{"mode": "docker", "backend": "compose", "dry_run": True, "plan": plan, **fields})  # type: ignore[arg-type]


def suite(of: Record) -> ET.Element:
    found = ET.fromstring(document(of)).find("testsuite")
    assert found is not None
    return found


def kinds(of: Record) -> dict[str, list[str]]:
    return {
        case.get("name", ""): [part.tag for part in case if part.tag != "system-out"] for case in suite(of)
    }


def test_there_is_one_case_for_each_unit() -> None:
    assert kinds(record(action("a/one"), action("a/two", Change.UNCHANGED))) == {"a/one": [], "a/two": []}


def test_unknown_is_skipped_and_not_passed() -> None:
    assert kinds(record(action("a", Change.UNKNOWN))) == {"a": ["skipped"]}


def test_outcomes_are_failures_and_skips() -> None:
    results = LifecycleResult(
        actions=(
            ActionResult(name="a", success=False, message="unhealthy", stderr="boom", command="do it"),
            ActionResult(name="b", success=False, outcome=Outcome.NOT_REACHED),
            ActionResult(name="c", success=False, outcome=Outcome.INTERRUPTED),
            ActionResult(name="d", success=True, duration=1.5),
        )
    )
    executed = record(*map(action, "abcd"), dry_run=False, result=results)
    assert kinds(executed) == {"a": ["failure"], "b": ["skipped"], "c": ["failure"], "d": []}
    failure = suite(executed).find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "unhealthy"
    assert failure.text == "unhealthy\nboom\nto repeat it: do it"
    figures = suite(executed)
    assert [figures.get(name) for name in ("tests", "failures", "skipped")] == ["4", "2", "1"]
    assert figures.findall("testcase")[3].get("time") == "1.500"


def test_an_error_fails_the_case_it_is_about() -> None:
    finding = Finding(code="x", severity=Severity.ERROR, message="bad path", subject="a")
    assert kinds(record(action("a"), findings=(finding,))) == {"a": ["failure"]}


def test_a_failed_run_always_has_a_failed_case() -> None:
    finding = Finding(code="x", severity=Severity.ERROR, message="bad", subject="somewhere")
    assert kinds(record(action("a"), findings=(finding,))) == {"a": [], "the run": ["failure"]}
    early = Record(
        mode="gitops",
        backend="flux",
        dry_run=True,
        failure=Failure(phase=Phase.PREPARE, backend="flux", message="no git"),
    )
    assert kinds(early) == {"the run": ["failure"]}


@given(st.text())
def test_any_text_is_well_formed(text: str) -> None:
    finding = Finding(code=text, severity=Severity.ERROR, message=text, subject=text, hint=text)
    result = LifecycleResult(actions=(ActionResult(name=text, success=False, message=text, stderr=text),))
    hostile = record(action(text), findings=(finding,), result=result)
    assert [case.tag for case in suite(hostile)] == ["testcase"]
