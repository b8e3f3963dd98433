"""What `sf doctor` says of a real cluster: who we are there, and the roles that are missing."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import pytest

from sf import documents
from sf.console import Console
from sf.doctor import examine, render
from sf.redact import Redactor
from sf.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from sf.doctor import Check
    from tests.repositories import Repository
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PUSH: Final = {"SF_CI_EVENT": "push", "SF_CI_BRANCH": "main", "SF_CI_DEFAULT_BRANCH": "main", "CI": "true"}
WHO: Final = "knows us as ci:main (token: TESTS_TOKEN)"


class Desk:
    def __init__(self, cluster: Cluster, fleet: Repository, folder: Path) -> None:
        self._cluster = cluster
        self.fleet = fleet
        self._folder = folder
        named = {"name": "tests", "server": cluster.server, "ca": cluster.ca}
        self.configure({"path": "clusters/production", "cluster": named})

    def configure(self, gitops: dict[str, object]) -> None:
        config = {"lifecycle": {"mode": "gitops"}, "gitops": gitops}
        self.fleet.commit({".stagefreight.yml": documents.dump(config)})

    def check(self, **environ: str) -> tuple[Check, str]:
        """The check of the cluster, and all of them as they are printed."""
        redactor = Redactor()
        session = Session(
            environ={
                **self._cluster.environment,
                "TMPDIR": str(self._folder),
                "HOME": str(self._folder),
                "TESTS_TOKEN": self._cluster.token("main"),
                **environ,
            },
            redactor=redactor,
            console=Console(io.StringIO(), io.StringIO(), redactor),
            hold_signals=lambda: None,
            directory=self.fleet.root,
        )
        checks = examine(session)
        assert not list(self._folder.glob("sf-*"))
        return next(check for check in checks if check.name == "cluster"), render(checks)


@pytest.fixture
def desk(cluster: Cluster, fleet: Repository, tmp_path: Path) -> Desk:
    return Desk(cluster, fleet, tmp_path)


def test_the_roles_that_are_missing_are_printed_to_be_applied(desk: Desk, cluster: Cluster) -> None:
    check, printed = desk.check(**PUSH)
    assert not check.passed
    assert check.detail.startswith(f"{cluster.server} (v1.36.3) {WHO}, and does not let us list events in ")
    manifests = printed[printed.index("apiVersion: rbac") :]
    for namespace in ("platform", "shop"):
        cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("apply", "--filename=-", stdin=manifests.encode())
    check, _ = desk.check(**PUSH)
    assert (check.passed, check.manifests) == (True, "")
    assert check.detail == f"{cluster.server} (v1.36.3) {WHO}"


def test_a_run_that_only_plans_needs_less(desk: Desk) -> None:
    check, _ = desk.check(TESTS_TOKEN=desk._cluster.token("reader"))
    assert "patch" not in check.detail
    assert "patch" not in check.manifests
    assert "kind: Role\n" in check.manifests


def test_rights_that_cannot_be_known_are_said_so(desk: Desk, cluster: Cluster) -> None:
    desk.configure(
        {"path": "nowhere", "cluster": {"name": "tests", "server": cluster.server, "ca": cluster.ca}}
    )
    check, _ = desk.check(**PUSH)
    assert check.passed
    assert check.hint.startswith("what a run may do there was not looked at: there is no folder 'nowhere'")


def test_a_change_that_steers_gets_no_look_at_the_cluster(desk: Desk) -> None:
    base = desk.fleet.head
    desk.configure({"path": "clusters/production", "cluster": {"name": "x", "server": "https://192.0.2.1"}})
    check, _ = desk.check(
        CI="true",
        SF_CI_EVENT="pull_request",
        SF_CI_BASE_BRANCH="main",
        SF_CI_BASE_COMMIT=base,
        SF_CI_FORK="false",
        SF_CI_COMMIT=desk.fleet.head,
    )
    assert (check.passed, check.detail) == (True, "not looked at")
