"""Programs that stacks bring along: shown in plans, run on the host when allowed, and trusted with nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.ci.context import EventKind
from sf.models import ActionKind, Change, Outcome, Severity

if TYPE_CHECKING:
    from tests.cli.command import Command
    from tests.estates import Estate, Run
    from toolchain.hosts import Hosts

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

SCRIPT = "#!/bin/sh\necho run in $PWD with $TOKEN; cat settings; echo $TOKEN >>log-of-it; docker ps -q\n"


def commit(fleet: Estate, files: dict[str, str], *programs: str) -> str:
    """Commit `files` of the stack ``task`` of alpha; `programs` are those that git marks executable."""
    fleet.commit({f"alpha/task/{name}": text for name, text in files.items()})
    for name in programs:
        fleet.repository.git("update-index", "--chmod=+x", f"docker-compose/alpha/task/{name}")
    fleet.repository.git("commit", "--quiet", "--amend", "--no-edit")
    fleet.repository.git("checkout", "--quiet", "--force", "HEAD")
    return fleet.repository.head


def reconcile(fleet: Estate) -> Run:
    return fleet.reconcile(environ={"TOKEN": "swordfish und mehr"})


@pytest.fixture
def scripted(fleet: Estate) -> Estate:
    fleet.configure("scripts: true")
    fleet.configure("env: [TOKEN]")
    return fleet


def test_a_script_is_shown_and_not_run_unless_it_is_allowed(fleet: Estate, hosts: Hosts) -> None:
    commit(fleet, {"deploy.sh": SCRIPT, "settings": "one\n"}, "deploy.sh")
    run = fleet.reconcile()
    action = run.action("alpha/task")
    assert (action.action, action.metadata["kind"]) == (ActionKind.REPORT, "script")
    assert "only run with `docker.scripts: true`" in action.description
    assert run.ended("alpha/task").outcome is Outcome.NOT_REACHED
    assert not (hosts["alpha"].stacks / "task").exists()


def test_a_script_runs_on_the_host_once_for_each_state_of_its_files(scripted: Estate, hosts: Hosts) -> None:
    task = hosts["alpha"].stacks / "task"
    commit(scripted, {"deploy.sh": SCRIPT, "settings": "one\n"}, "deploy.sh")
    run = reconcile(scripted)
    assert run.error is None, run.ended("alpha/task")
    ended = run.ended("alpha/task")
    assert ended.outcome is Outcome.DONE
    assert ended.command == f"cd {scripted.stack_dir}/task && ./deploy.sh"
    assert f"run in {scripted.stack_dir}/task with ***\none" in ended.stderr
    assert "swordfish" not in str(run.result)
    again = reconcile(scripted)
    assert again.action("alpha/task").action is ActionKind.NONE
    assert again.ended("alpha/task").outcome is Outcome.UNCHANGED
    assert len((task / "log-of-it").read_text().splitlines()) == 1
    commit(scripted, {"settings": "two\n"})
    changed = reconcile(scripted)
    assert "two" in changed.ended("alpha/task").stderr
    assert len((task / "log-of-it").read_text().splitlines()) == 2
    (task / "settings").write_text("by hand")
    live = scripted.plan(environ={"TOKEN": "swordfish und mehr"}).action("alpha/task").live
    assert live is not None
    assert live.effect is Change.CHANGE
    assert [reason.message for reason in live.reasons] == ["settings was changed on the host"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/sh\necho oh no; exit 3\n", "deploy.sh ended with exit code 3"),
        ("#!/bin/sh\necho oh no; sleep 600\n", "deploy.sh did not end within 3 s"),
        ("#!/nonexistent\necho oh no\n", "deploy.sh ended with exit code 127"),
    ],
)
def test_a_script_that_fails_or_hangs_is_told_and_run_again(
    scripted: Estate, script: str, message: str
) -> None:
    scripted.settings["SF_CONFIG_DEADLINES__ACTION"] = "3s"
    commit(scripted, {"deploy.sh": script}, "deploy.sh")
    ended = reconcile(scripted).ended("alpha/task")
    assert ended.message == f"{message}; what it did until then is not taken back"
    assert ("oh no" in ended.stderr) is ("/bin/sh" in script)
    live = scripted.plan(environ={"TOKEN": "swordfish und mehr"}).action("alpha/task").live
    assert live is not None
    assert [reason.message for reason in live.reasons] == ["deploy.sh did not end well"]


def test_a_script_that_git_does_not_mark_executable_is_refused(scripted: Estate, hosts: Hosts) -> None:
    commit(scripted, {"deploy.sh": SCRIPT})
    ended = reconcile(scripted).ended("alpha/task")
    assert "deploy.sh is to be run on the host, and git does not mark it executable" in ended.message
    assert "git update-index --chmod=+x" in ended.stderr
    assert not (hosts["alpha"].stacks / "task").exists()


def test_a_pull_request_that_allows_scripts_is_told(fleet: Estate) -> None:
    base = commit(fleet, {"deploy.sh": SCRIPT, "settings": ""}, "deploy.sh")
    head = fleet.configure("scripts: true")
    run = fleet.plan(event=EventKind.PULL_REQUEST, base=base, head=head)
    assert run.plan is not None
    [found] = run.plan.findings
    assert (found.code, found.severity) == ("credentials-steered", Severity.DANGER)
    assert "`docker.scripts`" in found.message


def test_what_a_hook_prints_is_no_command_to_the_ci_and_no_secret(scripted: Estate, real: Command) -> None:
    hook = (
        "#!/bin/sh\n"
        "printf '::error::one\\n\\r::set-output name=a::two\\n##[group]three\\n::add-mask::%s\\n' \"$TOKEN\"\n"
        "printf '\\033]0;title\\007%s\\n' \"$TOKEN\" >&2; echo $TOKEN | base64\nexit 1\n"
    )
    compose = "services: {one: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}}\n"
    commit(scripted, {"compose.yaml": compose, "pre.sh": hook}, "pre.sh")
    done = real("reconcile", cwd=scripted.repository.root, TOKEN="swordfish und mehr")
    assert done.code != 0
    said = f"{done.out}\n{done.err}"
    assert "pre.sh ended with exit code 1" in said
    assert "swordfish" not in said
    assert "c3dvcmRmaXNoIHVuZCBtZWhy" not in said
    assert "\033]0" not in said
    assert not [line for line in said.replace("\r", "\n").splitlines() if line.startswith(("::", "##["))]
    documents = "".join(
        path.read_text() for path in (scripted.repository.root / "sf-out").iterdir() if path.is_file()
    )
    assert "swordfish" not in documents
