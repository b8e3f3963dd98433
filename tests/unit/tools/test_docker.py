from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sf.models import Problem
from sf.tools.docker import Engine, engine_socket, is_shared, own_container

if TYPE_CHECKING:
    from toolchain import engine as real

STACKS = Path("/opt/stagefreight/stacks")


def mount(source: str, destination: str) -> dict[str, Any]:
    return {"Source": source, "Destination": destination}


@pytest.mark.parametrize(
    ("mounts", "shared"),
    [
        ([], False),
        ([mount("/opt/stagefreight/stacks", "/opt/stagefreight/stacks")], True),
        ([mount("/opt", "/opt")], True),
        ([mount("/srv/stacks", "/opt/stagefreight/stacks")], False),
        ([mount("/opt", "/opt"), mount("/srv", "/opt/stagefreight")], False),
        ([mount("/opt/stage", "/opt/stage")], False),
    ],
)
def test_a_folder_is_shared_when_the_deepest_mount_has_it_at_its_own_path(
    mounts: list[dict[str, Any]], shared: bool
) -> None:
    assert is_shared(STACKS, mounts) is shared


def test_a_container_knows_itself_by_the_files_its_engine_mounts(tmp_path: Path) -> None:
    number = "5f" * 32
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "551 540 0:50 / / rw,relatime master:1 - overlay overlay rw\n"
        f"566 551 254:1 /var/lib/docker/containers/{number}/hostname /etc/hostname rw - ext4 /dev/vda rw\n"
    )
    assert own_container(mounts) == number
    mounts.write_text("551 540 254:1 / / rw,relatime master:1 - ext4 /dev/vda rw\n")
    assert own_container(mounts) is None
    assert own_container(tmp_path / "missing") is None


def test_outside_of_a_container_every_folder_is_the_engines() -> None:
    assert Engine(Path("/nonexistent.sock")).sees(STACKS) is True


def test_an_engine_elsewhere_is_not_the_one_of_this_machine() -> None:
    assert engine_socket({"DOCKER_HOST": "unix:///run/own.sock"}) == Path("/run/own.sock")
    for elsewhere in ("tcp://192.0.2.1:2375", "ssh://host", "fd://"):
        with pytest.raises(Problem, match="the one of the machine that sf runs on"):
            engine_socket({"DOCKER_HOST": elsewhere})


def test_a_rootless_engine_is_found_where_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf.tools.docker.DEFAULT_SOCKET", tmp_path / "default.sock")
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert engine_socket(environ) == tmp_path / "default.sock"
    (tmp_path / "docker.sock").touch()
    assert engine_socket(environ) == tmp_path / "docker.sock"
    (tmp_path / "default.sock").touch()
    assert engine_socket(environ) == tmp_path / "default.sock"


def test_a_silent_engine_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="does not answer: No such file") as caught:
        Engine(tmp_path / "nobody.sock").containers()
    assert str(tmp_path) not in caught.value.message


@pytest.mark.engine
def test_the_engine_tells_what_has_been_running_for_a_moment(engine: real.Engine) -> None:
    label = "--label=com.docker.compose.project=shop"
    for name, command in (("lasts", "sleep 100"), ("ends", "true"), ("restarts", "true")):
        again = "--restart=always" if name == "restarts" else "--restart=no"
        engine.docker(
            "run", "--detach", f"--name={name}", label, again, "--init", "busybox:1.36", *command.split()
        )
    engine.docker("create", "--name=created", label, "busybox:1.36", "sleep", "100")
    asked = Engine(Path(engine.socket.removeprefix("unix://")))
    seen: dict[str, set[bool]] = {}
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        for container in asked.containers()["shop"]:
            seen.setdefault(container.name, set()).add(container.lasting)
        time.sleep(0.2)
    assert True in seen.pop("lasts")
    assert seen == {name: {False} for name in ("ends", "restarts", "created")}
