"""The way into a real cluster: every source of credentials, and everything that can be wrong with it."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import socket
import ssl
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sf import documents
from sf.backends.flux.cluster import Cluster, find_access
from sf.backends.flux.kustomization import SourceRef
from sf.backends.flux.rights import needed, roles
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.models import Problem
from sf.process import ProgramTimeout
from sf.runtime import InvokerType, RuntimeContext
from sf.tools.kubectl import Kubectl
from sf.tools.kubernetes import Api, ApiProblem, Endpoint, NoAnswer, Untrusted
from tests.cluster.forge import SECRET, TokenEndpoint
from toolchain.certificates import Authority
from toolchain.ports import Ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from toolchain.cluster import Cluster as RealCluster

    Enter = Callable[..., Cluster]

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class Run:
    """One run of sf, as far as it concerns the cluster."""

    def __init__(self, cluster: RealCluster, folder: Path) -> None:
        self._real = cluster
        self._folder = folder
        self._contexts: list[RuntimeContext] = []

    def context(self, environ: Mapping[str, str]) -> RuntimeContext:
        context = RuntimeContext(
            ci=CIContext(provider=Provider.LOCAL, event=EventKind.MANUAL, trust=Trust.TRUSTED),
            invoker=InvokerType.API,
            repo_root=self._folder,
            dry_run=True,
            environ={"PATH": self._real.environment["PATH"], "HOME": str(self._folder), **environ},
        )
        self._contexts.append(context)
        return context

    def enter(
        self, environ: Mapping[str, str], *, mount: Path = Path("/nonexistent"), **settings: Any
    ) -> Cluster:
        """The cluster as `environ` and the settings of `gitops.cluster` lead to it."""
        named = {"name": "tests", "server": self._real.server, "ca": self._real.ca} | settings
        gitops = {"cluster": named, "oidc": {"audience": self._real.audience}}
        config = load_config(documents.dump({"lifecycle": {"mode": "gitops"}, "gitops": gitops}).encode())
        context = self.context(environ)
        return Cluster(find_access(config.gitops, context, mount=mount), context)

    def end(self) -> None:
        for context in self._contexts:
            private = context.workspace.private
            assert context.resolved.cleanup() == ()
            assert not private.exists()
        self._contexts.clear()


@pytest.fixture
def run(cluster: RealCluster, tmp_path: Path) -> Iterator[Run]:
    run = Run(cluster, tmp_path)
    yield run
    run.end()


def whoami(run: Run, entered: Cluster) -> str:
    """Who kubectl is, with the environment that tools get."""
    said = Kubectl(run.context({}).launcher, entered.environ).run(["auth", "whoami", "--output=json"]).text
    return str(json.loads(said)["status"]["userInfo"]["username"])


@pytest.mark.parametrize("variable", ["STAGEFREIGHT_OIDC", "SF_ID_TOKEN", "TESTS_TOKEN"])
def test_a_token_of_a_variable(cluster: RealCluster, run: Run, variable: str) -> None:
    token = cluster.token("main", ["deployers"])
    entered = run.enter({variable: f"{token}\n"})
    user = entered.check()
    assert (user.name, "ci:deployers" in user.groups) == ("ci:main", True)
    assert entered.api.version() == "v1.36.3"
    assert whoami(run, entered) == "ci:main"
    assert not any(token in value for value in entered.environ.values())


def test_what_is_on_disk_is_for_this_user_alone(cluster: RealCluster, run: Run) -> None:
    entered = run.enter({"STAGEFREIGHT_OIDC": cluster.token("main")})
    folder = entered.kubeconfig.parent
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}
    assert modes == {folder.name: 0o700, "kubeconfig": 0o600, "ca.crt": 0o600, "token": 0o600}


def test_the_forge_is_asked_for_a_token_once(cluster: RealCluster, run: Run) -> None:
    with TokenEndpoint(cluster, busy=1) as forge:
        entered = run.enter({**forge.environ, "TESTS_TOKEN": "of-a-later-place"})
        assert entered.check().name == "ci:main"
        assert whoami(run, entered) == "ci:main"
        assert len(forge.issued) == 1
        assert forge.issued[0] not in entered.kubeconfig.read_text()
        assert {path.name for path in entered.kubeconfig.parent.iterdir()} == {
            "kubeconfig",
            "ca.crt",
            "credential",
        }


def test_a_token_of_the_forge_is_renewed_before_it_expires(cluster: RealCluster, run: Run) -> None:
    with TokenEndpoint(cluster, seconds=8) as forge:
        entered = run.enter(forge.environ)
        assert entered.check().name == "ci:main"
        time.sleep(6.5)
        assert whoami(run, entered) == "ci:main"
        assert entered.check().name == "ci:main"
        assert len(forge.issued) == 2
        assert entered.outlived_by(3600) is None


def test_a_token_that_cannot_be_renewed_is_told_in_time(cluster: RealCluster, run: Run) -> None:
    entered = run.enter({"SF_ID_TOKEN": cluster.token("main", seconds=5)})
    assert entered.check().name == "ci:main"
    assert entered.outlived_by(1) is None
    told = entered.outlived_by(3600)
    assert told is not None
    assert "token: SF_ID_TOKEN) expire in" in told.message
    time.sleep(5.1)
    with pytest.raises(Problem, match=r"the token \(SF_ID_TOKEN\) expired \d s ago"):
        entered.check()


def test_no_program_sees_a_token_in_its_arguments_or_environment(cluster: RealCluster, run: Run) -> None:
    seen: set[bytes] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    seen.add(
                        (process / "cmdline").read_bytes() + b"\0\0" + (process / "environ").read_bytes()
                    )

    with TokenEndpoint(cluster, delay=0.5) as forge:
        entered = run.enter(forge.environ)
        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            assert whoami(run, entered) == "ci:main"
        finally:
            done.set()
            watcher.join()
    [token] = forge.issued
    assert any(b"kubectl\0auth\0whoami" in text for text in seen)
    assert any(b"\0credential\0--socket\0" in text for text in seen)
    for text in seen:
        assert token.encode() not in text
        assert SECRET.encode() not in text


def test_a_service_account_of_a_pod(cluster: RealCluster, run: Run, tmp_path: Path) -> None:
    def mount() -> None:
        (tmp_path / "token").write_text(cluster.kubectl("--namespace=default", "create", "token", "default"))

    mount()
    (tmp_path / "ca.crt").write_text(cluster.ca)
    entered = run.enter({}, mount=tmp_path, ca=None)
    assert entered.check().name == "system:serviceaccount:default:default"
    mount()
    assert whoami(run, entered) == "system:serviceaccount:default:default"


def kubeconfig_with(cluster: RealCluster, user: dict[str, Any]) -> str:
    document = json.loads(cluster.admin_kubeconfig.read_text())
    document["users"][0]["user"] = user
    encoded = base64.b64encode(cluster.ca.encode()).decode()
    document["clusters"][0]["cluster"] = {"server": cluster.server, "certificate-authority-data": encoded}
    return json.dumps(document)


def test_a_kubeconfig_with_a_client_certificate(cluster: RealCluster, run: Run, tmp_path: Path) -> None:
    certificate, key = cluster.authority.client("ada", "people")
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text(kubeconfig_with(cluster, user))
    entered = run.enter({}, server=None, ca=None, kubeconfig={"context": "sf"})
    assert entered.check().name == "ada"
    assert whoami(run, entered) == "ada"


def test_a_kubeconfig_with_a_program(cluster: RealCluster, run: Run, tmp_path: Path) -> None:
    (tmp_path / "print.py").write_text(
        "import json, os\n"
        "version = json.loads(os.environ['KUBERNETES_EXEC_INFO'])['apiVersion']\n"
        "status = {'token': os.environ['GIVEN'], 'expirationTimestamp': '2099-01-01T00:00:00Z'}\n"
        "print(json.dumps({'apiVersion': version, 'kind': 'ExecCredential', 'status': status}))\n"
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": [str(tmp_path / "print.py")],
        "env": [{"name": "GIVEN", "value": cluster.token("main")}],
    }
    text = base64.b64encode(kubeconfig_with(cluster, {"exec": plugin}).encode()).decode()
    entered = run.enter({"MINE": text}, server=None, ca=None, kubeconfig={"variable": "MINE"})
    assert entered.check().name == "ci:main"
    assert whoami(run, entered) == "ci:main"


def test_a_token_for_another_audience(cluster: RealCluster, run: Run) -> None:
    entered = run.enter({"STAGEFREIGHT_OIDC": cluster.token("main", audience="somebody-else")})
    with pytest.raises(
        Problem, match=r"does not know us \(token: STAGEFREIGHT_OIDC\): Unauthorized"
    ) as caught:
        entered.check()
    assert "aud somebody-else, sub main" in caught.value.hint


def test_a_right_that_is_missing_comes_with_the_role_that_grants_it(cluster: RealCluster, run: Run) -> None:
    entered = run.enter({"STAGEFREIGHT_OIDC": cluster.token("repo:acme/fleet:ref:refs/heads/main")})
    user = entered.check()
    source = SourceRef("GitRepository", "flux-system", "fleet")
    rights = needed(["default", "flux-system"], [source], act=True)
    with pytest.raises(Problem, match="does not let ci:repo:acme/fleet:ref:refs/heads/main ") as caught:
        entered.require(rights, user)
    assert (
        "list events in default, get and list and patch and watch kustomizations in" in caught.value.message
    )
    _, _, manifests = caught.value.hint.partition("\n")
    cluster.kubectl("apply", "--filename=-", stdin=manifests.encode())
    entered.require(rights, user)


def test_a_tool_that_outlives_a_token_gets_another(cluster: RealCluster, run: Run) -> None:
    source = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": "gone", "namespace": "flux-system"},
        "spec": {"interval": "10m", "url": cluster.git_url("gone")},
    }
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(source).encode())
    with TokenEndpoint(cluster, seconds=4) as forge:
        entered = run.enter(forge.environ)
        rights = needed(["flux-system"], [SourceRef("GitRepository", "flux-system", "gone")], act=True)
        cluster.kubectl("apply", "--filename=-", stdin=roles(rights, entered.check()).encode())
        ended = run.context({}).launcher.run(
            # It looks every two seconds, and waits until the time is over.
            ["flux", "reconcile", "source", "git", "gone", "--timeout=8s"],
            environ=entered.environ,
            timeout=30,
            accept=(1,),
        )
        assert "context deadline exceeded" in ended.stderr
        assert len(forge.issued) >= 2


def test_kubectl_says_what_is_wrong_in_its_own_words(cluster: RealCluster, run: Run) -> None:
    entered = run.enter({"TESTS_TOKEN": cluster.token("nobody")})
    kubectl = Kubectl(run.context({}).launcher, entered.environ)
    assert kubectl.version == "1.36.3"
    with pytest.raises(Problem, match=r'^\(Forbidden\): secrets is forbidden: User "ci:nobody" cannot list'):
        kubectl.run(["get", "secrets"])
    with cluster.frozen("kube-apiserver"), pytest.raises(ProgramTimeout, match="did not end within 1 s"):
        kubectl.run(["get", "secrets"], timeout=1)


def test_an_authority_that_did_not_sign(cluster: RealCluster, run: Run, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other")
    entered = run.enter({"TESTS_TOKEN": cluster.token("main"), "TESTS_CA_FILE": str(other.certificate)})
    with pytest.raises(Problem, match=r"is not accepted: (unable to get local issuer|self-signed)") as caught:
        entered.check()
    assert caught.value.hint.endswith("now that is TESTS_CA_FILE")


def test_the_system_does_not_know_the_authority(cluster: RealCluster, run: Run) -> None:
    entered = run.enter({"TESTS_TOKEN": cluster.token("main")}, ca=None)
    with pytest.raises(Problem, match="is not accepted") as caught:
        entered.check()
    assert caught.value.hint.endswith("now that is the system's own")


def test_a_server_that_is_not_there(cluster: RealCluster, run: Run) -> None:
    ports = Ports(("nobody",))
    server = f"https://127.0.0.1:{ports['nobody']}"
    entered = run.enter({"TESTS_TOKEN": cluster.token("main")}, server=server)
    with pytest.raises(Problem, match=f"{server} does not answer: Connection refused"):
        entered.check()
    ports.release()


def test_a_server_that_hangs(cluster: RealCluster) -> None:
    api = Api(Endpoint(server=cluster.server, ca=cluster.ca), lambda: cluster.token("main"), timeout=1)
    started = time.monotonic()
    with cluster.frozen("kube-apiserver"), pytest.raises(NoAnswer, match="does not answer within 1 s"):
        api.version()
    assert time.monotonic() - started < 5
    assert api.version() == "v1.36.3"
    api.close()


def test_a_server_that_is_restarted(cluster: RealCluster, run: Run) -> None:
    entered = run.enter({"TESTS_TOKEN": cluster.token("main")})
    assert entered.check().name == "ci:main"
    cluster.stop_part("kube-apiserver")
    with pytest.raises(Problem, match="does not answer: Connection refused"):
        entered.check()
    cluster.start_part("kube-apiserver")
    assert entered.check().name == "ci:main"


class Version(http.server.BaseHTTPRequestHandler):
    """An API server of sorts that knows `/version`; what is asked of it otherwise it sends to `elsewhere`."""

    elsewhere = ""
    page = b'{"gitVersion": "v1.21.0"}'

    def do_POST(self) -> None:
        self.send_response(307)
        self.send_header("Location", f"{self.elsewhere}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.page)))
        self.end_headers()
        self.wfile.write(self.page)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(certificate: Path, key: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Version) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_certificate_with_as_few_extensions_as_older_clusters_have(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    with serving(*authority.server("old", extensions=("subjectAltName=IP:127.0.0.1",))) as server:
        api = Api(Endpoint(server=server, ca=authority.pem), None, timeout=5)
        assert api.version() == "v1.21.0"
        api.close()


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    with serving(*authority.server("other", extensions=("subjectAltName=DNS:elsewhere",))) as server:
        api = Api(Endpoint(server=server, ca=authority.pem), None, timeout=5)
        with pytest.raises(Untrusted, match="IP address mismatch"):
            api.version()
        api.close()


def test_the_token_does_not_follow_a_redirect(
    cluster: RealCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.create(tmp_path)
    monkeypatch.setattr(Version, "elsewhere", cluster.server)
    with serving(*authority.server("front")) as server:
        trusted = f"{authority.pem}{cluster.ca}"
        api = Api(Endpoint(server=server, ca=trusted), lambda: cluster.token("main"), timeout=5)
        with pytest.raises(ApiProblem, match="the API server answers with status 307"):
            api.user()
        api.close()


@pytest.mark.parametrize("page", [b"<html>Log in</html>", b"[]"])
def test_something_else_may_answer_in_place_of_the_api_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: bytes
) -> None:
    monkeypatch.setattr(Version, "page", page)
    authority = Authority.create(tmp_path)
    with serving(*authority.server("portal")) as server:
        api = Api(Endpoint(server=server, ca=authority.pem), None, timeout=5)
        with pytest.raises(ApiProblem, match="answers with something that no API server says"):
            api.version()
        api.close()


class Tunnel(http.server.BaseHTTPRequestHandler):
    """A proxy that leads every tunnel to `target`, whatever it was asked for."""

    target = ("", 0)
    asked: list[tuple[str, str]]

    def do_CONNECT(self) -> None:
        self.asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(self.target) as onward:
            back = threading.Thread(target=pump, args=(onward, self.connection))
            back.start()
            pump(self.connection, onward)
            back.join()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def test_an_api_server_behind_a_proxy(cluster: RealCluster, run: Run, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    certificate = authority.server("named", extensions=("subjectAltName=DNS:kube.example.test",))
    with serving(*certificate) as real:
        asked: list[tuple[str, str]] = []
        target = ("127.0.0.1", int(real.rpartition(":")[2]))
        kind = type("Own", (Tunnel,), {"target": target, "asked": asked})
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as proxy:
            thread = threading.Thread(target=proxy.serve_forever)
            thread.start()
            environ = {
                "TESTS_TOKEN": cluster.token("main"),
                "HTTPS_PROXY": f"http://ada:secret@127.0.0.1:{proxy.server_port}",
            }
            server = "https://kube.example.test:6443"
            entered = run.enter(environ, server=server, ca=authority.pem)
            assert entered.api.version() == "v1.21.0"
            entered.api.close()
            login = base64.b64encode(b"ada:secret").decode()
            assert asked == [("kube.example.test:6443", f"Basic {login}")]
            # This machine itself is never reached through one.
            assert run.enter(environ).check().name == "ci:main"
            assert len(asked) == 1
            proxy.shutdown()
            thread.join()
