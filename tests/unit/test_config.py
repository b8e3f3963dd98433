"""``.stagefreight.yml``: what is accepted, what it means, and the exact words for what is wrong."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sf import documents
from sf.config import Config, check_config, json_schema, load_config, reference
from sf.models import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).parent / "configs"
GITOPS = b"lifecycle: {mode: gitops}\ngitops: {}\n"
DOCKER = b"lifecycle: {mode: docker}\ndocker: {}\n"
START = (
    "write at least `{lifecycle: {mode: gitops}, gitops: {}}` or `{lifecycle: {mode: docker}, docker: {}}`"
)
URL = "must be an https URL like `https://10.0.0.1:6443`, without user, query or fragment"
DURATION = "must be a duration of at most 24h: seconds, or a text like `90s`, `10m` or `1h30m`"
NAME = (
    "must be a name of letters, digits and hyphens, at most 63, that starts with a letter:"
    " it becomes the prefix of environment variables"
)


def in_section(section: str, lines: str) -> bytes:
    """A configuration of the mode `section`; `lines` start at line 4, indented by two blanks."""
    indented = "".join(f"  {line}\n" for line in lines.splitlines())
    return f"lifecycle:\n  mode: {section}\n{section}:\n{indented}".encode()


PROBLEMS: list[tuple[str, bytes | None, list[tuple[str, str]]]] = [
    ("missing", None, [(".stagefreight.yml: there is no such file", START)]),
    ("empty", b"", [(".stagefreight.yml: this file is empty", START)]),
    ("comments only", b"# nothing\n", [(".stagefreight.yml: this file is empty", START)]),
    (
        "huge",
        b"a: " + b"x" * 256 * 1024,
        [
            (
                ".stagefreight.yml: this file is larger than 256 KiB, which is the most that is read",
                "split the file",
            )
        ],
    ),
    ("binary", b"\x7fELF\0", [(".stagefreight.yml: this is a binary file, not YAML", "name a text file")]),
    (
        "broken",
        b"lifecycle:\n  mode: gitops\n bad\n",
        [
            (
                (
                    ".stagefreight.yml:3:2: this is not valid YAML: did not find expected key"
                    " while parsing a block mapping that starts at line 1"
                ),
                "check the indentation of this line",
            )
        ],
    ),
    (
        "bomb",
        b"a0: &a0 [x, x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b"*a%d, " % (i - 1) * 9) for i in range(1, 20)),
        [
            (
                ".stagefreight.yml:1:1: the aliases of this document expand to more than 400,000 values",
                "write the values out, or nest fewer aliases",
            )
        ],
    ),
    (
        "anchor loop",
        b"lifecycle: &a {mode: *a}\n",
        [
            (
                ".stagefreight.yml:1:12: an anchor contains itself",
                "an alias (`*name`) cannot stand inside the value it names",
            )
        ],
    ),
    (
        "key twice",
        b"lifecycle: {mode: gitops}\nlifecycle: {mode: docker}\n",
        [
            (
                ".stagefreight.yml:2:1: the key `lifecycle` is already defined at line 1",
                "keep one of the two lines",
            )
        ],
    ),
    (
        "two documents",
        b"lifecycle: {mode: gitops}\n---\ngitops: {}\n",
        [
            (
                ".stagefreight.yml:3: a second YAML document starts here, and this file may hold only one",
                "move it to a file of its own, or remove the `---` line above it",
            )
        ],
    ),
    (
        "list",
        b"# c\n- lifecycle\n",
        [(".stagefreight.yml:2: a configuration is a mapping of sections, and this is a list", START)],
    ),
    (
        "text",
        b"gitops\n",
        [
            (
                ".stagefreight.yml:1: a configuration is a mapping of sections, and this is the text `gitops`",
                START,
            )
        ],
    ),
    ("no lifecycle", b"gitops: {}\n", [(".stagefreight.yml:1: `lifecycle` is missing", START)]),
    ("lifecycle without value", b"lifecycle:\n", [(".stagefreight.yml:1:1: `lifecycle` is missing", START)]),
    ("no mode", b"lifecycle: {}\n", [(".stagefreight.yml:1:1: `lifecycle.mode` is missing", START)]),
    (
        "section is text",
        b"lifecycle: gitops\n",
        [(".stagefreight.yml:1:12: `lifecycle` must be a mapping, not the text `gitops`", "")],
    ),
    (
        "mode of StageFreight",
        b"lifecycle: {mode: image}\n",
        [(".stagefreight.yml:1:19: `lifecycle.mode` must be `gitops` or `docker`, not the text `image`", "")],
    ),
    (
        "misspelt mode",
        b"lifecycle: {mode: gitop}\n",
        [
            (
                ".stagefreight.yml:1:19: `lifecycle.mode` must be `gitops` or `docker`, not the text `gitop`",
                "did you mean `gitops`?",
            )
        ],
    ),
    (
        "mode without its section",
        b"lifecycle:\n  mode: docker\ngitops: {}\n",
        [
            (
                ".stagefreight.yml:2:9: `lifecycle.mode` is `docker`, but there is no section `docker`",
                "add the section; `docker: {}` takes all defaults",
            )
        ],
    ),
    (
        "misspelt sections",
        b"lifecycle: {mode: gitops}\ndeadline: {}\ngitop: {}\n",
        [
            (".stagefreight.yml:2:1: `deadline` is not a section that exists", "did you mean `deadlines`?"),
            (".stagefreight.yml:3:1: `gitop` is not a section that exists", "did you mean `gitops`?"),
        ],
    ),
    (
        "unknown keys",
        in_section("docker", "iac:\n  pth: x\nsource-root: y\ntargets: {selector: {group: [a]}}"),
        [
            (".stagefreight.yml:5:5: `docker.iac.pth` is not a key that exists", "did you mean `path`?"),
            (
                ".stagefreight.yml:6:3: `docker.source-root` is not a key that exists",
                (
                    "the keys here are `backend`, `repository`, `targets`, `iac`, `secrets`, `drift`, `ssh`,"
                    " `stack_dir`, `env`, `scripts`, `concurrency`"
                ),
            ),
            (
                ".stagefreight.yml:7:24: `docker.targets.selector.group` is not a key that exists",
                "did you mean `groups`?",
            ),
        ],
    ),
    (
        "wrong types",
        in_section(
            "docker",
            "backend: 5\niac: [a]\nscripts: maybe\nenv: A\nstack_dir: {a: b}\ndrift:\n  orphan_threshold: 5.5\n"
            "targets: {selector: {groups: [a, true, null]}}",
        ),
        [
            (".stagefreight.yml:4:12: `docker.backend` must be text, not the number 5", "quote it"),
            (".stagefreight.yml:5:8: `docker.iac` must be a mapping, not a list", ""),
            (
                ".stagefreight.yml:6:12: `docker.scripts` must be `true` or `false`, not the text `maybe`",
                "without the key it is `false`",
            ),
            (".stagefreight.yml:7:8: `docker.env` must be a list, not the text `A`", ""),
            (
                ".stagefreight.yml:8:14: `docker.stack_dir` must be text, not a mapping",
                "without the key it is `/opt/stagefreight/stacks`",
            ),
            (
                (
                    ".stagefreight.yml:10:23: `docker.drift.orphan_threshold` must be a whole number,"
                    " not the number 5.5"
                ),
                "without the key it is `5`",
            ),
            (
                ".stagefreight.yml:11:36: `docker.targets.selector.groups.1` must be text, not `true`",
                "quote it",
            ),
            (
                ".stagefreight.yml:11:42: `docker.targets.selector.groups.2` must be text, not nothing",
                "quote it",
            ),
        ],
    ),
    (
        "wrong values",
        in_section(
            "docker",
            "env: [A-B]\nstack_dir: opt/stacks\nsecrets: {provider: vault}\ntargets: {source: ansibel}\n"
            "drift:\n  orphan_threshold: -1\n  orphan_action: delete",
        ),
        [
            (
                (
                    ".stagefreight.yml:4:9: `docker.env.0` must be the name of an environment variable:"
                    " letters, digits and underscores"
                ),
                "",
            ),
            (
                ".stagefreight.yml:5:14: `docker.stack_dir` must be an absolute path without `..`",
                "without the key it is `/opt/stagefreight/stacks`",
            ),
            (
                ".stagefreight.yml:6:23: `docker.secrets.provider` must be `sops`, not the text `vault`",
                "without the key it is `sops`",
            ),
            (
                (
                    ".stagefreight.yml:7:21: `docker.targets.source` must be `ansible`, `inline` or"
                    " `docker-context`, not the text `ansibel`"
                ),
                "did you mean `ansible`?",
            ),
            (
                ".stagefreight.yml:9:23: `docker.drift.orphan_threshold` must be 0 or more, not the number -1",
                "without the key it is `5`",
            ),
            (
                (
                    ".stagefreight.yml:10:20: `docker.drift.orphan_action` must be `report`, `down` or `prune`,"
                    " not the text `delete`"
                ),
                "without the key it is `report`",
            ),
        ],
    ),
    (
        "groups without an inventory",
        in_section("docker", "targets:\n  selector: {groups: [a]}"),
        [
            (
                ".stagefreight.yml:5:5: `docker.targets` selects groups, but has no `inventory` to find them in",
                "",
            )
        ],
    ),
    (
        "an inline inventory without hosts",
        in_section("docker", "targets:\n  source: inline"),
        [(".stagefreight.yml:5:5: `docker.targets` has the source `inline`, but no `hosts`", "")],
    ),
    (
        "hosts beside another inventory",
        in_section("docker", "targets:\n  inventory: hosts\n  hosts: {a: {}}"),
        [
            (
                (
                    ".stagefreight.yml:5:5: `docker.targets` has `hosts`, but the source is `ansible` and not"
                    " `inline`"
                ),
                "",
            )
        ],
    ),
    (
        "an inventory beside contexts",
        in_section("docker", "targets:\n  source: docker-context\n  inventory: hosts"),
        [
            (
                (
                    ".stagefreight.yml:5:5: `docker.targets` has an `inventory`, but the source is"
                    " `docker-context` and not `ansible`"
                ),
                "",
            )
        ],
    ),
    (
        "hosts that are no mappings",
        in_section("docker", "targets:\n  source: inline\n  hosts: {a: here}"),
        [(".stagefreight.yml:6:16: `docker.targets.hosts.a` must be a mapping, not the text `here`", "")],
    ),
    (
        "paths out of the repository",
        in_section("gitops", "path: clusters/../../x\nsource_root: /kubernetes\n"),
        [
            (".stagefreight.yml:4:9: `gitops.path` must stay inside the repository, without `..`", ""),
            (
                (
                    ".stagefreight.yml:5:16: `gitops.source_root` must be relative to the root of the repository,"
                    " without a leading `/`"
                ),
                "",
            ),
        ],
    ),
    (
        "control characters",
        in_section("gitops", 'path: "a\\nb"\nsource_root: "a\\e[0m"'),
        [
            (".stagefreight.yml:4:9: `gitops.path` must not contain control characters", ""),
            (".stagefreight.yml:5:16: `gitops.source_root` must not contain control characters", ""),
        ],
    ),
    (
        "cluster without server",
        in_section("gitops", "cluster:\n  name: lives\n  kubeconfig: {}"),
        [(".stagefreight.yml:5:5: `gitops.cluster` needs a `server`, or a `kubeconfig` that has one", "")],
    ),
    (
        "cluster without name",
        in_section("gitops", "cluster:\n  server: http://a"),
        [
            (".stagefreight.yml:4:3: `gitops.cluster.name` is missing", "add the key `name`"),
            (f".stagefreight.yml:5:13: `gitops.cluster.server` {URL}", ""),
        ],
    ),
    (
        "kubeconfig from two places",
        in_section("gitops", "cluster:\n  name: a\n  kubeconfig: {path: /k, variable: K}"),
        [
            (
                (
                    ".stagefreight.yml:6:17: `gitops.cluster.kubeconfig` has a `path` and a `variable`,"
                    " and can come from only one of them"
                ),
                "",
            )
        ],
    ),
    (
        "kubeconfig out of the repository",
        in_section("gitops", "cluster:\n  name: a\n  kubeconfig: {path: ../k}"),
        [
            (
                (
                    ".stagefreight.yml:6:24: `gitops.cluster.kubeconfig.path` must stay inside the repository,"
                    " without `..`"
                ),
                "",
            )
        ],
    ),
    (
        "durations",
        DOCKER + b"deadlines:\n  program: 10 minutes\n  action: 0\n",
        [
            (f".stagefreight.yml:4:12: `deadlines.program` {DURATION}", "without the key it is `2m`"),
            (f".stagefreight.yml:5:11: `deadlines.action` {DURATION}", "without the key it is `10m`"),
        ],
    ),
]


@pytest.mark.parametrize(
    ("data", "expected"), [case[1:] for case in PROBLEMS], ids=[case[0] for case in PROBLEMS]
)
def test_bad_input_is_explained(data: bytes | None, expected: list[tuple[str, str]]) -> None:
    assert [(str(problem), problem.hint) for problem in check_config(data)] == expected
    with pytest.raises(Problem) as caught:
        load_config(data)
    first, hint = expected[0]
    more = {1: "", 2: " (and 1 more problem)"}.get(len(expected), f" (and {len(expected) - 1} more problems)")
    assert (str(caught.value), caught.value.hint) == (first + more, hint)


def test_problems_name_the_file_that_was_read() -> None:
    (problem,) = check_config(b"a: b: c", path="infra/.stagefreight.yml")
    assert problem.location == Location("infra/.stagefreight.yml", 1, 5)


@pytest.mark.parametrize(
    "server",
    [
        "http://a",
        "https://",
        "a:6443",
        "https://u:p@a",
        "https://a?x=1",
        "https://a#b",
        "https://a:x",
        "https://a:0",
        "https://[::1",
        "https://a b",
        "https://a:99999",
        "ftp://a",
        "",
        "https://a\t",
    ],
)
def test_the_server_is_an_https_url(server: str) -> None:
    text = documents.dump({"name": "c", "server": server})
    problems = check_config(
        in_section("gitops", "cluster:\n" + "".join(f"  {line}\n" for line in text.splitlines()))
    )
    assert [problem.message for problem in problems] in (
        [f"`gitops.cluster.server` {URL}"],
        ["`gitops.cluster.server` must not contain control characters"],
    )


@pytest.mark.parametrize("name", ["", "9x", "-x", "x-", "a.b", "a b", "a_b", "é", "x" * 64, "a\n"])
def test_the_cluster_name_can_begin_a_variable(name: str) -> None:
    data = documents.dump(
        {"lifecycle": {"mode": "gitops"}, "gitops": {"cluster": {"name": name, "server": "https://a"}}}
    )
    assert [problem.message for problem in check_config(data.encode())] == [f"`gitops.cluster.name` {NAME}"]


@pytest.mark.parametrize(
    "kubeconfig", ["{path: ~/k}", "{path: /k, context: c}", "{context: c}", "{variable: K}"]
)
def test_a_kubeconfig_takes_the_place_of_the_server(kubeconfig: str) -> None:
    config = load_config(in_section("gitops", f"cluster: {{name: a, kubeconfig: {kubeconfig}}}"))
    assert config.gitops.cluster is not None
    assert config.gitops.cluster.kubeconfig.is_used


def test_who_looks_at_a_cluster_does_not_change_the_digest() -> None:
    data = in_section("gitops", "cluster: {name: a, server: 'https://a'}")
    mine = load_config(data, environ={"SF_CONFIG_GITOPS__CLUSTER__KUBECONFIG__CONTEXT": "mine"})
    theirs = load_config(data, environ={"SF_CONFIG_GITOPS__CLUSTER__CA": "pem"})
    closely = load_config(data, environ={"SF_CONFIG_GITOPS__DRIFT": "true"})
    assert mine.digest == closely.digest == load_config(data).digest != theirs.digest


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("keys/known_hosts", None),
        ("web.example.com ssh-ed25519 AAAA", None),
        ("/etc/ssh/known_hosts", "must be relative to the root of the repository, without a leading `/`"),
        ("../known_hosts", "must stay inside the repository, without `..`"),
    ],
)
def test_host_keys_are_lines_or_a_file_of_the_repository(text: str, problem: str | None) -> None:
    problems = check_config(in_section("docker", f"ssh: {{known_hosts: {text!r}}}"))
    expected = [f"`docker.ssh.known_hosts` {problem}"] if problem else []
    assert [one.message for one in problems] == expected


def test_how_many_hosts_at_a_time_is_at_least_one_and_no_part_of_what_is_approved() -> None:
    problems = check_config(in_section("docker", "concurrency: 0"))
    assert [one.message for one in problems] == ["`docker.concurrency` must be 1 or more, not the number 0"]
    digests = {load_config(in_section("docker", f"concurrency: {count}")).digest for count in (1, 2)}
    assert digests == {load_config(DOCKER).digest}


def test_a_flood_of_problems_ends() -> None:
    data = in_section("gitops", "\n".join(f"{'k' * 100}{number}: 1" for number in range(2000)))
    started = time.process_time()
    problems = check_config(data)
    assert len(problems) == 20
    assert problems[0].message == f"`gitops.{'k' * 57}...` is not a key that exists"
    assert time.process_time() - started < 5


def test_a_file_of_stagefreight_works_unchanged() -> None:
    config = load_config((SAMPLES / "gitops.yml").read_bytes())
    assert (config.mode, config.backend) == ("gitops", "flux")
    assert config.gitops.cluster is not None
    assert config.gitops.cluster.name == "home-lab"
    assert config.gitops.cluster.server == "https://10.0.0.1:6443"
    assert config.gitops.cluster.env_prefix == "HOME_LAB"
    assert config.gitops.oidc.audience == "flux-ci"


def test_every_key_of_the_docker_mode_is_read() -> None:
    config = load_config((SAMPLES / "docker.yml").read_bytes())
    assert config.model_dump(include={"docker", "deadlines"}) == {
        "docker": {
            "backend": "compose",
            "repository": "github.com/acme/estate",
            "targets": {
                "source": "ansible",
                "inventory": "ansible/inventory.yml",
                "hosts": {},
                "selector": {"groups": ("docker_hosts",), "hosts": ("bench",)},
            },
            "iac": {"path": "stacks"},
            "secrets": {"provider": "sops", "at_rest": "tmpfs"},
            "drift": {
                "tier2_action": "reconcile",
                "images": True,
                "orphan_action": "prune",
                "orphan_threshold": 0,
                "prune_requires_confirmation": False,
            },
            "ssh": {"known_hosts": "ansible/known_hosts"},
            "stack_dir": "/srv/stacks",
            "env": ("TZ", "DOMAIN"),
            "scripts": True,
            "concurrency": 2,
        },
        "deadlines": {"program": 90.0, "action": 5400.0, "run": 3600.0, "hook": 30.0, "lock": 3600.0},
    }


@pytest.mark.parametrize(
    "section", ["docker: {}", "docker:", "docker: {iac: , drift: {orphan_threshold: ~}}"]
)
def test_defaults(section: str) -> None:
    config = load_config(f"lifecycle: {{mode: docker}}\n{section}\n".encode())
    assert config.model_dump() == {
        "lifecycle": {"mode": "docker"},
        "gitops": {
            "backend": "flux",
            "path": "",
            "source_root": "",
            "remote_bases": (),
            "cluster": None,
            "oidc": {"audience": "", "variable": "SF_ID_TOKEN"},
            "concurrency": 20,
            "drift": False,
        },
        "docker": {
            "backend": "compose",
            "repository": "",
            "targets": {
                "source": "ansible",
                "inventory": "",
                "hosts": {},
                "selector": {"groups": (), "hosts": ()},
            },
            "iac": {"path": "docker-compose"},
            "secrets": {"provider": "sops", "at_rest": "disk"},
            "drift": {
                "tier2_action": "report",
                "images": False,
                "orphan_action": "report",
                "orphan_threshold": 5,
                "prune_requires_confirmation": True,
            },
            "ssh": {"known_hosts": ""},
            "stack_dir": "/opt/stagefreight/stacks",
            "env": (),
            "scripts": False,
            "concurrency": 8,
        },
        "report": {"comment": "auto", "label": "", "drift_issue": False},
        "deadlines": {"program": 120.0, "action": 600.0, "run": 3600.0, "hook": 300.0, "lock": 300.0},
    }


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1", 1),
        ("0.5", 0.5),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("24h", 86400),
        ("1h1m1s", 3661),
        ("'600s'", 600),
    ],
)
def test_durations(written: str, seconds: float) -> None:
    config = load_config(DOCKER + f"deadlines: {{action: {written}}}\n".encode())
    assert config.deadlines.action == seconds


@pytest.mark.parametrize(
    "written",
    ["0", "-1", "25h", "0s", "''", "1d", "m", "1.5h", "true", "[1]", "86401", "999999999999s", "1m1h", "'5'"],
)
def test_durations_that_are_none(written: str) -> None:
    (problem,) = check_config(DOCKER + f"deadlines: {{action: {written}}}\n".encode())
    assert str(problem) == f".stagefreight.yml:3:21: `deadlines.action` {DURATION}"


def test_a_configuration_cannot_be_changed() -> None:
    config = load_config(GITOPS)
    with pytest.raises(ValidationError, match="frozen"):
        config.gitops.path = "x"


ENVIRONMENT = {
    "SF_CONFIG_GITOPS__PATH": "clusters/production/",
    "SF_CONFIG_GITOPS__CLUSTER__NAME": "production",
    "SF_CONFIG_GITOPS__CLUSTER__SERVER": "https://a",
    "SF_CONFIG_GITOPS__OIDC__AUDIENCE": "1.10",
    "SF_CONFIG_GITOPS__SOURCE_ROOT": "",
    "SF_CONFIG_DOCKER__ENV": "[A, B]",
    "SF_CONFIG_DOCKER__SCRIPTS": "on",
    "SF_CONFIG_DOCKER__DRIFT__ORPHAN_THRESHOLD": "7",
    "SF_CONFIG_DOCKER__DRIFT__ORPHAN_ACTION": "down",
    "SF_CONFIG_DEADLINES__PROGRAM": "5m",
    "SF_OTHER": "x",
    "PATH": "/bin",
}


def test_the_environment_overrides_the_file() -> None:
    data = in_section("gitops", "path: a\nsource_root: b\ncluster: {name: c, server: 'https://c'}")
    config = load_config(data, environ=ENVIRONMENT)
    assert config.gitops.path == "clusters/production"
    assert config.gitops.source_root == "b"
    assert config.gitops.cluster is not None
    assert (config.gitops.cluster.name, config.gitops.cluster.server) == ("production", "https://a")
    assert config.gitops.oidc.audience == "1.10"
    assert config.docker.env == ("A", "B")
    assert config.docker.scripts is True
    assert config.docker.drift.orphan_threshold == 7
    assert config.docker.drift.orphan_action == "down"
    assert config.deadlines.program == 300


def test_the_environment_alone_is_a_configuration() -> None:
    config = load_config(
        None, environ={"SF_CONFIG_LIFECYCLE__MODE": "gitops", "SF_CONFIG_GITOPS__PATH": "clusters/a"}
    )
    assert (config.mode, config.gitops.path) == ("gitops", "clusters/a")


@pytest.mark.parametrize(
    ("name", "value", "text", "hint"),
    [
        (
            "SF_CONFIG_GITOPS__PTH",
            "x",
            "SF_CONFIG_GITOPS__PTH: there is no key for this environment variable",
            "did you mean `SF_CONFIG_GITOPS__PATH`?",
        ),
        (
            "SF_CONFIG_ZZZ",
            "x",
            "SF_CONFIG_ZZZ: there is no key for this environment variable",
            "`sf config schema` lists all keys",
        ),
        (
            "SF_CONFIG_DOCKER__SCRIPTS",
            "maybe",
            "SF_CONFIG_DOCKER__SCRIPTS: `docker.scripts` must be `true` or `false`, not the text `maybe`",
            "without the key it is `false`",
        ),
        (
            "SF_CONFIG_DOCKER__ENV",
            "[A, 5]",
            "SF_CONFIG_DOCKER__ENV: `docker.env.1` must be text, not the number 5",
            "quote it",
        ),
        (
            "SF_CONFIG_DOCKER__ENV",
            "[,]",
            "SF_CONFIG_DOCKER__ENV:1:2: this is not valid YAML: did not find expected node content",
            "",
        ),
        (
            "SF_CONFIG_GITOPS__PATH",
            "/x",
            (
                "SF_CONFIG_GITOPS__PATH: `gitops.path` must be relative to the root of the repository,"
                " without a leading `/`"
            ),
            "",
        ),
        (
            "SF_CONFIG_LIFECYCLE__MODE",
            "docker",
            "SF_CONFIG_LIFECYCLE__MODE: `lifecycle.mode` is `docker`, but there is no section `docker`",
            "add the section; `docker: {}` takes all defaults",
        ),
        (
            "SF_CONFIG_GITOPS__CLUSTER__NAME",
            "a",
            ".stagefreight.yml:2:9: `gitops.cluster` needs a `server`, or a `kubeconfig` that has one",
            "",
        ),
    ],
)
def test_a_bad_variable_is_explained(name: str, value: str, text: str, hint: str) -> None:
    (problem,) = check_config(GITOPS, environ={name: value})
    assert (str(problem), problem.hint) == (text, hint)


def test_a_variable_below_a_section_that_is_none_leaves_the_error_to_the_file() -> None:
    (problem,) = check_config(
        b"lifecycle: {mode: gitops}\ngitops: []\n", environ={"SF_CONFIG_GITOPS__CLUSTER__NAME": "a"}
    )
    assert str(problem) == ".stagefreight.yml:2:9: `gitops` must be a mapping, not a list"


def test_problems_of_the_file_come_before_those_of_the_environment() -> None:
    problems = check_config(in_section("gitops", "pth: x"), environ={"SF_CONFIG_DOCKER__SCRIPTS": "5"})
    assert [problem.location for problem in problems] == [
        Location(".stagefreight.yml", 4, 3),
        Location("SF_CONFIG_DOCKER__SCRIPTS"),
    ]


def digest(data: bytes, **environ: str) -> str:
    return load_config(data, environ=environ).digest


def test_the_digest_is_that_of_what_decides_the_plan() -> None:
    same = [
        GITOPS,
        b"gitops: {backend: flux, path: '', oidc: {}}\n# c\nlifecycle: {mode: gitops, preset: x}\n",
        GITOPS + b"docker: {scripts: true}\ndeadlines: {action: 5m}\nlint: {a: b}\n",
    ]
    canonical = b'{"gitops":{},"mode":"gitops"}'
    assert {digest(data) for data in same} == {hashlib.sha256(canonical).hexdigest()}


def test_the_digest_changes_with_the_mode_and_its_section() -> None:
    different = [
        digest(GITOPS),
        digest(GITOPS, SF_CONFIG_GITOPS__PATH="a"),
        digest(GITOPS, SF_CONFIG_GITOPS__SOURCE_ROOT="a"),
        digest(DOCKER),
        digest(DOCKER, SF_CONFIG_DOCKER__ENV="[A, B]"),
        digest(DOCKER, SF_CONFIG_DOCKER__ENV="[B, A]"),
    ]
    assert len(set(different)) == len(different)


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    definitions = [schema, *schema["$defs"].values()]
    for definition in definitions:
        for name, value in definition["properties"].items():
            reference_ = next(
                (choice["$ref"] for choice in [value, *value.get("anyOf", [])] if "$ref" in choice), ""
            )
            yield name, schema["$defs"][reference_.rpartition("/")[2]] if reference_ else value


def test_the_schema_is_made_for_editors() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == "urn:sf:config"
    assert schema["title"] == "StageFreight configuration for sf"
    assert schema["additionalProperties"] is True
    assert schema["required"] == ["lifecycle"]
    found = dict(properties(schema))
    assert all(value["description"] for value in found.values())
    assert found["mode"]["enum"] == ["gitops", "docker"]
    assert found["docker"]["additionalProperties"] is False
    assert "preset" in found["docker"]["properties"]
    assert found["orphan_threshold"]["default"] == 5


def test_the_reference_names_every_key_once() -> None:
    lines = reference().splitlines()
    assert lines[:2] == ["| Key | Type | Default | Environment variable | Meaning |", "|---|---|---|---|---|"]
    rows = [line.split(" | ") for line in lines[2:]]
    assert all(len(row) == 5 and row[4] != "None |" for row in rows)
    assert [row[0].strip("| `") for row in rows] == [
        "lifecycle.mode",
        "gitops.backend",
        "gitops.path",
        "gitops.source_root",
        "gitops.remote_bases",
        "gitops.cluster.name",
        "gitops.cluster.server",
        "gitops.cluster.ca",
        "gitops.cluster.kubeconfig.path",
        "gitops.cluster.kubeconfig.variable",
        "gitops.cluster.kubeconfig.context",
        "gitops.oidc.audience",
        "gitops.oidc.variable",
        "gitops.concurrency",
        "gitops.drift",
        "docker.backend",
        "docker.repository",
        "docker.targets.source",
        "docker.targets.inventory",
        "docker.targets.hosts",
        "docker.targets.selector.groups",
        "docker.targets.selector.hosts",
        "docker.iac.path",
        "docker.secrets.provider",
        "docker.secrets.at_rest",
        "docker.drift.tier2_action",
        "docker.drift.images",
        "docker.drift.orphan_action",
        "docker.drift.orphan_threshold",
        "docker.drift.prune_requires_confirmation",
        "docker.ssh.known_hosts",
        "docker.stack_dir",
        "docker.env",
        "docker.scripts",
        "docker.concurrency",
        "report.comment",
        "report.label",
        "report.drift_issue",
        "deadlines.program",
        "deadlines.action",
        "deadlines.run",
        "deadlines.hook",
        "deadlines.lock",
    ]
    assert (
        "| `docker.drift.orphan_action` | `report`, `down` or `prune` | `report`"
        " | `SF_CONFIG_DOCKER__DRIFT__ORPHAN_ACTION`"
        " | What to do with a stack that is gone from the repository:"
        " report it, stop it, or also remove its files. |"
    ) in lines
    assert lines[-4].startswith("| `deadlines.action` | duration | `10m` | `SF_CONFIG_DEADLINES__ACTION` | ")


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
names = st.sampled_from(
    [
        *Config.model_fields,
        "mode",
        "path",
        "cluster",
        "name",
        "server",
        "oidc",
        "targets",
        "selector",
        "groups",
        "drift",
        "orphan_threshold",
        "scripts",
        "env",
        "preset",
        "stack_dir",
        "program",
        "action",
        "x",
    ]
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(names, values, max_size=5), st.sampled_from(["gitops", "docker", None]))
def test_any_document_is_read_or_explained(value: dict[str, Any], mode: str | None) -> None:
    if mode:
        value = {**value, "lifecycle": {"mode": mode}}
    data = documents.dump(value).encode()
    problems = check_config(data)
    if problems:
        assert all(problem.location is not None and problem.message for problem in problems)
    else:
        assert load_config(data).mode == mode


def test_reports_are_told_where_to_go() -> None:
    config = load_config(DOCKER + b"report: {comment: off, label: staging}\n")
    assert (config.report.comment, config.report.label) == ("off", "staging")
    assert config.digest == load_config(DOCKER).digest


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{comment: never}", "`report.comment` must be `auto` or `off`, not the text `never`"),
        ('{label: "a\\nb"}', "`report.label` must not contain control characters"),
        (f"{{label: {'x' * 101}}}", "`report.label` must have at most 100 characters"),
    ],
)
def test_a_report_that_goes_nowhere(written: str, said: str) -> None:
    (problem,) = check_config(DOCKER + f"report: {written}\n".encode())
    assert problem.message == said


def test_the_least_that_is_to_be_written_is_enough() -> None:
    examples = [text for text in START.split("`") if text.startswith("{")]
    assert [load_config(text.encode()).mode for text in examples] == ["gitops", "docker"]
