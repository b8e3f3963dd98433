"""Tags that mean another image in a real registry by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.models import ActionKind, Cause, Change, Verdict
from toolchain.registry import ADDRESS, registry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.estates import Estate
    from toolchain.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

TAG = f"{ADDRESS}/app:stable"
STACK = f"""\
services:
  web: {{image: "{TAG}", stop_grace_period: 0s}}
  other: {{image: "busybox:1.36", command: [sleep, "1000"], stop_grace_period: 0s}}
"""


def publish(engine: Engine, word: str) -> None:
    """Have the registry give out a new image under the tag, which is not on the engine yet."""
    before = engine.docker("images", "--quiet", "--no-trunc", TAG).strip()
    engine.build(TAG, f'FROM busybox:1.36\nLABEL word={word}\nCMD ["sleep", "1000"]\n')
    engine.docker("push", "--quiet", TAG)
    engine.docker("rmi", "--force", TAG)
    if before:
        engine.docker("tag", before, TAG)


@pytest.fixture(autouse=True)
def _without_the_image_of_an_earlier_run(engine: Engine) -> None:
    """The data of an engine outlive it."""
    if engine.docker("images", "--quiet", TAG).strip():
        engine.docker("rmi", "--force", TAG)


def containers(engine: Engine) -> dict[str, tuple[str, str]]:
    """Id and image of each service's container."""
    lines = engine.docker("ps", "--no-trunc", "--format", '{{.Label "com.docker.compose.service"}} {{.ID}}')
    found = dict(line.split() for line in lines.splitlines())
    return {
        name: (one, engine.docker("inspect", "--format", "{{.Image}}", one).strip())
        for name, one in found.items()
    }


def test_a_tag_that_moved_is_found_pulled_and_brought_up_and_nothing_else_is_touched(
    estate: Estate, engine: Engine, tmp_path: Path
) -> None:
    with registry(engine, tmp_path / "registry"):
        publish(engine, "one")
        estate.commit({"bench/app/compose.yaml": STACK})
        assert estate.reconcile().error is None
        before = containers(engine)
        publish(engine, "two")
        # Nobody asked for it: registries cost time, and some count.
        assert estate.plan().action("bench/app").effect is Change.UNCHANGED

        estate.settings["SF_CONFIG_DOCKER__DRIFT__IMAGES"] = "true"
        run = estate.plan()
        action = run.action("bench/app")
        assert (action.change, action.action) == (Change.ADD, ActionKind.DEPLOY)
        live = action.live
        assert live is not None
        assert [(one.cause, one.message) for one in live.reasons] == [
            (Cause.DRIFT, f"web: the registry has another image for {TAG} now")
        ]
        assert run.plan is not None
        (unknown,) = run.plan.unknown
        assert unknown == (
            "bench/app: whether the image busybox:1.36 of other moved is unknown:"
            " it was not pulled from a registry"
        )
        assert run.plan.verdict is Verdict.INCOMPLETE

        assert estate.reconcile().error is None
        after = containers(engine)
        assert after["other"] == before["other"]
        assert after["web"][1] != before["web"][1]
        assert estate.plan().action("bench/app").effect is Change.UNCHANGED
    engine.docker("rmi", "--force", TAG)


def test_a_registry_that_does_not_answer_makes_it_unknown_and_never_unchanged(
    estate: Estate, engine: Engine, tmp_path: Path
) -> None:
    estate.settings["SF_CONFIG_DOCKER__DRIFT__IMAGES"] = "true"
    only = f'services: {{web: {{image: "{TAG}", stop_grace_period: 0s}}}}\n'
    with registry(engine, tmp_path / "registry"):
        publish(engine, "one")
        estate.commit({"bench/app/compose.yaml": only})
        assert estate.reconcile().error is None
        known = estate.plan()
        assert known.plan is not None
        assert (known.plan.unknown, known.plan.verdict) == ((), Verdict.NO_CHANGES)
    run = estate.plan()
    assert run.plan is not None
    (unknown,) = run.plan.unknown
    assert unknown.startswith(f"bench/app: whether the image {TAG} of web moved is unknown: ")
    assert "connection refused" in unknown
    assert run.plan.verdict is Verdict.INCOMPLETE
    with registry(engine, tmp_path / "registry"):
        fixed = only.replace(TAG, f"{TAG}@{digest(engine)}")
        estate.commit({"bench/app/compose.yaml": fixed})
        assert estate.reconcile().error is None
    # A digest cannot move, so nobody has to be asked.
    assert estate.plan().plan.unknown == ()  # type: ignore[union-attr]
    engine.docker("rmi", "--force", TAG)


def digest(engine: Engine) -> str:
    named = engine.docker("inspect", "--format", "{{index .RepoDigests 0}}", TAG).strip()
    return named.rpartition("@")[2]
