"""Which stacks a commit holds: ``<iac>/<scope>/<stack>/`` with a compose file, or with a ``deploy.sh``."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sf import documents
from sf.models import Location, Problem
from sf.tools.compose import FILE_NAMES, OVERRIDE_NAMES

if TYPE_CHECKING:
    from collections.abc import Collection

    from sf.backends.compose.tree import Folder, Tree

SCRIPT: Final = "deploy.sh"
ENV_FILE: Final = ".env"
_OWN_BLOCK: Final = "x-stagefreight"
_DEPENDS_ON: Final = "depends_on_stack"
_COMPOSE_FILE: Final = re.compile(rb"(?m)^\s*(?:export\s+)?COMPOSE_FILE\s*[=:]\s*(.*?)\s*$")
_SEPARATOR: Final = re.compile(rb"(?m)^\s*(?:export\s+)?COMPOSE_PATH_SEPARATOR\s*[=:]")


class Kind(StrEnum):
    """How a stack is deployed."""

    COMPOSE = "compose"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A stack as found: ``scope`` a host or group, ``path`` its folder in the repository."""

    scope: str
    name: str
    path: str
    kind: Kind


def find_stacks(tree: Tree, iac: str) -> list[Stack]:
    """Every stack below the folder `iac`, by path."""
    found: dict[tuple[str, str], set[str]] = {}
    prefix = f"{iac}/" if iac not in ("", ".") else ""
    for path in tree.paths(prefix.removesuffix("/")):
        parts = path.removeprefix(prefix).split("/")
        if len(parts) == 3:
            found.setdefault((parts[0], parts[1]), set()).add(parts[2])
    stacks = []
    for (scope, name), files in sorted(found.items()):
        kind = _kind(files)
        if kind is not None:
            stacks.append(Stack(scope=scope, name=name, path=f"{prefix}{scope}/{name}", kind=kind))
    return stacks


def compose_files(folder: Folder) -> tuple[str, ...]:
    """The compose files of a stack, in the order in which compose merges them.

    Raises `Problem` when ``COMPOSE_FILE`` in ``.env`` names something that is not a file of the folder.
    """
    if ENV_FILE in folder and (named := _COMPOSE_FILE.findall(folder.content(ENV_FILE))):
        return _named(folder, named[-1].decode("utf-8", "replace").strip("\"'"))
    main = next(name for name in FILE_NAMES if name in folder)
    override = next((name for name in OVERRIDE_NAMES if name in folder), None)
    return (main, override) if override else (main,)


def required_stacks(folder: Folder) -> tuple[str, ...]:
    """The stacks that ``x-stagefreight: {depends_on_stack: [...]}`` in the first compose file names.

    Raises `Problem` when that is no list of names, or the file no YAML.
    """
    name = compose_files(folder)[0]
    path = posixpath.join(folder.path, name)
    content = folder.content(name)
    # A document costs more than a search, and few stacks depend on another.
    if _OWN_BLOCK.encode() not in content:
        return ()
    model = documents.load(content, path=path)
    block = model.get(_OWN_BLOCK) if isinstance(model, dict) else None
    named = block.get(_DEPENDS_ON, []) if isinstance(block, dict) else []
    unknown = sorted(set(block) - {_DEPENDS_ON}) if isinstance(block, dict) else []
    if unknown or not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise Problem(
            f"`{_OWN_BLOCK}` is not a mapping with a list of stacks at `{_DEPENDS_ON}`",
            hint=f"write {_OWN_BLOCK}: {{{_DEPENDS_ON}: [name of a stack on the same host]}}",
            location=Location(path),
        )
    return tuple(dict.fromkeys(named))


def _kind(files: Collection[str]) -> Kind | None:
    if any(name in files for name in FILE_NAMES):
        return Kind.COMPOSE
    return Kind.SCRIPT if SCRIPT in files else None


def _named(folder: Folder, value: str) -> tuple[str, ...]:
    place = Location(posixpath.join(folder.path, ENV_FILE))
    if _SEPARATOR.search(folder.content(ENV_FILE)):
        raise Problem(
            "COMPOSE_PATH_SEPARATOR is not followed",
            hint="separate the names at COMPOSE_FILE by colons",
            location=place,
        )
    names = tuple(posixpath.normpath(name) for name in value.split(":"))
    for name in names:
        if name not in folder:
            raise Problem(
                f"COMPOSE_FILE names {name}, which is no file of the stack's folder",
                hint="name files of this folder, without variables",
                location=place,
            )
    return names
