"""What the repository no longer has: found on every host, and taken down only when everything speaks for it."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from sf.models import ActionKind, ActionUpdated, Cause, Change, Outcome, Severity

if TYPE_CHECKING:
    from tests.estates import Estate, Run
    from toolchain.engine import Engine
    from toolchain.hosts import Hosts

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

MINE = "git.example.com/acme/estate"
NOTES = {
    "compose.yaml": """\
services:
  writer:
    image: busybox:1.36
    command: [sh, -c, 'echo mine > /data/note; echo kept > /volume/note; exec sleep 1000']
    stop_grace_period: 0s
    volumes: ["./data:/data", "./extra:/extra:ro", "pages:/volume"]
    healthcheck: {test: [CMD, test, -s, /data/note], interval: 1s, start_period: 5s, start_interval: 200ms}
volumes: {pages: {}}
""",
    "extra/kept.txt": "kept\n",
}
PLAIN = {
    "compose.yaml": "services: {one: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}}\n"
}
ALLOWED = {
    "SF_CONFIG_DOCKER__REPOSITORY": MINE,
    "SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS": "[here]",
    "SF_CONFIG_DOCKER__DRIFT__ORPHAN_ACTION": "down",
}


def stack(scope: str, name: str, files: dict[str, str] = PLAIN) -> dict[str, str]:
    return {f"{scope}/{name}/{path}": text for path, text in files.items()}


def forget(estate: Estate, path: str) -> None:
    estate.repository.git("rm", "-rq", f"docker-compose/{path}")
    estate.repository.commit({}, f"without {path}")


def projects(engine: Engine) -> list[str]:
    """The projects that have containers."""
    lines = engine.docker("ps", "--all", "--format", '{{.Label "com.docker.compose.project"}}').split()
    return sorted(set(lines))


def codes(run: Run) -> dict[str, str]:
    assert run.plan is not None, run.error
    return {finding.code: finding.message for finding in run.plan.findings}


def told(run: Run, name: str) -> list[str]:
    live = run.action(name).live
    assert live is not None
    return [reason.message for reason in live.reasons if reason.cause is Cause.ORPHAN]


@pytest.fixture
def deployed(estate: Estate) -> Estate:
    """Two stacks, the first of which has just left the repository."""
    estate.commit({**stack("bench", "notes", NOTES), **stack("bench", "other")})
    assert estate.reconcile(repository=MINE).error is None
    forget(estate, "bench/notes")
    return estate


def test_an_orphan_is_reported_in_every_run_and_left_alone(deployed: Estate, engine: Engine) -> None:
    deployed.repository.commit({"README": "the deletion is long ago"})
    for _ in range(2):
        run = deployed.reconcile(repository=MINE)
        assert run.error is None
        action = run.action("bench/notes")
        assert (action.action, action.change, action.effect) == (
            ActionKind.REPORT,
            Change.UNCHANGED,
            Change.REMOVE,
        )
        assert told(run, "bench/notes") == [
            "it was deployed from docker-compose/bench/notes, which is not for bench any more"
        ]
        assert "orphans-reported" not in codes(run)
    assert projects(engine) == ["notes", "other"]


def test_the_deletion_and_what_runs_are_one_action(deployed: Estate) -> None:
    run = deployed.plan(repository=MINE)
    assert run.plan is not None
    assert [(one.name, one.change) for one in run.plan.actions] == [
        ("bench/notes", Change.REMOVE),
        ("bench/other", Change.UNCHANGED),
    ]


def test_down_removes_containers_and_no_volume_and_no_file(deployed: Estate, engine: Engine) -> None:
    deployed.settings |= ALLOWED
    planned = deployed.plan(repository=MINE)
    assert planned.action("bench/notes").action is ActionKind.REMOVE
    assert codes(planned) == {
        "orphan-removed": "notes is taken down on bench (writer); its volumes stay: notes_pages"
    }
    assert planned.plan is not None
    assert planned.plan.findings[0].severity is Severity.DANGER
    assert projects(engine) == ["notes", "other"]

    run = deployed.reconcile(repository=MINE)
    assert run.error is None
    ended = run.ended("bench/notes")
    assert (ended.outcome, ended.message) == (
        Outcome.DONE,
        "removed writer; its volumes stay: notes_pages",
    )
    assert ended.command == "docker compose --project-name notes down --remove-orphans"
    assert [(one.name, one.change) for one in ended.objects] == [("writer", Change.REMOVE)]
    assert projects(engine) == ["other"]
    assert engine.docker("volume", "ls", "--quiet") == "notes_pages\n"
    assert "notes" not in engine.docker("network", "ls", "--format", "{{.Name}}")
    folder = deployed.stack_dir / "notes"
    assert (folder / "data/note").read_text() == "mine\n"
    assert (folder / "extra/kept.txt").exists()
    # It is over: nothing is said about it any more.
    again = deployed.reconcile(repository=MINE)
    assert again.error is None
    assert (again.action("bench/notes").effect, again.ended("bench/notes").outcome) == (
        Change.UNCHANGED,
        Outcome.UNCHANGED,
    )
    deployed.repository.commit({"README": "long ago"})
    assert [one.name for one in deployed.plan(repository=MINE).plan.actions] == ["bench/other"]  # type: ignore[union-attr]


def test_what_was_taken_down_comes_up_again_with_its_data(deployed: Estate, engine: Engine) -> None:
    deployed.settings |= ALLOWED
    assert deployed.reconcile(repository=MINE).error is None
    deployed.commit(stack("bench", "notes", {**NOTES, "extra/kept.txt": "changed\n"}))
    run = deployed.reconcile(repository=MINE)
    assert run.error is None
    live = run.action("bench/notes").live
    assert live is not None
    assert (live.effect, [one.message for one in live.reasons]) == (
        Change.ADD,
        ["writer: it was never deployed here"],
    )
    assert (deployed.stack_dir / "notes/extra/kept.txt").read_text() == "changed\n"
    assert json.loads((deployed.stack_dir / "notes/.sf/record.json").read_text())["removed"] is False
    assert projects(engine) == ["notes", "other"]


def test_prune_has_to_be_forced_and_leaves_what_containers_wrote_and_people_changed(
    deployed: Estate, engine: Engine
) -> None:
    deployed.settings |= {**ALLOWED, "SF_CONFIG_DOCKER__DRIFT__ORPHAN_ACTION": "prune"}
    run = deployed.reconcile(repository=MINE)
    assert run.action("bench/notes").action is ActionKind.REPORT
    assert codes(run)["orphans-reported"] == (
        "bench/notes: only reported although `docker.drift.orphan_action` is prune,"
        " because `prune` has to be confirmed by `sf reconcile --force`"
    )
    folder = deployed.stack_dir / "notes"
    (folder / "extra/kept.txt").write_text("by hand\n")
    run = deployed.reconcile(repository=MINE, force=True)
    assert run.error is None
    assert run.ended("bench/notes").message == (
        "removed writer; its files are gone, but for what was changed on the host: extra/kept.txt;"
        " its volumes stay: notes_pages"
    )
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["data/note", "extra/kept.txt"]
    assert engine.docker("volume", "ls", "--quiet") == "notes_pages\n"


def test_pruning_leaves_nothing_of_a_stack_that_wrote_nothing(estate: Estate) -> None:
    estate.commit({**stack("bench", "plain"), **stack("bench", "other")})
    assert estate.reconcile(repository=MINE).error is None
    forget(estate, "bench/plain")
    # What was only taken down is pruned later as well.
    estate.settings |= ALLOWED
    assert estate.reconcile(repository=MINE).error is None
    assert (estate.stack_dir / "plain").exists()
    estate.settings["SF_CONFIG_DOCKER__DRIFT__ORPHAN_ACTION"] = "prune"
    run = estate.reconcile(repository=MINE, force=True)
    assert run.ended("bench/plain").message == "nothing of it ran; its files are gone"
    assert not (estate.stack_dir / "plain").exists()
    assert [one.name for one in run.plan.actions if one.action is ActionKind.REMOVE] == ["bench/plain"]  # type: ignore[union-attr]


UNTRUSTED = {
    "the repository is not named": (
        {"SF_CONFIG_DOCKER__REPOSITORY": ""},
        "`docker.repository` does not say which repository this has to be",
    ),
    "another repository is named": (
        {"SF_CONFIG_DOCKER__REPOSITORY": "git.example.com/acme/other"},
        f"`docker.repository` is git.example.com/acme/other, and this repository is {MINE}",
    ),
    "no hosts are declared": (
        {"SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS": "[]"},
        "`docker.targets.selector` does not say which hosts take part",
    ),
    "too many at once": (
        {"SF_CONFIG_DOCKER__DRIFT__ORPHAN_THRESHOLD": "0"},
        "1 are more than `docker.drift.orphan_threshold` allows (0)",
    ),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_what_speaks_against_it_is_named_and_nothing_is_taken_down(
    deployed: Estate, engine: Engine, case: str
) -> None:
    settings, why = UNTRUSTED[case]
    deployed.settings |= {**ALLOWED, **settings}
    if case == "no hosts are declared":
        del deployed.settings["SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS"]
    else:
        # A host that cannot be seen would be a reason of its own.
        deployed.settings["SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS"] = "[here]"
    run = deployed.reconcile(repository=MINE)
    assert run.action("bench/notes").action is ActionKind.REPORT
    assert codes(run)["orphans-reported"].endswith(f"is down, because {why}")
    assert projects(engine) == ["notes", "other"]


def test_a_root_that_moved_away_takes_nothing_down(deployed: Estate, engine: Engine) -> None:
    deployed.settings |= ALLOWED
    deployed.repository.git("mv", "docker-compose", "stacks")
    deployed.repository.commit({}, "another root")
    run = deployed.reconcile(repository=MINE)
    assert "there is no stack at all below docker-compose" in codes(run)["orphans-reported"]
    assert projects(engine) == ["notes", "other"]


def test_a_commit_without_our_configuration_and_one_with_errors_take_nothing_down(
    deployed: Estate, engine: Engine
) -> None:
    deployed.settings |= ALLOWED
    deployed.commit(stack("bench", "broken", {"compose.yaml": "services: {a: {imagge: b}}"}))
    run = deployed.reconcile(repository=MINE)
    assert "the plan has errors" in codes(run)["orphans-reported"]
    forget(deployed, "bench/broken")
    config = deployed.repository.root / ".stagefreight.yml"
    deployed.repository.git("rm", "--cached", "-q", config.name)
    deployed.repository.git("commit", "-qm", "without a configuration")
    run = deployed.reconcile(repository=MINE)
    assert "the commit has no .stagefreight.yml" in codes(run)["orphans-reported"]
    assert projects(engine) == ["notes", "other"]


def test_what_others_deployed_is_nobodys_orphan_here(deployed: Estate, engine: Engine) -> None:
    deployed.settings |= ALLOWED
    engine.docker(
        "run", "--detach", "--label", "com.docker.compose.project=byhand", "busybox:1.36", "sleep", "9"
    )
    run = deployed.plan(repository="git.example.com/acme/another")
    assert run.plan is not None
    assert {one.name: one.effect for one in run.plan.actions} == {
        "bench/notes": Change.UNCHANGED,
        "bench/other": Change.UNCHANGED,
    }
    assert list(codes(run)) == ["stack-foreign"]


def test_a_lost_record_makes_an_orphan_that_is_only_reported(deployed: Estate, engine: Engine) -> None:
    deployed.settings |= ALLOWED
    (deployed.stack_dir / "notes/.sf/record.json").unlink()
    run = deployed.reconcile(repository=MINE)
    assert run.action("bench/notes").action is ActionKind.REPORT
    assert told(run, "bench/notes") == [
        "it stands where sf deploys to, and no stack of the repository is that project",
        "it is left alone: it has no deployment record, so it may be another repository's",
    ]
    assert projects(engine) == ["notes", "other"]


def test_a_renamed_project_leaves_its_old_self_behind(estate: Estate, engine: Engine) -> None:
    estate.commit(stack("bench", "web"))
    assert estate.reconcile(repository=MINE).error is None
    estate.commit(stack("bench", "web", {"compose.yaml": f"name: site\n{PLAIN['compose.yaml']}"}))
    estate.settings |= ALLOWED
    run = estate.reconcile(repository=MINE)
    assert run.error is None
    assert {one.name: one.action for one in run.plan.actions} == {  # type: ignore[union-attr]
        "bench/web": ActionKind.DEPLOY,
        "bench/web (left over)": ActionKind.REMOVE,
    }
    # It goes first: the two may want the same ports.
    assert [one.result.name for one in run.events if isinstance(one, ActionUpdated) and one.result] == [
        "bench/web (left over)",
        "bench/web",
    ]
    assert projects(engine) == ["site"]


def test_a_script_of_the_same_name_may_be_what_runs_it_now(estate: Estate, engine: Engine) -> None:
    estate.commit({**stack("bench", "web"), **stack("bench", "other")})
    assert estate.reconcile(repository=MINE).error is None
    forget(estate, "bench/web")
    estate.commit({"bench/web/deploy.sh": "#!/bin/sh\n"})
    estate.settings |= ALLOWED
    run = estate.plan(repository=MINE)
    assert told(run, "bench/web (left over)")[1:] == [
        "it is left alone: bench still has a stack web, whose project is not known"
    ]
    assert projects(engine) == ["other", "web"]


def test_a_record_that_points_out_of_its_folder_is_refused(deployed: Estate) -> None:
    record = deployed.stack_dir / "notes/.sf/record.json"
    document = json.loads(record.read_text())
    document["managed"]["../../elsewhere"] = "0" * 64
    record.write_text(json.dumps(document))
    run = deployed.plan(repository=MINE)
    assert codes(run)["host-unreadable"] == "the deployment record of notes is damaged"


def test_a_moved_stack_stays_on_its_old_host_until_the_new_one_runs(fleet: Estate, hosts: Hosts) -> None:
    fleet.settings |= {**ALLOWED, "SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS": "[web]"}
    fleet.commit(stack("alpha", "notes", NOTES))
    assert fleet.reconcile(repository=MINE).error is None
    fleet.repository.git("mv", "docker-compose/alpha", "docker-compose/beta")
    fleet.repository.commit({}, "move it")
    run = fleet.reconcile(repository=MINE)
    assert run.error is None, run.ended("beta/notes")
    assert run.action("alpha/notes").action is ActionKind.REPORT
    assert told(run, "alpha/notes") == [
        "docker-compose/alpha/notes was deployed here, and is for beta now; volumes do not move",
        "it is left alone: this run is the first that brings it up on beta",
    ]
    assert projects(hosts["alpha"].engine) == projects(hosts["beta"].engine) == ["notes"]

    run = fleet.reconcile(repository=MINE)
    assert run.error is None
    assert run.ended("alpha/notes").message == "removed writer; its volumes stay: notes_pages"
    assert (projects(hosts["alpha"].engine), projects(hosts["beta"].engine)) == ([], ["notes"])
    assert (hosts["alpha"].stacks / "notes/data/note").read_text() == "mine\n"


def test_a_host_that_leaves_a_group_is_found_without_a_stack_of_its_own(fleet: Estate, hosts: Hosts) -> None:
    fleet.settings |= {**ALLOWED, "SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS": "[web]"}
    fleet.commit(stack("pair", "notes", NOTES))
    assert fleet.reconcile(repository=MINE).error is None
    inventory = (fleet.repository.root / "inventory.yml").read_text()
    fleet.repository.commit({"inventory.yml": inventory.replace("{alpha: {}, beta: {}}}", "{alpha: {}}}")})
    fleet.repository.commit({"README": "long ago"})
    with hosts["alpha"].stopped():
        blind = fleet.plan(repository=MINE)
    assert "because alpha could not be seen" in codes(blind)["orphans-reported"]
    run = fleet.reconcile(repository=MINE)
    assert run.error is None
    assert run.ended("beta/notes").outcome is Outcome.DONE
    assert (projects(hosts["alpha"].engine), projects(hosts["beta"].engine)) == (["notes"], [])


def test_taking_down_waits_for_the_lock_and_stops_at_a_newer_record(fleet: Estate, hosts: Hosts) -> None:
    fleet.settings |= {**ALLOWED, "SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS": "[web]"}
    alpha = hosts["alpha"]
    fleet.commit({**stack("alpha", "plain"), **stack("alpha", "other")})
    assert fleet.reconcile(repository=MINE).error is None
    forget(fleet, "alpha/plain")
    record = alpha.stacks / "plain/.sf/record.json"

    def meddle(event: object) -> None:
        if isinstance(event, ActionUpdated) and event.result is None:
            record.write_bytes(record.read_bytes() + b"\n")

    run = fleet.reconcile(repository=MINE, listen=meddle)
    assert run.ended("alpha/plain").message == (
        "another run deployed it after this run looked at it; run it again"
    )
    assert projects(alpha.engine) == ["other", "plain"]
    hold = (
        f"cd {fleet.stack_dir} && exec 9>>.lock && flock 9 && echo a run of somebody >.lock && touch held"
        " && until [ -e go ]; do sleep 0.1; done"
    )
    holder = threading.Thread(target=alpha.run, args=(hold,))
    holder.start()
    while not (alpha.stacks / "held").exists():
        pass
    fleet.settings["SF_CONFIG_DEADLINES__LOCK"] = "1s"
    refused = fleet.reconcile(repository=MINE).ended("alpha/plain")
    assert refused.message == "another deployment holds alpha for more than 1 s: a run of somebody"
    (alpha.stacks / "go").touch()
    holder.join()
    assert fleet.reconcile(repository=MINE).ended("alpha/plain").outcome is Outcome.DONE


def test_a_down_that_does_not_end_fails_and_is_found_again(estate: Estate, engine: Engine) -> None:
    slow = PLAIN["compose.yaml"].replace("stop_grace_period: 0s", "stop_grace_period: 60s")
    estate.commit({**stack("bench", "slow", {"compose.yaml": slow}), **stack("bench", "other")})
    assert estate.reconcile(repository=MINE).error is None
    forget(estate, "bench/slow")
    estate.settings |= {**ALLOWED, "SF_CONFIG_DEADLINES__ACTION": "1s"}
    run = estate.reconcile(repository=MINE)
    assert run.error is not None
    assert run.ended("bench/slow").message == "docker compose down did not end within 1 s"
    assert run.ended("bench/other").success
    # Whether the engine goes on stopping it is its own affair.
    for container in engine.docker("ps", "--all", "--quiet", "--filter", "name=slow").split():
        engine.docker("rm", "--force", container)
    estate.settings["SF_CONFIG_DEADLINES__ACTION"] = "20s"
    assert estate.reconcile(repository=MINE).ended("bench/slow").outcome is Outcome.DONE
    assert projects(engine) == ["other"]
