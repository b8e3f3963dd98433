"""Stacks on a real engine: what is deployed, what is left alone, and what is said when it goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess  # noqa: TID251 - a container is started as a CI would
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sf.models import ActionKind, ActionState, ActionUpdated, Change, Outcome

if TYPE_CHECKING:
    from tests.estates import Estate
    from toolchain.engine import Engine

pytestmark = [pytest.mark.engine, pytest.mark.tools]

SHOP = {
    "bench/shop/compose.yaml": """\
services:
  web:
    image: busybox:1.36
    command: [httpd, -f, -p, "8080", -h, /www, -c, /etc/httpd.conf]
    stop_grace_period: 0s
    volumes: ["./html:/www:ro"]
    configs: [{source: httpd, target: /etc/httpd.conf}]
    depends_on: {api: {condition: service_healthy}}
    healthcheck: &probe
      test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/index.html"]
      interval: 2s
      start_period: 10s
      start_interval: 200ms
  api:
    image: busybox:1.36
    command: [sh, -c, 'echo "$$GREETING" > /tmp/index.html; exec httpd -f -p 8080 -h /tmp']
    stop_grace_period: 0s
    env_file: [api.env]
    environment: {PORT: "${API_PORT}"}
    healthcheck: *probe
configs:
  httpd: {file: ./httpd.conf}
""",
    "bench/shop/.env": "API_PORT=8080\n",
    "bench/shop/api.env": "GREETING=hello\n",
    "bench/shop/httpd.conf": "A:*\n",
    "bench/shop/html/index.html": "first\n",
}


def containers(engine: Engine) -> dict[str, str]:
    """The id of each service's container, whatever its state."""
    lines = engine.docker(
        "ps", "--all", "--no-trunc", "--format", '{{.Label "com.docker.compose.service"}} {{.ID}}'
    ).splitlines()
    return dict(line.split() for line in lines)


def served(engine: Engine, container: str) -> str:
    return engine.docker("exec", container, "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html")


def test_a_new_stack_comes_up_healthy_and_a_second_run_touches_nothing(
    estate: Estate, engine: Engine
) -> None:
    estate.commit(SHOP)
    first = estate.reconcile()
    assert first.error is None
    assert first.action("bench/shop").action is ActionKind.DEPLOY
    assert first.ended("bench/shop").outcome is Outcome.DONE
    running = containers(engine)
    assert served(engine, running["web"]) == "first\n"
    assert served(engine, running["api"]) == "hello\n"

    second = estate.reconcile()
    assert second.action("bench/shop").action is ActionKind.NONE
    assert second.ended("bench/shop").outcome is Outcome.UNCHANGED
    assert containers(engine) == running
    assert not [
        event
        for event in second.events
        if isinstance(event, ActionUpdated) and event.state is ActionState.STARTED
    ]


def test_the_files_are_where_a_person_can_repeat_the_command(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    done = estate.reconcile().ended("bench/shop")
    project = estate.stack_dir / "shop"
    assert done.command.startswith(f"cd {project} && docker compose --project-name shop --file compose.yaml")
    assert (project / "html/index.html").read_text() == "first\n"
    running = containers(engine)
    labels = json.loads(engine.docker("inspect", "--format", "{{json .Config.Labels}}", running["web"]))
    assert labels["com.docker.compose.project.working_dir"] == str(project)


def test_a_changed_mounted_file_reaches_only_the_service_that_mounts_it(
    estate: Estate, engine: Engine
) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    before = containers(engine)
    estate.commit({"bench/shop/html/index.html": "second\n"})

    run = estate.reconcile()
    assert run.error is None
    (declared,) = run.action("bench/shop").objects
    assert (declared.name, declared.change) == ("web", Change.CHANGE)
    assert [reason.subject for reason in declared.reasons] == ["html/index.html"]
    after = containers(engine)
    assert after["api"] == before["api"]
    assert after["web"] != before["web"]
    assert served(engine, after["web"]) == "second\n"
    assert (estate.stack_dir / "shop/.sf/previous/html/index.html").read_text() == "first\n"


def test_a_changed_config_file_and_a_changed_env_file_reach_their_services(
    estate: Estate, engine: Engine
) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    before = containers(engine)
    estate.commit({"bench/shop/httpd.conf": "A:127.0.0.1\n"})
    estate.reconcile()
    between = containers(engine)
    assert (between["api"], between["web"] != before["web"]) == (before["api"], True)
    estate.commit({"bench/shop/api.env": "GREETING=servus\n"})
    run = estate.reconcile()
    assert run.error is None
    (declared,) = run.action("bench/shop").objects
    assert [reason.subject for reason in declared.reasons] == ["environment.GREETING"]
    assert "servus" not in json.dumps(run.document)
    assert served(engine, containers(engine)["api"]) == "servus\n"


def test_a_file_that_leaves_the_stack_leaves_the_host_and_what_a_container_wrote_stays(
    estate: Estate,
) -> None:
    stack = {
        "bench/notes/compose.yaml": """\
services:
  writer:
    image: busybox:1.36
    command: [sh, -c, 'echo mine > /data/note; exec sleep 1000']
    stop_grace_period: 0s
    volumes: ["./data:/data", "./extra:/extra:ro"]
    healthcheck: {test: [CMD, test, -s, /data/note], interval: 1s, start_period: 5s, start_interval: 200ms}
""",
        "bench/notes/extra/old.txt": "old\n",
        "bench/notes/extra/kept.txt": "kept\n",
    }
    estate.commit(stack)
    assert estate.reconcile().error is None
    (estate.repository.root / "docker-compose/bench/notes/extra/old.txt").unlink()
    estate.commit({})
    assert estate.reconcile().error is None
    project = estate.stack_dir / "notes"
    assert sorted(path.name for path in (project / "extra").iterdir()) == ["kept.txt"]
    assert (project / "data/note").read_text() == "mine\n"


def test_ten_services_are_not_drifted_after_their_deployment(estate: Estate, engine: Engine) -> None:
    services = "".join(
        f"  s{number}: {{image: 'busybox:1.36', command: [sleep, '100{number}'], stop_grace_period: 0s}}\n"
        for number in range(10)
    )
    estate.commit({"bench/ten/compose.yaml": f"services:\n{services}"})
    assert estate.reconcile().error is None
    running = containers(engine)
    assert len(running) == 10
    action = estate.plan().action("bench/ten")
    assert action.live is not None
    assert (action.live.effect, action.live.reasons) == (Change.UNCHANGED, ())
    estate.reconcile()
    assert containers(engine) == running


def test_a_killed_container_is_found_and_started_again(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    before = containers(engine)
    engine.docker("kill", before["api"])
    plan = estate.plan().action("bench/shop")
    assert plan.live is not None
    assert [reason.message for reason in plan.live.reasons] == ["api: it is not running (exit code 137)"]
    run = estate.reconcile()
    assert run.error is None
    assert run.ended("bench/shop").outcome is Outcome.DONE
    assert containers(engine) == before


def test_a_service_that_somebody_stopped_stays_stopped(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    engine.docker("stop", containers(engine)["web"])
    run = estate.reconcile()
    assert run.ended("bench/shop").outcome is Outcome.UNCHANGED
    live = run.action("bench/shop").live
    assert live is not None
    assert [(change.name, change.reasons[0].message) for change in live.objects] == [
        ("web", "somebody stopped it: it stays stopped")
    ]
    # Nor does a deployment of its neighbour wake it.
    estate.commit({"bench/shop/api.env": "GREETING=servus\n"})
    assert estate.reconcile().error is None
    state = engine.docker("inspect", "--format", "{{.State.Status}}", containers(engine)["web"])
    assert state == "exited\n"


def test_a_job_that_did_its_work_is_no_failure_and_is_not_run_again(estate: Estate, engine: Engine) -> None:
    estate.commit(
        {
            "bench/job/compose.yaml": """\
services:
  migrate: {image: 'busybox:1.36', command: ['true']}
  app: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}
"""
        }
    )
    run = estate.reconcile()
    assert run.error is None
    started = engine.docker("inspect", "--format", "{{.State.StartedAt}}", containers(engine)["migrate"])
    assert estate.reconcile().ended("bench/job").outcome is Outcome.UNCHANGED
    assert started == engine.docker(
        "inspect", "--format", "{{.State.StartedAt}}", containers(engine)["migrate"]
    )


def test_a_stack_that_does_not_get_healthy_fails_and_names_the_service(
    estate: Estate, engine: Engine
) -> None:
    broken = SHOP["bench/shop/compose.yaml"].replace("exec httpd", "echo no more >&2; exec sleep 1000 #")
    estate.commit(
        {**SHOP, "bench/shop/compose.yaml": broken.replace("start_period: 10s", "start_period: 1s")}
    )
    run = estate.reconcile()
    assert run.error is not None
    ended = run.ended("bench/shop")
    assert not ended.success
    assert ended.message.startswith("the service api did not become healthy")
    assert "no more" in ended.stderr
    # The containers stay for inspection, and the next run does not take them for a deployed stack.
    assert "api" in containers(engine)
    again = estate.plan().action("bench/shop").live
    assert again is not None
    assert again.effect is not Change.UNCHANGED


def test_a_crash_loop_is_not_success(estate: Estate) -> None:
    estate.commit(
        {
            "bench/loop/compose.yaml": """\
services:
  loop: {image: 'busybox:1.36', command: [sh, -c, 'echo oh no; exit 3'], restart: always}
"""
        }
    )
    ended = estate.reconcile().ended("bench/loop")
    assert not ended.success
    assert ended.message.startswith("the service loop")
    assert "oh no" in ended.stderr


def test_a_service_that_left_the_stack_is_an_orphan_until_it_is_deployed(
    estate: Estate, engine: Engine
) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    less = SHOP["bench/shop/compose.yaml"].replace("  api:", "  backend:").replace("{api:", "{backend:")
    estate.commit({"bench/shop/compose.yaml": less})
    run = estate.reconcile()
    assert run.error is None
    assert {(one.name, one.change) for one in run.action("bench/shop").objects} == {
        ("api", Change.REMOVE),
        ("backend", Change.ADD),
        ("web", Change.CHANGE),
    }
    assert sorted(containers(engine)) == ["backend", "web"]


def test_what_somebody_changed_on_the_host_is_reported_or_put_right(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    before = containers(engine)
    (estate.stack_dir / "shop/html/index.html").write_text("by hand\n")
    run = estate.reconcile()
    assert run.error is None
    live = run.action("bench/shop").live
    assert live is not None
    assert [reason.message for reason in live.reasons] == ["web: html/index.html was changed on the host"]
    assert run.action("bench/shop").action is ActionKind.REPORT
    assert "changed on bench" in run.ended("bench/shop").message
    assert containers(engine) == before

    config = (estate.repository.root / ".stagefreight.yml").read_text()
    estate.repository.commit({".stagefreight.yml": f"{config}  drift: {{tier2_action: reconcile}}\n"})
    assert estate.reconcile().error is None
    after = containers(engine)
    assert (after["api"], after["web"] != before["web"]) == (before["api"], True)
    assert served(engine, after["web"]) == "first\n"
    assert estate.reconcile().ended("bench/shop").outcome is Outcome.UNCHANGED


def test_what_is_deployed_is_not_resolved_again(estate: Estate) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    estate.repository.commit({"README": "nothing of the estate"})
    assert estate.resolved() == 0
    estate.commit({"bench/shop/api.env": "GREETING=servus\n"})
    # The model of before was kept.
    assert estate.resolved() == 1


def test_a_lost_record_recreates_nothing(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    before = containers(engine)
    shutil.rmtree(estate.stack_dir / "shop/.sf")
    run = estate.reconcile()
    assert run.error is None
    assert run.ended("bench/shop").outcome is Outcome.UNCHANGED
    assert containers(engine) == before


def test_a_group_stack_runs_on_its_members_and_never_here_by_default(estate: Estate, engine: Engine) -> None:
    stack = "services:\n  one: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}\n"
    estate.commit({"away/far/compose.yaml": stack, "pair/both/compose.yaml": stack})
    refused = estate.reconcile()
    assert "remote can only be reached over ssh, and no host key is known" in str(refused.error)
    assert engine.docker("ps", "--quiet") == ""


def test_a_project_of_another_repository_is_left_alone(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    estate.reconcile(repository="git.example.com/acme/one")
    before = containers(engine)
    estate.commit({"bench/shop/api.env": "GREETING=servus\n"})
    run = estate.reconcile(repository="git.example.com/acme/two")
    assert run.error is not None
    assert "was deployed from git.example.com/acme/one" in str(run.error)
    assert containers(engine) == before


def test_an_image_is_built_anew_when_what_it_is_built_from_changes(estate: Estate, engine: Engine) -> None:
    stack = {
        "bench/built/compose.yaml": """\
services:
  app: {build: ./app, command: [sleep, "1000"], stop_grace_period: 0s}
  other: {image: "busybox:1.36", command: [sleep, "1000"], stop_grace_period: 0s}
""",
        "bench/built/app/Dockerfile": "FROM busybox:1.36\nCOPY word /word\n",
        "bench/built/app/word": "one\n",
    }
    estate.commit(stack)
    assert estate.reconcile().error is None
    before = containers(engine)
    estate.commit({"bench/built/app/word": "two\n"})
    run = estate.reconcile()
    assert run.error is None
    assert " --build" in run.ended("bench/built").command
    after = containers(engine)
    assert after["other"] == before["other"]
    assert engine.docker("exec", after["app"], "cat", "/word") == "two\n"


def test_a_run_that_was_cut_off_is_finished_by_the_next(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    record = estate.stack_dir / "shop/.sf/record.json"
    document = json.loads(record.read_text())
    record.write_text(json.dumps({**document, "complete": False}))
    before = containers(engine)
    live = estate.plan().action("bench/shop").live
    assert live is not None
    assert [reason.message for reason in live.reasons] == ["the last deployment did not end well"]
    assert estate.reconcile().error is None
    assert json.loads(record.read_text())["complete"] is True
    assert containers(engine) == before


def test_an_image_that_cannot_be_had_fails_in_the_words_of_compose(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    before = containers(engine)
    estate.commit(
        {"bench/shop/compose.override.yaml": "services: {api: {image: 'registry.invalid/none:1'}}\n"}
    )
    run = estate.reconcile()
    assert run.ended("bench/shop").message.startswith("compose failed: ")
    assert "registry.invalid" in run.ended("bench/shop").message
    assert containers(engine) == before
    # Going back is a deployment as well: the files on the host are those of the failed one.
    estate.repository.git("revert", "--no-edit", "HEAD")
    assert estate.reconcile().error is None
    assert not (estate.stack_dir / "shop/compose.override.yaml").exists()
    assert containers(engine) == before


def test_a_stack_that_was_stopped_as_a_whole_stays_stopped(estate: Estate, engine: Engine) -> None:
    estate.commit(SHOP)
    estate.reconcile()
    engine.docker("stop", *containers(engine).values())
    run = estate.reconcile()
    assert run.ended("bench/shop").outcome is Outcome.UNCHANGED
    assert engine.docker("ps", "--quiet") == ""


def test_from_inside_of_a_container_a_mount_works_or_is_refused_with_the_fix(
    estate: Estate, engine: Engine
) -> None:
    estate.commit(SHOP)
    stacks = Path(f"/opt/sf-test-{os.getpid()}")
    environ = {**estate.environ, "SF_CONFIG_DOCKER__STACK_DIR": str(stacks), "PYTHONPATH": str(Path.cwd())}
    # A container with the programs of this machine, and a root of its own otherwise.
    private = {"dev", "etc", "mnt", "opt", "proc", "run", "srv", "sys", "var"}
    shared = [str(path) for path in Path("/").iterdir() if path.is_dir() and path.name not in private]
    shared.append(str(engine.folder))

    def inside(*options: str) -> subprocess.CompletedProcess[str]:
        volumes = [f"--volume={path}:{path}" for path in shared]
        variables = [f"--env={name}={value}" for name, value in environ.items()]
        where = f"--workdir={estate.repository.root}"
        program = [sys.executable, "-m", "sf", "reconcile"]
        return subprocess.run(
            [
                "docker",
                "run",
                "--rm",
                "--network=none",
                *volumes,
                *variables,
                where,
                *options,
                "busybox:1.36",
                *program,
            ],
            env=engine.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    refused = inside()
    assert refused.returncode == 12
    assert f"sf runs in a container, and {stacks} in it is not the one of the machine" in refused.stderr
    assert f"start the container with `--volume {stacks}:{stacks}`" in refused.stderr
    assert "shop" not in engine.docker("ps", "--all")
    try:
        done = inside(f"--volume={stacks}:{stacks}")
        assert done.returncode == 0, done.stderr
        assert served(engine, containers(engine)["web"]) == "first\n"
    finally:
        shutil.rmtree(stacks, ignore_errors=True)
