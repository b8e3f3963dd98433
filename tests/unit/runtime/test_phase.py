"""The story of one run: which phases follow which failure, and that cleanup always has its turn."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from sf.models import (
    ActionResult,
    ActionUpdated,
    Finding,
    Interrupted,
    Location,
    Phase,
    PhaseEnded,
    PhaseStarted,
    PlanReady,
    Problem,
    ResultReady,
    Severity,
    Verdict,
)
from sf.process import Cancelled
from sf.runtime import Capability, LifecycleError, register, run_lifecycle
from tests.unit.runtime.backends import Fake
from tests.unit.runtime.conftest import config_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sf.config import Config
    from sf.models import Event, Record
    from sf.runtime import RuntimeContext

    MakeContext = Callable[..., RuntimeContext]

FORWARD: Final = [Phase.VALIDATE, Phase.PREPARE, Phase.PLAN, Phase.EXECUTE]
UNDO: Final = ["cleanup", "undo second", "undo first"]
FAULTS: Final = {
    "problem": Problem("no such place", hint="look elsewhere", location=Location("a.yaml", 3)),
    "fault": ZeroDivisionError("our own"),
    "interrupted": Interrupted(15),
    "keyboard": KeyboardInterrupt(),
}


@pytest.fixture
def fake() -> Fake:
    backend = Fake()
    register("gitops", "fake", lambda: backend)
    return backend


class Audience:
    """A listener and a reporter that keep what they were told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.records: list[Record] = []

    @property
    def story(self) -> list[str]:
        """The events, one word each."""
        return [
            f"{'+' if isinstance(event, PhaseStarted) else '-'}{event.phase}"
            if isinstance(event, PhaseStarted | PhaseEnded)
            else type(event).__name__
            for event in self.events
        ]


@pytest.fixture
def audience() -> Audience:
    return Audience()


def leftovers(context: RuntimeContext) -> list[Path]:
    return list(context.repo_root.glob("sf-run-*"))


def test_the_phases_have_one_order(
    config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    context = make_context()
    result = run_lifecycle(
        config, context, events=audience.events.append, reporters=[audience.records.append]
    )

    assert fake.diary == ["validate", "prepare", "plan", "execute", *UNDO]
    assert " ".join(audience.story) == (
        "+resolve -resolve +validate -validate +prepare -prepare +plan PlanReady -plan "
        "+execute ActionUpdated ResultReady -execute +report -report +cleanup -cleanup"
    )
    assert result is context.result
    assert PlanReady(plan=context.plan) in audience.events  # type: ignore[arg-type]  # it is there
    assert ResultReady(result=result) in audience.events  # type: ignore[arg-type]  # it is there
    assert not leftovers(context)


def test_the_record_holds_what_there_is_to_tell(
    config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    context = make_context()
    fake.during[Phase.PLAN] = lambda _context: time.sleep(0.05)
    run_lifecycle(config, context, reporters=[audience.records.append, audience.records.append])

    record = audience.records[0]
    assert audience.records == [record, record]
    assert (record.mode, record.backend, record.dry_run) == ("gitops", "fake", False)
    assert (record.plan, record.result, record.failure) == (context.plan, context.result, None)
    assert list(record.timings) == ["resolve", "validate", "prepare", "plan", "execute"]
    assert 0.05 <= record.timings["plan"] < 5
    assert record.links == {"run": "https://forge.example/runs/1"}


def test_a_run_without_address_has_no_link(
    config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    context = make_context()
    context.ci = replace(context.ci, run_url="")
    run_lifecycle(config, context, reporters=[audience.records.append])

    assert audience.records[0].links == {}
    assert fake.diary


def test_a_dry_run_ends_after_plan(
    config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    context = make_context(dry_run=True)
    result = run_lifecycle(
        config, context, events=audience.events.append, reporters=[audience.records.append]
    )

    assert result is None
    assert fake.diary == ["validate", "prepare", "plan", *UNDO]
    assert "+execute" not in audience.story
    assert (audience.records[0].plan, audience.records[0].dry_run) == (context.plan, True)
    assert context.plan is not None
    assert context.plan.dry_run


@pytest.mark.parametrize("phase", FORWARD)
@pytest.mark.parametrize("kind", FAULTS)
def test_whatever_fails_report_and_cleanup_have_their_turn(
    *, phase: Phase, kind: str, config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    fault = FAULTS[kind]
    fake.faults[phase] = fault
    context = make_context()
    expected = LifecycleError if kind == "problem" else type(fault)

    with pytest.raises(expected) as failed:
        run_lifecycle(config, context, events=audience.events.append, reporters=[audience.records.append])

    prepared = phase is not Phase.VALIDATE
    assert fake.diary == [*FORWARD[: FORWARD.index(phase) + 1], *(UNDO if prepared else ["cleanup"])]
    assert audience.story[-5:] == [f"-{phase}", "+report", "-report", "+cleanup", "-cleanup"]
    ended = next(event for event in audience.events if isinstance(event, PhaseEnded) and event.error)
    assert ended.phase is phase
    [record] = audience.records
    assert record.failure is not None
    assert (record.failure.phase, record.failure.backend) == (phase, "fake")
    assert record.verdict is Verdict.FAILED
    assert (context.plan is not None) is (phase is Phase.EXECUTE)
    assert context.result is None
    assert not leftovers(context)
    if isinstance(failed.value, LifecycleError):
        assert kind == "problem"
        assert str(failed.value) == f"{phase}[fake]: a.yaml:3: no such place"
        assert (failed.value.hint, failed.value.cause) == ("look elsewhere", fault)
        assert record.failure.message == "a.yaml:3: no such place"
    else:
        assert failed.value is fault


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("fault", "ZeroDivisionError: our own"),
        ("interrupted", "the run was interrupted"),
        ("keyboard", "the run was interrupted"),
    ],
)
def test_a_record_says_in_words_what_stopped_the_run(
    *, kind: str, told: str, config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    fake.faults[Phase.EXECUTE] = FAULTS[kind]
    with pytest.raises(type(FAULTS[kind])):
        run_lifecycle(config, make_context(), reporters=[audience.records.append])

    failure = audience.records[0].failure
    assert failure is not None
    assert failure.message == told


# --- resolve ---


def test_every_missing_capability_is_named_before_anything_is_touched(
    config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    fake.capabilities = frozenset({Capability.DRY_RUN})
    context = make_context(writes_to_forge=True)

    with pytest.raises(LifecycleError) as failed:
        run_lifecycle(config, context, reporters=[audience.records.append])

    assert str(failed.value) == (
        "resolve[fake]: the backend fake lacks what this run needs: "
        "cluster-auth, forge-auth, impact-analysis, plan-execute, reconcile"
    )
    assert fake.diary == []
    assert len(audience.records) == 1


@pytest.mark.parametrize(
    ("mode", "backend", "message", "hint"),
    [
        (
            "gitops",
            "argo",
            "resolve: mode gitops has no backend 'argo'",
            "set `gitops.backend` to one of: fake, flux",
        ),
        ("docker", "fake", "resolve: there is no mode 'docker'", "set `lifecycle.mode` to one of: gitops"),
    ],
)
def test_an_unknown_backend_is_an_error_that_lists_what_there_is(
    *, mode: str, backend: str, message: str, hint: str, make_context: MakeContext, fake: Fake
) -> None:
    register("gitops", "flux", Fake)

    with pytest.raises(LifecycleError) as failed:
        run_lifecycle(config_for(mode, backend), make_context())
    assert (str(failed.value), failed.value.hint) == (message, hint)
    assert fake.diary == []


def test_a_backend_that_cannot_be_made_is_a_failure_of_resolve(
    make_context: MakeContext, audience: Audience
) -> None:
    def broken() -> Fake:
        raise Problem("its library is missing")

    register("gitops", "broken", broken)
    with pytest.raises(LifecycleError, match=r"^resolve: its library is missing$"):
        run_lifecycle(config_for("gitops", "broken"), make_context(), reporters=[audience.records.append])
    assert len(audience.records) == 1


# --- what plan and execute say ---


def test_a_plan_with_errors_is_readable_and_never_executed(
    config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    fake.findings = (
        Finding(code="a", severity=Severity.DANGER, message="may hurt"),
        Finding(
            code="b", severity=Severity.ERROR, message="is broken", location=Location("b", 2), hint="mend it"
        ),
        Finding(code="c", severity=Severity.ERROR, message="as well"),
    )
    context = make_context()

    with pytest.raises(LifecycleError) as failed:
        run_lifecycle(config, context, events=audience.events.append, reporters=[audience.records.append])

    assert str(failed.value) == "plan[fake]: b:2: is broken (and 1 more)"
    assert failed.value.hint == "mend it"
    assert "execute" not in fake.diary
    assert "PlanReady" in audience.story
    assert context.plan is not None
    assert audience.records[0].plan is context.plan


def test_failed_actions_are_a_failure_of_execute_with_a_readable_result(
    config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    fake.results = (
        ActionResult(name="a", success=True),
        ActionResult(name="b", success=False, message="not ready"),
        ActionResult(name="c", success=False),
    )
    context = make_context()

    with pytest.raises(LifecycleError) as failed:
        run_lifecycle(config, context, reporters=[audience.records.append])

    assert str(failed.value) == "execute[fake]: 2 of 3 actions failed: b, c"
    assert failed.value.hint == "the first one said: not ready"
    assert context.result is not None
    assert context.result.actions == fake.results
    assert audience.records[0].result is context.result


def test_progress_reaches_the_listener(
    config: Config, make_context: MakeContext, fake: Fake, audience: Audience
) -> None:
    run_lifecycle(config, make_context(), events=audience.events.append)

    assert [event.name for event in audience.events if isinstance(event, ActionUpdated)] == ["apps"]
    assert fake.diary


# --- report and cleanup ---


def failing(error: BaseException) -> Callable[[Record], None]:
    def report(_record: Record) -> None:
        raise error

    return report


def test_a_failure_of_report_is_the_error_of_a_run_that_went_well(
    config: Config, make_context: MakeContext, fake: Fake
) -> None:
    context = make_context()
    with pytest.raises(LifecycleError, match=r"^report\[fake\]: the disk is full$") as failed:
        run_lifecycle(config, context, reporters=[failing(Problem("the disk is full"))])

    assert failed.value.also == ()
    assert fake.diary[-3:] == UNDO
    assert context.result is not None


@pytest.mark.parametrize("error", [Problem("full"), KeyError("bug")], ids=["problem", "fault"])
def test_a_failure_of_report_comes_on_top_of_an_earlier_one(
    error: Exception, config: Config, make_context: MakeContext, fake: Fake
) -> None:
    fake.faults[Phase.PLAN] = FAULTS["problem"]

    with pytest.raises(LifecycleError, match=r"^plan\[fake\]: ") as failed:
        run_lifecycle(config, make_context(), reporters=[failing(error)])

    [also] = failed.value.also
    assert isinstance(also, LifecycleError)
    assert (also.phase, also.cause) == (Phase.REPORT, error)
    assert fake.diary[-3:] == UNDO


@pytest.mark.parametrize("error", [KeyError("bug"), Interrupted(2), KeyboardInterrupt()], ids=repr)
def test_what_stops_report_does_not_stop_cleanup(
    error: BaseException, config: Config, make_context: MakeContext, fake: Fake
) -> None:
    context = make_context()
    with pytest.raises(type(error)) as stopped:
        run_lifecycle(config, context, reporters=[failing(error)])

    assert stopped.value is error
    assert fake.diary[-3:] == UNDO
    assert not leftovers(context)


def test_an_interrupt_that_follows_an_error_wins_and_keeps_it(
    config: Config, make_context: MakeContext, fake: Fake
) -> None:
    fake.faults[Phase.PLAN] = FAULTS["problem"]
    with pytest.raises(Interrupted) as stopped:
        run_lifecycle(config, make_context(), reporters=[failing(Interrupted(15))])

    assert str(stopped.value.__cause__) == "plan[fake]: a.yaml:3: no such place"


@pytest.mark.parametrize("error", [Problem("stuck", hint="pull"), ZeroDivisionError("our own")], ids=repr)
def test_a_failure_of_cleanup_is_told_and_stops_nothing(
    error: Exception, config: Config, make_context: MakeContext, fake: Fake
) -> None:
    fake.faults[Phase.CLEANUP] = error
    context = make_context()

    with pytest.raises(LifecycleError, match=r"^cleanup\[fake\]: backend fake: .*(stuck|our own)$") as failed:
        run_lifecycle(config, context)

    assert failed.value.phase is Phase.CLEANUP
    assert failed.value.hint == getattr(error, "hint", "")
    assert fake.diary[-3:] == UNDO
    assert not leftovers(context)


def test_a_failure_of_cleanup_comes_on_top_of_an_interrupt(
    config: Config, make_context: MakeContext, fake: Fake
) -> None:
    fake.faults[Phase.EXECUTE] = Interrupted(15)
    fake.faults[Phase.CLEANUP] = Problem("a secret is left")

    with pytest.raises(Interrupted) as stopped:
        run_lifecycle(config, make_context())

    error = stopped.value.__cause__
    assert isinstance(error, LifecycleError)
    assert [str(also) for also in error.also] == ["cleanup[fake]: backend fake: a secret is left"]


@pytest.mark.parametrize("error", [Interrupted(15), KeyboardInterrupt()], ids=repr)
def test_a_second_signal_during_cleanup_leaves_no_secret(
    error: BaseException, config: Config, make_context: MakeContext, fake: Fake
) -> None:
    fake.faults[Phase.CLEANUP] = error
    context = make_context()

    with pytest.raises(type(error)) as stopped:
        run_lifecycle(config, context)

    assert stopped.value is error
    assert stopped.value.__notes__ == ["backend fake: interrupted before its end"]
    assert fake.diary[-3:] == UNDO
    assert not leftovers(context)


@pytest.mark.parametrize("phase", [Phase.RESOLVE, Phase.PLAN, Phase.REPORT, Phase.CLEANUP])
@pytest.mark.parametrize("moment", [PhaseStarted, PhaseEnded])
def test_a_listener_that_fails_never_keeps_cleanup_from_its_work(
    *,
    phase: Phase,
    moment: type[PhaseStarted | PhaseEnded],
    config: Config,
    make_context: MakeContext,
    fake: Fake,
    audience: Audience,
) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, moment) and event.phase is phase:
            raise ZeroDivisionError

    context = make_context()
    with pytest.raises(ZeroDivisionError):
        run_lifecycle(config, context, events=listen, reporters=[audience.records.append])

    assert ("undo first" in fake.diary) is ("prepare" in fake.diary)
    assert ("execute" in fake.diary) is (phase in {Phase.REPORT, Phase.CLEANUP})
    assert len(audience.records) == 1
    assert not leftovers(context)


# --- programs ---


def launch(context: RuntimeContext) -> str:
    try:
        context.launcher.run(["true"], timeout=10, environ=context.environ)
    except Cancelled:
        return "cancelled"
    return "ran"


@pytest.mark.parametrize(
    ("fault", "in_report"),
    [(Interrupted(15), "cancelled"), (Problem("no"), "ran")],
    ids=["signal", "problem"],
)
def test_after_a_signal_programs_run_only_for_cleanup(
    fault: BaseException, in_report: str, config: Config, make_context: MakeContext, fake: Fake
) -> None:
    seen: list[str] = []
    context = make_context()
    fake.faults[Phase.EXECUTE] = fault
    fake.during[Phase.CLEANUP] = lambda context: seen.append(launch(context))

    with pytest.raises((Interrupted, LifecycleError)):
        run_lifecycle(config, context, reporters=[lambda _record: seen.append(launch(context))])
    assert seen == [in_report, "ran"]


def test_a_run_may_be_followed_by_another(config: Config, make_context: MakeContext, fake: Fake) -> None:
    first, second = make_context(), make_context()
    for context in (first, second):
        run_lifecycle(config, context)

    assert first.plan is not None
    assert second.plan is not None
    assert first.plan.digest == second.plan.digest
    assert fake.diary == ["validate", "prepare", "plan", "execute", *UNDO] * 2
