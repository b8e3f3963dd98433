"""What is missing, broken or hanging becomes a check that says so, and the rest is still examined."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import shutil
import ssl
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.console import Console, unstyled
from sf.doctor import Check, examine, programs, render
from sf.process import Launcher
from sf.redact import Redactor
from sf.session import Session
from tests.repositories import Repository
from toolchain import packages, pins, tiers

if TYPE_CHECKING:
    from collections.abc import Iterator

GITOPS: Final = "lifecycle: {mode: gitops}\ngitops: {}\n"
DOCKER: Final = "lifecycle: {mode: docker}\ndocker: {}\n"
OF_HOSTS: Final = "lifecycle: {mode: docker}\ndocker: {targets: {inventory: hosts.yml}}\n"
KUSTOMIZE: Final = "echo v5.8.1"
DOCKER_PROGRAM: Final = """
case "$*" in
--version) echo "Docker version 28.5.2, build 1" ;;
"compose version --short") echo v2.40.3 ;;
*) test -S "${DOCKER_HOST#unix://}" && echo 28.5.2 || { echo "Cannot connect to $DOCKER_HOST" >&2; exit 1; } ;;
esac
"""


@dataclass
class Desk:
    """A machine with a PATH of its own, on which nothing but git is installed."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    redactor: Redactor = field(default_factory=Redactor)
    held: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in ("bin", "home", "tmp", "folder"):
            (self.root / folder).mkdir()
        git = shutil.which("git")
        assert git
        (self.root / "bin/git").symlink_to(git)
        self.environ |= {
            "PATH": str(self.root / "bin"),
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "XDG_RUNTIME_DIR": str(self.root / "tmp"),
            "DOCKER_HOST": f"unix://{self.root}/docker.sock",
        }

    @property
    def repository(self) -> Path:
        return self.root / "repository"

    def install(self, name: str, script: str) -> None:
        program = self.root / "bin" / name
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def commit(self, configuration: str) -> None:
        repository = Repository.init(self.repository)
        repository.write({".stagefreight.yml": configuration})
        repository.git("add", ".")
        repository.git("commit", "--quiet", "--message=first")

    def checks(self) -> dict[str, Check]:
        directory = self.repository if self.repository.exists() else self.root / "folder"
        session = Session(
            environ=self.environ,
            redactor=self.redactor,
            console=Console(io.StringIO(), io.StringIO(), self.redactor),
            hold_signals=lambda: self.held.append("held"),
            directory=directory,
        )
        found = {check.name: check for check in examine(session)}
        assert list((self.root / "tmp").iterdir()) == []
        assert self.held
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def failed(checks: dict[str, Check]) -> set[str]:
    return {check.name for check in checks.values() if not check.passed}


def everything(checks: dict[str, Check]) -> str:
    return json.dumps([check.document() for check in checks.values()]) + render(checks.values())


def test_outside_of_a_repository_the_rest_is_still_examined(desk: Desk) -> None:
    checks = desk.checks()
    assert failed(checks) == {"repository", "configuration"}
    assert "is not in a git repository" in checks["repository"].detail
    assert "check the repository out first" in checks["repository"].hint
    assert checks["ci"].detail.startswith("local, manual")
    assert "output directory" not in checks


def test_on_an_empty_machine_everything_is_said_to_be_missing(desk: Desk) -> None:
    (desk.root / "bin/git").unlink()
    checks = desk.checks()
    assert failed(checks) == {"git", "repository", "configuration"}
    assert checks["git"].detail == "`git` is not on the PATH"
    assert "install git 2.38 or newer" in checks["git"].hint
    assert checks["sops"] == Check(
        name="sops", passed=True, detail="`sops` is not on the PATH", hint="only needed to decrypt files"
    )


def test_a_repository_without_configuration_or_commit_is_named(desk: Desk) -> None:
    Repository.init(desk.repository)
    assert "has no commit yet" in desk.checks()["repository"].detail
    shutil.rmtree(desk.repository)
    desk.commit(GITOPS)
    (desk.repository / ".stagefreight.yml").unlink()
    assert "there is no such file" in desk.checks()["configuration"].detail


def test_a_machine_that_has_what_is_needed_passes(desk: Desk) -> None:
    desk.commit(GITOPS)
    desk.install("kustomize", KUSTOMIZE)
    checks = desk.checks()
    assert failed(checks) == set()
    assert checks["kustomize"].detail == f"5.8.1 ({desk.root}/bin/kustomize)"
    assert checks["repository"].detail.startswith(f"{desk.repository} at ")
    assert checks["configuration"].detail == ".stagefreight.yml: mode gitops, backend flux"
    assert checks["output directory"].detail == str(desk.repository / "sf-out")
    assert checks["cache"].detail == str(desk.root / "home/.cache/sf")
    assert not (desk.repository / "sf-out").exists()
    assert list((desk.root / "home").iterdir()) == []
    assert "everything a run here needs is there" in unstyled(render(checks.values()))


FAULTS: Final = {
    "hangs": ("trap '' INT TERM; while :; do /bin/sleep 0.1; done", "did not end within 0.5 s"),
    "crashes": ("echo 'cannot open ledger' >&2; exit 3", "ended with exit code 3: cannot open ledger"),
    "is killed": ("kill -SEGV $$", "was ended by SIGSEGV"),
    "prints nothing": ("exit 0", "does not say its version"),
    "prints colours": (r"printf '\033[31mhello\033[0m\n'", r"`\x1b[31mhello\x1b[0m`"),
    "prints a command": (r"printf '::error::gotcha\n##[error]gotcha\n'", "::error::gotcha ##[error]gotcha"),
    "prints bytes": (r"printf '\377\000\202\n'", r"\udcff"),
    "prints without end": (
        "while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done",
        "printed more than",
    ),
    "is too old": ("echo v5.3.9", "5.3.9 is too old"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.slow
def test_a_program_with_a_fault_fails_where_it_is_needed(
    fault: str, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "PROGRAM_TIMEOUT", 0.5)
    script, expected = FAULTS[fault]
    desk.commit(GITOPS)
    desk.install("kustomize", script)
    checks = desk.checks()
    assert failed(checks) == {"kustomize"}
    assert expected in checks["kustomize"].detail
    assert len(checks["kustomize"].detail) <= 300
    assert checks["kustomize"].hint == "install kustomize 5.4 or newer: it is needed to render Kustomizations"
    printed = io.StringIO()
    Console(printed, None, Redactor(), in_ci=True).document(render(checks.values()))
    assert "\x1b" not in printed.getvalue()
    assert "##[" not in printed.getvalue()
    assert not [line for line in printed.getvalue().split("\n") if line.lstrip().startswith("::")]


def test_a_program_with_a_fault_is_only_noted_where_it_is_not_needed(desk: Desk) -> None:
    desk.commit(GITOPS)
    desk.install("kustomize", KUSTOMIZE)
    desk.install("docker", "echo oh no >&2; exit 1")
    desk.install("ssh", "exit 255")
    checks = desk.checks()
    assert failed(checks) == set()
    assert "oh no" in checks["docker compose"].detail
    assert checks["ssh"].hint == "only needed to reach other hosts"


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [
        ("kustomize", "echo '(devel)'", "devel"),
        ("age", "echo '(unknown)'", "unknown"),
        ("flux", "echo flux version 2.9.5", "2.9.5"),
        ("kubectl", "echo Client Version: v1.36.3; echo Kustomize Version: v5.8.1", "1.36.3"),
        ("sops", 'echo sops 3.13.3; test "$SOPS_DISABLE_VERSION_CHECK" = true', "3.13.3"),
        ("ssh", "echo OpenSSH_9.2p1 Debian-2+deb12u6, OpenSSL 3.0.19 27 Jan 2026 >&2", "9.2"),
        ("ansible-inventory", "echo 'ansible-inventory [core 2.19.14]'", "2.19.14"),
    ],
)
def test_versions_are_read_as_each_program_says_them(name: str, says: str, version: str, desk: Desk) -> None:
    desk.install(name, says)
    assert desk.checks()[name] == Check(name=name, passed=True, detail=f"{version} ({desk.root}/bin/{name})")


def test_a_program_that_is_asked_sees_neither_home_nor_repository_nor_secrets(desk: Desk) -> None:
    desk.commit(GITOPS)
    desk.environ["SSH_PRIVATE_KEY"] = "x" * 40
    desk.install("kustomize", 'echo "v5.8.1"; echo "$HOME|$PWD|${SSH_PRIVATE_KEY-unset}" > "$0.seen"')
    desk.checks()
    home, folder, key = (desk.root / "bin/kustomize.seen").read_text().strip().split("|")
    assert home == folder != str(desk.root / "home")
    assert Path(home).parent == desk.root / "tmp"
    assert key == "unset"


@contextlib.contextmanager
def listening(path: Path) -> Iterator[None]:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        # A path may be longer than an address of a socket.
        here = os.open(path.parent, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)
        yield


def test_stacks_of_this_machine_need_its_engine(desk: Desk) -> None:
    desk.commit(DOCKER)
    desk.install("docker", DOCKER_PROGRAM)
    checks = desk.checks()
    assert failed(checks) == {"docker engine"}
    assert f"Cannot connect to unix://{desk.root}/docker.sock" in checks["docker engine"].detail
    assert "start it" in checks["docker engine"].hint
    with listening(desk.root / "docker.sock"):
        checks = desk.checks()
    assert failed(checks) == set()
    assert checks["docker engine"].detail == f"28.5.2 ({desk.root}/docker.sock)"
    assert checks["docker compose"].detail == f"2.40.3 ({desk.root}/bin/docker)"
    desk.environ["DOCKER_HOST"] = "tcp://192.0.2.1:2375"
    assert "DOCKER_HOST is tcp://" in desk.checks()["docker engine"].detail


def test_stacks_of_hosts_need_ansible_and_no_engine(desk: Desk) -> None:
    desk.commit(OF_HOSTS)
    desk.install("docker", DOCKER_PROGRAM)
    checks = desk.checks()
    assert failed(checks) == {"ansible-inventory"}
    assert checks["ansible-inventory"].hint.startswith("install ansible-inventory: it is needed to read")


@pytest.mark.parametrize(
    ("connection", "missing"),
    [("ansible_host: 192.0.2.1", {"ssh", "hosts"}), ("docker_local: true", {"docker engine"})],
)
def test_ssh_is_needed_for_hosts_that_are_reached_over_it(
    connection: str, missing: set[str], desk: Desk
) -> None:
    desk.commit(OF_HOSTS)
    Repository(desk.repository).commit({"hosts.yml": f"all: {{hosts: {{web: {{{connection}}}}}}}\n"})
    desk.install("docker", DOCKER_PROGRAM)
    (desk.root / "bin/ansible-inventory").symlink_to(Path(sys.executable).with_name("ansible-inventory"))
    checks = desk.checks()
    assert failed(checks) == missing
    count = "1" if "ssh" in missing else "0"
    assert checks["hosts"].detail.startswith(f"1 in hosts.yml, {count} of them over ssh")


def test_the_first_problem_of_the_configuration_is_shown_without_secrets(desk: Desk) -> None:
    desk.commit("lifecycle:\n  mode: 'tok-en-of-the-job'\n")
    desk.redactor.register("tok-en-of-the-job")
    check = desk.checks()["configuration"]
    assert not check.passed
    assert check.detail.startswith(".stagefreight.yml:2:9: `lifecycle.mode` must be")
    assert "tok-en" not in check.detail
    assert "***" in check.detail


def test_the_ci_is_described(desk: Desk) -> None:
    desk.commit(GITOPS)
    desk.environ |= {
        "SF_CI_PROVIDER": "github",
        "SF_CI_EVENT": "pull_request",
        "SF_CI_CHANGE_NUMBER": "12",
        "SF_CI_TRUST": "untrusted",
        "SF_CI_BRANCH": "topic",
    }
    expected = "github, pull_request 12, branch topic, untrusted, `sf run` plans"
    assert desk.checks()["ci"].detail == expected
    desk.environ |= {"SF_CI_EVENT": "push", "SF_CI_BRANCH": "main", "SF_CI_DEFAULT_BRANCH": "main"}
    del desk.environ["SF_CI_TRUST"], desk.environ["SF_CI_CHANGE_NUMBER"]
    assert desk.checks()["ci"].detail == "github, push, branch main, trusted, `sf run` reconciles"


def test_a_ci_that_cannot_be_described_is_a_failed_check(desk: Desk) -> None:
    desk.commit(GITOPS)
    desk.environ["SF_CI_COMMIT"] = "HEAD"
    checks = desk.checks()
    assert {"ci", "configuration"} <= failed(checks)
    assert "SF_CI_COMMIT is not a commit id" in checks["ci"].detail


def test_credentials_are_named_and_never_shown(desk: Desk) -> None:
    desk.commit(DOCKER)
    desk.environ |= {"SSH_PRIVATE_KEY": "open sesame", "SF_FINGERPRINT_KEY": "k" * 31, "SOPS_AGE_KEY": ""}
    checks = desk.checks()
    assert checks["credentials"].detail == (
        "set: SSH_PRIVATE_KEY, SF_FINGERPRINT_KEY; not set: SOPS_AGE_KEY, SOPS_AGE_KEY_FILE"
    )
    assert not checks["fingerprint key"].passed
    assert "has 31 bytes" in checks["fingerprint key"].detail
    assert "open sesame" not in everything(checks)
    assert "k" * 31 not in everything(checks)
    desk.environ["SF_FINGERPRINT_KEY"] = "k" * 32
    checks = desk.checks()
    assert checks["fingerprint key"].passed
    assert "k" * 32 not in everything(checks)


@pytest.mark.parametrize("obstacle", ["link", "file"])
def test_an_output_directory_that_cannot_be_one_fails(obstacle: str, desk: Desk) -> None:
    desk.commit(DOCKER)
    place = desk.repository / "sf-out"
    if obstacle == "link":
        place.symlink_to(desk.root)
    else:
        place.write_text("")
    check = desk.checks()["output directory"]
    assert not check.passed
    assert "--out-dir" in check.hint


def test_a_cache_that_cannot_be_written_is_only_noted(desk: Desk) -> None:
    (desk.root / "cache").write_text("")
    desk.environ["SF_CACHE_DIR"] = str(desk.root / "cache")
    check = desk.checks()["cache"]
    assert check.passed
    assert "cannot be written" in check.detail


@dataclass(frozen=True)
class Cluster:
    server: str
    ca: Path

    @property
    def configuration(self) -> str:
        cluster = f"{{name: prod-1, server: '{self.server}'}}"
        return f"lifecycle: {{mode: gitops}}\ngitops: {{cluster: {cluster}}}\n"


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403 if self.path == "/version" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server that wants to know who asks, with a certificate that nobody has heard of."""
    folder = tmp_path_factory.mktemp("cluster")
    certificate, key = folder / "ca.crt", folder / "ca.key"
    Launcher(Redactor()).run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kube"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        timeout=60,
        environ={"PATH": os.defpath},
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # one that hangs up is the point
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Cluster(f"https://127.0.0.1:{server.server_port}", certificate)
        server.shutdown()
        thread.join()


def test_a_cluster_that_is_not_trusted_asks_for_its_authority(cluster: Cluster, desk: Desk) -> None:
    desk.commit(cluster.configuration)
    desk.environ["PROD_1_TOKEN"] = "token-of-the-tests"
    check = desk.checks()["cluster"]
    assert not check.passed
    assert "is not accepted: self-signed certificate" in check.detail
    assert "PROD_1_CA_FILE" in check.hint
    assert "PROD_1_CA_B64" in check.hint


def test_a_cluster_without_a_token_says_where_one_may_come_from(cluster: Cluster, desk: Desk) -> None:
    desk.commit(cluster.configuration)
    check = desk.checks()["cluster"]
    assert not check.passed
    assert check.detail.startswith("there is no token for the cluster: STAGEFREIGHT_OIDC, ")
    assert "or set PROD_1_TOKEN" in check.hint


def test_what_answers_in_place_of_an_api_server_is_shown(cluster: Cluster, desk: Desk) -> None:
    desk.commit(cluster.configuration)
    desk.environ |= {"PROD_1_TOKEN": "token-of-the-tests", "PROD_1_CA_FILE": str(cluster.ca)}
    check = desk.checks()["cluster"]
    assert not check.passed
    assert check.detail == "the API server answers with status 501"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("PROD_1_CA_B64", "%%%", "PROD_1_CA_B64 is not a text file in base64"),
        ("PROD_1_CA_B64", "aGVsbG8=", "is not a list of PEM certificates"),
        ("PROD_1_CA_FILE", "/nonexistent/ca.crt", "certificate authority of PROD_1_CA_FILE cannot be read"),
    ],
)
def test_an_authority_that_is_none_is_said_so(
    variable: str, value: str, expected: str, cluster: Cluster, desk: Desk
) -> None:
    desk.commit(cluster.configuration)
    desk.environ |= {variable: value, "PROD_1_TOKEN": "token-of-the-tests"}
    check = desk.checks()["cluster"]
    assert not check.passed
    assert expected in check.detail


def test_a_cluster_that_does_not_answer_fails(desk: Desk) -> None:
    desk.commit(Cluster("https://127.0.0.1:1", Path()).configuration)
    desk.environ["PROD_1_TOKEN"] = "token-of-the-tests"
    check = desk.checks()["cluster"]
    assert not check.passed
    assert check.detail == "https://127.0.0.1:1 does not answer: Connection refused"
    assert "CA_FILE" not in check.hint


@pytest.mark.tools
def test_the_real_programs_say_their_versions(desk: Desk) -> None:
    tier = packages.ensure(pins.load().packages)
    (desk.root / "docker").mkdir()
    plugins = {"cliPluginsExtraDirs": [str(packages.plugins(tier))]}
    (desk.root / "docker/config.json").write_text(json.dumps(plugins))
    folders = [*map(str, tiers.program_folders()), *os.defpath.split(":")]
    desk.environ |= {"PATH": ":".join(folders), "DOCKER_CONFIG": str(desk.root / "docker")}
    desk.commit(OF_HOSTS)
    checks = desk.checks()
    for name in ("git", "kustomize", "docker", "docker compose", "age", "ssh"):
        assert checks[name].passed
        assert checks[name].hint == ""


def test_a_check_is_plain_json() -> None:
    check = Check(name="git", passed=False, detail="missing", hint="install it")
    assert check.document() == {
        "name": "git",
        "passed": False,
        "detail": "missing",
        "hint": "install it",
        "manifests": "",
    }


def test_what_is_printed_is_for_people() -> None:
    checks = (
        Check(name="git", passed=True, detail="2.39.5 (/usr/bin/git)"),
        Check(
            name="flux", passed=True, detail="`flux` is not on the PATH", hint="only needed for substitutions"
        ),
        Check(
            name="kustomize", passed=False, detail="5.3.0 is too old", hint="install kustomize 5.4 or newer"
        ),
        Check(
            name="cluster", passed=False, detail="denied", hint="apply this:", manifests="kind: Role\na: b\n"
        ),
    )
    assert unstyled(render(checks)) == (
        "ok      git        2.39.5 (/usr/bin/git)\n"
        "note    flux       `flux` is not on the PATH\n"
        "        hint: only needed for substitutions\n"
        "failed  kustomize  5.3.0 is too old\n"
        "        hint: install kustomize 5.4 or newer\n"
        "failed  cluster    denied\n"
        "        hint: apply this:\n"
        "\n"
        "2 of 4 checks failed\n"
        "\n"
        "kind: Role\n"
        "a: b\n"
    )
