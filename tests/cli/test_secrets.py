"""Secrets of the runner and of the repository, followed through whole runs: no program and no output gets them."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests import fleets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.cli.command import Command, Ended
    from tests.repositories import Repository
    from toolchain.engine import Engine

pytestmark = pytest.mark.tools

# What a runner may hold. None of it is for a program that plans, and none of it is for a reader.
RUNNER: Final = {
    name: f"canary-{number}-{name.lower().replace('_', '-')}-of-the-runner"
    for number, name in enumerate(
        (
            "GITHUB_TOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "ACTIONS_RUNTIME_TOKEN",
            "CI_JOB_TOKEN",
            "GITLAB_TOKEN",
            "GITEA_TOKEN",
            "SSH_PRIVATE_KEY",
            "SF_FINGERPRINT_KEY",
            "STAGEFREIGHT_OIDC",
            "SF_ID_TOKEN",
            "PRODUCTION_TOKEN",
            "SOPS_AGE_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "REGISTRY_PASSWORD",
            "CLIENT_SECRET",
            "SERVICE_API_KEY",
        )
    )
}
PROXY: Final = "canary-proxy-pa%2Fss"
REPOSITORY: Final = {
    name: f"canary-{name}-of-the-repository"
    for name in ("text", "data", "before", "environment", "file", "remote")
}
PROGRAMS: Final = ("git", "kustomize", "flux", "docker", "ansible-inventory")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def spellings(secret: str) -> set[bytes]:
    return {secret.encode(), encoded(secret).rstrip("=").encode(), secret.replace("%2F", "/").encode()}


def secret(value: str) -> str:
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\nstringData: {{password: {value}}}\n"
        f"data: {{token: {encoded(REPOSITORY['data'])}}}\n"
    )


class Listener:
    """Programs on PATH that write down what they were given, and then do what they are for."""

    def __init__(self, command: Command) -> None:
        self.folder = command.root / "heard"
        self.folder.mkdir()
        tools = {name: shutil.which(name) for name in ("env", "printf")}
        for program in PROGRAMS:
            real = shutil.which(program, path=command.environ["PATH"])
            if real:
                self.path = command.path_with(program, self._script(tools, program, real))
        self._listen_to_plugins(command, tools)

    def _script(self, tools: Mapping[str, str | None], program: str, real: str | Path) -> str:
        note = f'{{ {tools["env"]}; {tools["printf"]} "%s\\n" "$@"; }} >{self.folder}/{program}.$$'
        return f'{note}\nexec {real} "$@"'

    def _listen_to_plugins(self, command: Command, tools: Mapping[str, str | None]) -> None:
        """Those of docker are not on PATH, and are called by docker and by sf itself."""
        settings = Path(command.environ["DOCKER_CONFIG"], "config.json")
        [folder] = json.loads(settings.read_text())["cliPluginsExtraDirs"]
        own = command.root / "plugins"
        own.mkdir()
        for real in Path(folder).iterdir():
            file = own / real.name
            file.write_text(f"#!/bin/sh\n{self._script(tools, real.name, real)}\n")
            file.chmod(0o755)
        home = command.root / "docker"
        home.mkdir()
        (home / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(own)]}))
        command.environ["DOCKER_CONFIG"] = str(home)

    @property
    def programs(self) -> set[str]:
        return {file.name.partition(".")[0] for file in self.folder.iterdir()}

    def heard(self) -> Iterator[tuple[str, bytes]]:
        for file in self.folder.iterdir():
            yield file.name, file.read_bytes()


def produced(ended: Ended, *places: Path) -> Iterator[tuple[str, bytes]]:
    yield "stdout", ended.out.encode()
    yield "stderr", ended.err.encode()
    for place in places:
        for file in [place] if place.is_file() else place.rglob("*"):
            if file.is_file():
                yield str(file), file.read_bytes()


def without(secrets: Mapping[str, str], texts: Iterator[tuple[str, bytes]]) -> None:
    for place, text in texts:
        for name, value in secrets.items():
            assert not any(spelling in text for spelling in spellings(value)), f"{name} in {place}"


def surroundings(root: Path) -> dict[str, str]:
    return {
        **RUNNER,
        "HTTPS_PROXY": f"http://ada:{PROXY}@proxy.example.test:3128",
        "GITHUB_STEP_SUMMARY": str(root / "summary"),
        "GITHUB_OUTPUT": str(root / "outputs"),
    }


def reveals_nothing(
    command: Command, repository: Repository, *arguments: str, **environ: str
) -> tuple[Ended, set[str]]:
    """Run the command among all secrets; how it ended and which programs it used."""
    listener = Listener(command)
    given = {**surroundings(command.root), **environ, "PATH": listener.path}
    done = command(*arguments, cwd=repository.root, **given)
    places = [repository.root / "sf-out", command.root / "summary", command.root / "outputs"]
    without({**RUNNER, **REPOSITORY, "proxy": PROXY}, produced(done, *places))
    without(RUNNER, listener.heard())
    assert (command.root / "summary").stat().st_size
    return done, listener.programs


@pytest.fixture
def secretive(fleet: Repository) -> Repository:
    fleet.git(
        "config", "remote.origin.url", f"https://ada:{REPOSITORY['remote']}@git.example.test/acme/fleet"
    )
    fleet.commit(
        {
            "app/kustomization.yaml": fleets.kustomization(["settings.yaml", "login.yaml"]),
            "app/login.yaml": secret(REPOSITORY["before"]),
        }
    )
    fleet.commit({"app/login.yaml": secret(REPOSITORY["text"])})
    return fleet


@pytest.mark.parametrize("key", ["with", "without"])
@pytest.mark.parametrize("output", ["text", "json", "markdown"])
def test_a_plan_of_a_fleet(output: str, key: str, equipped: Command, secretive: Repository) -> None:
    environ = {} if key == "with" else {"SF_FINGERPRINT_KEY": ""}
    done, programs = reveals_nothing(
        equipped, secretive, "plan", "--base=HEAD~1", f"--output={output}", **environ
    )
    assert done.code == 0, done.err
    assert "login" in done.out
    assert programs >= {"git", "kustomize"}


def test_a_plan_that_fails(equipped: Command, secretive: Repository) -> None:
    """What a program complains about may be all that it knows."""
    broken = f"{secret(REPOSITORY['text'])}  broken: [\n"
    secretive.commit({"app/login.yaml": broken})
    listener = Listener(equipped)
    done = equipped("plan", cwd=secretive.root, **surroundings(equipped.root), PATH=listener.path)
    without(RUNNER, produced(done, secretive.root / "sf-out"))
    equipped.path_with("kustomize", 'echo "through $HTTPS_PROXY" >&2; exit 3')
    done = equipped("plan", cwd=secretive.root, **surroundings(equipped.root), PATH=listener.path)
    assert done.code == 12
    assert "through http://ada:***@proxy.example.test:3128" in done.err
    without({**RUNNER, "proxy": PROXY}, produced(done, secretive.root / "sf-out"))


def stack(value: str) -> dict[str, str]:
    return {
        "docker-compose/localhost/web/compose.yaml": f"""\
services:
  web:
    image: busybox:1.36
    command: [sleep, infinity]
    stop_grace_period: 0s
    environment: {{DB_PASSWORD: {value}, API_TOKEN: "${{FROM_FILE}}"}}
    env_file: [web.env]
""",
        "docker-compose/localhost/web/.env": f"FROM_FILE={REPOSITORY['file']}\n",
        "docker-compose/localhost/web/web.env": f"SESSION_SECRET={REPOSITORY['file']}\n",
    }


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_plan_of_an_estate(output: str, equipped: Command, estate: Repository) -> None:
    estate.commit(stack(REPOSITORY["before"]))
    estate.commit(stack(REPOSITORY["environment"]))
    done, programs = reveals_nothing(equipped, estate, "plan", "--base=HEAD~1", f"--output={output}")
    assert done.code == 0, done.err
    assert "DB_PASSWORD" in done.out
    assert programs >= {"git", "docker-compose"}


@pytest.mark.engine
@pytest.mark.slow
def test_a_deployment(deploying: Command, estate: Repository, engine: Engine) -> None:
    estate.commit(stack(REPOSITORY["environment"]))
    done, programs = reveals_nothing(deploying, estate, "reconcile")
    assert done.code == 0, done.err
    assert programs >= {"git", "docker", "docker-compose"}
    # There it has to arrive.
    assert REPOSITORY["environment"] in engine.docker("inspect", "web-web-1")
    without(RUNNER, iter([("container", engine.docker("inspect", "web-web-1").encode())]))


def test_a_comment_that_is_refused(equipped: Command, fleet: Repository) -> None:
    """The token goes to the forge, and what goes wrong there is told without it."""
    done, _ = reveals_nothing(
        equipped,
        fleet,
        "plan",
        HTTPS_PROXY="",
        SF_CI_CHANGE_NUMBER="42",
        GITLAB_CI="true",
        CI_MERGE_REQUEST_IID="42",
        CI_API_V4_URL="http://127.0.0.1:1/api/v4",
        CI_PROJECT_ID="7",
        CI_COMMIT_SHA=fleet.head,
        CI_MERGE_REQUEST_TARGET_BRANCH_SHA=fleet.git("rev-parse", "main"),
    )
    assert done.code == 0, done.err
    assert "warning: there is no comment" in done.err


def test_no_variable_of_the_runner_is_inherited(equipped: Command, fleet: Repository) -> None:
    """Not by name either: a program sees what is on the list, and nothing that is new in some runner."""
    listener = Listener(equipped)
    equipped("plan", cwd=fleet.root, PATH=listener.path, SOMETHING_NEW="canary-new")
    without({"SOMETHING_NEW": "canary-new"}, listener.heard())
    assert listener.programs >= {"git", "kustomize"}
