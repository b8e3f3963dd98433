"""Stacks on hosts with engines of their own, behind real ssh servers, and what goes wrong on the way to them."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sf.ci.context import EventKind
from sf.models import ActionKind, ActionUpdated, Change, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.command import Command
    from tests.estates import Estate, Run
    from toolchain.hosts import Host, Hosts

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

PROBE = """\
    healthcheck:
      test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/index.html"]
      interval: 1s
      retries: 2
      start_period: 4s
      start_interval: 200ms
"""
SITE = f"""\
services:
  web:
    image: busybox:1.36
    command: [httpd, -f, -p, "8080", -h, /www]
    stop_grace_period: 0s
    volumes: ["./html:/www:ro", "./data:/data"]
{PROBE}
  side: {{image: "busybox:1.36", command: [sleep, "1000"], stop_grace_period: 0s}}
"""
FILES = {"compose.yaml": SITE, "html/index.html": "first\n"}
BROKEN = SITE.replace("-h, /www]", "-h, /nowhere]")


def stack(scope: str, name: str = "site", files: dict[str, str] = FILES) -> dict[str, str]:
    return {f"{scope}/{name}/{path}": text for path, text in files.items()}


def containers(host: Host) -> dict[str, str]:
    """The id of each service's container, whatever its state."""
    lines = host.engine.docker(
        "ps", "--all", "--no-trunc", "--format", '{{.Label "com.docker.compose.service"}} {{.ID}}'
    ).splitlines()
    return dict(line.split() for line in lines)


def served(host: Host) -> str:
    web = containers(host)["web"]
    return host.engine.docker("exec", web, "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html")


def outcomes(run: Run) -> dict[str, Outcome | None]:
    assert run.result is not None, run.error
    return {action.name: action.outcome for action in run.result.actions}


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_group_stack_comes_up_on_its_members_and_a_second_run_touches_nothing(
    fleet: Estate, hosts: Hosts
) -> None:
    fleet.commit(stack("pair"))
    first = fleet.reconcile()
    assert first.error is None
    assert outcomes(first) == {"alpha/site": Outcome.DONE, "beta/site": Outcome.DONE}
    running = {name: containers(hosts[name]) for name in ("alpha", "beta", "gamma")}
    assert running["gamma"] == {}
    assert served(hosts["beta"]) == "first\n"
    second = fleet.reconcile()
    assert second.error is None
    assert {action.action for action in second.plan.actions} == {ActionKind.NONE}  # type: ignore[union-attr]
    assert {name: containers(hosts[name]) for name in running} == running
    # A changed file reaches the service that mounts it, on each host, and what a container wrote stays.
    for name in ("alpha", "beta"):
        (hosts[name].stacks / "site/data/mine").write_text("kept")
    fleet.commit({"pair/site/html/index.html": "second\n"})
    assert fleet.reconcile().error is None
    for name in ("alpha", "beta"):
        after = containers(hosts[name])
        assert (after["side"], after["web"] != running[name]["web"]) == (running[name]["side"], True)
        assert served(hosts[name]) == "second\n"
        assert (hosts[name].stacks / "site/data/mine").read_text() == "kept"
        assert not list((hosts[name].stacks / "site/.sf").glob("incoming*"))


def test_what_changed_on_a_host_is_planned_as_on_this_machine(fleet: Estate, hosts: Hosts) -> None:
    fleet.commit(stack("alpha"))
    assert fleet.reconcile().error is None
    alpha = hosts["alpha"]
    (alpha.stacks / "site/html/index.html").write_text("by hand\n")
    alpha.engine.docker("kill", containers(alpha)["side"])
    live = fleet.plan().action("alpha/site").live
    assert live is not None
    assert sorted(reason.message for reason in live.reasons) == [
        "side: it is not running (exit code 137)",
        "web: html/index.html was changed on the host",
    ]


def test_a_host_that_is_down_and_one_that_hangs_fail_their_own_stacks_only(
    fleet: Estate, hosts: Hosts
) -> None:
    fleet.commit(stack("web"))
    inventory = (fleet.repository.root / "inventory.yml").read_text()
    hurried = inventory.replace(
        "ansible_user: root", "ansible_user: root, ansible_ssh_common_args: '-o ConnectTimeout=2'"
    )
    fleet.repository.commit({"inventory.yml": hurried})
    with hosts["alpha"].stopped(), hosts["beta"].paused():
        plan = fleet.plan()
        assert plan.error is None
        assert plan.plan is not None
        assert plan.plan.verdict is Verdict.INCOMPLETE
        assert [one.subject for one in plan.plan.findings] == ["alpha", "beta"]
        run = fleet.reconcile()
    assert run.error is not None
    assert outcomes(run) == {
        "alpha/site": Outcome.NOT_REACHED,
        "beta/site": Outcome.NOT_REACHED,
        "gamma/site": Outcome.DONE,
    }
    assert "Connection refused" in run.ended("alpha/site").message
    assert "timed out" in run.ended("beta/site").message


def test_a_changed_and_an_unknown_host_key_are_told_with_the_fix(fleet: Estate, hosts: Hosts) -> None:
    fleet.commit(stack("pair"))
    lines = (fleet.repository.root / "known_hosts").read_text().splitlines(keepends=True)
    known = [line for line in lines if str(hosts["beta"].port) not in line]
    fleet.repository.commit({"known_hosts": "".join(known)})
    hosts["alpha"].change_host_key()
    run = fleet.reconcile()
    assert "shows another host key than the known one" in run.ended("alpha/site").message
    assert "the host key of beta (127.0.0.1" in run.ended("beta/site").message
    assert run.plan is not None
    assert all("sf docker trust" in one.hint for one in run.plan.findings)
    assert containers(hosts["alpha"]) == containers(hosts["beta"]) == {}


def test_a_key_that_the_host_does_not_know_is_told(fleet: Estate, tmp_path: Path) -> None:
    fleet.commit(stack("alpha"))
    fleet.environ["SSH_PRIVATE_KEY"] = "no key at all, but secret"
    fleet.environ["HOME"] = str(tmp_path)
    run = fleet.plan()
    assert run.plan is not None
    (finding,) = run.plan.findings
    assert finding.severity is Severity.WARNING
    assert "takes none of the keys" in finding.message
    assert "no key at all" not in json.dumps(run.document)


def test_a_full_disk_changes_nothing_that_runs(fleet: Estate, hosts: Hosts) -> None:
    fleet.commit(stack("alpha"))
    assert fleet.reconcile().error is None
    alpha = hosts["alpha"]
    before = containers(alpha)
    fleet.commit({"alpha/site/html/index.html": "second\n" * 9000})
    with alpha.disk_full():
        run = fleet.reconcile()
    assert run.error is not None
    assert "alpha: " in run.ended("alpha/site").message
    assert containers(alpha) == before
    assert served(alpha) == "first\n"
    assert fleet.reconcile().error is None
    assert served(alpha).startswith("second\n")


@pytest.mark.parametrize("moment", ["while files arrive", "while containers start"])
def test_a_cut_connection_fails_and_the_next_run_converges(fleet: Estate, hosts: Hosts, moment: str) -> None:
    alpha = hosts["alpha"]
    files = FILES
    if moment == "while files arrive":
        # Larger than every buffer on the way.
        files = {**FILES, "html/big": "x" * 30_000_000}
    else:
        slow = SITE.replace("start_period: 4s", "start_period: 9s")
        late = slow.replace("[httpd,", "[sh, -c, 'sleep 3; exec httpd -f -p 8080 -h /www', ")
        files = {**FILES, "compose.yaml": late}
    fleet.commit(stack("alpha", files=files))

    def cut() -> None:
        if moment == "while files arrive":
            until((alpha.stacks / "site/.sf/incoming").exists)
        else:
            until(lambda: bool(containers(alpha)))
        alpha.cut()

    cutter = threading.Thread(target=cut)
    cutter.start()
    run = fleet.reconcile()
    cutter.join()
    assert run.error is not None
    assert not run.ended("alpha/site").success
    assert "alpha" in run.ended("alpha/site").message
    again = fleet.reconcile()
    assert again.error is None, again.ended("alpha/site")
    assert served(alpha) == "first\n"
    assert not (alpha.stacks / "site/.sf/incoming").exists()


def test_a_release_that_does_not_get_healthy_is_taken_back(fleet: Estate, hosts: Hosts) -> None:
    commit = fleet.commit(stack("alpha"))
    assert fleet.reconcile().error is None
    alpha = hosts["alpha"]
    before = containers(alpha)
    fleet.commit({"alpha/site/compose.yaml": BROKEN, "alpha/site/html/new.html": "new\n"})
    run = fleet.reconcile()
    assert run.error is not None
    ended = run.ended("alpha/site")
    assert f"failed, rolled back to {commit}" in ended.message
    assert "the service web did not become healthy" in ended.message
    assert served(alpha) == "first\n"
    assert containers(alpha)["side"] == before["side"]
    assert not (alpha.stacks / "site/html/new.html").exists()
    # What is there now is the old release, and the new one is still to be deployed.
    assert fleet.plan().action("alpha/site").effect is Change.CHANGE
    fleet.repository.git("revert", "--no-edit", "HEAD")
    assert fleet.reconcile().ended("alpha/site").outcome is Outcome.UNCHANGED


def test_what_a_container_wrote_survives_an_update_and_its_rollback(fleet: Estate, hosts: Hosts) -> None:
    alpha = hosts["alpha"]
    writing = SITE.replace("[httpd,", "[sh, -c, 'date >> /data/log; exec httpd -f -p 8080 -h /www', ")
    fleet.commit(stack("alpha", files={**FILES, "compose.yaml": writing}))
    assert fleet.reconcile().error is None
    data = alpha.stacks / "site/data"
    (data / "deep").mkdir()
    (data / "deep/mine").write_text("kept")
    (data / "link").symlink_to("/etc/passwd")
    first = (data / "log").read_text()
    fleet.commit({"alpha/site/html/index.html": "second\n"})
    assert fleet.reconcile().error is None
    failing = writing.replace("/index.html", "/nothing.html")
    fleet.commit({"alpha/site/compose.yaml": failing, "alpha/site/data/ours": "of the repository\n"})
    assert "rolled back" in fleet.reconcile().ended("alpha/site").message
    assert served(alpha) == "second\n"
    assert (data / "log").read_text().startswith(first)
    assert sorted(path.name for path in data.iterdir()) == ["deep", "link", "log"]
    assert (data / "deep/mine").read_text() == "kept"


def test_a_rollback_leaves_alone_what_somebody_stopped(fleet: Estate, hosts: Hosts) -> None:
    alpha = hosts["alpha"]
    fleet.commit(stack("alpha"))
    assert fleet.reconcile().error is None
    alpha.engine.docker("update", "--restart", "unless-stopped", containers(alpha)["side"])
    alpha.engine.docker("stop", containers(alpha)["side"])
    more = "  more: {image: 'busybox:1.36', command: ['false']}\n"
    fleet.commit({"alpha/site/compose.yaml": SITE + more})
    message = fleet.reconcile().ended("alpha/site").message
    assert message.startswith("the service more did not become healthy")
    assert "rolled back" in message
    assert alpha.engine.docker("inspect", "-f", "{{.State.Status}}", containers(alpha)["side"]) == "exited\n"


@pytest.mark.parametrize("policy", ["no", "always"])
def test_an_engine_that_starts_anew_during_a_deployment_is_waited_for(
    fleet: Estate, hosts: Hosts, policy: str
) -> None:
    alpha = hosts["alpha"]
    lasting = SITE.replace("stop_grace_period: 0s}", f"stop_grace_period: 0s, restart: '{policy}'}}")
    lasting = lasting.replace("period: 0s\n", f"period: 0s\n    restart: '{policy}'\n")
    late = lasting.replace("[httpd,", "[sh, -c, 'sleep 2; exec httpd -f -p 8080 -h /www', ")
    fleet.commit(stack("alpha", files={**FILES, "compose.yaml": late}))
    restarted = threading.Event()

    def restart() -> None:
        until(lambda: len(containers(alpha)) == 2)
        alpha.engine.restart()
        restarted.set()

    thread = threading.Thread(target=restart)
    thread.start()
    run = fleet.reconcile()
    thread.join()
    assert restarted.is_set()
    ended = run.ended("alpha/site")
    assert not ended.success
    assert ended.message.startswith(("compose failed: ", "the service ")), ended
    assert "no release to go back to" in ended.message
    assert fleet.reconcile().error is None
    assert served(alpha) == "first\n"


def test_a_rollback_starts_the_recorded_image_and_not_what_the_tag_means_now(
    fleet: Estate, hosts: Hosts
) -> None:
    alpha = hosts["alpha"]
    good = alpha.engine.build("app:latest", 'FROM busybox:1.36\nCMD ["sleep", "1000"]\n')
    fleet.commit(
        {"alpha/app/compose.yaml": "services: {app: {image: 'app:latest', stop_grace_period: 0s}}\n"}
    )
    assert fleet.reconcile().error is None
    alpha.engine.build("app:latest", 'FROM busybox:1.36\nCMD ["false"]\n')
    fleet.commit(
        {"alpha/app/compose.yaml": "services: {app: {image: 'app:latest', stop_grace_period: 1s}}\n"}
    )
    run = fleet.reconcile()
    assert "rolled back to" in run.ended("alpha/app").message
    image, state = alpha.engine.docker(
        "inspect", "--format", "{{.Image}} {{.State.Status}}", containers(alpha)["app"]
    ).split()
    assert (image, state) == (good, "running")


def test_a_first_deployment_that_fails_keeps_its_containers(fleet: Estate, hosts: Hosts) -> None:
    fleet.commit(stack("alpha", files={**FILES, "compose.yaml": BROKEN}))
    run = fleet.reconcile()
    assert "its containers stay for inspection" in run.ended("alpha/site").message
    assert "web" in containers(hosts["alpha"])


HOOKED = {
    **FILES,
    "pre.sh": '#!/bin/sh\necho before $TOKEN; test -n "$TOKEN"; touch data/pre\n',
    "post.sh": "#!/bin/sh\necho '::error::after'; docker compose ls -q\n",
}


def commit_hooks(fleet: Estate, files: dict[str, str]) -> None:
    fleet.commit(stack("alpha", files=files))
    for name in ("pre.sh", "post.sh"):
        fleet.repository.git("update-index", "--chmod=+x", f"docker-compose/alpha/site/{name}")
    fleet.repository.git("commit", "--quiet", "--amend", "--no-edit")
    fleet.repository.git("checkout", "--quiet", "--force", "HEAD")


def test_hooks_run_on_the_host_and_what_they_say_is_in_the_result(fleet: Estate, hosts: Hosts) -> None:
    fleet.configure("env: [TOKEN]")
    commit_hooks(fleet, {**HOOKED, "data/.keep": ""})
    run = fleet.reconcile(environ={"TOKEN": "swordfish 'and\nmore"})
    assert run.error is None
    said = run.ended("alpha/site").stderr
    assert "before ***" in said
    assert "::error::after\nsite" in said
    assert "swordfish" not in str(run.result)
    assert (hosts["alpha"].stacks / "site/data/pre").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("pre.sh", "#!/bin/sh\necho oh no\nexit 3\n", "pre.sh ended with exit code 3"),
        ("post.sh", "#!/bin/sh\nsleep 60\n", "post.sh did not end within 2 s"),
    ],
)
def test_a_hook_that_fails_or_hangs_takes_the_release_back(
    fleet: Estate, hosts: Hosts, name: str, text: str, message: str
) -> None:
    good = {**HOOKED, "pre.sh": "#!/bin/sh\n", "post.sh": "#!/bin/sh\n"}
    commit_hooks(fleet, good)
    assert fleet.reconcile().error is None
    fleet.settings["SF_CONFIG_DEADLINES__HOOK"] = "2s"
    commit_hooks(fleet, {**good, name: text, "html/index.html": "second\n"})
    ended = fleet.reconcile().ended("alpha/site")
    assert ended.message.startswith(message)
    assert "rolled back to" in ended.message
    assert ("oh no" in ended.stderr) is (name == "pre.sh")
    assert served(hosts["alpha"]) == "first\n"


def test_a_hook_that_git_does_not_mark_executable_is_refused_before_anything_is_touched(
    fleet: Estate, hosts: Hosts
) -> None:
    fleet.commit(stack("alpha", files=HOOKED))
    ended = fleet.reconcile().ended("alpha/site")
    assert "git does not mark it executable" in ended.message
    assert not (hosts["alpha"].stacks / "site").exists()


def test_stacks_follow_what_they_depend_on_and_are_not_begun_when_that_fails(fleet: Estate) -> None:
    plain = "services: {one: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}}\n"
    needs = "x-stagefreight: {depends_on_stack: [%s]}\n"
    fleet.commit({"alpha/a/compose.yaml": needs % "z" + plain, "alpha/z/compose.yaml": plain})
    run = fleet.reconcile()
    assert run.error is None
    ended = [one.result.name for one in run.events if isinstance(one, ActionUpdated) and one.result]
    assert ended == ["alpha/z", "alpha/a"]
    broken = plain.replace("sleep, '1000'", "'false'")
    fleet.commit(
        {
            "alpha/a/compose.yaml": needs % "z" + plain.replace("1000", "1001"),
            "alpha/b/compose.yaml": plain,
            "alpha/z/compose.yaml": broken,
        }
    )
    run = fleet.reconcile()
    assert outcomes(run) == {
        "alpha/a": Outcome.NOT_REACHED,
        "alpha/b": Outcome.DONE,
        "alpha/z": Outcome.FAILED,
    }
    fleet.commit({"alpha/z/compose.yaml": needs % "a" + plain})
    assert "depend on each other in a circle: alpha/a → alpha/z → alpha/a" in str(fleet.plan().error)
    fleet.commit({"alpha/z/compose.yaml": needs % "nobody" + plain})
    assert "alpha has none of that name" in str(fleet.plan().error)


def test_two_deployments_to_one_host_follow_each_other(fleet: Estate, hosts: Hosts) -> None:
    fleet.commit(stack("alpha"))
    alpha = hosts["alpha"]
    hold = (
        f"mkdir -p {fleet.stack_dir} && cd {fleet.stack_dir} && exec 9>>.lock && flock 9"
        " && echo a run of somebody >.lock && until [ -e go ]; do sleep 0.1; done"
    )
    holder = threading.Thread(target=alpha.run, args=(hold,))
    holder.start()
    until((alpha.stacks / ".lock").exists)
    fleet.settings["SF_CONFIG_DEADLINES__LOCK"] = "1s"
    refused = fleet.reconcile().ended("alpha/site")
    assert refused.message.startswith("another deployment holds alpha for more than 1 s: a run of somebody")
    fleet.settings["SF_CONFIG_DEADLINES__LOCK"] = "20s"
    waits: list[str] = []

    def let_go(event: object) -> None:
        if isinstance(event, ActionUpdated) and "waits for" in event.message:
            waits.append(event.message)
            (alpha.stacks / "go").touch()

    run = fleet.reconcile(listen=let_go)
    holder.join()
    assert run.error is None
    assert waits == ["waits for another deployment on alpha: a run of somebody"]


@pytest.mark.parametrize("moment", ["while pre.sh runs", "while containers start"])
def test_a_run_that_is_killed_leaves_no_secret_and_the_next_one_converges(
    fleet: Estate, hosts: Hosts, killed: Callable[..., Command], moment: str
) -> None:
    alpha = hosts["alpha"]
    fleet.configure("env: [TOKEN]")
    commit_hooks(
        fleet, {**HOOKED, "data/.keep": "", "pre.sh": "#!/bin/sh\necho $TOKEN\ntouch data/pre\nsleep 1\n"}
    )
    if moment == "while pre.sh runs":
        command = killed((alpha.stacks / "site/data/pre").exists, TOKEN="swordfish")
    else:
        command = killed(lambda: bool(containers(alpha)), TOKEN="swordfish")
    run = fleet.reconcile(environ={"TOKEN": "swordfish"})
    assert run.error is None, run.ended("alpha/site")
    assert served(alpha) == "first\n"
    files = [path for path in alpha.stacks.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"swordfish" in path.read_bytes()]
    # The connection that nobody uses any more ends by itself.
    until(lambda: not list(command.children()))


def test_trust_prints_the_keys_that_hosts_show(fleet: Estate, hosts: Hosts, real: Command) -> None:
    sf = real
    done = sf("docker", "trust", "beta", cwd=fleet.repository.root)
    assert done.code == 0, done
    assert hosts["beta"].known_hosts in done.out
    assert str(hosts["alpha"].port) not in done.out
    assert "compare" in done.err
    everyone = sf("docker", "trust", cwd=fleet.repository.root)
    assert all(host.known_hosts in everyone.out for host in hosts)
    sf("docker", "trust", "nobody", cwd=fleet.repository.root).refuses(
        14,
        "plan: nobody is no host of the inventory that is reached over ssh",
        "these are: alpha, beta, gamma",
    )


def test_what_another_run_deployed_meanwhile_is_not_overwritten(fleet: Estate, hosts: Hosts) -> None:
    fleet.commit(stack("alpha"))
    assert fleet.reconcile().error is None
    fleet.commit({"alpha/site/html/index.html": "second\n"})
    record = hosts["alpha"].stacks / "site/.sf/record.json"

    def meddle(event: object) -> None:
        if isinstance(event, ActionUpdated) and event.result is None:
            record.write_bytes(record.read_bytes() + b"\n")

    run = fleet.reconcile(listen=meddle)
    assert "another run deployed it after this run's plan was made" in run.ended("alpha/site").message
    assert served(hosts["alpha"]) == "first\n"


def test_a_pull_request_does_not_get_to_say_how_hosts_are_reached(fleet: Estate, hosts: Hosts) -> None:
    base = fleet.commit(stack("pair"))
    text = (fleet.repository.root / "inventory.yml").read_text()
    config = (fleet.repository.root / ".stagefreight.yml").read_text()
    head = fleet.repository.commit(
        {
            "inventory.yml": text.replace(f"ansible_port: {hosts['beta'].port}", "ansible_port: 1"),
            ".stagefreight.yml": config.replace("known_hosts: known_hosts", "known_hosts: own"),
            "own": "",
        }
    )
    run = fleet.plan(event=EventKind.PULL_REQUEST, base=base, head=head)
    assert run.plan is not None
    assert [(one.code, one.severity) for one in run.plan.findings] == [
        ("host-steered", Severity.DANGER),
        ("hosts-steered", Severity.DANGER),
    ]
    live = {action.name: action.live is not None for action in run.plan.actions}
    assert run.action("beta/site").effect is Change.UNKNOWN
    assert run.action("alpha/site").live is not None, live
