"""Where the token for the cluster comes from, and when there has to be a new one."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sf.backends.flux.kubeconfig import Plugin
    from sf.config import GitopsConfig
    from sf.http import Http
    from sf.process import Launcher
    from sf.redact import Redactor

OIDC_VARIABLE: Final = "STAGEFREIGHT_OIDC"
REQUEST_URL: Final = "ACTIONS_ID_TOKEN_REQUEST_URL"
REQUEST_TOKEN: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - the name of a variable
# Where every pod finds the token of its service account, and the certificates of its cluster beside it.
MOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# In seconds. The toolkit of GitHub's own actions asks up to ten times.
_REQUEST_TIMEOUT: Final = 10.0
_REQUEST_RETRIES: Final = 5
_PLUGIN_TIMEOUT: Final = 60.0
# A token is renewed this long before it expires, or after three quarters of a short life.
_MARGIN: Final = 60.0
_SHORT_LIFE: Final = 4 * _MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token. Times are seconds since the epoch; ``expires`` is None when it does not say.

    ``claims`` are what a JWT says of itself, unverified: for messages, never for decisions about rights.
    """

    value: str = field(repr=False)
    issued: float
    expires: float | None = None
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def renewal(self) -> float | None:
        """When it is time for the next one."""
        if self.expires is None:
            return None
        life = self.expires - self.issued
        return self.expires - (_MARGIN if life > _SHORT_LIFE else life / 4)


class Source(Protocol):
    """One place that tokens come from."""

    @property
    def name(self) -> str:
        """What a plan may say of it."""
        ...

    @property
    def renews(self) -> bool:
        """Whether another token can be had when one expires."""
        ...

    @property
    def file(self) -> Path | None:
        """The file that always holds the current token, if there is one."""
        ...

    def fetch(self) -> Token:
        """A token.

        Raises `Problem` when there is none to be had.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A token that somebody put into a variable or a kubeconfig."""

    name: str
    value: str = field(repr=False)
    renews: bool = field(default=False, init=False)
    file: None = field(default=None, init=False)

    def fetch(self) -> Token:
        return read_token(self.value, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """Tokens that the runner's token endpoint issues for the job, in the way of GitHub and Forgejo."""

    http: Http
    url: str
    secret: str = field(repr=False)
    audience: str
    renews: bool = field(default=True, init=False)
    file: None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return f"requested from the forge for the audience {self.audience}"

    def fetch(self) -> Token:
        # The address ends in a query already, on either forge.
        answer = self.http.request(
            "GET",
            f"{self.url}&audience={quote(self.audience, safe='')}",
            timeout=_REQUEST_TIMEOUT,
            retries=_REQUEST_RETRIES,
            headers={"Authorization": f"Bearer {self.secret}", "Accept": "application/json"},
        )
        document = answer.json() if answer.status == 200 else None
        value = document.get("value") if isinstance(document, dict) else None
        if not isinstance(value, str):
            raise Problem(
                f"the forge issued no token for the audience {self.audience}: status {answer.status}",
                hint="a GitHub job needs `permissions: {id-token: write}`, a Forgejo job"
                " `enable-openid-connect: true`",
            )
        return read_token(value, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """The token of the service account that this pod has, which the kubelet replaces in time."""

    file: Path
    name: str = field(default="the service account of this pod", init=False)
    renews: bool = field(default=True, init=False)

    def fetch(self) -> Token:
        try:
            return read_token(self.file.read_text(), str(self.file))
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"the token of the service account cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """Tokens that the program prints which the user's kubeconfig names: client-go's exec credential plugins."""

    launcher: Launcher
    plugin: Plugin
    environ: Mapping[str, str] = field(repr=False)
    renews: bool = field(default=True, init=False)
    file: None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return f"printed by {Path(self.plugin.command[0]).name}"

    def fetch(self) -> Token:
        request = {
            "apiVersion": self.plugin.api_version,
            "kind": "ExecCredential",
            "spec": {"interactive": False},
        }
        printed = self.launcher.run(
            self.plugin.command,
            timeout=_PLUGIN_TIMEOUT,
            # All of it, as kubectl would: that is where such programs find out who they are.
            environ={
                **self.environ,
                **self.plugin.environ,
                "KUBERNETES_EXEC_INFO": json.dumps(request),
            },
        ).text
        try:
            status = json.loads(printed)["status"]
            token, expiry = read_token(str(status["token"]), self.name), status.get("expirationTimestamp")
            expires = datetime.fromisoformat(expiry).timestamp() if expiry else token.expires
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Problem(
                f"`{self.plugin.command[0]}` prints no ExecCredential with a token",
                hint="sf takes tokens from such programs, no client certificates",
            ) from error
        return replace(token, expires=expires)


def choose(
    gitops: GitopsConfig, environ: Mapping[str, str], http: Callable[[], Http], *, mount: Path = MOUNT
) -> Source:
    """The first place that has a token: the order is part of the interface.

    Raises `Problem` that lists every place when none has.
    """
    oidc, cluster = gitops.oidc, gitops.cluster
    own = f"{cluster.env_prefix}_TOKEN" if cluster else ""
    if environ.get(OIDC_VARIABLE):
        return Given(name=OIDC_VARIABLE, value=environ[OIDC_VARIABLE])
    if oidc.audience and environ.get(REQUEST_URL) and environ.get(REQUEST_TOKEN):
        return Requested(
            http=http(), url=environ[REQUEST_URL], secret=environ[REQUEST_TOKEN], audience=oidc.audience
        )
    for variable in (oidc.variable, own):
        if environ.get(variable):
            return Given(name=variable, value=environ[variable])
    if (mount / "token").is_file():
        return Mounted(file=mount / "token")
    raise Problem(
        "there is no token for the cluster: "
        f"{OIDC_VARIABLE}, {oidc.variable} and {own} are not set, {_unrequested(gitops, environ)},"
        " and this is not a pod with a service account",
        hint="on GitHub set `gitops.oidc.audience` and give the job `permissions: {id-token: write}`,"
        f" on GitLab add `id_tokens: {{{oidc.variable}: {{aud: ...}}}}`, or set {own}",
    )


def _unrequested(gitops: GitopsConfig, environ: Mapping[str, str]) -> str:
    if environ.get(REQUEST_URL):
        return "none is requested from the forge without `gitops.oidc.audience`"
    return (
        f"the forge offers none ({REQUEST_URL} is not set)" if gitops.oidc.audience else "none is requested"
    )


def read_token(text: str, name: str) -> Token:
    """The token in `text`, which came from `name`.

    Raises `Problem` when it cannot be one.
    """
    value = text.strip()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise Problem(f"what {name} holds is not a token: it is empty, or has blanks or other odd characters")
    claims = _claims(value)
    issued = _seconds(claims.get("iat"))
    return Token(
        value=value,
        issued=time.time() if issued is None else issued,
        expires=_seconds(claims.get("exp")),
        claims=claims,
    )


def _seconds(value: Any) -> float | None:
    """A ``NumericDate`` of RFC 7519; None for anything else."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _claims(value: str) -> Mapping[str, Any]:
    """What a JWT (RFC 7519) says; empty for a token of another kind."""
    parts = value.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


class Credential:
    """The current token of a source, renewed in time. Safe to use from several threads."""

    def __init__(self, source: Source, redactor: Redactor, clock: Callable[[], float] = time.time) -> None:
        self.source = source
        self._redactor = redactor
        self._clock = clock
        self._lock = threading.Lock()
        self._token: Token | None = None

    def token(self) -> Token:
        """A token that is valid now.

        Raises `Problem` when there is none, or the only one has expired.
        """
        with self._lock:
            if self._token is None:
                self._token = self._fetched()
            elif self.source.renews and self._is_past(self._token.renewal):
                self._token = self._renewed(self._token)
            self._refuse_expired(self._token)
            return self._token

    def _fetched(self) -> Token:
        token = self.source.fetch()
        self._redactor.register(token.value)
        return token

    def _renewed(self, token: Token) -> Token:
        try:
            return self._fetched()
        except Problem:
            if self._is_past(token.expires):
                raise
            # It is renewed early so that a forge that is away for a moment does not matter.
            return token

    def _is_past(self, time: float | None) -> bool:
        return time is not None and time <= self._clock()

    def _refuse_expired(self, token: Token) -> None:
        if token.expires is not None and self._is_past(token.expires):
            raise Problem(
                f"the token ({self.source.name}) expired {self._clock() - token.expires:.0f} s ago",
                hint=""
                if self.source.renews
                else "it cannot be renewed: let it live as long as the run may take, or the job start sooner",
            )
