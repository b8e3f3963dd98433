"""Executing on a real cluster with Flux's own controllers: what is planned is what becomes live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.models import ActionState, Change, Interrupted, Outcome, Problem
from tests.cluster.flux import Fleet, deployment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.models import ActionResult
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Fleet:
    return Fleet(cluster, tmp_path)


def outcomes(fleet: Fleet, results: Mapping[str, ActionResult]) -> dict[str, Outcome | None]:
    return {name.removeprefix(f"{fleet.name}/"): result.outcome for name, result in results.items()}


def test_a_change_that_was_pushed_becomes_live(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base"), fleet.app("web", "base"), fleet.app("other"))
    commit = fleet.commit(fleet.content("base", "blue"), fleet.app("new"))
    fleet.push()
    run = fleet.run()
    results = run.go()
    assert outcomes(fleet, results) == dict.fromkeys(("base", "fleet", "web", "new"), Outcome.DONE)
    assert fleet.color("base") == "blue"
    assert fleet.color("new") == "red"
    assert all(fleet.is_live(name, commit) for name in ("fleet", "base", "web", "new", "other"))
    assert run.context.result is not None
    assert run.context.result.notes == {
        "planned commit": commit,
        "live": "4 of 4 at the planned commit",
        "preview": "3 of 3 announced objects are as announced",
        "applied by Flux, not requested": fleet.id("other"),
        "credentials": run.context.result.notes["credentials"],
    }
    [changed] = results[fleet.id("new")].objects
    assert (changed.change, changed.identity) == (Change.ADD, f"ConfigMap {fleet.name}/new")
    started = next(e.message for e in run.events if e.state is ActionState.STARTED)
    assert started.startswith(f"kubectl annotate --namespace={fleet.name} --overwrite ")
    assert "waits for GitRepository" in run.messages(fleet.id("base"))[0]


def test_what_fails_stops_what_depends_on_it_and_nothing_else(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base"), fleet.app("web", "base"), fleet.app("top", "web"), fleet.app("other"))
    broken = fleet.content("base", "blue")["apps/base/settings.yaml"].replace("name: base", "name: Not_Valid")
    fleet.commit({"apps/base/settings.yaml": broken}, fleet.content("other", "blue"))
    fleet.push()
    results = fleet.run().fail()
    assert outcomes(fleet, results) == {
        "base": Outcome.FAILED,
        "other": Outcome.DONE,
        "web": Outcome.NOT_REACHED,
        "top": Outcome.NOT_REACHED,
    }
    assert results[fleet.id("base")].message.startswith("ReconciliationFailed: ConfigMap/")
    assert "Not_Valid" in results[fleet.id("base")].message
    assert "Warning ReconciliationFailed" in results[fleet.id("base")].stderr
    assert results[fleet.id("web")].message == f"not reached: dependency {fleet.id('base')} failed"
    assert fleet.color("other") == "blue"


def test_objects_that_do_not_become_ready_are_named(fleet: Fleet) -> None:
    fleet.begin(fleet.app("web", wait=True, timeout="30s"))
    fleet.commit({"apps/web/deployment.yaml": deployment("web")})
    fleet.push()
    result = fleet.run().fail()[fleet.id("web")]
    assert result.message.startswith("HealthCheckFailed: ")
    assert f"Deployment/{fleet.name}/web status: 'InProgress'" in result.message
    assert f"Deployment {fleet.name}/web is not ready: InProgress" in result.stderr


def test_a_deadline_says_what_was_waited_for(fleet: Fleet) -> None:
    fleet.begin(fleet.app("web", wait=True, timeout="5m"))
    fleet.commit({"apps/web/deployment.yaml": deployment("web")})
    fleet.push()
    run = fleet.run(fleet.config(deadlines={"action": 12}))
    result = run.fail()[fleet.id("web")]
    assert result.message.startswith("not there after 12 s: Running health checks for revision main@sha1:")
    assert any("Running health checks" in message for message in run.messages(fleet.id("web")))
    # To look at the Deployment takes a right that reconciling does not.
    assert "which objects are not ready cannot be seen: (Forbidden): " in result.stderr


def test_who_may_look_is_told_which_object_is_not_ready(fleet: Fleet) -> None:
    place = f"--namespace={fleet.name}"
    things = "--resource=configmaps,deployments.apps"
    fleet.cluster.kubectl("create", "role", "look", place, "--verb=get", things)
    fleet.cluster.kubectl("create", "rolebinding", "look", place, "--role=look", f"--user=ci:{fleet.user}")
    fleet.begin(fleet.app("web", wait=True, timeout="5m"))
    fleet.commit({"apps/web/deployment.yaml": deployment("web")})
    fleet.push()
    result = fleet.run(fleet.config(deadlines={"action": 12})).fail()[fleet.id("web")]
    assert f"Deployment {fleet.name}/web is not ready: 0 of 1 replicas are ready" in result.stderr


def test_the_run_has_a_deadline_of_its_own(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base", wait=True, timeout="5m"), fleet.app("web", "base"))
    fleet.commit({"apps/base/deployment.yaml": deployment("base")})
    fleet.push()
    results = fleet.run(fleet.config(deadlines={"run": 5})).fail()
    assert outcomes(fleet, results) == {"base": Outcome.FAILED, "web": Outcome.NOT_REACHED}
    assert results[fleet.id("base")].message.startswith("the run may take 5 s: ")


def test_what_is_suspended_is_left_alone(fleet: Fleet) -> None:
    fleet.begin(fleet.app("web"), fleet.app("other"))
    suspended = fleet.commit(fleet.app("web", suspend=True))
    fleet.push()
    results = fleet.run().go()
    assert outcomes(fleet, results) == {"fleet": Outcome.DONE, "web": Outcome.UNCHANGED}
    fleet.wait_for(lambda: fleet.is_live("other", suspended))
    fleet.suspend("kustomization", "other")
    fleet.commit(fleet.content("web", "blue"), fleet.content("other", "blue"))
    fleet.push()
    results = fleet.run().go()
    assert outcomes(fleet, results) == dict.fromkeys(("web", "other"), Outcome.UNCHANGED)
    assert results[fleet.id("web")].message == "is suspended and left alone"
    assert results[fleet.id("other")].message == "is suspended and left alone"
    assert (fleet.color("web"), fleet.color("other")) == ("red", "red")


def test_a_dependency_that_is_suspended_is_named(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base"), fleet.app("web", "base"))
    fleet.suspend("kustomization", "base")
    fleet.commit(fleet.content("web", "blue"))
    fleet.push()
    results = fleet.run().fail()
    assert outcomes(fleet, results) == {"web": Outcome.NOT_REACHED}
    base = fleet.id("base")
    assert results[fleet.id("web")].message.startswith(
        f"not reached: dependency {base} is suspended at main@"
    )


def test_what_the_repository_drops_is_seen_to_go(fleet: Fleet) -> None:
    fleet.begin(fleet.app("web"), fleet.app("old"))
    (fleet.repository.root / "cluster/old.yaml").unlink()
    fleet.commit()
    fleet.push()
    results = fleet.run().go()
    assert outcomes(fleet, results) == {"fleet": Outcome.DONE, "old": Outcome.DONE}
    assert results[fleet.id("old")].message == "is gone from the cluster"
    assert fleet.get("kustomization", "old") is None
    assert fleet.get("configmap", "old") is None


def test_a_kustomization_that_is_deleted_meanwhile(fleet: Fleet) -> None:
    fleet.begin(fleet.app("web", wait=True, timeout="5m"))
    fleet.commit({"apps/web/deployment.yaml": deployment("web")})
    fleet.push()
    run = fleet.run()
    run.when(
        fleet.id("web"),
        ActionState.WAITING,
        lambda: fleet.delete("kustomization", "web"),
        "Running health checks",
    )
    assert run.fail()[fleet.id("web")].message in {
        "is being deleted, while it was waited for",
        "is not in the cluster, while it was waited for",
    }


def test_only_what_is_named_is_reconciled(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base"), fleet.app("web", "base"), fleet.app("other"))
    fleet.commit(fleet.content("web", "blue"), fleet.content("other", "blue"))
    fleet.push()
    run = fleet.run(only=(fleet.id("web"),))
    assert outcomes(fleet, run.go()) == {"web": Outcome.DONE}
    assert run.context.plan is not None
    assert [action.name for action in run.context.plan.actions] == [fleet.id("base"), fleet.id("web")]
    assert run.context.plan.notes["selected"] == f"only {fleet.id('web')}"
    with pytest.raises(
        Problem, match=f"there is no Kustomization {fleet.id('wep')} in this commit"
    ) as caught:
        fleet.run(only=(fleet.id("wep"),)).go()
    assert caught.value.hint == f"did you mean {fleet.id('web')}?"


def test_everything_is_reconciled_when_asked_for(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base"), fleet.app("web", "base"), fleet.app("other"))
    fleet.suspend("kustomization", "other")
    run = fleet.run(base="HEAD", everything=True)
    assert outcomes(fleet, run.go()) == {
        "base": Outcome.DONE,
        "fleet": Outcome.DONE,
        "web": Outcome.DONE,
        "other": Outcome.UNCHANGED,
    }
    for name in ("base", "web", "fleet"):
        found = fleet.get("kustomization", name) or {}
        assert found["status"]["lastHandledReconcileAt"]


def test_one_at_a_time_is_enough(fleet: Fleet) -> None:
    fleet.begin(fleet.app("a"), fleet.app("b"), fleet.app("c"))
    fleet.commit(*(fleet.content(name, "blue") for name in "abc"))
    fleet.push()
    run = fleet.run(fleet.config(gitops={"concurrency": 1}))
    assert set(outcomes(fleet, run.go()).values()) == {Outcome.DONE}
    told = [e.name for e in run.events]
    assert told == sorted(told)
    assert set(told) == {fleet.id(name) for name in "abc"}


def test_a_parent_that_waits_for_what_it_brings(fleet: Fleet) -> None:
    fleet.begin(fleet.app("web"))
    sync = (fleet.repository.root / "cluster/sync.yaml").read_text()
    fleet.commit({"cluster/sync.yaml": sync.replace("path: ./cluster", "path: ./cluster\n  wait: true")})
    fleet.push()
    assert outcomes(fleet, fleet.run().go()) == {"fleet": Outcome.DONE}
    fleet.commit(fleet.app("new", wait=True, timeout="30s"), {"apps/new/deployment.yaml": deployment("new")})
    fleet.push()
    results = fleet.run(fleet.config(deadlines={"action": 45})).fail()
    assert outcomes(fleet, results) == {"fleet": Outcome.FAILED, "new": Outcome.FAILED}
    assert f"Deployment/{fleet.name}/new status: 'InProgress'" in results[fleet.id("new")].message


def test_an_interrupted_run_says_how_far_it_came_and_the_next_converges(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base"), fleet.app("web", "base"))
    commit = fleet.commit(fleet.content("base", "blue"))
    fleet.push()
    run = fleet.run()

    def stop() -> None:
        raise Interrupted(2)

    run.when(fleet.id("base"), ActionState.STARTED, stop)
    with pytest.raises(Interrupted):
        run.go()
    assert outcomes(fleet, run.results) == {"base": Outcome.INTERRUPTED, "web": Outcome.NOT_REACHED}
    fleet.run().go()
    assert fleet.is_live("base", commit)
    assert fleet.is_live("web", commit)
