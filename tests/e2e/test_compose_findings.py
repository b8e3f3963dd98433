"""What a plan warns of beyond the change itself, and what it makes of files that are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.models import Change, Severity

if TYPE_CHECKING:
    from sf.models import Finding
    from tests.estates import Estate, Run

pytestmark = pytest.mark.tools


def service(name: str = "web", **fields: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in fields.items())
    return f"services: {{{name}: {{image: 'busybox:1.36'{more}}}}}\n"


def findings(run: Run, *codes: str) -> list[Finding]:
    assert run.plan is not None, run.error
    return [one for one in run.plan.findings if one.code in codes]


CLASHES = {
    "the same port": (service(ports="['8080:80']"), service(ports="['8080:81']"), "publish port 8080/tcp"),
    "the same port, written out": (
        service(ports="[{target: 80, published: 8080}]"),
        service(ports="['127.0.0.1:8080:80']"),
        "publish port 8080/tcp",
    ),
    "a port of a range": (service(ports="['8004:80']"), service(ports="['8000-8009:80-89']"), "8004/tcp"),
    "the same name": (
        service(container_name="proxy"),
        service(container_name="proxy"),
        "call a container proxy",
    ),
}


@pytest.mark.parametrize("case", CLASHES)
@pytest.mark.parametrize("order", [1, -1])
def test_two_stacks_that_want_the_same_of_a_host_are_an_error(paper: Estate, case: str, order: int) -> None:
    one, other, said = CLASHES[case]
    first, second = (one, other)[::order]
    paper.commit({"remote/a/compose.yaml": first})
    paper.commit({"away/b/compose.yaml": second})
    run = paper.plan()
    (clash,) = findings(run, "port-twice", "container-name-twice")
    assert clash.message.startswith("docker-compose/remote/a and docker-compose/away/b both ")
    assert clash.message.endswith(f"{said} on remote") or said in clash.message
    assert clash.severity is Severity.ERROR
    assert run.error is not None


def test_a_port_from_a_variable_of_the_stack_counts(paper: Estate) -> None:
    paper.commit({"remote/a/compose.yaml": service(ports="['${PORT}:80']"), "remote/a/.env": "PORT=8080\n"})
    paper.commit({"remote/b/compose.yaml": service(ports="['8080:80']")})
    assert len(findings(paper.plan(), "port-twice")) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("['8080:80']", "['8081:80']"),
        ("['8080:80']", "['8080:80/udp']"),
        ("['127.0.0.1:8080:80']", "['127.0.0.2:8080:80']"),
        ("['80']", "['80']"),
        ("['8000-8009:80']", "['8000:80']"),
    ],
)
def test_what_both_can_have_is_no_clash(paper: Estate, one: str, other: str) -> None:
    paper.commit({"remote/a/compose.yaml": service(ports=one), "remote/b/compose.yaml": service(ports=other)})
    assert findings(paper.plan(), "port-twice") == []


def test_a_host_of_its_own_is_no_clash_and_neither_is_a_service_without_containers(paper: Estate) -> None:
    paper.commit(
        {
            "remote/a/compose.yaml": service(ports="['8080:80']"),
            "bench/b/compose.yaml": service(ports="['8080:80']"),
            "remote/c/compose.yaml": service(ports="['8080:80']", scale="0"),
        }
    )
    assert findings(paper.plan(), "port-twice") == []


def test_two_services_of_one_stack_can_clash(paper: Estate) -> None:
    text = service(ports="['80:80']").rstrip("}\n") + "}, api: {image: 'a', ports: ['80:81']}}\n"
    paper.commit({"remote/a/compose.yaml": text})
    (clash,) = findings(paper.plan(), "port-twice")
    assert clash.message == (
        "the services api and web of docker-compose/remote/a both publish port 80/tcp on remote"
    )


def test_only_stacks_that_may_clash_are_resolved(paper: Estate) -> None:
    paper.commit(
        {f"remote/s{number}/compose.yaml": service(ports=f"['{8000 + number}:80']") for number in range(9)}
    )
    paper.commit({"remote/s3/compose.yaml": service(ports="['8005:80']")})
    # Before and after, and the one that has the port.
    assert paper.resolved() == 3
    assert len(findings(paper.plan(), "port-twice")) == 1


def test_a_project_that_gets_another_name_starts_with_empty_volumes(paper: Estate) -> None:
    text = service(volumes="['data:/data']") + "volumes: {data: {}}\n"
    paper.commit({"remote/web/compose.yaml": text})
    paper.commit({"remote/web/compose.yaml": f"name: site\n{text}"})
    run = paper.plan()
    (renamed,) = findings(run, "project-renamed", "volume-renamed")
    assert renamed.severity is Severity.DANGER
    assert renamed.message == (
        "the project web is called site now: it starts with empty volumes, and what runs as web on remote is"
        " left behind"
    )
    assert run.error is None


VOLUMES = {
    "another volume": (
        service(volumes="['data:/data']") + "volumes: {data: {}}\n",
        service(volumes="['store:/data']") + "volumes: {store: {}}\n",
        "had the volume web_data",
    ),
    "another name of it": (
        service(volumes="['data:/data']") + "volumes: {data: {}}\n",
        service(volumes="['data:/data']") + "volumes: {data: {name: store}}\n",
        "had the volume web_data",
    ),
    "a volume instead of a folder": (
        service(volumes="['./data:/data']"),
        service(volumes="['data:/data']") + "volumes: {data: {}}\n",
        "had a folder of the host",
    ),
}


@pytest.mark.parametrize("case", VOLUMES)
def test_a_service_that_gets_another_volume_starts_with_an_empty_one(paper: Estate, case: str) -> None:
    before, after, had = VOLUMES[case]
    paper.commit({"remote/web/compose.yaml": before})
    paper.commit({"remote/web/compose.yaml": after})
    (renamed,) = findings(paper.plan(), "project-renamed", "volume-renamed")
    assert renamed.severity is Severity.DANGER
    assert had in renamed.message
    assert "at /data now" in renamed.message
    assert "starts with an empty one" in renamed.message


def test_a_volume_that_stays_and_one_that_is_new_are_no_danger(paper: Estate) -> None:
    text = service(volumes="['data:/data']") + "volumes: {data: {}}\n"
    paper.commit({"remote/web/compose.yaml": text})
    more = service(volumes="['data:/data:ro', 'new:/new']") + "volumes: {data: {}, new: {}}\n"
    paper.commit({"remote/web/compose.yaml": more})
    assert findings(paper.plan(), "project-renamed", "volume-renamed") == []


WRONG = {
    "no YAML": ({"compose.yaml": "services: [\n"}, "not valid YAML", "compose.yaml"),
    "an unknown key": ({"compose.yaml": service(imagge="b")}, "imagge", "compose.yaml"),
    "a list for a mapping": (
        {"compose.yaml": "services: [a, b]\n"},
        "compose refuses the stack",
        "compose.yaml",
    ),
    "an env file that is missing": (
        {"compose.yaml": service(env_file="missing.env")},
        "missing.env",
        "compose.yaml",
    ),
    "an undefined variable": (
        {"compose.yaml": service(command="['${NOWHERE}']")},
        "the variable NOWHERE is not set, and compose would put in nothing",
        "compose.yaml",
    ),
    "undefined variables": (
        {"compose.yaml": service(command="['${NOWHERE}', '${NEITHER}']")},
        "the variables NEITHER, NOWHERE are not set",
        "compose.yaml",
    ),
    "a variable that has to be there": (
        {"compose.yaml": service(command="['${NOWHERE:?say where}']")},
        "say where",
        "compose.yaml",
    ),
    "an undefined variable in an env file": (
        {"compose.yaml": service(env_file="own.env"), "own.env": "A=${NOWHERE}\n"},
        "the variable NOWHERE is not set",
        "compose.yaml",
    ),
    "includes in a circle": (
        {"compose.yaml": "include: [b.yaml]\n", "b.yaml": "include: [compose.yaml]\n"},
        "include cycle detected: compose.yaml include b.yaml include compose.yaml",
        "compose.yaml",
    ),
    "an include that is missing": ({"compose.yaml": "include: [b.yaml]\n"}, "b.yaml", "compose.yaml"),
    "extends in a circle": (
        {"compose.yaml": "services: {a: {extends: b}, b: {extends: a}}\n"},
        "extends b in compose.yaml",
        "compose.yaml",
    ),
    "an override that is wrong": (
        {"compose.yaml": service(), "compose.override.yaml": "services: {web: {ports: no}}\n"},
        "services.web.ports",
        "compose.yaml",
    ),
    "a dependency that is missing": (
        {"compose.yaml": service(depends_on="[nobody]")},
        "nobody",
        "compose.yaml",
    ),
    "a service without an image": ({"compose.yaml": "services: {a: {}}\n"}, "image", "compose.yaml"),
    "no service at all": ({"compose.yaml": ""}, "compose refuses the stack", "compose.yaml"),
    "a compose file in two documents": (
        {"compose.yaml": f"{service()}---\n{service(imagge='b')}"},
        "imagge",
        "compose.yaml",
    ),
    "an env file that is no text": (
        {"compose.yaml": service(env_file="own.env"), "own.env": "\0\1=\2\n"},
        "own.env",
        "compose.yaml",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_stack_that_is_wrong_is_named_with_its_file_and_stops_no_other(paper: Estate, case: str) -> None:
    files, said, place = WRONG[case]
    paper.commit({f"remote/bad/{name}": text for name, text in files.items()})
    paper.commit({"remote/good/compose.yaml": service()})
    # Everything is new, so that everything is looked at.
    run = paper.plan(base=paper.repository.git("rev-list", "--max-parents=0", "HEAD").strip())
    (wrong,) = findings(run, "stack-unreadable")
    assert said in wrong.message
    assert "\n" not in wrong.message
    assert wrong.location is not None
    assert wrong.location.path == f"docker-compose/remote/bad/{place}"
    assert str(paper.temporary) not in f"{wrong.message} {wrong.hint}"
    assert run.action("remote/good").change is Change.ADD
    assert run.action("remote/good").objects


INVENTORIES = {
    "no YAML": ("all:\n  hosts: [\n", "this is not valid YAML"),
    "a list": ("- alpha\n- beta\n", "the inventory cannot be read"),
    "hosts that are a list": ("all: {hosts: [alpha]}\n", "the inventory cannot be read"),
    "an option as a host": (
        "all: {hosts: {'-oProxyCommand=x': {}}}\n",
        "could be taken for an option or for shell code",
    ),
    "shell code as a host": ("all: {hosts: {'a;b': {}}}\n", "could be taken for an option or for shell code"),
    "an address that is an option": (
        "all: {hosts: {alpha: {ansible_host: '-oProxyCommand=x'}}}\n",
        "alpha has ansible_host",
    ),
    "a plugin": ("plugin: amazon.aws.aws_ec2\n", "the configuration of the plugin amazon.aws.aws_ec2"),
    "a script": ("#!/bin/sh\necho {}\n", "this inventory is a script"),
    "an option of ssh that is not allowed": (
        "all: {hosts: {alpha: {ansible_ssh_common_args: '-o ProxyCommand=x'}}}\n",
        "alpha has ansible_ssh_common_args that",
    ),
}


@pytest.mark.parametrize("case", INVENTORIES)
def test_an_inventory_that_is_wrong_is_an_error_that_names_it(paper: Estate, case: str) -> None:
    text, said = INVENTORIES[case]
    paper.commit({"remote/web/compose.yaml": service()})
    paper.repository.commit({"inventory.yml": text})
    run = paper.plan()
    assert said in str(run.error)
    assert "inventory.yml" in str(run.error)
    assert str(paper.temporary) not in str(run.error)


def test_a_stack_for_an_empty_group_is_an_error_and_runs_nowhere(paper: Estate) -> None:
    inventory = (paper.repository.root / "inventory.yml").read_text()
    paper.repository.commit({"inventory.yml": f"{inventory}    empty: {{}}\n"})
    paper.commit({"empty/web/compose.yaml": service()})
    run = paper.plan()
    (found,) = findings(run, "scope-empty")
    assert found.message == "docker-compose/empty/web is for empty, a group without hosts, and runs nowhere"
    assert run.plan is not None
    assert run.plan.actions == ()


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("[nobody]", "`docker.targets.selector.groups` names nobody, and the inventory has no such group"),
        ("[empty]", "`docker.targets.selector.groups` names empty, and that is a group without hosts"),
    ],
)
def test_a_group_that_selects_nothing_is_an_error(paper: Estate, groups: str, said: str) -> None:
    inventory = (paper.repository.root / "inventory.yml").read_text()
    paper.repository.commit({"inventory.yml": f"{inventory}    empty: {{}}\n"})
    paper.commit({"remote/web/compose.yaml": service()})
    paper.settings["SF_CONFIG_DOCKER__TARGETS__SELECTOR__GROUPS"] = groups
    assert said in str(paper.plan().error)
