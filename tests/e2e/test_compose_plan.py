"""What a plan says of two commits, with real git, compose and ansible-inventory, and no engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sf.ci.context import EventKind, Trust
from sf.models import ActionKind, Change, Severity, Verdict, canonical_json

if TYPE_CHECKING:
    from pathlib import Path

    from sf.models import Finding
    from tests.estates import Estate, Run
    from toolchain.engine import Engine

pytestmark = pytest.mark.tools

SECRET = "-----BEGIN KEY-----\\nc2VjcmV0\\n-----END KEY-----"
WEB = """\
services:
  web:
    image: busybox:1.36
    command: [sleep, "1000"]
    volumes: ["./html:/www:ro", "~/cache:/cache"]
    environment: {LEVEL: "1", TOKEN: "hunter2hunter2"}
    labels: {place: "${PWD}"}
  db: {image: "busybox:1.36", command: [sleep, "2000"]}
"""


def finding(run: Run) -> Finding:
    assert run.plan is not None, run.error
    (only,) = run.plan.findings
    return only


def test_only_services_that_change_are_named_and_values_are_hidden(paper: Estate) -> None:
    paper.commit({"remote/web/compose.yaml": WEB, "remote/web/html/index.html": "one\n"})
    changed = WEB.replace('LEVEL: "1"', 'LEVEL: "2"').replace("busybox:1.36\n", "busybox:1.37\n")
    paper.commit({"remote/web/compose.yaml": changed, "remote/web/html/index.html": "two\n"})
    run = paper.plan()
    action = run.action("remote/web")
    assert (action.change, action.action) == (Change.CHANGE, ActionKind.DEPLOY)
    (web,) = action.objects
    assert [reason.subject for reason in web.reasons] == ["environment.LEVEL", "image", "html/index.html"]
    assert "-  LEVEL: (hidden)\n+  LEVEL: (hidden, changed)" in web.diff
    assert "-image: busybox:1.36\n+image: busybox:1.37" in web.diff
    assert "hunter2" not in json.dumps(run.document)
    assert run.plan is not None
    assert run.plan.unknown == (
        "what runs on remote is unknown: it is reached over ssh, and `docker.ssh.known_hosts` is not set",
    )
    assert run.plan.verdict is Verdict.INCOMPLETE


def test_with_a_key_values_are_fingerprints_and_the_plan_says_which_key(paper: Estate) -> None:
    paper.commit({"remote/web/compose.yaml": WEB})
    paper.commit({"remote/web/compose.yaml": WEB.replace("hunter2hunter2", "correcthorse")})
    plans = [paper.plan(environ={"SF_FINGERPRINT_KEY": key * 32}) for key in ("a", "a", "b")]
    assert plans[0].document == plans[1].document
    assert plans[0].document["fingerprint_key"] != plans[2].document["fingerprint_key"]
    assert plans[0].action("remote/web").objects[0].diff.count("TOKEN: hmac-sha256:") == 2
    assert "correcthorse" not in json.dumps([run.document for run in plans])


def test_a_short_key_is_refused(paper: Estate) -> None:
    run = paper.plan(environ={"SF_FINGERPRINT_KEY": "short"})
    assert "at least 32" in str(run.error)


def test_equal_inputs_give_equal_bytes_wherever_the_run_keeps_its_files(
    paper: Estate, tmp_path: Path
) -> None:
    paper.commit({"bench/web/compose.yaml": WEB, "bench/web/html/index.html": "one\n"})
    first = paper.plan().plan
    paper.temporary = tmp_path / "another place for files"
    paper.temporary.mkdir()
    second = paper.plan(environ={"TMPDIR": str(paper.temporary), "HOME": str(tmp_path / "another home")}).plan
    assert first is not None
    assert second is not None
    assert canonical_json(first.document()) == canonical_json(second.document())
    assert str(tmp_path) not in json.dumps(first.document())


def test_without_an_engine_the_commits_are_compared_and_the_rest_is_unknown(paper: Estate) -> None:
    paper.commit({"bench/web/compose.yaml": WEB})
    run = paper.plan()
    assert run.error is None
    assert run.action("bench/web").change is Change.ADD
    assert run.action("bench/web").live is None
    assert finding(run).code == "host-unreadable"
    assert run.plan is not None
    assert run.plan.verdict is Verdict.INCOMPLETE
    paper.repository.commit({"README": "nothing of the estate"})
    unchanged = paper.plan().action("bench/web")
    assert (unchanged.change, unchanged.effect) == (Change.UNCHANGED, Change.UNKNOWN)


@pytest.mark.engine
def test_an_untrusted_run_does_not_look_at_the_engine(estate: Estate, engine: Engine) -> None:
    del engine
    estate.commit({"bench/web/compose.yaml": WEB})
    run = estate.plan(trust=Trust.UNTRUSTED, event=EventKind.UNKNOWN)
    assert run.action("bench/web").live is None
    assert run.plan is not None
    assert run.plan.unknown == (
        "what runs on bench is unknown: this run is not trusted, so nothing was looked at there",
    )


@pytest.mark.engine
def test_a_pull_request_that_turns_a_host_into_the_runner_is_not_followed(estate: Estate) -> None:
    base = estate.commit({"remote/web/compose.yaml": WEB})
    text = (estate.repository.root / "inventory.yml").read_text()
    head = estate.repository.commit(
        {"inventory.yml": text.replace("ansible_host: 192.0.2.7", "docker_local: true")}
    )
    run = estate.plan(event=EventKind.PULL_REQUEST, base=base, head=head)
    assert run.action("remote/web").effect is Change.UNKNOWN
    assert (finding(run).code, finding(run).severity) == ("host-steered", Severity.DANGER)


def test_a_variable_of_the_job_is_only_seen_when_it_is_listed_and_is_never_shown(paper: Estate) -> None:
    text = WEB.replace('"1000"', '"${APP_TOKEN}"')
    paper.commit({"remote/web/compose.yaml": text})
    run = paper.plan(environ={"APP_TOKEN": "swordfish-1"})
    assert finding(run).message.startswith("the variable APP_TOKEN is not set")
    config = (paper.repository.root / ".stagefreight.yml").read_text()
    paper.repository.commit({".stagefreight.yml": f"{config}  env: [APP_TOKEN]\n"})
    run = paper.plan(environ={"APP_TOKEN": "swordfish-1"}, base=paper.repository.git("rev-parse", "HEAD~2"))
    assert run.error is None
    assert "${APP_TOKEN}" in run.action("remote/web").objects[1].diff
    assert "swordfish" not in json.dumps(run.document)


HOSTILE = {
    "a variable of the runner": (
        "services: {a: {image: '${SSH_PRIVATE_KEY}'}}",
        "SSH_PRIVATE_KEY is not set",
    ),
    "a variable of the runner in an env file": (
        "services: {a: {image: b, env_file: own.env}}",
        "SSH_PRIVATE_KEY is not set",
    ),
    "an include from the web": ("include: ['https://example.com/c.yaml']\nservices: {}", "is an address"),
    "an include from git": ("include: ['git@example.com:a/b.git']\nservices: {}", "is an address"),
    "an include from a registry": ("include: ['oci://example.com/a:b']\nservices: {}", "is an address"),
    "an include by a variable": ("include: ['${WHERE}']\nservices: {}", "holds a variable"),
    "an include of a neighbour": ("include: [{path: ../other/compose.yaml}]\nservices: {}", "leads out"),
    "an env file of the machine": ("services: {a: {image: b, env_file: /etc/passwd}}", "leads out"),
    "an env file above the folder": (
        f"services: {{a: {{image: b, env_file: [{{path: {'../' * 40}etc/passwd}}]}}}}",
        "leads out",
    ),
    "an env file behind a merge key": (
        "x-a: &a {env_file: /etc/passwd}\nservices: {a: {<<: *a, image: b}}",
        "leads out",
    ),
    "labels of the machine": ("services: {a: {image: b, label_file: /etc/passwd}}", "leads out"),
    "a base of the machine": ("services: {a: {extends: {file: /etc/passwd, service: b}}}", "leads out"),
    "a mount above the folder": (
        "services: {a: {image: b, volumes: ['../../..:/x']}}",
        "outside of the stack",
    ),
    "a secret above the folder": (
        "services: {a: {image: b, secrets: [s]}}\nsecrets: {s: {file: ../../../s}}",
        "outside of the stack",
    ),
    "a program of the host": ("services: {a: {provider: {type: evil}}}", "a `provider`"),
    "no compose file at all": ("services: [", "not valid YAML"),
    "an unknown key": ("services: {a: {image: b, imagge: c}}", "imagge"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_stack_is_a_finding_and_nothing_of_the_runner_is_in_it(paper: Estate, name: str) -> None:
    text, said = HOSTILE[name]
    paper.commit({"remote/evil/compose.yaml": text, "remote/evil/own.env": "A=${SSH_PRIVATE_KEY}\n"})
    run = paper.plan(environ={"SSH_PRIVATE_KEY": SECRET, "WHERE": "https://example.com/c.yaml"})
    assert said in finding(run).message
    assert finding(run).severity is Severity.ERROR
    assert finding(run).location is not None
    assert run.error is not None
    document = json.dumps(run.document)
    assert "c2VjcmV0" not in document
    assert "root:" not in document
    assert str(paper.temporary) not in document


def test_a_variable_is_not_passed_through_from_the_job(paper: Estate) -> None:
    paper.commit({"remote/evil/compose.yaml": "services: {a: {image: b, environment: [SSH_PRIVATE_KEY]}}"})
    run = paper.plan(environ={"SSH_PRIVATE_KEY": SECRET})
    assert run.error is None
    assert "c2VjcmV0" not in json.dumps(run.document)


@pytest.mark.parametrize("link", ["compose.yaml", ".env", "html"])
def test_a_link_out_of_the_folder_is_not_read(paper: Estate, link: str) -> None:
    paper.commit({"remote/web/docker-compose.yml": WEB})
    (paper.repository.root / "docker-compose/remote/web" / link).symlink_to("/etc/passwd")
    paper.commit({})
    run = paper.plan()
    found = [one for one in run.plan.findings if one.severity is Severity.ERROR] if run.plan else []
    assert [one.message for one in found] == [
        f"docker-compose/remote/web/{link} is a symbolic link that leads out of its folder, and is not read"
    ]


def test_a_link_inside_the_folder_is_what_it_points_to(paper: Estate) -> None:
    paper.commit({"remote/web/compose.yaml": WEB, "remote/web/real/index.html": "one\n"})
    (paper.repository.root / "docker-compose/remote/web/html").symlink_to("real")
    paper.commit({})
    paper.commit({"remote/web/real/index.html": "two\n"})
    (web,) = paper.plan().action("remote/web").objects
    assert [reason.subject for reason in web.reasons] == ["html/index.html"]


def test_stacks_come_and_go_with_folders_and_with_the_inventory(paper: Estate) -> None:
    paper.commit({"remote/old/compose.yaml": WEB, "away/fleet/compose.yaml": WEB})
    inventory = (paper.repository.root / "inventory.yml").read_text()
    paper.repository.git("rm", "-rq", "docker-compose/remote/old")
    paper.repository.commit({"inventory.yml": inventory.replace("{remote: {}}}", "{remote: {}, far: {}}}")})
    run = paper.plan()
    assert {action.name: action.change for action in run.plan.actions} == {  # type: ignore[union-attr]
        "far/fleet": Change.ADD,
        "remote/fleet": Change.UNCHANGED,
        "remote/old": Change.REMOVE,
    }
    assert run.action("remote/old").action is ActionKind.REPORT


def test_a_scope_that_nobody_knows_is_an_error_and_runs_nowhere(paper: Estate) -> None:
    paper.commit({"bnech/web/compose.yaml": WEB})
    run = paper.plan()
    assert run.plan is not None
    assert run.plan.actions == ()
    assert finding(run).code == "scope-unknown"


def test_a_script_stack_is_shown_and_not_understood(paper: Estate) -> None:
    paper.commit({"bench/legacy/deploy.sh": "#!/bin/sh\ntouch /tmp/sf-was-here\n"})
    action = paper.plan().action("bench/legacy")
    assert (action.change, action.action) == (Change.ADD, ActionKind.REPORT)
    assert action.metadata["kind"] == "script"


def test_a_broken_state_before_does_not_stop_the_repair(paper: Estate) -> None:
    paper.commit({"remote/web/compose.yaml": "services: {web: {imagge: a}}"})
    paper.commit({"remote/web/compose.yaml": WEB})
    run = paper.plan()
    assert run.error is None
    assert run.action("remote/web").change is Change.CHANGE
    assert finding(run).severity is Severity.WARNING


def test_overrides_profiles_includes_and_extends_mean_what_they_mean_to_compose(paper: Estate) -> None:
    files = {
        "remote/web/compose.yaml": """\
include: [parts/db.yaml]
services:
  web: {extends: {file: parts/base.yaml, service: base}}
  debug: {image: "busybox:1.36", profiles: [debug]}
""",
        "remote/web/compose.override.yml": "services: {web: {environment: {EXTRA: 'yes'}}}\n",
        "remote/web/parts/base.yaml": "services: {base: {image: 'busybox:1.36', env_file: base.env}}\n",
        "remote/web/parts/base.env": "FROM_BASE=1\n",
        "remote/web/parts/db.yaml": "services: {db: {image: 'busybox:1.36', volumes: ['./seed:/seed']}}\n",
        "remote/web/parts/seed/rows.sql": "1\n",
    }
    paper.commit(files)
    document = paper.document()
    (stack,) = document["stacks"]
    assert [service["name"] for service in stack["services"]] == ["db", "web"]
    assert list(stack["services"][0]["files"]) == ["parts/seed/rows.sql"]
    paper.commit({"remote/web/parts/base.env": "FROM_BASE=2\n", "remote/web/parts/seed/rows.sql": "2\n"})
    changed = paper.plan().action("remote/web").objects
    assert {one.name: [reason.subject for reason in one.reasons] for one in changed} == {
        "db": ["parts/seed/rows.sql"],
        "web": ["environment.FROM_BASE"],
    }


def test_the_estate_is_described_without_a_host(paper: Estate) -> None:
    paper.commit({"pair/web/compose.yaml": WEB, "bench/bad/compose.yaml": "services: {a: {imagge: b}}"})
    document = paper.document()
    assert document["schema"] == "sf.estate/v1"
    assert [(one["name"], one["local"], one["groups"]) for one in document["hosts"]] == [
        ("bench", True, ["all", "here", "pair"]),
        ("remote", False, ["all", "away", "pair"]),
    ]
    assert [(one["host"], one["stack"], one["project"]) for one in document["stacks"]] == [
        ("bench", "bad", ""),
        ("bench", "web", "web"),
        ("remote", "web", "web"),
    ]
    assert [one["code"] for one in document["findings"]] == ["stack-unreadable"]


@pytest.mark.parametrize("host", ["bench", "remote"])
def test_two_stacks_under_one_project_name_on_a_host_are_an_error(paper: Estate, host: str) -> None:
    paper.commit(
        {f"{host}/a/compose.yaml": f"name: same\n{WEB}", f"{host}/b/compose.yaml": f"name: same\n{WEB}"}
    )
    run = paper.plan()
    assert run.plan is not None
    assert [one.message for one in run.plan.findings if one.code == "project-twice"] == [
        f"docker-compose/{host}/a and docker-compose/{host}/b are both the project same on {host}"
    ]


def test_only_what_changes_is_resolved(paper: Estate) -> None:
    paper.commit({f"pair/s{number}/compose.yaml": WEB for number in range(12)})
    paper.commit({"pair/s3/html/index.html": "one\n"})
    # Before and after, on two hosts.
    assert paper.resolved() == 2


def test_how_compose_is_tuned_is_invisible_to_files(paper: Estate) -> None:
    paper.commit(
        {"bench/a/compose.yaml": 'services: {a: {image: a, environment: {A: "${GOGC}", B: "${GOMEMLIMIT}"}}}'}
    )
    assert "the variables GOGC, GOMEMLIMIT are not set" in str(paper.plan().error)
    paper.commit({"bench/a/compose.yaml": "services: {a: {image: a}}"})
    paper.commit({"bench/a/compose.yaml": "services: {a: {image: a, environment: [GOMAXPROCS]}}"})
    (change,) = paper.plan().action("bench/a").objects
    assert "GOMAXPROCS: (hidden)" not in change.diff


def test_what_was_resolved_before_is_not_resolved_again(paper: Estate, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    paper.environ["SF_CACHE_DIR"] = str(cache)
    paper.commit({f"remote/{name}/compose.yaml": WEB for name in ("one", "two", "three")})
    assert paper.resolved() == 3
    cold = paper.plan().document
    assert paper.resolved() == 0
    assert paper.plan().document == cold
    # Of what changes now, only the new state is to be resolved.
    paper.commit({"remote/two/compose.yaml": WEB.replace("2000", "3000")})
    assert paper.resolved() == 1
    kept = [path for path in cache.rglob("*") if path.is_file()]
    assert len(kept) == 5
    assert not [path for path in kept if b"hunter2" in path.read_bytes()]
    for path in kept:
        path.write_bytes(b"damaged")
    assert paper.resolved() == 2
