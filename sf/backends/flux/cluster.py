"""The way into the cluster: an isolated kubeconfig for tools, the API for ourselves, one credential for both.

The user's own kubeconfig is neither read nor touched unless `gitops.cluster.kubeconfig` asks for it, and then it
is copied. No token is ever an argument or an environment variable of another program.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.authority import Authority, find_authority
from sf.backends.flux.broker import EXEC_API, Broker
from sf.backends.flux.kubeconfig import read_login, write_kubeconfig
from sf.backends.flux.rights import described, missing, roles
from sf.backends.flux.tokens import (
    MOUNT,
    REQUEST_TOKEN,
    Credential,
    Given,
    Mounted,
    Printed,
    Source,
    choose,
)
from sf.http import Http, proxy_for
from sf.models import Problem
from sf.tools.kubectl import isolated
from sf.tools.kubernetes import Api, Endpoint, NoAnswer, Right, Unauthorized, Untrusted, User

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sf.config import GitopsConfig
    from sf.runtime.context import RuntimeContext

# The name of the socket, and of the command that asks it.
_CREDENTIAL: Final = "credential"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a run goes to the cluster with. There is a ``source`` of tokens, or else a client certificate (PEM).

    Without ``authority`` the system's own ones count. ``prefix`` begins the variables that bring CA and token.
    """

    server: str
    prefix: str
    authority: Authority | None
    source: Source | None
    tls_server_name: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)

    @property
    def notes(self) -> dict[str, str]:
        """Where the credentials come from, never what they are."""
        return {
            "cluster": self.server,
            "certificate-authority": self.authority.origin if self.authority else "the system's own",
            "credential": self._credential,
        }

    @property
    def _credential(self) -> str:
        if self.source is None:
            return "the client certificate of the kubeconfig"
        return f"token: {self.source.name}" + (", renewed before it expires" if self.source.renews else "")


def find_access(gitops: GitopsConfig, context: RuntimeContext, *, mount: Path = MOUNT) -> Access:
    """How the configuration and the environment of the run say that the cluster is reached.

    `mount` is where a pod has its service account. Raises `Problem` for what is missing or cannot be read.
    """
    cluster = gitops.cluster
    if cluster is None:
        raise Problem("the configuration names no cluster", hint="add `gitops.cluster`: `name` and `server`")
    context.redactor.register(context.environ.get(REQUEST_TOKEN, ""))
    if cluster.kubeconfig.is_used:
        return _from_kubeconfig(gitops, context)
    source = choose(
        gitops, context.environ, lambda: Http(context.redactor, environ=context.environ), mount=mount
    )
    beside = source.file.with_name("ca.crt") if isinstance(source, Mounted) else None
    return Access(
        server=cluster.server,
        prefix=cluster.env_prefix,
        authority=find_authority(cluster, context.environ, beside),
        source=source,
    )


def _from_kubeconfig(gitops: GitopsConfig, context: RuntimeContext) -> Access:
    assert gitops.cluster is not None  # noqa: S101 - the caller looked
    login = read_login(gitops.cluster.kubeconfig, context.environ, context.repo_root)
    source: Source | None = None
    if login.token:
        source = Given(name=f"context {login.context} of the kubeconfig", value=login.token)
    elif login.plugin:
        source = Printed(launcher=context.launcher, plugin=login.plugin, environ=context.environ)
    elif not (login.certificate and login.key):
        raise Problem(
            f"the context {login.context} of the kubeconfig has neither a token, nor a client certificate, nor an"
            " exec plugin"
        )
    return Access(
        server=login.server,
        prefix=gitops.cluster.env_prefix,
        authority=login.authority or find_authority(gitops.cluster, context.environ),
        source=source,
        tls_server_name=login.tls_server_name,
        certificate=login.certificate,
        key=login.key,
    )


class Cluster:
    """The cluster of one run. Everything it makes goes with the run's cleanup.

    ``kubeconfig`` and ``environ`` are for kubectl and flux, ``api`` is for ourselves.
    """

    def __init__(self, access: Access, context: RuntimeContext) -> None:
        """Write the files that tools need. Nothing is sent to the cluster, but a token may be asked for.

        Raises `Problem` for a token that cannot be had, has expired or cannot be written.
        """
        self._access = access
        self._context = context
        self._credential = Credential(access.source, context.redactor) if access.source else None
        context.redactor.register(access.key)
        self._ca = self._written("ca.crt", access.authority.pem if access.authority else "")
        self._certificate = self._written("client.crt", access.certificate)
        self._key = self._written("client.key", access.key)
        self.kubeconfig = context.workspace.write_private("kubeconfig", self._kubeconfig())
        self.api = Api(self._endpoint(), self._bearer if self._credential else None)
        context.resolved.add_cleanup("connections to the cluster", self.api.close)
        context.resolved.ca_path = self._ca
        context.resolved.kubeconfig_path = self.kubeconfig

    @property
    def environ(self) -> dict[str, str]:
        """What kubectl and flux are to be started with."""
        home = self._context.workspace.scratch / "home"
        home.mkdir(exist_ok=True)
        return isolated(self._context.environ, self.kubeconfig, home)

    def check(self) -> User:
        """Prove that the API server answers, is the right one and knows us; who we are there.

        Raises `Problem` that says which of these fails and what to do.
        """
        access = self._access
        try:
            return self.api.user()
        except Untrusted as problem:
            raise Problem(
                problem.message,
                hint=f"{access.prefix}_CA_FILE (the path of a PEM file), {access.prefix}_CA_B64 (its content in"
                " base64) or `gitops.cluster.ca` says who signs it; now that is"
                f" {access.notes['certificate-authority']}",
            ) from problem
        except Unauthorized as problem:
            raise Problem(
                f"{access.server} does not know us ({access.notes['credential']}): {problem.message}",
                hint=self._said_by_token(),
            ) from problem
        except NoAnswer as problem:
            raise Problem(
                problem.message, hint="check `gitops.cluster.server`, and that this machine can reach it"
            ) from problem

    def require(self, rights: Iterable[Right], user: User) -> None:
        """Raise `Problem` when the cluster denies `user`, who we are, any of `rights`; it has the roles to add."""
        wanted = list(rights)
        if denied := missing(self.api, wanted):
            raise Problem(
                f"the cluster does not let {user.name} {described(denied)}",
                # All of them: to apply a role with less than another time would take rights away.
                hint=f"have an administrator apply this:\n{roles(wanted, user)}",
            )

    def outlived_by(self, seconds: float) -> Problem | None:
        """What to say when a run of so many `seconds` may outlive the credentials; None when it cannot."""
        if self._credential is None or self._credential.source.renews:
            return None
        expires = self._credential.token().expires
        left = seconds if expires is None else expires - time.time()
        if left >= seconds:
            return None
        return Problem(
            f"the credentials for the cluster ({self._access.notes['credential']}) expire in {left:.0f} s and"
            f" cannot be renewed, and this run may take {seconds:.0f} s",
            hint="an id_token of GitLab lives as long as the `timeout` of its job: raise it, or lower `deadlines`",
        )

    def _written(self, name: str, text: str) -> Path | None:
        return self._context.workspace.write_private(name, text.encode()) if text else None

    def _kubeconfig(self) -> bytes:
        return write_kubeconfig(
            self._access.server, self._user(), ca=self._ca, tls_server_name=self._access.tls_server_name
        )

    def _user(self) -> dict[str, Any]:
        """How tools come to the credentials: what can be renewed they ask for, another token is in a file."""
        if self._credential is None:
            return {"client-certificate": str(self._certificate), "client-key": str(self._key)}
        source = self._credential.source
        if source.file is not None:
            return {"tokenFile": str(source.file)}
        if not source.renews:
            return {"tokenFile": str(self._written("token", self._bearer()))}
        broker = Broker(self._context.workspace.private / _CREDENTIAL, self._credential)
        self._context.resolved.add_cleanup("token broker", broker.close)
        return {
            "exec": {
                "apiVersion": EXEC_API,
                # Isolated: the folder that a tool runs in must not decide what is imported.
                "command": sys.executable,
                "args": ["-I", "-m", "sf", _CREDENTIAL, "--socket", str(broker.path)],
                "interactiveMode": "Never",
                "provideClusterInfo": False,
            }
        }

    def _endpoint(self) -> Endpoint:
        access, environ = self._access, self._context.environ
        return Endpoint(
            server=access.server,
            ca=access.authority.pem if access.authority else None,
            tls_server_name=access.tls_server_name,
            certificate=self._certificate,
            key=self._key,
            proxy=proxy_for(access.server, environ),
        )

    def _bearer(self) -> str:
        assert self._credential is not None  # noqa: S101 - only then anybody asks
        return self._credential.token().value

    def _said_by_token(self) -> str:
        """What the token says of itself, to compare with what the API server is set to accept."""
        claims: Mapping[str, Any] = self._credential.token().claims if self._credential else {}
        said = [f"{name} {claims[name]}" for name in ("iss", "aud", "sub") if name in claims]
        if not said:
            return "it may have expired, or be for another cluster"
        return f"compare with the authentication configured for the API server: {', '.join(said)}"
