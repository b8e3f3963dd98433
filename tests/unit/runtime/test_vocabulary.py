"""The words of the public API, one by one: registry, capabilities, context, resolved state, error."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import sf.runtime
from sf.ci.context import Provider
from sf.models import Interrupted, Location, Phase, Problem
from sf.runtime import (
    Capability,
    InvokerType,
    LifecycleError,
    ResolvedState,
    derive_required,
    detect_invoker,
    has_capability,
    register,
    registered,
    resolve_backend,
    validate_capabilities,
)
from tests.unit.runtime.backends import Fake
from tests.unit.runtime.conftest import ci_context, config_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.runtime import LifecycleBackend, RuntimeContext


def test_everything_public_is_there() -> None:
    assert all(hasattr(sf.runtime, name) for name in sf.runtime.__all__)
    assert [phase.value for phase in Phase] == (
        ["load", "resolve", "validate", "prepare", "plan", "execute", "report", "cleanup"]
    )
    assert {capability.value for capability in Capability} == (
        {"reconcile", "dry-run", "impact-analysis", "cluster-auth", "forge-auth"}
        | {"structured-progress", "plan-execute"}
    )
    assert {invoker.value for invoker in InvokerType} == {"ci", "local", "api"}


# --- registry ---


def test_each_run_gets_an_instance_of_its_own() -> None:
    register("gitops", "fake", Fake)
    backend: LifecycleBackend = resolve_backend("gitops", "fake")

    assert isinstance(backend, Fake)
    assert resolve_backend("gitops", "fake") is not backend


def test_a_name_is_registered_once_per_mode() -> None:
    register("gitops", "fake", Fake)
    register("docker", "fake", Fake)

    with pytest.raises(ValueError, match="gitops/fake is already registered"):
        register("gitops", "fake", Fake)
    assert registered() == (("docker", "fake"), ("gitops", "fake"))


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(LifecycleError) as failed:
        resolve_backend("gitops", "fake")
    assert failed.value.hint == "set `lifecycle.mode` to one of: none is registered"


# --- capabilities ---

PLANNING = {Capability.DRY_RUN, Capability.IMPACT_ANALYSIS}
EXECUTING = PLANNING | {Capability.RECONCILE, Capability.PLAN_EXECUTE}


@pytest.mark.parametrize(
    ("mode", "given", "required"),
    [
        ("gitops", {"dry_run": True}, PLANNING),
        ("docker", {"dry_run": True}, PLANNING),
        ("gitops", {"dry_run": False}, EXECUTING | {Capability.CLUSTER_AUTH}),
        ("docker", {"dry_run": False}, EXECUTING),
        ("docker", {"dry_run": True, "writes_to_forge": True}, PLANNING | {Capability.FORGE_AUTH}),
        ("docker", {"dry_run": True, "live_progress": True}, PLANNING | {Capability.STRUCTURED_PROGRESS}),
    ],
)
def test_what_a_run_needs_follows_from_what_it_does(
    mode: str, given: dict[str, Any], required: set[Capability], make_context: Callable[..., RuntimeContext]
) -> None:
    assert derive_required(config_for(mode, "fake"), make_context(**given)) == required


def test_a_backend_that_can_do_all_of_it_passes() -> None:
    backend = Fake(capabilities=frozenset(PLANNING))

    validate_capabilities(backend, PLANNING)
    assert has_capability(backend, Capability.DRY_RUN)
    assert not has_capability(backend, Capability.RECONCILE)


@pytest.mark.parametrize(
    ("required", "advice"), [(EXECUTING, "run `sf plan`"), (PLANNING, "choose a backend")]
)
def test_every_missing_capability_is_named(required: set[Capability], advice: str) -> None:
    with pytest.raises(LifecycleError) as failed:
        validate_capabilities(Fake(capabilities=frozenset()), required)

    assert str(failed.value).endswith(f": {', '.join(sorted(required))}")
    assert failed.value.hint.startswith(advice)


# --- context ---


@pytest.mark.parametrize("provider", Provider)
def test_the_invoker_follows_from_where_we_run(provider: Provider) -> None:
    expected = InvokerType.LOCAL if provider is Provider.LOCAL else InvokerType.CI

    assert detect_invoker(ci_context(provider)) is expected


def test_the_environment_of_a_run_is_its_own(make_context: Callable[..., RuntimeContext]) -> None:
    given = {"PATH": "/bin"}
    context = make_context(environ=given)
    given["TOKEN"] = "x"

    assert dict(context.environ) == {"PATH": "/bin"}
    with pytest.raises(TypeError):
        context.environ["TOKEN"] = "x"  # type: ignore[index]  # that it cannot be done is the point


def test_two_runs_share_nothing(make_context: Callable[..., RuntimeContext]) -> None:
    one, other = make_context(), make_context()

    for part in ("resolved", "redactor", "launcher", "workspace"):
        assert getattr(one, part) is not getattr(other, part)
    assert (one.plan, one.result) == (None, None)


# --- resolved state ---


def test_undos_are_called_once_and_in_reverse() -> None:
    state = ResolvedState()
    calls: list[str] = []
    for name in ("first", "second", "third"):
        state.add_cleanup(name, partial(calls.append, name))

    assert state.cleanup() == ()
    assert state.cleanup() == ()
    assert calls == ["third", "second", "first"]


def test_an_undo_that_fails_is_told_and_never_stops_the_rest() -> None:
    state, calls = ResolvedState(), []

    def fail(error: Exception) -> None:
        raise error

    state.add_cleanup("the file", lambda: calls.append("file"))
    state.add_cleanup("the tunnel", lambda: fail(Problem("still open", hint="close it")))
    state.add_cleanup("the socket", lambda: fail(OSError("gone")))
    failures = state.cleanup()

    assert calls == ["file"]
    assert [str(failure) for failure in failures] == ["the socket: OSError: gone", "the tunnel: still open"]
    assert [failure.hint for failure in failures] == ["", "close it"]


def test_a_signal_is_raised_when_all_undos_were_called() -> None:
    state, calls = ResolvedState(), []

    def fail(error: BaseException) -> None:
        raise error

    state.add_cleanup("first", lambda: calls.append("first"))
    state.add_cleanup("second", lambda: fail(Problem("stuck")))
    state.add_cleanup("third", lambda: fail(Interrupted(15)))
    with pytest.raises(Interrupted) as stopped:
        state.cleanup()

    assert calls == ["first"]
    assert stopped.value.__notes__ == ["third: interrupted before its end", "second: stuck"]


def test_an_undo_may_add_another() -> None:
    state, calls = ResolvedState(), []
    state.add_cleanup("outer", lambda: state.add_cleanup("inner", lambda: calls.append("inner")))

    assert state.cleanup() == ()
    assert calls == ["inner"]


def test_threads_may_add_undos() -> None:
    state = ResolvedState()
    calls: list[tuple[int, int]] = []

    def work(number: int) -> None:
        for turn in range(100):
            state.add_cleanup("one", partial(calls.append, (number, turn)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state.cleanup()

    assert len(calls) == 400


# --- error ---


def test_an_error_takes_hint_and_place_from_its_cause() -> None:
    cause = Problem("odd", hint="mend it", location=Location("a.yaml", 3))
    error = LifecycleError(Phase.PLAN, "flux", "odd", cause)

    assert str(error) == "plan[flux]: a.yaml:3: odd"
    assert error.hint == "mend it"
    assert error.failure.message == "a.yaml:3: odd"
    assert (error.failure.phase, error.failure.backend, error.failure.hint) == (Phase.PLAN, "flux", "mend it")


def test_an_error_before_there_is_a_backend_names_the_phase_alone() -> None:
    assert str(LifecycleError(Phase.LOAD, "", "no file", ValueError(), hint="write one")) == "load: no file"
    assert LifecycleError(Phase.LOAD, "", "no file", Problem("x", hint="a"), hint="b").hint == "b"
