"""What can go wrong between a plan and a live commit: credentials, the API server, controllers, sources."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sf.models import ActionState, Outcome, Phase
from sf.runtime import LifecycleError
from tests.cluster.flux import Fleet, deployment
from tests.cluster.forge import TokenEndpoint
from toolchain.certificates import Authority
from toolchain.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Fleet:
    return Fleet(cluster, tmp_path)


@pytest.fixture
def changed(fleet: Fleet) -> Fleet:
    """One with a change of `web` that was pushed."""
    fleet.begin(fleet.app("web"))
    fleet.commit(fleet.content("web", "blue"))
    fleet.push()
    return fleet


def refused(
    fleet: Fleet, phase: Phase, environ: dict[str, str] | None = None, **gitops: Any
) -> LifecycleError:
    """The error of a run that is over before anything was asked of Flux."""
    run = fleet.run(fleet.config(gitops=gitops), {**fleet.environ(), **(environ or {})})
    with pytest.raises(LifecycleError) as caught:
        run.go()
    assert caught.value.phase is phase
    assert run.events == []
    return caught.value


def test_a_token_of_somebody_else(changed: Fleet) -> None:
    environ = {"STAGEFREIGHT_OIDC": changed.cluster.token("main", audience="somebody-else")}
    error = refused(changed, Phase.VALIDATE, environ)
    assert "does not know us (token: STAGEFREIGHT_OIDC): Unauthorized" in error.message
    assert "aud somebody-else" in error.hint


def test_a_token_without_rights(changed: Fleet) -> None:
    error = refused(changed, Phase.PREPARE, {"STAGEFREIGHT_OIDC": changed.cluster.token("nobody")})
    assert error.message.startswith("the cluster does not let ci:nobody list events in ")
    assert f"get and list and patch and watch kustomizations in {changed.name}" in error.message
    assert "kind: RoleBinding" in error.hint


def test_an_authority_that_did_not_sign(changed: Fleet, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    error = refused(changed, Phase.VALIDATE, {"TESTS_CA_FILE": str(other.certificate)})
    assert "is not accepted: " in error.message


def test_a_server_that_is_not_there(changed: Fleet) -> None:
    ports = Ports(("nobody",))
    server = f"https://127.0.0.1:{ports['nobody']}"
    cluster = {"name": "tests", "server": server, "ca": changed.cluster.ca}
    assert refused(changed, Phase.VALIDATE, cluster=cluster).message == (
        f"{server} does not answer: Connection refused"
    )
    ports.release()


def test_a_server_that_hangs_from_the_beginning(changed: Fleet) -> None:
    with changed.cluster.frozen("kube-apiserver"):
        error = refused(changed, Phase.VALIDATE)
    assert error.message == f"{changed.cluster.server} does not answer within 15 s"


def test_a_server_that_hangs_in_the_middle(changed: Fleet) -> None:
    run = changed.run(changed.config(deadlines={"action": 5}))
    hanging = changed.cluster.frozen("kube-apiserver")
    run.when(changed.id("web"), ActionState.STARTED, hanging.__enter__)
    try:
        result = run.fail()[changed.id("web")]
    finally:
        hanging.__exit__(None, None, None)
    assert "not there after 5 s: " in result.message
    assert "kubectl annotate" in result.message or "does not answer" in result.message


def test_a_server_that_is_restarted_in_the_middle(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base", wait=True, timeout="5m"), fleet.app("web", "base"))
    commit = fleet.commit({"apps/base/deployment.yaml": deployment("base")})
    fleet.push()
    run = fleet.run()

    def restart() -> None:
        fleet.cluster.stop_part("kube-apiserver")
        fleet.cluster.start_part("kube-apiserver")
        fleet.make_ready("base")

    run.when(fleet.id("base"), ActionState.WAITING, restart, "Running health checks")
    assert {result.outcome for result in run.go().values()} == {Outcome.DONE}
    assert fleet.is_live("web", commit)


def test_a_token_is_renewed_in_the_middle(fleet: Fleet) -> None:
    fleet.begin(fleet.app("base", wait=True, timeout="5m"), fleet.app("web", "base"))
    commit = fleet.commit({"apps/base/deployment.yaml": deployment("base")})
    fleet.push()
    fleet.grant("main")
    with TokenEndpoint(fleet.cluster, seconds=5) as forge:
        environ = {name: value for name, value in fleet.environ().items() if name != "STAGEFREIGHT_OIDC"}
        run = fleet.run(environ={**environ, **forge.environ})

        def outlive() -> None:
            # The API server takes a token that it has seen for 10 s longer.
            time.sleep(16)
            fleet.make_ready("base")

        run.when(fleet.id("base"), ActionState.WAITING, outlive, "Running health checks")
        assert {result.outcome for result in run.go().values()} == {Outcome.DONE}
        assert len(forge.issued) >= 2
    assert fleet.is_live("web", commit)


def test_a_token_that_expires_for_good(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sf.backends.flux.execution.LOCKED_OUT", 1.0)
    monkeypatch.setattr("sf.tools.kubernetes._WATCH", 2)
    fleet.begin(fleet.app("web", wait=True, timeout="5m"))
    fleet.commit({"apps/web/deployment.yaml": deployment("web")})
    fleet.push()
    run = fleet.run(
        environ={**fleet.environ(), "STAGEFREIGHT_OIDC": fleet.cluster.token(fleet.user, seconds=20)}
    )
    result = run.fail()[fleet.id("web")]
    assert "the token (STAGEFREIGHT_OIDC) expired" in result.message
    assert run.context.result is not None
    assert "cannot be renewed, and this run may take 3600 s" in run.context.result.notes["credentials"]


@pytest.fixture
def stopped(cluster: Cluster) -> Iterator[Callable[[str], None]]:
    """Stops a part until the end of the test."""
    parts = []

    def stop(part: str) -> None:
        cluster.stop_part(part)
        parts.append(part)

    yield stop
    for part in parts:
        cluster.start_part(part)


def test_nobody_applies(changed: Fleet, stopped: Callable[[str], None]) -> None:
    stopped("kustomize-controller")
    result = changed.run(changed.config(deadlines={"action": 5})).fail()[changed.id("web")]
    assert result.message == "not there after 5 s: nobody has reacted to the request"
    assert "is kustomize-controller running?" in result.stderr


def test_nobody_fetches(changed: Fleet, stopped: Callable[[str], None]) -> None:
    stopped("source-controller")
    changed.commit(changed.content("web", "green"))
    planned = changed.push()
    result = changed.run(changed.config(deadlines={"action": 5})).fail()[changed.id("web")]
    assert result.message.startswith(
        f"not there after 5 s: waits for GitRepository {changed.name}/fleet to get from main@sha1:"
    )
    assert result.message.endswith(f" to {planned}")


def test_the_source_follows_a_branch_that_is_behind(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sf.backends.flux.sources.PATIENCE", 3.0)
    before = fleet.begin(fleet.app("web"))
    planned = fleet.commit(fleet.content("web", "blue"))
    fleet.push("other")
    result = fleet.run().fail()[fleet.id("web")]
    assert result.message == (
        f"GitRepository {fleet.name}/fleet is behind: at main@sha1:{before}, and {planned} was planned"
    )
    assert "has to follow the branch that" in result.stderr
    assert fleet.color("web") == "red"


def test_the_source_is_at_a_foreign_commit(fleet: Fleet) -> None:
    fleet.begin(fleet.app("web"))
    fleet.repository.git("switch", "--quiet", "--create", "theirs")
    fleet.commit(fleet.content("web", "green"))
    theirs = fleet.push("main")
    fleet.repository.git("switch", "--quiet", "main")
    planned = fleet.commit(fleet.content("web", "blue"))
    fleet.push("other")
    result = fleet.run().fail()[fleet.id("web")]
    assert result.message == (
        f"GitRepository {fleet.name}/fleet is at main@sha1:{theirs}, which does not contain the planned {planned}"
    )


def test_a_newer_commit_supersedes_the_planned_one(fleet: Fleet) -> None:
    fleet.begin(fleet.app("web"))
    planned = fleet.commit(fleet.content("web", "blue"))
    newer = fleet.commit(fleet.content("web", "green"))
    fleet.push()
    run = fleet.run(base="HEAD~2", head=planned)
    result = run.go()[fleet.id("web")]
    assert result.outcome is Outcome.SUPERSEDED
    assert result.message.startswith(f"superseded by {newer}: ")
    assert run.context.result is not None
    assert run.context.result.notes["live"].startswith("0 of 1 at the planned commit; ")


def test_a_source_that_is_suspended(changed: Fleet) -> None:
    changed.commit(changed.content("web", "green"))
    planned = changed.push()
    changed.suspend("gitrepository", "fleet")
    result = changed.run().fail()[changed.id("web")]
    assert "/fleet is suspended at main@sha1:" in result.message
    assert result.message.endswith(f", so that Flux does not get to {planned}")
    assert result.stderr.startswith(f"resume it: `flux resume source git fleet --namespace={changed.name}`")


def test_a_source_that_is_missing(changed: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sf.backends.flux.execution.GRACE", 1.0)
    changed.delete("gitrepository", "fleet")
    changed.wait_for(lambda: changed.get("gitrepository", "fleet") is None)
    changed.commit(changed.content("web", "green"))
    changed.push()
    result = changed.run().fail()[changed.id("web")]
    assert result.message == f"GitRepository {changed.name}/fleet is not in the cluster"


def test_a_source_that_fails(changed: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sf.backends.flux.sources.PATIENCE", 3.0)
    changed.commit(changed.content("web", "green"))
    changed.push()
    changed.apply(changed.source(ref={"branch": "gone"}))
    result = changed.run().fail()[changed.id("web")]
    assert result.message.startswith(f"GitRepository {changed.name}/fleet fails: GitOperationFailed: ")
