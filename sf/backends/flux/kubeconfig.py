"""Kubeconfigs: what one of the user's says, and how the run's own is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sf import documents
from sf.backends.flux.authority import Authority, decoded
from sf.models import Problem, pretty_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.config import KubeconfigConfig

# What the run's own calls its only cluster, user and context.
_NAME: Final = "sf"
# What a cluster or user of a kubeconfig may say that sf cannot keep, or should not.
_REFUSED: Final = {
    "insecure-skip-tls-verify": "give the certificate authority instead",
    "proxy-url": "set HTTPS_PROXY for the job instead",
    "auth-provider": "client-go has dropped it; use a token or an exec plugin",
    "username": "API servers have dropped it; use a token",
    "as": "give the rights to the user itself",
}
_MAX_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A program that prints a credential (client-go's exec credential plugin), of the user's own machine."""

    command: tuple[str, ...]
    environ: Mapping[str, str]
    api_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One context of a kubeconfig, with the content of every file it names. Of the secrets one is set."""

    context: str
    server: str
    authority: Authority | None = None
    tls_server_name: str = ""
    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = field(default="", repr=False)
    plugin: Plugin | None = None


@dataclass(frozen=True, slots=True)
class _File:
    """The content of a kubeconfig. ``folder`` is what its paths are relative to, None where none are allowed.

    ``may_run`` says whether a program that it names may be run: not when it comes out of the repository.
    """

    name: str
    content: Mapping[str, Any]
    folder: Path | None
    may_run: bool = True


def read_login(settings: KubeconfigConfig, environ: Mapping[str, str], repository: Path) -> Login:
    """The context of the user's kubeconfig that `settings` choose.

    One that comes out of `repository` is foreign text: it may neither name a program nor a file. Raises `Problem`
    for what cannot be read, found or kept.
    """
    files = _files(settings, environ, repository)
    place = " and ".join(file.name for file in files)
    context = settings.context or next(
        (str(current) for file in files if (current := file.content.get("current-context"))), ""
    )
    if not context:
        raise Problem(f"{place} has no current context", hint="set `gitops.cluster.kubeconfig.context`")
    _, chosen = _named(files, "contexts", "context", context)
    cluster_file, cluster = _named(files, "clusters", "cluster", str(chosen.get("cluster", "")))
    user_file, user = _named(files, "users", "user", str(chosen.get("user", "")))
    for section in (cluster, user):
        for key, hint in _REFUSED.items():
            if section.get(key):
                raise Problem(f"the context {context} of {place} sets `{key}`, which sf refuses", hint=hint)
    server = str(cluster.get("server", ""))
    if not server.startswith("https://"):
        raise Problem(f"the context {context} of {place} has no server with an https:// address")
    return Login(
        context=context,
        server=server.rstrip("/"),
        authority=_authority(cluster_file, cluster),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        token=str(user.get("token") or "") or _read(user_file, user.get("tokenFile")),
        certificate=_data(user_file, user, "client-certificate"),
        key=_data(user_file, user, "client-key"),
        plugin=_plugin(user_file, user.get("exec")),
    )


def write_kubeconfig(server: str, user: Mapping[str, Any], *, ca: Path | None, tls_server_name: str) -> bytes:
    """A kubeconfig with one context. `user` is what client-go calls so. JSON, which is YAML."""
    cluster: dict[str, Any] = {"server": server}
    if ca is not None:
        cluster["certificate-authority"] = str(ca)
    if tls_server_name:
        cluster["tls-server-name"] = tls_server_name
    return pretty_json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": _NAME, "cluster": cluster}],
            "users": [{"name": _NAME, "user": user}],
            "contexts": [{"name": _NAME, "context": {"cluster": _NAME, "user": _NAME}}],
            "current-context": _NAME,
        }
    )


def _files(settings: KubeconfigConfig, environ: Mapping[str, str], repository: Path) -> list[_File]:
    home = Path(environ.get("HOME") or "/")
    if settings.variable:
        text = environ.get(settings.variable)
        if not text:
            raise Problem(
                f"{settings.variable} is not set, and `gitops.cluster.kubeconfig.variable` names it",
                hint="let it hold the kubeconfig in base64: `base64 -w0 ~/.kube/config`",
            )
        return [_parsed(settings.variable, decoded(text, settings.variable), None)]
    if settings.path.startswith("~/"):
        return [_loaded(home / settings.path[2:])]
    if settings.path.startswith("/"):
        return [_loaded(Path(settings.path))]
    if settings.path:
        foreign = _parsed(settings.path, _text(_inside(repository, settings.path)), None)
        return [replace(foreign, may_run=False)]
    # Where kubectl looks.
    listed = [Path(path) for path in environ.get("KUBECONFIG", "").split(":") if path]
    return [_loaded(path) for path in listed or [home / ".kube/config"]]


def _inside(repository: Path, path: str) -> Path:
    """The file `path` of the repository, which may be a link but not to somewhere else."""
    file = (repository / path).resolve()
    if not file.is_relative_to(repository.resolve()):
        raise Problem(f"the kubeconfig {path} is a link that leads out of the repository")
    return file


def _loaded(path: Path) -> _File:
    return _parsed(str(path), _text(path), path.parent)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(
            f"the kubeconfig {path} cannot be read: {error}", hint="correct `gitops.cluster.kubeconfig`"
        ) from error


def _parsed(name: str, text: str, folder: Path | None) -> _File:
    content = documents.load(text, path=name, max_bytes=_MAX_BYTES)
    if not isinstance(content, dict):
        raise Problem(f"{name} is not a kubeconfig")
    return _File(name, content, folder)


def _named(files: list[_File], plural: str, singular: str, name: str) -> tuple[_File, Mapping[str, Any]]:
    """The first entry of that name, as client-go merges several files."""
    known: list[str] = []
    for file in files:
        listed = file.content.get(plural)
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get(singular), dict):
                if entry.get("name") == name:
                    return file, entry[singular]
                known.append(str(entry.get("name")))
    raise Problem(
        f"{' and '.join(file.name for file in files)} has no {singular} {name!r}",
        hint=f"there is {', '.join(sorted(known))}" if known else "",
    )


def _authority(file: _File, cluster: Mapping[str, Any]) -> Authority | None:
    pem = _data(file, cluster, "certificate-authority")
    if not pem:
        return None
    authority = Authority(pem=pem, origin="the kubeconfig")
    authority.check()
    return authority


def _data(file: _File, section: Mapping[str, Any], key: str) -> str:
    """What `key` names as a file or ``key-data`` holds in base64; empty where neither is set."""
    data = section.get(f"{key}-data")
    return decoded(str(data), f"{key}-data of {file.name}") if data else _read(file, section.get(key))


def _read(file: _File, path: Any) -> str:
    if not path:
        return ""
    if file.folder is None:
        raise Problem(
            f"{file.name} names the file {path}, and only a kubeconfig in your own files may do that",
            hint="make one without files: `kubectl config view --raw --minify --flatten`",
        )
    return _text(file.folder / str(path))


def _plugin(file: _File, settings: Any) -> Plugin | None:
    if not isinstance(settings, dict):
        return None
    if not file.may_run:
        raise Problem(
            f"{file.name} names the program {settings.get('command')}, and a kubeconfig in the repository may not",
            hint="use one with a token, or set `gitops.cluster.server` and let the job get a token",
        )
    listed = settings.get("env") or []
    return Plugin(
        command=(str(settings.get("command")), *map(str, settings.get("args") or [])),
        environ={str(entry["name"]): str(entry["value"]) for entry in listed},
        api_version=str(settings.get("apiVersion", "")),
    )
