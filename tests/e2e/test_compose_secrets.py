"""Encrypted files of stacks: planned without a key, opened for a deployment, and nowhere to be found after it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sf.models import ActionUpdated, Change, Outcome, Severity
from tests.secrets import Key, encrypt, new_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.command import Command
    from tests.estates import Estate, Run
    from toolchain.hosts import Host, Hosts

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

COMPOSE = """\
services:
  app:
    image: busybox:1.36
    command: [sh, -c, 'echo "$$TOKEN $$LEVEL" > /tmp/said; cat /run/secrets/key /conf/* >> /tmp/said; sleep 1000']
    stop_grace_period: 0s
    env_file: [app.env]
    environment: {LEVEL: "${LEVEL}"}
    secrets: [key]
    volumes: ["./conf:/conf:ro", "./data:/data"]
    healthcheck: {test: [CMD, grep, -q, open, /tmp/said], interval: 1s, start_period: 9s, start_interval: 200ms}
  side: {image: "busybox:1.36", command: [sleep, "1000"], stop_grace_period: 0s}
secrets:
  key: {file: ./key}
"""
FILES = {
    ".env": ("dotenv", "LEVEL=level-of-env\n"),
    "app.env": ("dotenv", "TOKEN=token-of-app\nPLAIN=open\n"),
    "key": ("binary", "key-in-file\n"),
    "conf/app.yaml": ("yaml", "password: yaml-in-folder\nopen: sesame\n"),
}
CALLED = {".env": "env", "app.env": "app", "key": "key", "conf/app.yaml": "conf"}
WORDS = ("level-of-env", "token-of-app", "key-in-file", "yaml-in-folder")


class Vault:
    """Encrypts the files of the stack ``app`` of a host."""

    def __init__(self, estate: Estate, key: Key, path: str) -> None:
        self.estate = estate
        self.key = key
        self._environ = {"PATH": path}

    def commit(
        self, compose: str = COMPOSE, stack: str = "app", to: Key | None = None, **changed: str
    ) -> str:
        """Commit the stack; `changed` are new contents by what `CALLED` calls the file."""
        folder = self.estate.repository.root / "docker-compose/alpha" / stack
        for name, (kind, text) in FILES.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            new = changed.get(CALLED[name])
            if new or not file.exists():
                recipient = (to or self.key).recipient
                file.write_bytes(
                    encrypt(new or text, kind, folder, "--age", recipient, environ=self._environ)
                )
        (folder / "compose.yaml").write_text(compose)
        return self.estate.commit({})

    def deploy(self, **about: object) -> Run:
        return self.estate.reconcile(environ={"SOPS_AGE_KEY": self.key.private}, **about)


@pytest.fixture
def vault(fleet: Estate, program_path: str) -> Vault:
    fleet.environ["PATH"] = f"{fleet.environ['PATH']}:{program_path}"
    return Vault(fleet, new_key(program_path), program_path)


def containers(host: Host) -> dict[str, str]:
    lines = host.engine.docker(
        "ps", "--all", "--no-trunc", "--format", '{{.Label "com.docker.compose.service"}} {{.ID}}'
    ).splitlines()
    return dict(line.split() for line in lines)


def said(host: Host) -> str:
    return host.engine.docker("exec", containers(host)["app"], "cat", "/tmp/said")


def holding(folder: Path, words: tuple[str, ...] = WORDS) -> dict[str, list[str]]:
    """The files below `folder` that hold one of `words`, and which."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            words_in = [word for word in words if word.encode() in content]
            if words_in:
                found[path.relative_to(folder).as_posix()] = words_in
    return found


def in_memory(host: Host) -> list[Path]:
    places = [host.files / "run", host.files / "dev/shm"]
    return [path for place in places for path in place.glob("sf-memory-*/**/*") if path.is_file()]


def test_a_stack_gets_what_is_in_its_encrypted_files_and_nothing_else_holds_it(
    vault: Vault, hosts: Hosts
) -> None:
    alpha = hosts["alpha"]
    vault.commit()
    run = vault.deploy()
    assert run.error is None, run.ended("alpha/app")
    assert said(alpha) == "token-of-app level-of-env\nkey-in-file\npassword: yaml-in-folder\nopen: sesame\n"
    # On the disk stands what containers mount for good, for its owner alone.
    stack = alpha.stacks / "app"
    assert holding(stack) == {"key": ["key-in-file"], "conf/app.yaml": ["yaml-in-folder"]}
    assert {(stack / name).stat().st_mode & 0o777 for name in ("key", "conf/app.yaml")} == {0o600}
    assert not [
        name for name in (".env", "app.env") if (stack / name).is_symlink() or (stack / name).exists()
    ]
    assert in_memory(alpha) == []
    assert not [
        word for word in WORDS if word in json.dumps(run.document) + str(run.result) + str(run.events)
    ]
    # Without any key it is seen that there is nothing to do, and what somebody did on the host.
    before = containers(alpha)
    again = vault.estate.reconcile()
    assert again.error is None
    assert again.ended("alpha/app").outcome is Outcome.UNCHANGED
    assert containers(alpha) == before
    (stack / "key").write_text("by hand")
    live = vault.estate.plan().action("alpha/app").live
    assert live is not None
    assert [reason.message for reason in live.reasons] == ["app: key was changed on the host"]


def test_a_changed_value_is_planned_without_a_key_and_reaches_its_service_only(
    vault: Vault, hosts: Hosts
) -> None:
    alpha = hosts["alpha"]
    vault.commit()
    assert vault.deploy().error is None
    before = containers(alpha)
    vault.commit(app="TOKEN=another-token\nPLAIN=open\n", key="another-key\n")
    plan = vault.estate.plan()
    (changed,) = plan.action("alpha/app").objects
    assert [(reason.subject, reason.message) for reason in changed.reasons] == [
        ("environment.PLAIN", "environment.PLAIN: encrypted value changed"),
        ("environment.TOKEN", "environment.TOKEN: encrypted value changed"),
        ("key", "key: encrypted value changed"),
    ]
    assert "TOKEN: encrypted:" in changed.diff
    assert "ENC[" not in changed.diff
    assert vault.deploy().error is None
    after = containers(alpha)
    assert (after["side"], after["app"] != before["app"]) == (before["side"], True)
    assert said(alpha).startswith("another-token level-of-env\nanother-key\n")
    assert holding(alpha.stacks / "app/.sf") == {}


def test_going_back_opens_the_files_of_the_commit_before(vault: Vault, hosts: Hosts) -> None:
    alpha = hosts["alpha"]
    commit = vault.commit()
    assert vault.deploy().error is None
    broken = COMPOSE.replace("grep, -q, open", "grep, -q, nothing").replace("9s", "1s")
    vault.commit(broken, app="TOKEN=another-token\n", key="another-key\n", conf="password: another-yaml\n")
    run = vault.deploy()
    assert f"rolled back to {commit}" in run.ended("alpha/app").message
    assert said(alpha) == "token-of-app level-of-env\nkey-in-file\npassword: yaml-in-folder\nopen: sesame\n"
    words = (*WORDS, "another-token", "another-key", "another-yaml")
    assert holding(alpha.stacks / "app", words) == {
        "key": ["key-in-file"],
        "conf/app.yaml": ["yaml-in-folder"],
    }
    assert in_memory(alpha) == []


def test_going_back_without_the_key_of_before_is_told(vault: Vault, hosts: Hosts, program_path: str) -> None:
    vault.commit()
    assert vault.deploy().error is None
    old, vault.key = vault.key, new_key(program_path)
    broken = COMPOSE.replace("grep, -q, open", "grep, -q, nothing").replace("9s", "1s")
    vault.commit(broken, env="LEVEL=1234", app="TOKEN=another\n", key="another\n", conf="password: another\n")
    message = vault.deploy().ended("alpha/app").message
    assert "failed, rollback failed: docker-compose/alpha/app/" in message
    assert f"encrypted for age {old.recipient}; its containers stay for inspection" in message
    assert containers(hosts["alpha"])


def test_a_key_that_does_not_fit_stops_its_stack_alone(vault: Vault, hosts: Hosts, program_path: str) -> None:
    stranger = new_key(program_path)
    vault.commit(stack="closed", to=stranger)
    vault.commit()
    run = vault.deploy()
    assert run.error is not None
    ended = run.ended("alpha/closed")
    assert ended.message == (
        "docker-compose/alpha/closed/.env cannot be decrypted: no private key here fits."
        f" It is encrypted for age {stranger.recipient}"
    )
    assert "SOPS_AGE_KEY" in ended.stderr
    assert not (hosts["alpha"].stacks / "closed").exists()
    assert run.ended("alpha/app").outcome is Outcome.DONE


def test_in_memory_plaintext_is_on_no_disk_and_the_plan_says_what_that_means(
    vault: Vault, hosts: Hosts
) -> None:
    alpha = hosts["alpha"]
    vault.estate.configure("secrets: {at_rest: tmpfs}")
    vault.commit()
    refused = vault.deploy()
    assert "mounted with the folder it is in" in str(refused.error)
    mounted = COMPOSE.replace("./conf:/conf", "./conf/app.yaml:/conf/app.yaml")
    vault.commit(mounted)
    run = vault.deploy()
    assert run.error is None, run.ended("alpha/app")
    assert run.plan is not None
    (finding,) = run.plan.findings
    assert (finding.code, finding.severity) == ("secrets-in-memory", Severity.INFO)
    assert finding.message.startswith("conf/app.yaml, key of alpha/app will not survive a reboot")
    assert said(alpha) == "token-of-app level-of-env\nkey-in-file\npassword: yaml-in-folder\nopen: sesame\n"
    stack = alpha.stacks / "app"
    assert holding(stack) == {}
    assert (stack / "key").is_symlink()
    assert sorted(path.name for path in in_memory(alpha)) == ["app.yaml", "key"]
    assert vault.estate.reconcile().ended("alpha/app").outcome is Outcome.UNCHANGED
    # What is decided otherwise later is carried out, too.
    vault.estate.repository.git("revert", "--no-edit", "HEAD~2")
    live = vault.estate.plan().action("alpha/app").live
    assert live is not None
    assert live.effect is Change.CHANGE
    assert [reason.message for reason in live.reasons] == [
        "decrypted files are to stand on the disk of the host"
    ]
    assert vault.deploy().error is None
    assert in_memory(alpha) == []
    assert set(holding(stack)) == {"key", "conf/app.yaml"}


def test_while_it_runs_no_process_and_no_disk_of_the_runner_shows_plaintext(vault: Vault) -> None:
    vault.commit()
    seen: list[str] = []

    def look(event: object) -> None:
        if isinstance(event, ActionUpdated) and event.result is None:
            for process in Path("/proc").iterdir():
                if process.name.isdecimal():
                    seen.extend(_shown(process))
            for place in (vault.estate.temporary, Path("/dev/shm"), Path("/run")):
                folders = place.glob("sf-run-*") if place != vault.estate.temporary else [place]
                seen.extend(name for folder in folders for name in holding(folder))

    assert vault.deploy(listen=look).error is None
    assert seen == []


def _shown(process: Path) -> list[str]:
    """What of the plaintext, or of the key, stands on the command line or in the environment of `process`."""
    found = []
    # The containers themselves are who it is for.
    try:
        if process.joinpath("ns/pid").readlink() == Path("/proc/self/ns/pid").readlink():
            for part in ("cmdline", "environ"):
                content = (process / part).read_bytes()
                found += [word for word in WORDS if word.encode() in content]
    except OSError:
        return []
    return found


@pytest.mark.parametrize(
    "moment", ["hosts are looked at", "files arrive", "files arrived", "containers start"]
)
def test_a_run_that_is_killed_leaves_plaintext_nowhere_but_where_it_is_to_stay(
    vault: Vault, hosts: Hosts, real: Command, killed: Callable[..., Command], moment: str
) -> None:
    alpha = hosts["alpha"]
    vault.commit()
    if moment == "files arrive":
        # Larger than every buffer on the way.
        vault.estate.commit({"alpha/app/conf/big": "x" * 25_000_000})
    reached = {
        "hosts are looked at": lambda: any("ssh" in str(child) for child in real.children()),
        "files arrive": (alpha.stacks / "app/.sf/incoming").exists,
        "files arrived": (alpha.stacks / "app/key").exists,
        "containers start": lambda: bool(containers(alpha)),
    }[moment]
    killed(reached, SOPS_AGE_KEY=vault.key.private)
    # What was begun on the host goes to its end there.
    alpha.run(f"[ ! -e {vault.estate.stack_dir}/.lock ] || flock {vault.estate.stack_dir}/.lock true")
    if moment in {"files arrived", "containers start"}:
        assert holding(alpha.stacks / "app") == {"key": ["key-in-file"], "conf/app.yaml": ["yaml-in-folder"]}
    else:
        assert holding(alpha.stacks) == {}
    assert in_memory(alpha) == []
    assert vault.deploy().error is None
    assert said(alpha).startswith("token-of-app level-of-env\n")


@pytest.mark.parametrize("at_rest", ["disk", "tmpfs"])
@pytest.mark.parametrize("action", ["down", "prune"])
def test_a_stack_that_is_taken_down_leaves_no_plaintext(
    vault: Vault, hosts: Hosts, at_rest: str, action: str
) -> None:
    alpha, estate = hosts["alpha"], vault.estate
    estate.settings |= {
        "SF_CONFIG_DOCKER__SECRETS__AT_REST": at_rest,
        "SF_CONFIG_DOCKER__REPOSITORY": "git.example.com/acme/estate",
        "SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS": "[web]",
        "SF_CONFIG_DOCKER__DRIFT__ORPHAN_ACTION": action,
    }
    plain = "services: {one: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}}\n"
    estate.commit({"alpha/plain/compose.yaml": plain})
    vault.commit(COMPOSE.replace("./conf:/conf:ro", "./conf/app.yaml:/conf/app.yaml:ro"))
    assert vault.deploy(repository="git.example.com/acme/estate").error is None
    assert bool(in_memory(alpha)) is (at_rest == "tmpfs")
    (alpha.stacks / "app/data/own").write_text("kept")
    (alpha.stacks / "app/compose.yaml").write_text("by hand")
    estate.repository.git("rm", "-rq", "docker-compose/alpha/app")
    estate.commit({})
    # No key is needed for it.
    run = estate.reconcile(repository="git.example.com/acme/estate", force=True)
    assert run.error is None
    assert run.ended("alpha/app").outcome is Outcome.DONE
    assert holding(alpha.files / "opt") == {}
    assert in_memory(alpha) == []
    left = {path.name for path in (alpha.stacks / "app").rglob("*") if path.is_file() or path.is_symlink()}
    assert left - {"record.json", "content.json"} == {"own", "compose.yaml"}
