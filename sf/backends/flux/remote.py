"""Which names in a kustomization are addresses of other repositories or of files on the web.

Follows kustomize (sigs.k8s.io/kustomize/api/internal/git, NewRepoSpecFromURL), which decides by the form alone.
"""

from __future__ import annotations

import re
from typing import Final

_FORCED: Final = "git::"
_WEB: Final = ("http://", "https://")
_SCHEME: Final = re.compile(r"(?:ssh|https?|file)://", re.IGNORECASE)
_USER: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*@")
_GITHUB: Final = re.compile(r"github\.com[:/]", re.IGNORECASE)
_SEGMENTS: Final = 2


def is_on_the_web(name: str) -> bool:
    """Whether kustomize would get `name` over HTTP, whatever lies in the folder."""
    return name.startswith(_WEB)


def is_remote(name: str) -> bool:
    """Whether kustomize would get `name` over HTTP, or clone it when there is no file of that name."""
    if is_on_the_web(name):
        return True
    rest = name.partition("?")[0]
    if rest.startswith("/"):
        return False
    if rest.lower().startswith(_FORCED):
        rest = rest[len(_FORCED) :]
    scheme = _taken(_SCHEME, rest)
    user = _taken(_USER, rest[len(scheme) :])
    rest = rest[len(scheme) + len(user) :]
    is_short = not scheme and (bool(user) or _GITHUB.match(rest) is not None)
    if not (scheme or is_short):
        return False
    if scheme.lower() == "file://":
        return bool(user + rest)
    host, path = _parted(rest, colon=is_short)
    return bool(host) and _is_repository(path)


def _taken(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.match(text)
    return match[0] if match else ""


def _parted(text: str, *, colon: bool) -> tuple[str, str]:
    """Host, with what ends it, and path. In the short form of ssh a colon ends the host."""
    end = text.find("/")
    at = text.find(":") if colon else -1
    if at != -1 and (end == -1 or 0 < at < end):
        end = at
    return (text, "") if end == -1 else (text[: end + 1], text[end + 1 :])


def _is_repository(path: str) -> bool:
    """Whether the part behind the host tells the repository from the folder in it."""
    if "_git/" in path:
        return True
    for mark, kept in (("//", 0), (".git", len(".git"))):
        if mark in path:
            repository = path[: path.index(mark) + kept]
            inside = path[path.index(mark) + len(mark) :]
            return bool(repository) and not inside.strip("/").startswith("..")
    return path.count("/") + 1 >= _SEGMENTS and not path.startswith("/")
