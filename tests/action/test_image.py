"""What is in the image, and what is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.action.conftest import IMAGE
from toolchain import image, standins

if TYPE_CHECKING:
    from toolchain.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

# Each program that sf drives, with arguments that make it run and end.
PROGRAMS: Final = {
    "age": "age --version",
    "ansible-inventory": "ansible-inventory --version",
    "compose": "docker compose version",
    "flux": "flux version --client",
    "git": "git --version",
    "kubectl": "kubectl version --client",
    "kustomize": "kustomize version",
    "sf": "sf --version",
    "sops": "sops --version --disable-version-check",
    "ssh": "ssh -V",
}
# Unpacked, without the packages that only the stand-in of the base carries. It is 666 MB at the moment.
LARGEST: Final = 700e6


def sh(engine: Engine, script: str, *options: str) -> str:
    return engine.docker("run", "--rm", *options, "--entrypoint", "sh", IMAGE, "-c", script)


@pytest.mark.parametrize("user", ["0", "1000", "12345"])
def test_every_program_runs(user: str, actions: Engine) -> None:
    options = ("--user", user, "--read-only", "--tmpfs", "/tmp", "--env", "HOME=/tmp", "--env", "LOGNAME=x")
    # ssh refuses to work for a user without a name.
    programs = [command for name, command in PROGRAMS.items() if name != "ssh" or user != "12345"]
    sh(actions, "set -eu; " + "; ".join(f"{command} >&2" for command in programs), *options)


def test_no_compiler_and_no_cache_is_left(actions: Engine) -> None:
    looked_for = "gcc cc make hatchling go npm curl"
    found = sh(actions, f"for name in {looked_for}; do command -v $name; done; true")
    assert found == ""
    left = "find /root/.cache /tmp /var/lib/apt/lists /var/cache/apt /src /build /wheels -type f 2>/dev/null; true"
    assert sh(actions, left) == ""
    assert sh(actions, "find /opt/sf -name 'ansible_test' -o -name aio -path '*kubernetes*'") == ""


def test_what_sf_imports_is_compiled(actions: Engine) -> None:
    """The container cannot keep what Python compiles: a start must find all of it."""
    script = """if True:
        import os, sys, sf.cli, sf.session, docker
        files = [getattr(module, "__cached__", None) for module in sys.modules.values()]
        print([file for file in files if file and not os.path.exists(file)])
    """
    answer = actions.docker("run", "--rm", "--entrypoint", "python", IMAGE, "-c", script)
    assert answer.strip() == "[]"


def test_the_labels(actions: Engine) -> None:
    inspected = json.loads(actions.docker("image", "inspect", IMAGE))[0]["Config"]
    labels = {
        name.rpartition(".")[2]
        for name in inspected["Labels"]
        if name.startswith("org.opencontainers.image.")
    }
    assert labels == {"title", "description", "licenses", "source", "revision", "version"}
    assert inspected.get("User", "") == ""
    assert inspected["WorkingDir"] == "/work"


def test_the_list_of_parts(actions: Engine) -> None:
    document = image.parts(IMAGE, "1.2.3", actions.environment)
    found = {component["purl"].split("@")[0] for component in document["components"]}
    assert {
        "pkg:deb/debian/git",
        "pkg:deb/debian/openssh-client",
        "pkg:pypi/ansible-core",
        "pkg:pypi/sf",
    } < found
    assert {"pkg:oci/flux-cli", "pkg:oci/kubectl", "pkg:oci/sops", "pkg:oci/docker", "pkg:oci/python"} < found
    assert document == image.parts(IMAGE, "1.2.3", actions.environment)
    assert len({component["purl"] for component in document["components"]}) == len(document["components"])


def test_the_size(actions: Engine) -> None:
    *layers, (total, _) = image.layers(IMAGE, actions.environment)
    carried = sum(size for size, made_by in layers if standins.INSIDE in made_by)
    debs = int(sh(actions, f"du --summarize --bytes /{standins.INSIDE}/debs").split()[0])
    assert total - carried - debs < LARGEST


def test_another_architecture_has_all_of_it_too() -> None:
    """The digests are those of indexes, which name every architecture; what is left are the locked libraries."""
    found = {
        machine: {file.name.split("-")[0] for file in (standins.wheels() / machine).iterdir()}
        for machine in standins.ARCHITECTURES
    }
    assert found["x86_64"] == found["aarch64"]
    text = standins.DOCKERFILE.read_text()
    assert [word for word in ("amd64", "x86_64", "arm64", "aarch64") if word in text] == []
