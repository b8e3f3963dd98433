from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sf.ci.context import CIContext, EventKind, Provider, Trust, Upstream
from sf.ci.detect import detect
from sf.ci.neutral import VARIABLES
from sf.ci.payload import LIMIT, read_payload
from sf.models import Problem
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

PAYLOADS = Path(__file__).parent / "payloads"
A, B, C, M, T = (letter * 40 for letter in "abc9e")
ZEROS = "0" * 40

ACTIONS = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_ACTOR": "ada",
    "GITHUB_API_URL": "https://api.github.com",
    "GITHUB_REPOSITORY": "Acme/Fleet",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_RUN_ID": "123456",
    "GITHUB_RUN_NUMBER": "17",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_SHA": B,
    "GITHUB_WORKSPACE": "/github/workspace",
}
PULL_REF = "refs/pull/42/merge"
PULL_REQUEST = {
    "event": EventKind.PULL_REQUEST,
    "branch": "feature/replicas",
    "base_branch": "main",
    "commit": M,
    "base_commit": A,
    "head_commit": C,
    "merge_commit": M,
    "change_number": 42,
}
GITHUB: dict[str, Any] = {
    "provider": Provider.GITHUB,
    "commit": B,
    "head_commit": B,
    "default_branch": "main",
    "repository_url": "https://github.com/Acme/Fleet",
    "repository": "github.com/acme/fleet",
    "actor": "ada",
    "run_url": "https://github.com/Acme/Fleet/actions/runs/123456",
    "run_id": "123456",
    "run_attempt": 2,
    "workspace": "/github/workspace",
    "api_url": "https://api.github.com",
    "server_url": "https://github.com",
}
GITHUB_EVENTS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    (
        "push",
        {"GITHUB_REF": "refs/heads/main"},
        {"event": EventKind.PUSH, "trust": Trust.TRUSTED, "branch": "main", "base_commit": A},
    ),
    (
        "push-first",
        {"GITHUB_REF": "refs/heads/feature"},
        {"event": EventKind.PUSH, "trust": Trust.TRUSTED, "branch": "feature", "base_commit": ""},
    ),
    (
        "push-forced",
        {"GITHUB_REF": "refs/heads/main"},
        {"event": EventKind.PUSH, "trust": Trust.TRUSTED, "branch": "main", "base_commit": "d" * 40},
    ),
    (
        "tag",
        {"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/tags/v1.2.0"},
        {"event": EventKind.TAG, "trust": Trust.TRUSTED, "tag": "v1.2.0", "base_commit": ""},
    ),
    (
        "pull_request",
        {"GITHUB_REF": PULL_REF, "GITHUB_SHA": M},
        {**PULL_REQUEST, "trust": Trust.TRUSTED},
    ),
    (
        "pull_request-fork",
        {"GITHUB_REF": PULL_REF, "GITHUB_SHA": M, "GITHUB_ACTOR": "mallory"},
        {**PULL_REQUEST, "trust": Trust.UNTRUSTED, "fork": True, "actor": "mallory"},
    ),
    (
        "pull_request-fork-deleted",
        {"GITHUB_REF": PULL_REF, "GITHUB_SHA": M},
        {**PULL_REQUEST, "trust": Trust.UNTRUSTED, "fork": True},
    ),
    (
        "pull_request-dependabot",
        {"GITHUB_REF": PULL_REF, "GITHUB_SHA": M, "GITHUB_ACTOR": "dependabot[bot]"},
        {**PULL_REQUEST, "trust": Trust.UNTRUSTED, "actor": "dependabot[bot]"},
    ),
    (
        "pull_request_target",
        {"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": T},
        {
            **PULL_REQUEST,
            "event": EventKind.PULL_REQUEST_TARGET,
            "trust": Trust.UNTRUSTED,
            "fork": True,
            "commit": T,
            "merge_commit": "",
        },
    ),
    (
        "merge_group",
        {"GITHUB_REF": f"refs/heads/gh-readonly-queue/main/pr-42-{A}"},
        {
            "event": EventKind.MERGE_GROUP,
            "trust": Trust.TRUSTED,
            "branch": f"gh-readonly-queue/main/pr-42-{A}",
            "base_branch": "main",
            "base_commit": A,
            "merge_commit": B,
        },
    ),
    (
        "schedule",
        {"GITHUB_REF": "refs/heads/main"},
        {"event": EventKind.SCHEDULE, "trust": Trust.TRUSTED, "branch": "main"},
    ),
    (
        "workflow_dispatch",
        {"GITHUB_REF": "refs/heads/main"},
        {"event": EventKind.MANUAL, "trust": Trust.TRUSTED, "branch": "main"},
    ),
    (
        "workflow_run",
        {"GITHUB_REF": "refs/heads/main"},
        {
            "event": EventKind.WORKFLOW_RUN,
            "trust": Trust.UNTRUSTED,
            "branch": "feature/replicas",
            "head_commit": C,
            "fork": True,
            "upstream": Upstream(
                event=EventKind.PULL_REQUEST,
                run_id="777",
                run_attempt=2,
                run_url="https://github.com/Acme/Fleet/actions/runs/777",
            ),
        },
    ),
    (
        "release",
        {"GITHUB_REF": "refs/tags/v1.2.0"},
        {"event": EventKind.UNKNOWN, "trust": Trust.UNTRUSTED, "tag": "v1.2.0"},
    ),
]


def actions(forge: str, sample: str, given: Mapping[str, str]) -> dict[str, str]:
    name = sample.partition("-")[0]
    path = str(PAYLOADS / f"{forge}-{sample}.json")
    return {**ACTIONS, "GITHUB_EVENT_NAME": name, "GITHUB_EVENT_PATH": path, **given}


@pytest.mark.parametrize(
    ("sample", "given", "expected"), GITHUB_EVENTS, ids=[sample for sample, _, _ in GITHUB_EVENTS]
)
def test_github(sample: str, given: dict[str, str], expected: dict[str, Any]) -> None:
    assert detect(actions("github", sample, given), git=None) == CIContext(**(GITHUB | expected))


@pytest.mark.parametrize("forge", ["gitea", "forgejo"])
@pytest.mark.parametrize(
    ("sample", "given", "expected"),
    [
        (
            "push",
            {"GITHUB_REF": "refs/heads/main"},
            {"event": EventKind.PUSH, "trust": Trust.TRUSTED, "branch": "main", "base_commit": A},
        ),
        (
            "push-first",
            {"GITHUB_REF": "refs/heads/feature"},
            {"event": EventKind.PUSH, "trust": Trust.TRUSTED, "branch": "feature"},
        ),
        (
            "tag",
            {"GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/tags/v1.2.0"},
            {"event": EventKind.TAG, "trust": Trust.TRUSTED, "tag": "v1.2.0"},
        ),
        (
            "pull_request",
            {"GITHUB_REF": "refs/pull/42/head", "GITHUB_SHA": C},
            {**PULL_REQUEST, "trust": Trust.TRUSTED, "commit": C, "merge_commit": ""},
        ),
        (
            "pull_request-fork",
            {"GITHUB_REF": "refs/pull/42/head", "GITHUB_SHA": C},
            {**PULL_REQUEST, "trust": Trust.UNTRUSTED, "fork": True, "commit": C, "merge_commit": ""},
        ),
        (
            "schedule",
            {"GITHUB_REF": "refs/heads/main"},
            {"event": EventKind.SCHEDULE, "trust": Trust.TRUSTED, "branch": "main"},
        ),
    ],
    ids=["push", "push-first", "tag", "pull_request", "pull_request-fork", "schedule"],
)
def test_gitea_and_forgejo(forge: str, sample: str, given: dict[str, str], expected: dict[str, Any]) -> None:
    host = f"https://{forge}.example.test"
    instance = {
        "GITEA_ACTIONS": "true",
        "GITHUB_API_URL": f"{host}/api/v1",
        "GITHUB_REPOSITORY": "acme/fleet",
        "GITHUB_RUN_ATTEMPT": "",
        "GITHUB_SERVER_URL": host,
    }
    if forge == "forgejo":
        instance["FORGEJO_ACTIONS"] = "true"
    common = GITHUB | {
        "provider": Provider(forge),
        "repository_url": f"{host}/acme/fleet",
        "repository": f"{forge}.example.test/acme/fleet",
        "run_url": f"{host}/acme/fleet/actions/runs/17",
        "run_attempt": 0,
        "api_url": f"{host}/api/v1",
        "server_url": host,
    }
    environ = actions(forge, sample, {**instance, **given})
    assert detect(environ, git=None) == CIContext(**(common | expected))


PIPELINE = {
    "CI": "true",
    "GITLAB_CI": "true",
    "CI_API_V4_URL": "https://gitlab.example.test/api/v4",
    "CI_COMMIT_BEFORE_SHA": ZEROS,
    "CI_COMMIT_SHA": B,
    "CI_DEFAULT_BRANCH": "main",
    "CI_JOB_URL": "https://gitlab.example.test/Acme/sub/Fleet/-/jobs/9",
    "CI_PIPELINE_ID": "55",
    "CI_PROJECT_DIR": "/builds/acme/sub/fleet",
    "CI_PROJECT_ID": "7",
    "CI_PROJECT_URL": "https://gitlab.example.test/Acme/sub/Fleet",
    "CI_SERVER_URL": "https://gitlab.example.test",
    "GITLAB_USER_LOGIN": "ada",
}
GITLAB: dict[str, Any] = {
    "provider": Provider.GITLAB,
    "trust": Trust.TRUSTED,
    "commit": B,
    "head_commit": B,
    "default_branch": "main",
    "repository_url": "https://gitlab.example.test/Acme/sub/Fleet",
    "repository": "gitlab.example.test/acme/sub/fleet",
    "actor": "ada",
    "run_url": "https://gitlab.example.test/Acme/sub/Fleet/-/jobs/9",
    "run_id": "55",
    "workspace": "/builds/acme/sub/fleet",
    "api_url": "https://gitlab.example.test/api/v4",
    "server_url": "https://gitlab.example.test",
}
MERGE_REQUEST = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_IID": "42",
    "CI_MERGE_REQUEST_PROJECT_ID": "7",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "7",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature/replicas",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": T,
    "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
}
IS_MERGE_REQUEST = {
    "event": EventKind.PULL_REQUEST,
    "branch": "feature/replicas",
    "base_branch": "main",
    "change_number": 42,
}
FROM_FORK = {"trust": Trust.UNTRUSTED, "fork": True}
MERGED = {
    "CI_COMMIT_SHA": M,
    "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": C,
    "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": A,
}
IS_MERGED = {"commit": M, "merge_commit": M, "head_commit": C, "base_commit": A}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(
            {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_BEFORE_SHA": A},
            {"event": EventKind.PUSH, "branch": "main", "base_commit": A},
            id="push",
        ),
        pytest.param(
            {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": "feature"},
            {"event": EventKind.PUSH, "branch": "feature"},
            id="first push",
        ),
        pytest.param(
            {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_TAG": "v1.2.0"},
            {"event": EventKind.TAG, "tag": "v1.2.0"},
            id="tag",
        ),
        pytest.param(
            {"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_BRANCH": "main"},
            {"event": EventKind.SCHEDULE, "branch": "main"},
            id="schedule",
        ),
        *(
            pytest.param(
                {"CI_PIPELINE_SOURCE": source, "CI_COMMIT_BRANCH": "main"},
                {"event": EventKind.MANUAL, "branch": "main"},
                id=source,
            )
            for source in ("web", "api", "trigger", "pipeline", "chat", "parent_pipeline")
        ),
        pytest.param(
            {
                "CI_PIPELINE_SOURCE": "parent_pipeline",
                "CI_COMMIT_BRANCH": "main",
                "CI_COMMIT_BEFORE_SHA": A,
            },
            {"event": EventKind.PUSH, "branch": "main", "base_commit": A},
            id="child of a push",
        ),
        pytest.param(MERGE_REQUEST, IS_MERGE_REQUEST, id="merge request"),
        pytest.param(
            {**MERGE_REQUEST, "CI_PIPELINE_SOURCE": "parent_pipeline"},
            IS_MERGE_REQUEST,
            id="child of a merge request",
        ),
        pytest.param(
            {**MERGE_REQUEST, **MERGED, "CI_MERGE_REQUEST_EVENT_TYPE": "merged_result"},
            {**IS_MERGE_REQUEST, **IS_MERGED},
            id="merged results",
        ),
        pytest.param(
            {**MERGE_REQUEST, **MERGED, "CI_MERGE_REQUEST_EVENT_TYPE": "merge_train"},
            {**IS_MERGE_REQUEST, **IS_MERGED},
            id="merge train",
        ),
        pytest.param(
            {**MERGE_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "8"},
            {**IS_MERGE_REQUEST, **FROM_FORK},
            id="fork, in the parent project",
        ),
        pytest.param(
            {**MERGE_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "8", "CI_PROJECT_ID": "8"},
            {**IS_MERGE_REQUEST, **FROM_FORK},
            id="fork, in the fork",
        ),
        pytest.param(
            {**MERGE_REQUEST, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": ""},
            {**IS_MERGE_REQUEST, **FROM_FORK},
            id="source unknown",
        ),
        pytest.param(
            {"CI_PIPELINE_SOURCE": "external_pull_request_event", "CI_COMMIT_BRANCH": "x"},
            {"event": EventKind.UNKNOWN, "branch": "x", "trust": Trust.UNTRUSTED},
            id="external pull request",
        ),
        pytest.param({}, {"event": EventKind.UNKNOWN, "trust": Trust.UNTRUSTED}, id="no source"),
    ],
)
def test_gitlab(given: dict[str, str], expected: dict[str, Any]) -> None:
    assert detect({**PIPELINE, **given}, git=None) == CIContext(**(GITLAB | expected))


@pytest.mark.parametrize(
    ("event", "given", "expected"),
    [
        ("push", {"branch": "main"}, True),
        ("schedule", {"branch": "main"}, True),
        ("manual", {"branch": "main"}, True),
        ("push", {"branch": "feature"}, False),
        ("push", {"branch": ""}, False),
        ("push", {"branch": "", "default_branch": ""}, False),
        ("tag", {"branch": "", "tag": "main"}, False),
        # The main of a fork is not ours.
        ("pull_request", {"branch": "main", "fork": True}, False),
        ("pull_request_target", {"branch": "main"}, False),
        ("workflow_run", {"branch": "main"}, False),
        ("merge_group", {"branch": "main"}, False),
        ("unknown", {"branch": "main"}, False),
    ],
)
def test_on_default_branch(event: str, given: dict[str, Any], expected: bool) -> None:
    known = {"provider": Provider.GITHUB, "trust": Trust.TRUSTED, "default_branch": "main"}
    assert CIContext(**{**known, "event": EventKind(event), **given}).on_default_branch is expected


@pytest.mark.parametrize("name", ["schedule", "workflow_dispatch"])
def test_without_a_payload_events_that_need_none_are_read_but_not_trusted(name: str) -> None:
    environ = {**ACTIONS, "GITHUB_EVENT_NAME": name, "GITHUB_REF": "refs/heads/main"}
    context = detect(environ, git=None)
    assert (context.trust, context.branch, context.commit) == (Trust.UNTRUSTED, "main", B)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("push", "before"), ("pull_request", "pull_request.base.sha"), ("merge_group", "merge_group.base_sha")],
)
def test_without_a_payload_events_that_need_one_are_a_problem(name: str, missing: str) -> None:
    environ = {**ACTIONS, "GITHUB_EVENT_NAME": name, "GITHUB_REF": "refs/heads/main"}
    with pytest.raises(Problem, match=f"has no {missing}") as caught:
        detect(environ, git=None)
    assert "GITHUB_EVENT_PATH" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is not JSON"),
        (b'{"before": ', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"before": ["' + b"a" * 40 + b'"]}', "has no before"),
        (b'{"before": "main"}', "before of the event is not a commit id"),
        (b'{"before": "--upload-pack=x"}', "before of the event is not a commit id"),
    ],
    ids=range(10),
)
def test_a_broken_payload_is_a_problem(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "event.json"
    if content is not None:
        file.write_bytes(content)
    environ = {**ACTIONS, "GITHUB_EVENT_NAME": "push", "GITHUB_REF": "refs/heads/main"}
    with pytest.raises(Problem, match=message) as caught:
        detect({**environ, "GITHUB_EVENT_PATH": str(file)}, git=None)
    assert caught.value.hint


def test_a_payload_beyond_the_limit_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    environ = {"GITHUB_EVENT_PATH": str(file)}
    file.write_bytes(b'{"before": "x"}'.ljust(LIMIT))
    assert read_payload(environ).text("before") == "x"
    file.write_bytes(b'{"before": "x"}'.ljust(LIMIT + 1))
    with pytest.raises(Problem, match=f"larger than {LIMIT} bytes"):
        read_payload(environ)


@pytest.mark.parametrize(
    "given",
    [
        {"GITHUB_SHA": "HEAD"},
        {"GITHUB_SHA": f"{B}; true"},
        {"GITHUB_REF": "refs/heads/a b"},
        {"GITHUB_REF": "refs/heads/main:refs/heads/x"},
        {"GITHUB_REF": "refs/heads/--all"},
        {"GITHUB_RUN_ATTEMPT": "two"},
        {"GITHUB_RUN_ATTEMPT": "-1"},
    ],
    ids=str,
)
def test_hostile_variables_are_a_problem(given: dict[str, str]) -> None:
    environ = actions("github", "push", {"GITHUB_REF": "refs/heads/main", **given})
    with pytest.raises(Problem, match=next(iter(given))):
        detect(environ, git=None)


def test_what_is_only_shown_is_dropped_when_it_cannot_be() -> None:
    hostile = {
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_ACTOR": "ada\n::set-output::",
        "GITHUB_SERVER_URL": "javascript:alert(1)",
        "GITHUB_RUN_ID": "1\n2",
    }
    context = detect(actions("github", "push", hostile), git=None)
    assert (context.actor, context.repository_url, context.run_url, context.run_id) == ("", "", "", "")


def test_zeros_never_come_out() -> None:
    for file in PAYLOADS.glob("*.json"):
        forge, name = file.stem.split("-", 1)
        environ = actions(
            forge,
            name,
            {
                "GITHUB_EVENT_NAME": "push" if name == "tag" else name.partition("-")[0],
                "GITHUB_REF": json.loads(file.read_text()).get("ref", "refs/heads/main"),
            },
        )
        assert ZEROS not in dataclasses.asdict(detect(environ, git=None)).values()


EVERY_VARIABLE = {
    "SF_CI_PROVIDER": "gitea",
    "SF_CI_EVENT": "pull_request",
    "SF_CI_TRUST": "trusted",
    "SF_CI_BRANCH": "feature",
    "SF_CI_BASE_BRANCH": "main",
    "SF_CI_TAG": "v2",
    "SF_CI_COMMIT": M.upper(),
    "SF_CI_BASE_COMMIT": A,
    "SF_CI_HEAD_COMMIT": C,
    "SF_CI_MERGE_COMMIT": M,
    "SF_CI_DEFAULT_BRANCH": "trunk",
    "SF_CI_REPOSITORY_URL": "https://bot:secret@git.example.test/Acme/Fleet/",
    "SF_CI_REPOSITORY": "Git.Example.Test/Acme/Fleet.git",
    "SF_CI_CHANGE_NUMBER": "42",
    "SF_CI_FORK": "false",
    "SF_CI_ACTOR": "ada",
    "SF_CI_RUN_URL": "https://ci.example.test/run/1",
    "SF_CI_RUN_ID": "run-1",
    "SF_CI_RUN_ATTEMPT": "3",
    "SF_CI_WORKSPACE": "/src",
    "SF_CI_API_URL": "https://git.example.test/api/v1/",
    "SF_CI_SERVER_URL": "https://git.example.test/",
}


def test_every_neutral_variable_sets_its_field() -> None:
    assert EVERY_VARIABLE.keys() == VARIABLES.keys()
    assert {variable.field for variable in VARIABLES.values()} == {
        # Only an event that such a description never has comes after another run.
        field.name
        for field in dataclasses.fields(CIContext)
        if field.name != "upstream"
    }
    assert detect(EVERY_VARIABLE, git=None) == CIContext(
        provider=Provider.GITEA,
        event=EventKind.PULL_REQUEST,
        trust=Trust.TRUSTED,
        branch="feature",
        base_branch="main",
        tag="v2",
        commit=M,
        base_commit=A,
        head_commit=C,
        merge_commit=M,
        default_branch="trunk",
        repository_url="https://git.example.test/Acme/Fleet",
        repository="git.example.test/acme/fleet",
        change_number=42,
        fork=False,
        actor="ada",
        run_url="https://ci.example.test/run/1",
        run_id="run-1",
        run_attempt=3,
        workspace="/src",
        api_url="https://git.example.test/api/v1",
        server_url="https://git.example.test",
    )


def test_neutral_variables_win_field_by_field() -> None:
    environ = actions("github", "push", {"GITHUB_REF": "refs/heads/main"})
    detected = detect(environ, git=None)
    changes = {
        "SF_CI_BASE_COMMIT": T,
        "SF_CI_REPOSITORY_URL": "https://other.example.test/a/b",
        "SF_CI_ACTOR": "",
    }
    assert detect({**environ, **changes}, git=None) == dataclasses.replace(
        detected,
        base_commit=T,
        repository_url="https://other.example.test/a/b",
        repository="other.example.test/a/b",
    )


@pytest.mark.parametrize(
    ("sample", "given", "trust"),
    [
        ("push", {"SF_CI_TRUST": "untrusted"}, Trust.UNTRUSTED),
        ("push", {"SF_CI_TRUST": "trusted"}, Trust.TRUSTED),
        ("push", {"SF_CI_EVENT": "pull_request_target"}, Trust.UNTRUSTED),
        ("push", {"SF_CI_FORK": "true"}, Trust.UNTRUSTED),
        ("pull_request_target", {"SF_CI_TRUST": "trusted"}, Trust.UNTRUSTED),
        ("pull_request_target", {"SF_CI_EVENT": "push", "SF_CI_FORK": "false"}, Trust.UNTRUSTED),
        ("pull_request-fork", {"SF_CI_FORK": "false"}, Trust.UNTRUSTED),
        ("pull_request-fork", {"SF_CI_PROVIDER": "generic", "SF_CI_FORK": "false"}, Trust.UNTRUSTED),
    ],
    ids=str,
)
def test_neutral_variables_lower_trust_and_never_raise_it(
    sample: str, given: dict[str, str], trust: Trust
) -> None:
    environ = actions("github", sample, {"GITHUB_REF": "refs/heads/main", **given})
    assert detect(environ, git=None).trust is trust


@pytest.mark.parametrize(
    ("environ", "provider", "event", "trust"),
    [
        ({}, Provider.LOCAL, EventKind.MANUAL, Trust.TRUSTED),
        ({"CI": "false"}, Provider.LOCAL, EventKind.MANUAL, Trust.TRUSTED),
        ({"CI": "true"}, Provider.GENERIC, EventKind.UNKNOWN, Trust.UNTRUSTED),
        ({"SF_CI_BRANCH": "x"}, Provider.GENERIC, EventKind.UNKNOWN, Trust.UNTRUSTED),
        ({"SF_CI_EVENT": "push"}, Provider.GENERIC, EventKind.PUSH, Trust.TRUSTED),
        ({"SF_CI_EVENT": "pull_request"}, Provider.GENERIC, EventKind.PULL_REQUEST, Trust.UNTRUSTED),
        (
            {"SF_CI_EVENT": "pull_request", "SF_CI_FORK": "false"},
            Provider.GENERIC,
            EventKind.PULL_REQUEST,
            Trust.TRUSTED,
        ),
    ],
    ids=str,
)
def test_where_no_forge_is_recognised(
    environ: dict[str, str], provider: Provider, event: EventKind, trust: Trust
) -> None:
    context = detect(environ, git=None)
    assert (context.provider, context.event, context.trust) == (provider, event, trust)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"SF_CI_EVENT": "deploy"}, "SF_CI_EVENT is 'deploy'"),
        ({"SF_CI_COMMIT": "main"}, "SF_CI_COMMIT is not a commit id"),
        ({"SF_CI_BRANCH": "-x"}, "SF_CI_BRANCH is not the name"),
        ({"SF_CI_CHANGE_NUMBER": "x"}, "SF_CI_CHANGE_NUMBER is not a number"),
        ({"SF_CI_FORK": "maybe"}, "SF_CI_FORK has to be true or false"),
        ({"SF_CI_RUN_URL": "ftp://x"}, "SF_CI_RUN_URL is not an http"),
        ({"SF_CI_REPOSITORY": "x"}, "SF_CI_REPOSITORY is not of the form"),
        ({"SF_CI_ACTOR": "a\nb"}, "SF_CI_ACTOR holds characters"),
        ({"SF_CI_BRANHC": "main"}, "no variable SF_CI_BRANHC"),
    ],
    ids=str,
)
def test_a_neutral_variable_that_cannot_be_read_is_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(Problem, match=message):
        detect(given, git=None)


def test_a_laptop_is_described_by_its_clone(tmp_path: Path) -> None:
    repository = Repository.init(tmp_path / "repository")
    head = repository.commit({"a": "1"})
    repository.git("remote", "add", "origin", "git@github.com:Acme/Fleet.git")
    repository.git("switch", "--quiet", "--create=feature")
    assert detect({"USER": "ada"}, git=repository.open()) == CIContext(
        provider=Provider.LOCAL,
        event=EventKind.MANUAL,
        trust=Trust.TRUSTED,
        branch="feature",
        commit=head,
        head_commit=head,
        default_branch="main",
        repository_url="https://github.com/acme/fleet",
        repository="github.com/acme/fleet",
        actor="ada",
        workspace=str(repository.root),
    )


def test_a_detached_head_has_no_branch(tmp_path: Path) -> None:
    repository = Repository.init(tmp_path / "repository")
    head = repository.commit({"a": "1"})
    repository.git("checkout", "--quiet", "--detach")
    context = detect({}, git=repository.open())
    assert (context.branch, context.commit, context.on_default_branch) == ("", head, False)
    environ = actions("github", "push", {"GITHUB_REF": "refs/heads/main"})
    assert detect(environ, git=repository.open()) == detect(environ, git=None)
