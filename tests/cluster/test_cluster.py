"""The cluster of the tests itself: several at a time, nothing left behind, parts that stop and come back."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess  # noqa: TID251 - the process that is killed is not one of a run
import sys
import time
from pathlib import Path

import pytest

from toolchain import cache
from toolchain.cluster import AUDIENCE, Cluster
from toolchain.errors import ToolchainError

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PLACE = cache.home() / "clusters"
STARTED_AND_KEPT = """
import time
from toolchain.cluster import Cluster
with Cluster.start("killed"):
    print("started", flush=True)
    time.sleep(600)
"""


def folders(name: str) -> set[Path]:
    return set(PLACE.glob(f"{name}-*"))


def is_alive(pid: int) -> bool:
    try:
        # The field after the name in parentheses: proc(5).
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def is_locked(folder: Path) -> bool:
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_token_is_a_user_with_groups(cluster: Cluster) -> None:
    token = cluster.token("main", ["deployers"])
    said = json.loads(cluster.kubectl("--token", token, "auth", "whoami", "--output=json"))
    user = said["status"]["userInfo"]
    assert user["username"] == "ci:main"
    assert "ci:deployers" in user["groups"]


@pytest.mark.parametrize(("seconds", "audience"), [(-60, AUDIENCE), (600, "somebody-else")])
def test_a_token_that_is_not_for_this_cluster_now_is_nobody(
    cluster: Cluster, seconds: float, audience: str
) -> None:
    token = cluster.token("main", seconds=seconds, audience=audience)
    with pytest.raises(ToolchainError, match="must be logged in"):
        cluster.kubectl("--token", token, "get", "namespaces")


def test_kinds_without_a_controller_can_be_defined(cluster: Cluster) -> None:
    cluster.permissive_crds(
        [("notification.example.test", version, "Alert") for version in ("v1", "v1beta3")]
    )
    alert = {
        "apiVersion": "notification.example.test/v1beta3",
        "kind": "Alert",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"any": ["thing"]},
    }
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(alert).encode())
    assert json.loads(cluster.kubectl("get", "alert", "a", "--output=json"))["spec"] == {"any": ["thing"]}


@pytest.mark.parametrize("part", ["kube-apiserver", "kustomize-controller"])
def test_a_part_can_be_stopped_and_started(cluster: Cluster, part: str) -> None:
    before = cluster.pids()
    cluster.stop_part(part)
    assert not is_alive(before[part])
    assert part not in cluster.pids()
    cluster.start_part(part)
    assert is_alive(cluster.pids()[part])
    cluster.kubectl("get", "--raw=/readyz")


def test_a_frozen_api_server_does_not_answer(cluster: Cluster) -> None:
    with cluster.frozen("kube-apiserver"), pytest.raises(ToolchainError):
        cluster.kubectl("--request-timeout=1s", "get", "--raw=/readyz")
    cluster.kubectl("get", "--raw=/readyz")


def test_nothing_is_left_of_a_cluster_that_ends(cluster: Cluster) -> None:
    with Cluster.start("ended") as other:
        [folder] = folders("ended")
        pids = other.pids().values()
        assert other.server != cluster.server
        assert all(map(is_alive, pids))
    assert not folder.exists()
    assert not any(map(is_alive, pids))


def test_a_killed_process_takes_its_cluster_along() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTED_AND_KEPT], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        [folder] = folders("killed")
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_locked(folder):
        assert time.monotonic() < deadline, "a program outlived its parent by 10 s"
        time.sleep(0.05)
    with Cluster.start("next"):
        assert not folder.exists()
