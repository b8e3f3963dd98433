"""Where hosts come from beside Ansible: the configuration, and the contexts of the docker command."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from sf.ci.context import EventKind
from sf.models import Change, Outcome, Severity, Verdict
from toolchain import programs
from toolchain.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.estates import Estate
    from toolchain.engine import Engine
    from toolchain.hosts import Hosts

pytestmark = [pytest.mark.engine, pytest.mark.tools, pytest.mark.slow]

PLAIN = "services: {one: {image: 'busybox:1.36', command: [sleep, '1000'], stop_grace_period: 0s}}\n"
CONFIG = "lifecycle: {mode: docker}\ndocker:\n  targets:\n    source: %s\n"


def services(engine: Engine) -> list[str]:
    return sorted(engine.docker("ps", "--format", "{{.Names}}").split())


def configure(estate: Estate, source: str, lines: str = "") -> str:
    indented = "".join(f"    {line}\n" for line in lines.splitlines())
    known = "  ssh: {known_hosts: known_hosts}\n"
    return estate.repository.commit({".stagefreight.yml": f"{CONFIG % source}{indented}{known}"})


def stated(hosts: Hosts) -> str:
    alpha, beta = hosts["alpha"], hosts["beta"]
    return (
        "hosts:\n"
        f"  alpha: {{ansible_host: {alpha.address}, ansible_port: {alpha.port}, ansible_user: root,"
        " groups: [web]}\n"
        f"  beta: {{docker_host: 'ssh://root@{beta.address}:{beta.port}', groups: [web, beta-only]}}\n"
    )


def test_hosts_of_the_configuration_are_deployed_to_by_name_and_group(fleet: Estate, hosts: Hosts) -> None:
    configure(fleet, "inline", stated(hosts))
    fleet.commit({"web/plain/compose.yaml": PLAIN, "beta/own/compose.yaml": PLAIN})
    run = fleet.reconcile()
    assert run.error is None
    assert run.result is not None
    assert {one.name: one.outcome for one in run.result.actions} == {
        "alpha/plain": Outcome.DONE,
        "beta/own": Outcome.DONE,
        "beta/plain": Outcome.DONE,
    }
    assert services(hosts["alpha"].engine) == ["plain-one-1"]
    assert services(hosts["beta"].engine) == ["own-one-1", "plain-one-1"]
    document = fleet.document()
    assert [(one["name"], one["port"], one["groups"]) for one in document["hosts"]] == [
        ("alpha", hosts["alpha"].port, ["all", "web"]),
        ("beta", hosts["beta"].port, ["all", "beta-only", "web"]),
    ]


def test_a_pull_request_that_changes_a_host_of_the_configuration_is_not_followed(
    fleet: Estate, hosts: Hosts
) -> None:
    base = configure(fleet, "inline", stated(hosts))
    base = fleet.commit({"web/plain/compose.yaml": PLAIN})
    head = configure(
        fleet, "inline", stated(hosts).replace(f"ansible_port: {hosts['alpha'].port}", "ansible_port: 1")
    )
    run = fleet.plan(event=EventKind.PULL_REQUEST, base=base, head=head)
    assert run.plan is not None
    assert [(one.code, one.subject, one.severity) for one in run.plan.findings] == [
        ("host-steered", "alpha", Severity.DANGER)
    ]
    assert run.action("alpha/plain").effect is Change.UNKNOWN
    assert run.action("beta/plain").live is not None
    away = configure(fleet, "inline", "hosts: {alpha: {docker_local: true}, gamma: {docker_local: true}}")
    run = fleet.plan(event=EventKind.PULL_REQUEST, base=base, head=away)
    assert ("host-steered", "alpha") in {(one.code, one.subject) for one in run.plan.findings}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("hosts", "said"),
    [
        ("{a: {ansible_hots: b}}", "the host a has ansible_hots, which means nothing here"),
        ("{-oX: {}}", "could be taken for an option or for shell code"),
        ("{a: {groups: web}}", "the host a has groups 'web', which is not a list of names"),
        ("{a: {docker_host: 'http://b'}}", "which is not ssh://user@host:port or tcp://host:port"),
        ("{a: {docker_host: 'ssh://-oX'}}", "which is not ssh://user@host:port or tcp://host:port"),
        ("{a: {docker_host: 'ssh://b:99999'}}", "which is not ssh://user@host:port or tcp://host:port"),
        ("{a: {docker_host: 'ssh://u:secret@b'}}", "which is not ssh://user@host:port or tcp://host:port"),
        ("{a: {docker_host: 'ssh://b', docker_local: true}}", "which is not needed beside docker_local"),
    ],
)
def test_a_host_of_the_configuration_that_is_wrong_is_named(paper: Estate, hosts: str, said: str) -> None:
    configure(paper, "inline", f"hosts: {hosts}")
    paper.repository.commit({"known_hosts": ""})
    assert said in str(paper.plan().error)


@pytest.fixture
def contexts(fleet: Estate, hosts: Hosts, tmp_path: Path) -> Mapping[str, str]:
    """The environment of the docker command, which has a context for alpha. The estate's hosts are contexts."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    environ = {"PATH": fleet.environ["PATH"], "DOCKER_CONFIG": str(folder), "HOME": str(tmp_path)}
    alpha = hosts["alpha"]
    docker(environ, "alpha", f"host=ssh://root@{alpha.address}:{alpha.port}")
    configure(fleet, "docker-context")
    plugins = fleet.environ["DOCKER_CONFIG"]
    (folder / "config.json").write_text(_read(plugins))
    fleet.environ["DOCKER_CONFIG"] = str(folder)
    return environ


def _read(folder: str) -> str:
    with open(f"{folder}/config.json", encoding="utf-8") as file:  # noqa: PTH123 - the path is text
        return file.read()


def docker(environ: Mapping[str, str], name: str, endpoint: str) -> None:
    programs.run(["docker", "context", "create", name, "--docker", endpoint], env=environ)


def test_contexts_of_the_docker_command_are_hosts(
    fleet: Estate, hosts: Hosts, contexts: Mapping[str, str]
) -> None:
    docker(contexts, "open", "host=tcp://192.0.2.1:2375")
    docker(contexts, "socket", f"host={hosts['beta'].engine.socket}")
    fleet.commit({"alpha/plain/compose.yaml": PLAIN})
    run = fleet.reconcile()
    assert run.error is None
    assert services(hosts["alpha"].engine) == ["plain-one-1"]
    names = [(one["name"], one["local"]) for one in fleet.document()["hosts"]]
    assert names == [("alpha", False), ("default", True), ("socket", True)]
    # A context that cannot be used is told of where somebody wants to use it.
    fleet.commit({"open/plain/compose.yaml": PLAIN})
    run = fleet.plan()
    (wrong,) = [one for one in run.plan.findings if one.severity is Severity.ERROR]  # type: ignore[union-attr]
    assert wrong.code == "host-unusable"
    assert wrong.message == (
        "the docker context open leads to tcp://192.0.2.1:2375 without TLS, and whoever reaches that owns the"
        " machine"
    )
    fleet.settings["SF_CONFIG_DOCKER__TARGETS__SELECTOR__HOSTS"] = "[open]"
    assert "without TLS" in str(fleet.plan().error)
    fleet.settings["SF_CONFIG_DOCKER__TARGETS__SELECTOR__HOSTS"] = "[nobody]"
    assert "names nobody, and the inventory has no such host" in str(fleet.plan().error)


@contextlib.contextmanager
def behind_tls(unix: str, authority: Authority) -> Iterator[int]:
    """Meanwhile the engine at the socket `unix` answers at a port of loopback, to whoever has a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server("engine"))
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, context, unix), daemon=True).start()
        yield server.getsockname()[1]


def _serve(server: socket.socket, context: ssl.SSLContext, unix: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            plain, _ = server.accept()
            threading.Thread(target=_forward, args=(plain, context, unix), daemon=True).start()


def _forward(plain: socket.socket, context: ssl.SSLContext, unix: str) -> None:
    """One connection, until one of the two ends closes it."""
    with (
        contextlib.suppress(OSError),
        plain,
        context.wrap_socket(plain, server_side=True) as client,
        socket.socket(socket.AF_UNIX) as engine,
    ):
        engine.connect(unix)
        answers = threading.Thread(target=_pump, args=(engine, client))
        answers.start()
        _pump(client, engine)
        answers.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_an_engine_behind_tls_is_looked_at_and_never_deployed_to(
    fleet: Estate,
    hosts: Hosts,
    contexts: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Neither is what the user named for this engine.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority.create(tmp_path / "another").certificate))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    authority = Authority.create(tmp_path / "authority")
    cert, key = authority.client("sf", "users")
    fleet.commit({"alpha/plain/compose.yaml": PLAIN})
    assert fleet.reconcile().error is None
    with behind_tls(hosts["alpha"].engine.socket.removeprefix("unix://"), authority) as port:
        keys = f"ca={authority.certificate},cert={cert},key={key}"
        docker(contexts, "far", f"host=tcp://127.0.0.1:{port},{keys}")
        fleet.repository.git("mv", "docker-compose/alpha", "docker-compose/far")
        fleet.repository.commit({}, "look from afar")
        run = fleet.plan()
        assert run.error is None
        assert run.plan is not None
        assert run.plan.findings == ()
        # It runs, and whether it is what the repository says is for its record to tell.
        assert run.action("far/plain").effect is Change.UNKNOWN
        assert (
            "what runs on far/plain is unknown: its deployment record cannot be read over TLS"
            in run.plan.unknown
        )
        assert run.plan.verdict is Verdict.INCOMPLETE

        alpha = hosts["alpha"].engine
        alpha.docker("kill", "plain-one-1")
        live = fleet.plan().action("far/plain").live
        assert live is not None
        assert (live.effect, [one.message for one in live.reasons]) == (
            Change.CHANGE,
            ["one: it is not running (exit code 137)"],
        )
        refused = fleet.reconcile()
        assert str(refused.error) == (
            f"validate[compose]: far is only reached at tcp://127.0.0.1:{port}, where sf can look and cannot"
            " deploy: compose has to run on the machine that owns the engine"
        )
        # Who has no certificate is not let in, and that is no "nothing runs".
        for name in ("cert.pem", "key.pem"):
            (next((tmp_path / "docker/contexts/tls").iterdir()) / "docker" / name).write_text("")
        run = fleet.plan()
        assert [one.code for one in run.plan.findings] == ["host-unreadable"]  # type: ignore[union-attr]
        assert run.action("far/plain").live is None
