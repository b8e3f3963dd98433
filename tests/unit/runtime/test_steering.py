"""A change that is not merged never decides where credentials go: real repositories, payloads of the forges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.ci.detect import detect
from sf.config import STEERING, Config, load_config
from sf.models import Severity
from sf.runtime import InvokerType, RuntimeContext
from sf.runtime.steering import steer
from tests.repositories import ENVIRON, Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.runtime.steering import Steering

PAYLOADS: Final = Path(__file__).parents[1] / "ci" / "payloads"
FILE: Final = ".stagefreight.yml"
GITOPS: Final = {
    "lifecycle": {"mode": "gitops"},
    "gitops": {
        "path": "clusters/one",
        "cluster": {"name": "one", "server": "https://one.example.test", "ca": "ours"},
        "oidc": {"audience": "ours"},
    },
}
DOCKER: Final = {
    "lifecycle": {"mode": "docker"},
    "docker": {"ssh": {"known_hosts": "known_hosts"}, "targets": {"inventory": "inventory.yml"}},
}


class Change:
    """A repository whose branch `change` is to be merged into `main`, and checked out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = Repository.init(root / "repository")

    def main(self, config: Mapping[str, Any] | None, **files: str) -> str:
        self._write(config, files)
        commit = self.repository.commit()
        self.repository.git("switch", "--quiet", "--create", "change")
        return commit

    def change(self, config: Mapping[str, Any] | None, **files: str) -> str:
        self._write(config, files)
        return self.repository.commit()

    def _write(self, config: Mapping[str, Any] | None, files: Mapping[str, str]) -> None:
        written = {FILE: json.dumps(config)} if config is not None else {}
        self.repository.write({**written, **files})

    def github(self, event: str = "pull_request", **more: Any) -> dict[str, str]:
        """The environment of a job, with the payload that GitHub sends for it."""
        base, head = (self.repository.git("rev-parse", name) for name in ("main", "change"))
        payload = json.loads((PAYLOADS / "github-pull_request.json").read_text())
        payload["pull_request"]["base"]["sha"], payload["pull_request"]["head"]["sha"] = base, head
        payload["pull_request"]["base"]["ref"], payload["pull_request"]["head"]["ref"] = "main", "change"
        if event == "push":
            payload |= {"before": base, "after": head}
        file = self.root / "event.json"
        file.write_text(json.dumps(payload | more))
        reference = "refs/heads/main" if event == "push" else "refs/pull/7/head"
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": event,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "acme/fleet",
            "GITHUB_REF": reference,
            "GITHUB_SHA": head,
        }

    def gitlab(self) -> dict[str, str]:
        base, head = (self.repository.git("rev-parse", name) for name in ("main", "change"))
        return {
            "GITLAB_CI": "true",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "change",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": base,
            "CI_COMMIT_SHA": head,
            "CI_PROJECT_URL": "https://gitlab.example.test/acme/fleet",
            **dict.fromkeys(
                ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "CI_MERGE_REQUEST_PROJECT_ID", "CI_PROJECT_ID"), "1"
            ),
        }

    def steered(self, environ: Mapping[str, str], config_file: str = FILE) -> Steering:
        context = RuntimeContext(
            ci=detect(environ, git=self.repository.open()),
            invoker=InvokerType.CI,
            repo_root=self.repository.root,
            dry_run=True,
            environ={**ENVIRON, "TMPDIR": str(self.root), **environ},
            config_file=config_file,
        )
        try:
            return steer(self.config(config_file), context)
        finally:
            context.workspace.close()

    def config(self, config_file: str = FILE) -> Config:
        return load_config((self.repository.root / config_file).read_bytes())


@pytest.fixture
def change(tmp_path: Path) -> Change:
    return Change(tmp_path)


def with_keys(config: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
    """A copy of `config` with other values at dotted keys (two underscores for a dot)."""
    copy: dict[str, Any] = json.loads(json.dumps(config))
    for place, value in keys.items():
        *parents, last = place.split("__")
        section = copy
        for name in parents:
            section = section.setdefault(name, {})
        section[last] = value
    return copy


CHANGES: Final = [
    (GITOPS, {"gitops__cluster__server": "https://two.example.test"}, "`gitops.cluster.server`"),
    (GITOPS, {"gitops__cluster__name": "two"}, "`gitops.cluster.name`"),
    (GITOPS, {"gitops__cluster__ca": "theirs"}, "`gitops.cluster.ca`"),
    (GITOPS, {"gitops__cluster__kubeconfig": {"path": "~/own"}}, "`gitops.cluster.kubeconfig.path`"),
    (GITOPS, {"gitops__cluster__kubeconfig": {"variable": "MINE"}}, "`gitops.cluster.kubeconfig.variable`"),
    (GITOPS, {"gitops__cluster__kubeconfig": {"context": "mine"}}, "`gitops.cluster.kubeconfig.context`"),
    (GITOPS, {"gitops__oidc__audience": "theirs"}, "`gitops.oidc.audience`"),
    (GITOPS, {"gitops__oidc__variable": "THEIRS"}, "`gitops.oidc.variable`"),
    (GITOPS, {"gitops__remote_bases": ["example.test/theirs"]}, "`gitops.remote_bases`"),
    (DOCKER, {"docker__ssh__known_hosts": "web ssh-ed25519 AAAA"}, "`docker.ssh.known_hosts`"),
    (DOCKER, {"docker__scripts": True}, "`docker.scripts`"),
]


@pytest.mark.parametrize(("before", "keys", "name"), CHANGES, ids=[name for _, _, name in CHANGES])
@pytest.mark.parametrize("forge", ["github", "gitlab"])
def test_a_pull_request_decides_nothing_that_steers(
    change: Change, before: dict[str, Any], keys: dict[str, Any], name: str, forge: str
) -> None:
    change.main(before, known_hosts="")
    base = change.config()
    change.change(with_keys(before, **keys))
    config, [finding] = change.steered(change.github() if forge == "github" else change.gitlab())
    assert (finding.code, finding.severity) == ("credentials-steered", Severity.DANGER)
    assert finding.message.startswith(f"the change touches {name}, which decides where credentials go")
    assert (config.gitops, config.docker) == (base.gitops, base.docker)
    # What a reviewer approves is what the change says.
    assert config.digest == change.config().digest


def test_every_key_that_steers_is_tried() -> None:
    tried = {tuple(name.strip("`").split(".")[:2]) for _, _, name in CHANGES}
    assert tried == set(STEERING)


def test_what_does_not_steer_is_the_change_s(change: Change) -> None:
    change.main(GITOPS)
    change.change(with_keys(GITOPS, gitops__path="clusters/two", gitops__drift=True))
    config, findings = change.steered(change.github())
    assert (config.gitops.path, config.gitops.drift, findings) == ("clusters/two", True, ())


def test_a_merged_change_decides(change: Change) -> None:
    change.main(GITOPS)
    change.change(with_keys(GITOPS, gitops__cluster__server="https://two.example.test"))
    config, findings = change.steered(change.github("push"))
    assert config.gitops.cluster is not None
    assert (config.gitops.cluster.server, findings) == ("https://two.example.test", ())


@pytest.mark.parametrize("before", [None, {"lifecycle": {"mode": "gitops"}}, {"lifecycle": "broken"}])
def test_a_change_that_brings_the_first_configuration(change: Change, before: dict[str, Any] | None) -> None:
    change.main(before, readme="")
    change.change(GITOPS)
    config, [finding] = change.steered(change.github())
    assert (config.gitops.cluster, config.gitops.oidc.audience) == (None, "")
    assert "`gitops.cluster.server`, `gitops.cluster.ca` and `gitops.oidc.audience`" in finding.message


def test_a_change_of_the_mode_steers_with_the_defaults_of_before(change: Change) -> None:
    change.main(GITOPS)
    change.change({**DOCKER, "docker": {"ssh": {"known_hosts": "web ssh-ed25519 AAAA"}}})
    config, [finding] = change.steered(change.github())
    assert (config.mode, config.docker.ssh.known_hosts) == ("docker", "")
    assert "`docker.ssh.known_hosts`" in finding.message


@pytest.mark.parametrize(
    ("config", "file"),
    [
        (with_keys(GITOPS, gitops__cluster__kubeconfig={"path": "kubeconfig"}), "kubeconfig"),
        (DOCKER, "known_hosts"),
    ],
)
def test_a_file_that_steers_is_the_one_of_before(change: Change, config: dict[str, Any], file: str) -> None:
    change.main(config, **{file: "ours"})
    change.change(config, **{file: "theirs"})
    _, [finding] = change.steered(change.github())
    assert finding.message.startswith(f"the change touches {file}, which")
    change.change(config, **{file: "ours", "other": "x"})
    assert change.steered(change.github()).findings == ()


def test_a_file_that_steers_may_be_new_or_go(change: Change) -> None:
    change.main(DOCKER)
    change.change(DOCKER, known_hosts="theirs")
    assert len(change.steered(change.github()).findings) == 1
    (change.repository.root / "known_hosts").unlink()
    change.repository.commit()
    assert change.steered(change.github()).findings == ()


def test_a_configuration_outside_of_the_repository_is_nobody_s_to_change(change: Change) -> None:
    change.main(None, readme="")
    change.change(None, readme="more")
    outside = change.root / "own.yml"
    outside.write_text(json.dumps(GITOPS))
    for name in (str(outside), "../own.yml"):
        config, findings = change.steered(change.github(), config_file=name)
        assert (config, findings) == (change.config(name), ())


def test_a_history_that_cannot_be_read_steers_nothing(change: Change) -> None:
    change.main(GITOPS)
    change.change(GITOPS)
    environ = {**change.gitlab(), "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": "f" * 40}
    config, findings = change.steered(environ)
    assert (config.gitops.cluster, findings) == (None, ())


def test_the_environment_counts_on_both_sides(change: Change) -> None:
    change.main(GITOPS)
    change.change(with_keys(GITOPS, gitops__cluster__server="https://two.example.test"))
    config, _ = change.steered(
        {**change.github(), "SF_CONFIG_GITOPS__CLUSTER__SERVER": "https://three.example.test"}
    )
    assert config.gitops.cluster is not None
    assert config.gitops.cluster.server == "https://three.example.test"
