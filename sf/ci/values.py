"""Reading what a forge says, as hostile text: ids, numbers, names and addresses are checked before use."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from sf.models import Problem
from sf.tools.git import is_branch_name, is_object_id

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCP_LIKE: Final = re.compile(r"(?:[^@/:\s]+@)?(?P<host>\[[^\]\s]+\]|[^@/:\s]+):(?P<path>[^\s]+)")
_NETWORK_SCHEMES: Final = frozenset({"https", "http", "ssh", "git", "git+ssh", "git+https"})


def commit_id(value: str, source: str) -> str:
    """`value` as a commit id in lower case; empty for an empty one and for the zeros that mean "no commit".

    `source` names the variable or payload field, for the `Problem` that anything else is.
    """
    value = value.strip().lower()
    if not value.strip("0"):
        return ""
    if not is_object_id(value):
        raise Problem(f"{source} is not a commit id: {value[:80]!r}", hint="it has to be 40 or 64 hex digits")
    return value


def ref_name(value: str, source: str) -> str:
    """`value` as the name of a branch or tag, without ``refs/heads/``; empty for an empty one."""
    value = value.removeprefix("refs/heads/").removeprefix("refs/tags/")
    if value and not is_branch_name(value):
        raise Problem(f"{source} is not the name of a branch or tag: {value[:80]!r}")
    return value


def number(value: str, source: str) -> int | None:
    """`value` as a natural number; None for an empty one."""
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise Problem(f"{source} is not a number: {value[:80]!r}")
    return int(value)


def word(value: str) -> str:
    """`value` if it is one printable line, else empty: for names and ids that are only shown."""
    return value if value.isprintable() else ""


def web_url(value: str) -> str:
    """`value` as an http(s) address without credentials and final slash; empty if it is anything else."""
    if not value.isprintable() or any(blank in value for blank in ' <>"'):
        return ""
    try:
        parts = urlsplit(value)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, address, parts.path.rstrip("/"), parts.query, parts.fragment))


def repository_address(remote: str) -> str:
    """The web address of the repository behind the git remote `remote`, as far as its form tells; else empty."""
    identity = repository_identity(remote)
    if not identity:
        return ""
    return web_url(remote).removesuffix(".git") or f"https://{identity}"


def repository_identity(remote: str) -> str:
    """``host/owner/name`` in lower case, whichever way the repository is reached; empty for a local path.

    Credentials, port, ``.git`` and the kind of transport are no part of it: a clone by ssh on a laptop and a
    checkout by https in CI are the same repository.
    """
    host, path = _host_and_path(remote.strip())
    names = [name for name in path.split("/") if name]
    if not host or not names:
        return ""
    return "/".join((host, *names)).removesuffix(".git").lower()


def _host_and_path(remote: str) -> tuple[str, str]:
    if "://" in remote:
        try:
            parts = urlsplit(remote)
            host = parts.hostname or ""
        except ValueError:
            return "", ""
        return (host, parts.path) if parts.scheme in _NETWORK_SCHEMES else ("", "")
    # Git takes it for a host only if the colon comes before the first slash.
    match = _SCP_LIKE.fullmatch(remote)
    return (match["host"].strip("[]"), match["path"]) if match else ("", "")


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Whether the flag `name` is on: runners write ``true``, people also ``1``."""
    return environ.get(name, "").lower() in ("true", "1")
