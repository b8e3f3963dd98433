"""A Kubernetes API server with Flux's controllers on loopback, and a git server that Flux reads.

    with Cluster.start("tests") as cluster:
        commit = cluster.push(repository, "fleet")
        cluster.kubectl("apply", "--filename", "-", stdin=manifest)

There are no nodes: what Flux applies exists and is never run, so a Deployment never becomes ready by itself. Each
program is ended by the kernel when the thread that started it ends, however that happens. Ports are free ones,
so clusters stand beside each other.
"""

import contextlib
import fcntl
import json
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from toolchain import cache, golang, pins, programs
from toolchain.certificates import Authority
from toolchain.errors import ToolchainError
from toolchain.githttp import GitServer
from toolchain.oidc import Issuer
from toolchain.ports import Ports
from toolchain.progress import step

START_SECONDS = 60
STOP_SECONDS = 3
LAST_WORDS = 15

AUDIENCE = "flux-ci"
"""The audience that tokens for the API server have."""

USER_PREFIX = "ci:"
"""What the API server puts before the subject and the groups of a token, to get names for RBAC."""

NAMESPACE = "flux-system"

WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
"""The start of a command line that the kernel ends with the thread that started it: setpriv(1)."""

KUBE_CONTROLLERS = (
    "clusterrole-aggregation-controller",  # else the roles admin, edit and view are empty
    "garbage-collector-controller",
    "namespace-controller",  # else a deleted namespace stays
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)
FLUX_CONTROLLERS = ("source-controller", "kustomize-controller", "helm-controller")
PORTS = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "artifacts",
    *FLUX_CONTROLLERS,
    *(f"{name}-metrics" for name in FLUX_CONTROLLERS),
)

ADMIN = "admin"
USERS = (ADMIN, "system:kube-controller-manager", *FLUX_CONTROLLERS)
"""Who the programs are. All but the controller manager, which has a role, may do everything: as with `flux
bootstrap`, whose controllers are cluster-admin."""


@dataclass(frozen=True)
class Part:
    """One program of the cluster. `ready` is the URL that answers with 200 once it works, empty if it has none."""

    argv: Sequence[str]
    ready: str = ""
    environment: Mapping[str, str] | None = None


class Cluster:
    """A running cluster."""

    def __init__(self, folder: Path, lock: IO[str], tier: Path) -> None:
        """Set up the folder of a cluster and the servers of this process; `start` is the way to get one."""
        self._folder = folder
        self._lock = lock
        self._tier = tier
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("logs", "git", "artifacts", "tmp", "home"):
            (folder / name).mkdir()
        self.authority = Authority.create(folder / "pki")
        """Who signs the certificates of the API server, and of users that bring one."""
        self._tls = self.authority.server("server")
        self._ports = Ports(PORTS)
        self._git = GitServer(folder / "git")
        self._issuer = Issuer(folder / "pki", *self._tls)
        self._context = ssl.create_default_context(cafile=self.authority.certificate)
        self.server = f"https://127.0.0.1:{self._ports['kube-apiserver']}"
        """The URL of the API server."""
        self.ca = self.authority.pem
        """The certificate (PEM) of the authority that signed the API server's."""
        self.audience = AUDIENCE
        self._users = {user: secrets.token_hex(16) for user in USERS}
        self.admin_kubeconfig = self._kubeconfig(ADMIN)
        """A kubeconfig for an administrator."""
        self.environment = {
            "PATH": programs.search_path(golang.programs(tier)),
            "KUBECONFIG": str(self.admin_kubeconfig),
            # kubectl keeps what it discovers there.
            "HOME": str(folder / "home"),
        }
        """What kubectl and flux need to reach the cluster as an administrator."""
        self._parts = self._all_parts()

    @classmethod
    def start(cls, name: str) -> Self:
        """Start an empty cluster. It ends with the calling thread, even if that is killed.

        Raises ToolchainError if it cannot be started, which happens within START_SECONDS for each part.
        """
        tier = golang.ensure(pins.load().go)
        folder, lock = _claim(cache.home() / "clusters", name)
        with step(f"started the cluster {name}"), contextlib.ExitStack() as undo:
            undo.callback(_remove, folder, lock)
            cluster = cls(folder, lock, tier)
            undo.push(cluster)
            cluster._start_all()
            undo.pop_all()
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all programs and remove every trace of the cluster."""
        # Nothing of it is kept, so there is nothing to end in order.
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        self._git.stop()
        self._issuer.stop()
        self._ports.release()
        _remove(self._folder, self._lock)

    def stop_part(self, name: str) -> None:
        """End one program, in order: etcd, kube-apiserver, kube-controller-manager or one of FLUX_CONTROLLERS."""
        process = self._processes.pop(name)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # The API server waits for whoever is connected, and for ever while etcd is away.
            process.kill()
            process.wait()

    def start_part(self, name: str) -> None:
        """Start a program that was stopped, and wait until it works. It ends with the calling thread.

        Raises ToolchainError if it ends or does not work within START_SECONDS.
        """
        self._spawn(name)
        self._wait_until_ready(name)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Keep one program from doing anything meanwhile: whoever asks it gets no answer."""
        process = self._processes[name]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def token(
        self, subject: str, groups: Sequence[str] = (), *, seconds: float = 600, audience: str = AUDIENCE
    ) -> str:
        """Return a token (JWT) that the API server takes until it expires, with USER_PREFIX before all names.

        The API server takes a token that it has seen for up to 10 s longer: it remembers successes.
        """
        return self._issuer.token({"sub": subject, "groups": list(groups), "aud": audience}, seconds)

    def kubectl(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run kubectl as an administrator and return its stdout. Raises ToolchainError if it fails."""
        return programs.run(["kubectl", *arguments], env=self.environment, stdin=stdin)

    def git_url(self, name: str) -> str:
        """Return where the controllers, and anybody else on this machine, find the repository of that name."""
        return f"{self._git.url}/{name}.git"

    def push(self, repository: Path, name: str, branch: str = "main", *, revision: str = "HEAD") -> str:
        """Make `revision` of a local repository the branch of the served one, and return the commit's id.

        The served repository is made when it is new. A branch is moved to any commit, as by a forced push.
        """
        bare = self._folder / "git" / f"{name}.git"
        if not bare.exists():
            programs.run(["git", "init", "--quiet", "--bare", f"--initial-branch={branch}", bare])
        refspec = f"+{revision}:refs/heads/{branch}"
        programs.run(["git", "-C", repository, "push", "--quiet", self.git_url(name), refspec])
        return programs.run(["git", "-C", bare, "rev-parse", f"refs/heads/{branch}"]).strip()

    def permissive_crds(self, kinds: Iterable[tuple[str, str, str]], *, is_namespaced: bool = True) -> None:
        """Define kinds (group, version, kind) whose objects may hold anything."""
        versions: dict[tuple[str, str], list[str]] = {}
        for group, version, kind in kinds:
            versions.setdefault((group, kind), []).append(version)
        scope = "Namespaced" if is_namespaced else "Cluster"
        items = [_permissive(group, kind, names, scope) for (group, kind), names in versions.items()]
        self._define(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode())

    def log(self, name: str) -> str:
        """Return what a program has printed, over all of its starts."""
        return self._log(name).read_text(errors="replace")

    def pids(self) -> dict[str, int]:
        """Return the process id of each program that was started and not stopped."""
        return {name: process.pid for name, process in self._processes.items()}

    def _start_all(self) -> None:
        for name in ("etcd", "kube-apiserver", "kube-controller-manager"):
            self._spawn(name)
        self._wait_until_ready("kube-apiserver")
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self._apply("--filename", "-", stdin=json.dumps(namespace).encode())
        self._define(b"\n---\n".join(map(Path.read_bytes, golang.definitions(self._tier).iterdir())))
        for name in FLUX_CONTROLLERS:
            self._spawn(name)
        for name in FLUX_CONTROLLERS:
            self._wait_until_ready(name)
        self._wait_until_tokens_count()

    def _define(self, definitions: bytes) -> None:
        self._apply("--filename", "-", stdin=definitions)
        timeout = f"--timeout={START_SECONDS}s"
        self.kubectl("wait", "--for=condition=Established", timeout, "customresourcedefinitions", "--all")

    def _apply(self, *arguments: str, stdin: bytes) -> None:
        self.kubectl("apply", "--server-side", *arguments, stdin=stdin)

    def _spawn(self, name: str) -> None:
        part = self._parts[name]
        with self._log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*WITH_PARENT, golang.programs(self._tier) / name, *part.argv],
                # Nothing of the caller's, such as a proxy.
                env={
                    "PATH": self.environment["PATH"],
                    "HOME": self.environment["HOME"],
                    "TMPDIR": str(self._folder / "tmp"),
                    **(part.environment or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The lock is held until the last of them has ended.
                pass_fds=[self._lock.fileno()],
                # A Ctrl-C in the terminal is for the caller, who then stops the cluster.
                start_new_session=True,
            )

    def _wait_until_ready(self, name: str) -> None:
        process, url = self._processes[name], self._parts[name].ready
        for _ in _attempts():
            if not url or self._status(url) == 200:
                return
            if process.poll() is not None:
                break
        how = "did not get ready" if process.returncode is None else f"ended with {process.returncode}"
        raise ToolchainError(
            "\n  ".join([f"{name} {how}; its last words:", *self.log(name).splitlines()[-LAST_WORDS:]])
        )

    def _wait_until_tokens_count(self) -> None:
        """The API server fetches the keys of the issuer once it runs, and says nowhere that it has them."""
        token = self.token("ready")
        for _ in _attempts():
            if self._status(f"{self.server}/version", token) == 200:
                return
        raise ToolchainError("the API server does not take the tokens of the issuer")

    def _status(self, url: str, token: str = "") -> int:
        """The status that `url` answers with, 0 when there is no answer."""
        # Without the caller's proxy.
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        opener = urllib.request.build_opener(*handlers)
        opener.addheaders = [("Authorization", f"Bearer {token}")] if token else []
        try:
            with opener.open(url, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"

    def _kubeconfig(self, user: str) -> Path:
        """Write the kubeconfig of one of USERS."""
        cluster = {"server": self.server, "certificate-authority": str(self.authority.certificate)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sf", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self._users[user]}}],
            "contexts": [{"name": "sf", "context": {"cluster": "sf", "user": user}}],
            "current-context": "sf",
        }
        path = self._folder / f"{user.replace(':', '-')}.kubeconfig"
        path.write_text(json.dumps(content))
        return path

    def _all_parts(self) -> dict[str, Part]:
        return {
            "etcd": self._etcd(),
            "kube-apiserver": self._api_server(),
            "kube-controller-manager": self._controller_manager(),
            "source-controller": self._flux_controller(
                "source-controller",
                f"--storage-path={self._folder / 'artifacts'}",
                f"--storage-addr=127.0.0.1:{self._ports['artifacts']}",
                f"--storage-adv-addr=127.0.0.1:{self._ports['artifacts']}",
            ),
            # By default half a minute passes before a dependency is looked at again, and four objects that never
            # become healthy, as many as there are workers, hold up everybody else for the rest of the tests.
            "kustomize-controller": self._flux_controller(
                "kustomize-controller", "--requeue-dependency=2s", "--concurrent=40"
            ),
            "helm-controller": self._flux_controller("helm-controller"),
        }

    def _etcd(self) -> Part:
        clients = f"http://127.0.0.1:{self._ports['etcd']}"
        peers = f"http://127.0.0.1:{self._ports['etcd-peer']}"
        return Part(
            argv=[
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls={clients}",
                f"--advertise-client-urls={clients}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
                "--unsafe-no-fsync",
            ],
            ready=f"{clients}/health",
        )

    def _api_server(self) -> Part:
        certificate, key = self._tls
        accounts_key = self._folder / "pki/service-accounts.key"
        programs.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", accounts_key])
        users = self._folder / "users.csv"
        users.write_text(
            "".join(f"{token},{user},{user},{_groups(user)}\n" for user, token in self._users.items())
        )
        authentication = self._folder / "authentication.json"
        authentication.write_text(json.dumps(self._authentication()))
        return Part(
            argv=[
                f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                f"--secure-port={self._ports['kube-apiserver']}",
                # Endpoints on loopback are refused, and there is nobody to use them.
                "--endpoint-reconciler-type=none",
                "--service-cluster-ip-range=10.0.0.0/24",
                f"--tls-cert-file={certificate}",
                f"--tls-private-key-file={key}",
                f"--client-ca-file={self.authority.certificate}",
                "--authorization-mode=RBAC",
                f"--token-auth-file={users}",
                f"--authentication-config={authentication}",
                f"--service-account-issuer={self.server}",
                f"--service-account-key-file={accounts_key}",
                f"--service-account-signing-key-file={accounts_key}",
            ],
            ready=f"{self.server}/readyz",
        )

    def _authentication(self) -> dict[str, Any]:
        names = {"username": "sub", "groups": "groups"}
        return {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [
                {
                    "issuer": {
                        "url": self._issuer.url,
                        "audiences": [AUDIENCE],
                        "certificateAuthority": self.ca,
                    },
                    "claimMappings": {
                        name: {"claim": claim, "prefix": USER_PREFIX} for name, claim in names.items()
                    },
                }
            ],
        }

    def _controller_manager(self) -> Part:
        return Part(
            argv=[
                f"--kubeconfig={self._kubeconfig('system:kube-controller-manager')}",
                "--leader-elect=false",
                "--secure-port=0",
                f"--service-account-private-key-file={self._folder / 'pki/service-accounts.key'}",
                f"--root-ca-file={self.authority.certificate}",
                "--use-service-account-credentials=true",
                f"--controllers={','.join(KUBE_CONTROLLERS)}",
            ]
        )

    def _flux_controller(self, name: str, *arguments: str) -> Part:
        return Part(
            argv=[
                f"--health-addr=127.0.0.1:{self._ports[name]}",
                f"--metrics-addr=127.0.0.1:{self._ports[f'{name}-metrics']}",
                *arguments,
            ],
            ready=f"http://127.0.0.1:{self._ports[name]}/readyz",
            environment={"KUBECONFIG": str(self._kubeconfig(name)), "RUNTIME_NAMESPACE": NAMESPACE},
        )


def _claim(place: Path, name: str) -> tuple[Path, IO[str]]:
    """Make the folder of a new cluster, and return it with its locked lock file. Sweeps what killed ones left."""
    place.mkdir(parents=True, exist_ok=True)
    with cache.exclusive(place / ".lock"):
        for left in place.glob("*/lock"):
            with left.open("a") as lock, contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left.parent)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
        lock = (folder / "lock").open("a")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def _remove(folder: Path, lock: IO[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()


def _attempts() -> Iterator[None]:
    """Go on for START_SECONDS, with a pause after each attempt."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(0.05)


def _groups(user: str) -> str:
    return "" if user.startswith("system:") else "system:masters"


def _permissive(group: str, kind: str, versions: Sequence[str], scope: str) -> dict[str, Any]:
    """The definition of a kind without a schema. Its plural is guessed, as only URLs show it."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": version == versions[0],
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
                for version in versions
            ],
        },
    }
