"""Which names in a kustomization are addresses of other repositories or of files on the web, and may be fetched.

Follows kustomize (sigs.k8s.io/kustomize/api/internal/git, NewRepoSpecFromURL), which decides by the form alone.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qs

from sf.ci.context import Trust
from sf.tools.git import is_branch_name, is_object_id, without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sf.config import GitopsConfig
    from sf.runtime.context import RuntimeContext

_FORCED: Final = "git::"
_WEB: Final = ("http://", "https://")
_SCHEME: Final = re.compile(r"(?:ssh|https?|file)://", re.IGNORECASE)
_USER: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*@")
_GITHUB: Final = re.compile(r"github\.com[:/]", re.IGNORECASE)
_SEGMENTS: Final = 2
# The parts of a query that kustomize reads; any other may be a token.
_QUERY: Final = frozenset({"ref", "version", "submodules", "timeout"})
_PLACE: Final = re.compile(
    r"(?:(?P<scheme>https?|ssh)://)?(?:(?P<user>[^/@]*)@)?"
    r"(?P<host>[a-z0-9][a-z0-9.-]*|\[[0-9a-f:.]+\])(?P<port>:\d{1,5})?(?P<path>[/:][^\s\\]*)",
    re.IGNORECASE,
)
_PORTS: Final = {"https": ":443", "http": ":80", "ssh": ":22"}
# Servers take these for dots, slashes and control characters, so that a path could mean another one.
_HIDDEN: Final = re.compile(r"%(?:[01][0-9a-f]|2e|2f|5c|7f)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GitAddress:
    """A folder in a git repository: the address for git, the path inside, and the ref (empty: HEAD)."""

    url: str
    path: str
    ref: str


def is_on_the_web(name: str) -> bool:
    """Whether kustomize would get `name` over HTTP, whatever lies in the folder."""
    return name.startswith(_WEB)


def is_remote(name: str) -> bool:
    """Whether kustomize would get `name` over HTTP, or clone it when there is no file of that name."""
    return is_on_the_web(name) or git_address(name) is not None


def is_surely_git(name: str) -> bool:
    """Whether `name` says that it is a repository, so that nobody needs to ask for a file at that address."""
    rest, _, query = name.partition("?")
    behind_host = rest.partition("://")[2]
    return not is_on_the_web(name) or bool(_ref(query)) or "//" in behind_host or ".git" in behind_host


def git_address(name: str) -> GitAddress | None:
    """What kustomize would clone for `name`; None when it is no address of a repository."""
    rest, _, query = name.partition("?")
    if rest.startswith("/"):
        return None
    if rest.lower().startswith(_FORCED):
        rest = rest[len(_FORCED) :]
    scheme = _taken(_SCHEME, rest)
    user = _taken(_USER, rest[len(scheme) :])
    rest = rest[len(scheme) + len(user) :]
    scheme = scheme.lower()
    is_github = _GITHUB.match(rest) is not None
    is_short = not scheme and (bool(user) or is_github)
    if not (scheme or is_short):
        return None
    if scheme == "file://":
        host, path, segments = "", user + rest, None
        user = ""
    else:
        host, path = _parted(rest, colon=is_short)
        segments = _SEGMENTS
        if is_github:
            scheme, user, host = _github(scheme, user)
    parts = _repository(path, segments)
    if parts is None or not (scheme == "file://" or host):
        return None
    return GitAddress(f"{scheme}{user}{host}{parts[0]}", parts[1].removeprefix("/"), _ref(query))


def allowed_bases(gitops: GitopsConfig, context: RuntimeContext) -> tuple[str, ...]:
    """The prefixes of addresses that this run may fetch: none unless the event is trusted."""
    return gitops.remote_bases if context.ci.trust is Trust.TRUSTED else ()


def refusal(address: str, bases: Iterable[str]) -> str:
    """Why `address` must not be fetched when `bases` are allowed; empty when it may be."""
    git = git_address(address)
    url = git.url if git else address.partition("?")[0]
    place = _place_of(url)
    if place is None:
        return "it is not of a form that is fetched"
    if place.carries_credentials:
        return "it carries credentials"
    if git and git.ref and not (is_object_id(git.ref) or is_branch_name(git.ref)):
        return "its ref is not the name of one"
    if not any(place.is_within(base) for base in bases):
        return "`gitops.remote_bases` does not allow it here"
    return ""


def shown(address: str) -> str:
    """`address` as it may be told: without user, password and any part of the query that could be a token."""
    rest, mark, query = without_credentials(address).partition("?")
    parts = query.split("&") if query else []
    return rest + mark + "&".join(part if part.partition("=")[0] in _QUERY else "…" for part in parts)


class _Place(NamedTuple):
    """Where an address leads: ``scheme`` https, http or ssh, and ``host[:port]/path`` without ``.git``."""

    scheme: str
    path: str
    carries_credentials: bool

    def is_within(self, base: str) -> bool:
        scheme, _, rest = base.rpartition("://")
        is_allowed = self.scheme == scheme if scheme else self.scheme != "http"
        return is_allowed and f"{self.path}/".startswith(f"{rest}/")


def _place_of(url: str) -> _Place | None:
    """The place of `url`; None for what is no address on the network, or one that could mean another place."""
    match = _PLACE.fullmatch(url)
    if match is None or not url.isprintable() or _HIDDEN.search(url):
        return None
    scheme, user, path = (match["scheme"] or "").lower(), match["user"], match["path"]
    if bool(scheme) != path.startswith("/") or (not scheme and match["port"]):
        return None
    names = path[1:].removesuffix("/").removesuffix(".git").split("/")
    if not {"", ".", ".."}.isdisjoint(names):
        return None
    port = match["port"] if match["port"] != _PORTS.get(scheme) else ""
    return _Place(
        scheme=scheme or "ssh",
        path="/".join((f"{match['host'].lower()}{port or ''}", *names)),
        # Over ssh a name alone is no secret.
        carries_credentials=user is not None and (":" in user or scheme in _PORTS.keys() - {"ssh"}),
    )


def _taken(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.match(text)
    return match[0] if match else ""


def _github(scheme: str, user: str) -> tuple[str, str, str]:
    """Scheme, user and host of an address at GitHub, which kustomize spells in one of two ways."""
    return ("", user, "github.com:") if scheme == "ssh://" or user else ("https://", "", "github.com/")


def _parted(text: str, *, colon: bool) -> tuple[str, str]:
    """Host, with what ends it, and path. In the short form of ssh a colon ends the host."""
    end = text.find("/")
    at = text.find(":") if colon else -1
    if at != -1 and (end == -1 or 0 < at < end):
        end = at
    return (text, "") if end == -1 else (text[: end + 1], text[end + 1 :])


def _repository(path: str, segments: int | None) -> tuple[str, str] | None:
    """The repository, which has that many `segments` where no mark ends it (None: all), and the folder in it."""
    mark = path.find("_git/")
    if mark != -1:
        name, slash, inside = path[mark + len("_git/") :].partition("/")
        parts = path[: mark + len("_git/")] + name, inside if slash else ""
    elif "//" in path:
        parts = path[: path.index("//")], path[path.index("//") + 2 :]
    elif ".git" in path:
        end = path.index(".git") + len(".git")
        parts = path[:end], path[end:]
    elif segments is None:
        parts = path, ""
    else:
        names = path.split("/")
        if len(names) < segments:
            return None
        parts = "/".join(names[:segments]), "/".join(names[segments:])
    leads_out = posixpath.normpath(parts[1].removeprefix("/")).split("/")[0] == ".."
    return None if not parts[0] or leads_out else parts


def _ref(query: str) -> str:
    values = parse_qs(query)
    return (values.get("ref") or values.get("version") or [""])[0]
