"""A repository that reaches Flux as an OCI artifact, from a real registry: the commit is in its annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sf.models import Outcome
from sf.process import Launcher
from sf.redact import Redactor
from tests.cluster.flux import Fleet
from toolchain.registry import own_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@dataclass
class Packed(Fleet):
    """A fleet whose source is an OCIRepository."""

    kind = "OCIRepository"
    address: str = ""

    @property
    def url(self) -> str:
        return f"oci://{self.address}/{self.name}"

    def source(self, **spec: Any) -> dict[str, Any]:
        found = super().source()
        told = {"interval": "1h", "url": self.url, "insecure": True, "ref": {"tag": "latest"}}
        return {**found, "kind": self.kind, "spec": {**told, **spec}}

    def push(self, branch: str = "main") -> str:
        commit = self.repository.git("rev-parse", branch).strip()
        self.push_as(f"{branch}@sha1:{commit}")
        return commit

    def push_as(self, revision: str) -> None:
        """Push the files as an artifact that says it was made of `revision`."""
        command = ["flux", "push", "artifact", f"{self.url}:latest", f"--path={self.repository.root}"]
        command += ["--source=https://git.example.com/acme/fleet", f"--revision={revision}"]
        Launcher(Redactor()).run(
            [*command, "--insecure-registry"], environ=self.cluster.environment, timeout=60
        )


@pytest.fixture
def fleet(cluster: Cluster, tmp_path: Path) -> Iterator[Packed]:
    with own_registry(tmp_path / "registry") as address:
        yield Packed(cluster, tmp_path, address=address)


def test_an_artifact_of_the_planned_commit_becomes_live(fleet: Packed) -> None:
    fleet.begin(fleet.app("base"), fleet.app("web", "base"))
    commit = fleet.commit(fleet.content("base", "blue"))
    fleet.push()
    run = fleet.run()
    results = run.go()
    assert {name: result.outcome for name, result in results.items()} == {
        fleet.id("base"): Outcome.DONE,
        fleet.id("web"): Outcome.DONE,
    }
    assert fleet.color("base") == "blue"
    assert run.result is not None
    assert (run.result.notes["planned commit"], run.result.notes["live"]) == (
        commit,
        "2 of 2 at the planned commit",
    )
    assert f"waits for OCIRepository {fleet.name}/fleet" in run.messages(fleet.id("base"))[0]


def test_an_artifact_that_does_not_say_its_commit_is_not_believed(fleet: Packed) -> None:
    fleet.begin(fleet.app("base"))
    fleet.commit(fleet.content("base", "blue"))
    fleet.push_as("v2")
    results = fleet.run().fail()
    failed = results[fleet.id("base")]
    assert failed.outcome is Outcome.FAILED
    assert "which does not say of which commit it was made" in failed.message
    assert failed.stderr.startswith("push artifacts with their revision: `flux push artifact --revision`")
