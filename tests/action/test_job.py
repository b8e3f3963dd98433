"""The action in a job, started with the command line of GitHub's own runner."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.action.conftest import IMAGE, github
from tests.action.runner import IN_TIME, Runner, wait_until
from tests.forge.fake import REPOSITORY, Fake, Fault

if TYPE_CHECKING:
    from tests.action.conftest import Origin
    from toolchain.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

PULL: Final = ("pull_request", "refs/pull/7/merge")
WITHOUT_COMMENT: Final = {"comment": "off"}


def test_a_pull_request(runner: Runner, fleet: Origin, forge: Fake) -> None:
    runner.event(fleet.payload("github-pull_request", fleet.merge))
    code, step = runner.run({"token": "job-token"}, **github(*PULL, fleet.merge, forge))
    assert code == 0, step.text
    outputs = step.values("OUTPUT")
    assert set(outputs) == set(runner.action["outputs"])
    assert (outputs["verdict"], outputs["has-changes"], outputs["change"]) == ("incomplete", "true", "1")
    plan = json.loads((runner.workspace / outputs["plan-path"]).read_text())
    assert (plan["base"], plan["change_digest"]) == (fleet.base, outputs["change-digest"])
    assert "flux-system/app" in step.told("STEP_SUMMARY")
    assert [("flux-system/app" in body, "4711" in body) for body in forge.bodies()] == [(True, True)]
    assert list(runner.leftovers()) == []
    after = runner.post(step)
    assert (after.wait(), "nothing was left behind" in after.text) == (0, True), after.text


def test_a_pull_request_of_a_fork_is_planned_without_a_comment(
    runner: Runner, fleet: Origin, forge: Fake
) -> None:
    forge.accounts.clear()
    runner.event(fleet.payload("github-pull_request-fork", fleet.merge))
    code, step = runner.run({"token": "read-only"}, **github(*PULL, fleet.merge, forge))
    assert (code, step.values("OUTPUT")["has-changes"]) == (0, "true"), step.text
    assert "flux-system/app" in step.told("STEP_SUMMARY")
    assert (forge.bodies(), "warning: " in step.text) == ([], True), step.text


def test_the_plan_of_a_fork_is_commented_by_a_second_job(
    runner: Runner, actions: Engine, fleet: Origin, forge: Fake, tmp_path: Path
) -> None:
    runner.event(fleet.payload("github-pull_request-fork", fleet.merge))
    code, step = runner.run({"command": "plan", "comment": "off"}, **github(*PULL, fleet.merge, forge))
    assert code == 0, step.text
    forge.heads = {7: fleet.change}
    second = tmp_path / "second"
    (second / "sf-plan").mkdir(parents=True)
    shutil.copy(runner.workspace / "sf-out/plan.json", second / "sf-plan")
    relay = Runner(actions, IMAGE, tmp_path / "second-job", second)
    relay.event(fleet.payload("github-workflow_run", fleet.base).replace("Acme/Fleet", REPOSITORY))
    inputs = {"command": "report", "plan": "sf-plan/plan.json", "token": "job-token"}
    code, after = relay.run(inputs, **github("workflow_run", "refs/heads/main", fleet.base, forge))
    assert code == 0, after.text
    assert ["flux-system/app" in body for body in forge.bodies()] == [True], after.text
    assert list(relay.leftovers()) == []


def test_stacks_of_the_runner_itself_are_out_of_reach(
    actions: Engine, estate: Origin, tmp_path: Path
) -> None:
    """A container action cannot mount folders of the machine, and says so before anything is touched."""
    clone = estate.checkout(tmp_path / "workspace", estate.change)
    runner = Runner(actions, IMAGE, tmp_path / "job", clone.root)
    runner.event(estate.payload("github-push", estate.change))
    code, step = runner.run(WITHOUT_COMMENT, **github("push", "refs/heads/main", estate.change))
    assert code != 0
    assert "sf runs in a container" in step.text, step.text
    assert step.values("OUTPUT")["verdict"] == "failed"
    assert list(runner.leftovers()) == []


@pytest.mark.parametrize(
    ("inputs", "code", "said"),
    [
        ({"command": "doctor --output json"}, 0, '"kustomize"'),
        ({"command": "plan", "detailed-exitcode": "true", "output": "json"}, 20, '"change_digest"'),
        ({"command": "reconcile", "dry-run": "true"}, 0, "flux-system/app"),
        ({"command": "plan", "config": "missing.yml"}, 10, "missing.yml"),
        ({"command": "fly"}, 2, "No such command 'fly'"),
        ({"command": "plan", "directory": "app"}, 0, "flux-system/app"),
        ({"command": "reconcile", "change-digest": "none"}, 2, "64 hexadecimal digits"),
    ],
)
def test_inputs_are_options(
    inputs: dict[str, str], code: int, said: str, runner: Runner, fleet: Origin
) -> None:
    runner.event(fleet.payload("github-pull_request", fleet.merge))
    ended, step = runner.run({**WITHOUT_COMMENT, **inputs}, **github(*PULL, fleet.merge))
    assert (ended, said in step.text) == (code, True), step.text


def test_a_root_that_cannot_be_written(runner: Runner, fleet: Origin) -> None:
    runner.event(fleet.payload("github-pull_request", fleet.merge))
    options = ("--read-only", "--tmpfs", "/tmp", "--tmpfs", "/run")
    code, step = runner.run(WITHOUT_COMMENT, *options, **github(*PULL, fleet.merge))
    assert (code, step.values("OUTPUT")["has-changes"]) == (0, "true"), step.text


@pytest.mark.parametrize("user", [0, 1000, 12345])
def test_a_laptop(user: int, actions: Engine, fleet: Origin, tmp_path: Path) -> None:
    clone = fleet.checkout(tmp_path / "clone", fleet.change).root
    owner = user or 1000
    for path, _, files in os.walk(clone):
        for name in (".", *files):
            os.chown(Path(path, name), owner, owner)
    folder = ("--volume", f"{clone}:/work")
    answer = actions.docker(
        "run", "--rm", "--user", f"{user}:{user}", *folder, IMAGE, "plan", "--base", fleet.base
    )
    assert "flux-system/app" in answer
    assert (clone / "sf-out/plan.json").stat().st_uid == user


def test_a_user_without_a_name_has_an_inventory_read(actions: Engine, estate: Origin, tmp_path: Path) -> None:
    estate.repository.commit(
        {
            ".stagefreight.yml": "lifecycle: {mode: docker}\ndocker: {targets: {inventory: hosts.yml}}\n",
            "hosts.yml": "all: {hosts: {localhost: {docker_local: true}}}\n",
        }
    )
    clone = estate.checkout(tmp_path / "clone", "main").root
    options = ("--user", "12345:12345", "--volume", f"{clone}:/work")
    assert "localhost" in actions.docker("run", "--rm", *options, IMAGE, "docker", "inspect")


def fake(tmp_path: Path, program: str, pattern: str, script: str) -> tuple[str, ...]:
    """Options that put a `program` in front, which marks the workspace and runs `script` when it is called so."""
    folder = tmp_path / "fakes"
    folder.mkdir()
    real = "/usr/bin/git" if program == "git" else f"/usr/local/bin/{program}"
    body = f'case "$*" in {pattern}) : >/fakes/reached; {script};; esac\nexec {real} "$@"\n'
    (folder / program).write_text(f"#!/bin/sh\n{body}")
    (folder / program).chmod(0o755)
    path = "/fakes:/opt/sf/bin:/usr/local/bin:/usr/bin:/bin"
    return ("-v", f"{folder}:/fakes", "-e", f"PATH={path}")


PHASES: Final = [
    ("load", "git", "*rev-parse*--show-toplevel*"),
    ("validate", "kustomize", "version"),
    ("plan", "kustomize", "build*"),
]
# By its full path: some programs get an empty PATH.
KIND: Final = "exec /usr/bin/sleep 300"
STUBBORN: Final = "trap '' INT TERM; while :; do /usr/bin/sleep 0.1; done"


@pytest.mark.parametrize("how", [KIND, STUBBORN])
@pytest.mark.parametrize(("phase", "program", "pattern"), PHASES)
def test_a_cancelled_job(  # noqa: PLR0917 - each parameter by its name
    how: str, phase: str, program: str, pattern: str, runner: Runner, fleet: Origin, tmp_path: Path
) -> None:
    runner.event(fleet.payload("github-pull_request", fleet.merge))
    options = fake(tmp_path, program, pattern, how)
    step = runner.main(WITHOUT_COMMENT, *options, **github(*PULL, fleet.merge))
    wait_until((tmp_path / "fakes/reached").exists)
    seconds = step.cancel()
    assert (step.process.returncode, seconds < IN_TIME) == (128 + signal.SIGINT, True), step.text
    assert "stopped by SIGINT" in step.text
    after = runner.post(step)
    assert (after.wait(), "nothing was left behind" in after.text) == (0, True), after.text
    assert (runner.containers, list(runner.leftovers())) == ([], [])
    if phase != "load":
        assert json.loads((runner.workspace / "sf-out/result.json").read_text())["failure"]["phase"] == phase


def test_a_job_that_is_cancelled_while_it_deploys(actions: Engine, estate: Origin, tmp_path: Path) -> None:
    """As on a runner of one's own that gives the container the folder of stacks."""
    clone = estate.checkout(tmp_path / "workspace", estate.change)
    runner = Runner(actions, IMAGE, tmp_path / "job", clone.root)
    runner.event(estate.payload("github-push", estate.change))
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    options = (*fake(tmp_path, "docker", "*compose*up*", KIND), "-v", f"{stacks}:{stacks}")
    job = {**github("push", "refs/heads/main", estate.change), "SF_CONFIG_DOCKER__STACK_DIR": str(stacks)}
    step = runner.main(WITHOUT_COMMENT, *options, **job)
    wait_until((tmp_path / "fakes/reached").exists)
    seconds = step.cancel()
    assert (step.process.returncode, seconds < IN_TIME) == (128 + signal.SIGINT, True), step.text
    assert json.loads((runner.workspace / "sf-out/result.json").read_text())["failure"]["phase"] == "execute"
    after = runner.post(step)
    assert (after.wait(), runner.containers, list(runner.leftovers())) == (0, [], []), after.text


def test_a_job_that_is_cancelled_while_it_comments(runner: Runner, fleet: Origin, forge: Fake) -> None:
    forge.faults.append(Fault(method="POST", seconds=300))
    runner.event(fleet.payload("github-pull_request", fleet.merge))
    step = runner.main({"token": "job-token"}, **github(*PULL, fleet.merge, forge))
    # It asks first who it is, which is a POST too.
    wait_until(lambda: any(method == "POST" for method, _ in forge.asked))
    seconds = step.cancel()
    assert (step.process.returncode, seconds < IN_TIME) == (128 + signal.SIGINT, True), step.text
    assert list(runner.leftovers()) == []


def test_a_job_that_is_cancelled_before_sf_is_loaded(runner: Runner, fleet: Origin) -> None:
    """Process 1 ignores what it has no handler for; a signal of the first milliseconds must not be lost."""
    runner.event(fleet.payload("github-pull_request", fleet.merge))
    step = runner.main(WITHOUT_COMMENT, **github(*PULL, fleet.merge))
    wait_until(lambda: runner.containers != [])
    seconds = step.cancel()
    assert (step.process.returncode, seconds < IN_TIME) == (128 + signal.SIGINT, True), step.text
    assert list(runner.leftovers()) == []


def test_a_container_that_the_runner_lost_is_stopped(runner: Runner, fleet: Origin, tmp_path: Path) -> None:
    runner.event(fleet.payload("github-pull_request", fleet.merge))
    options = fake(tmp_path, "kustomize", "build*", STUBBORN)
    step = runner.main(WITHOUT_COMMENT, *options, **github(*PULL, fleet.merge))
    wait_until((tmp_path / "fakes/reached").exists)
    step.process.kill()
    step.wait()
    assert runner.containers == [step.name]
    after = runner.post(step)
    assert (after.wait(), "the container of a run that was killed" in after.text) == (0, True), after.text
    assert (runner.containers, list(runner.leftovers())) == ([], [])
    again = runner.post(step)
    assert (again.wait(), "nothing was left behind" in again.text) == (0, True), again.text


def test_a_container_of_somebody_else_is_left_alone(runner: Runner, actions: Engine) -> None:
    other = actions.docker("run", "--detach", "busybox:1.36", "sleep", "300").strip()
    code, step = runner.run({"command": "cleanup"}, STATE_sf_container=other)
    assert (code, "nothing was left behind" in step.text) == (0, True), step.text
    assert actions.docker("inspect", "--format", "{{.State.Running}}", other).strip() == "true"


def test_what_ends_without_a_parent_is_collected(
    runner: Runner, actions: Engine, fleet: Origin, tmp_path: Path
) -> None:
    """Programs leave programs behind, whose parent is then process 1."""
    runner.event(fleet.payload("github-pull_request", fleet.merge))
    orphan = (
        "(/bin/sh -c '/usr/bin/sleep 0.1; : >/fakes/ended' &);"
        " while ! test -e /fakes/seen; do /usr/bin/sleep 0.05; done"
    )
    step = runner.main(
        WITHOUT_COMMENT,
        *fake(tmp_path, "kustomize", "build*", orphan),
        **github(*PULL, fleet.merge),
    )
    wait_until((tmp_path / "fakes/ended").exists)
    wait_until(lambda: defunct(actions, step.name) == "")
    (tmp_path / "fakes/seen").touch()
    assert step.wait() == 0, step.text


def defunct(engine: Engine, container: str) -> str:
    """The processes of `container` that ended and that nobody collected."""
    script = (
        "import glob; print([name for name in glob.glob('/proc/[0-9]*/stat') if ') Z ' in open(name).read()])"
    )
    answer = engine.docker("exec", container, "python", "-c", script)
    return answer.strip().strip("[]")
