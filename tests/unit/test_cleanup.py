"""What is remembered for the step after the job. What it does with it: tests/action."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf import cleanup
from sf.redact import Redactor
from sf.runtime.errors import LifecycleError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ID = "0123456789abcdef" * 4


@pytest.fixture
def in_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"600 1 0:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 / rw\n")
    monkeypatch.setattr(cleanup, "_MOUNTINFO", table)


def surroundings(tmp_path: Path, **more: str) -> Mapping[str, str]:
    return {"TMPDIR": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/docker.sock", **more}


@pytest.mark.usefixtures("in_container")
def test_a_container_is_remembered_where_somebody_asks(tmp_path: Path) -> None:
    state = tmp_path / "state"
    cleanup.remember({"GITHUB_STATE": str(state)})
    assert state.read_text() == f"sf_container={ID}\n"
    cleanup.remember({})
    cleanup.remember({"GITHUB_STATE": "/nonexistent/state"})


def test_nothing_is_remembered_outside_of_a_container(tmp_path: Path) -> None:
    cleanup.remember({"GITHUB_STATE": str(tmp_path / "state")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("in_container")
@pytest.mark.parametrize("state", ["", ID, "--all", "f" * 64])
def test_nothing_is_stopped_without_an_engine(state: str, tmp_path: Path) -> None:
    assert list(cleanup.clean(surroundings(tmp_path, STATE_sf_container=state), Redactor())) == []


@pytest.mark.usefixtures("in_container")
def test_a_container_that_may_live_on_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "docker.sock").touch()
    with pytest.raises(LifecycleError, match="does not answer"):
        list(cleanup.clean(surroundings(tmp_path, STATE_sf_container="f" * 64), Redactor()))
