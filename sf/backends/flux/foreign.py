"""How what was fetched for a build lies on disk beside the repository's own files; what is said of the rest."""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.closure import RemoteFolder
from sf.backends.flux.remote import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.backends.flux.closure import Closure, RemoteFile

# Where the repository itself lies when there is something beside it.
HOME: Final = "source"
# The keys of a kustomization under which texts name files, in lower case, and those below which nothing does.
_NAMING: Final = frozenset(
    {
        *("resources", "bases", "components", "crds", "configurations", "generators", "transformers"),
        *("validators", "patchesstrategicmerge", "path", "files", "envs", "env"),
    }
)
_FREE: Final = frozenset({"labels", "commonlabels", "commonannotations", "options", "pairs", "literals"})
# What kustomize writes into objects about where they came from.
_ORIGINS: Final = frozenset({"originAnnotations", "transformerAnnotations"})


def home(closure: Closure) -> str:
    """The folder of the repository's own files in the build of `closure`; empty when nothing is beside it."""
    return HOME if closure.fetched else ""


def place(content: RemoteFile | RemoteFolder) -> str:
    """The path of what was fetched."""
    if isinstance(content, RemoteFolder):
        return posixpath.join(root(content), content.path) if content.path else root(content)
    return f"{content.fingerprint[:16]}/{content.name or 'content'}"


def root(folder: RemoteFolder) -> str:
    """The path of the repository that `folder` is in."""
    return hashlib.sha256(folder.origin.encode()).hexdigest()[:16]


def web_files(closure: Closure) -> Iterator[tuple[str, bytes]]:
    """The path and content of every file from the web that the build of `closure` reads."""
    for part in (closure, *(folder.closure for folder in closure.foreign)):
        for content in part.fetched.values():
            if not isinstance(content, RemoteFolder):
                yield place(content), content.data


def localised(value: dict[str, Any], file: str, closure: Closure, base: str) -> dict[str, Any]:
    """`value`, the kustomization `file` of a `closure` that lies in `base`, with paths in place of addresses."""
    folder = posixpath.join(base, posixpath.dirname(file))
    paths = {
        address: posixpath.relpath(place(content), folder)
        for (named_in, address), content in closure.fetched.items()
        if named_in == file
    }
    return {key: _replaced(item, key.lower(), paths) for key, item in value.items()} if paths else value


def _replaced(value: Any, key: str, paths: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_replaced(item, key, paths) for item in value]
    if isinstance(value, dict) and key not in _FREE:
        return {name: _replaced(item, str(name).lower(), paths) for name, item in value.items()}
    if isinstance(value, str) and key in _NAMING:
        name, mark, address = value.partition("=")
        return f"{name}={paths[address]}" if mark and address in paths else paths.get(value, value)
    return value


def needs(closure: Closure) -> list[str]:
    """What the build of `closure` wants to load from elsewhere and does without, one sentence each."""
    parts = [("", closure), *((f"{shown(folder.origin)}/", folder.closure) for folder in closure.foreign)]
    return [
        f"needs {shown(address)}, named in {origin}{file}"
        + (f": {why}" if (why := part.reasons.get(address)) else "")
        for origin, part in parts
        for file, address in sorted(part.remote)
    ]


def tells_origins(closure: Closure, kustomization: Mapping[str, Any]) -> bool:
    """Whether objects are to say where they came from, which for fetched ones is a place on this machine."""
    metadata = kustomization.get("buildMetadata")
    return (
        bool(closure.fetched) and isinstance(metadata, list) and not _ORIGINS.isdisjoint(map(str, metadata))
    )
