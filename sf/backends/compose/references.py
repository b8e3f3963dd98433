"""What compose would read while it resolves a stack, checked before compose runs.

Resolving reads `include`, `extends`, `env_file` and `label_file`. A path there that leads out of the folder would
read the runner's own files, and an address would be fetched. So every mapping of every document is searched, used
or not: compose's and our understanding of merge keys need not agree for this to hold.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sf import documents
from sf.backends.compose.stack import ENV_FILE
from sf.models import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sf.backends.compose.tree import Folder

_ADDRESS: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:|^git@|^github\.com/")
_MOST_FILES: Final = 200


@dataclass(frozen=True, slots=True)
class Read:
    """What compose reads to resolve a stack: ``models`` are compose files, ``variables`` those of variables."""

    models: frozenset[str]
    variables: frozenset[str]


def check_references(folder: Folder, files: Sequence[str]) -> Read:
    """Follow what the compose `files` of `folder` read.

    Raises `Problem` for a reference that leads out of the folder, is an address, or holds a variable.
    """
    seen: dict[str, None] = dict.fromkeys(files)
    variables = {ENV_FILE}
    queue = list(files)
    while queue:
        name = queue.pop()
        if name not in folder:
            # Compose says so itself, and may not need it.
            continue
        for key, reference, keys in _references(folder, name):
            target = _inside(folder, name, key, reference, keys)
            if key == "env_file":
                variables.add(target)
            elif key == "include":
                # Compose looks for variables beside an included file, too.
                variables.add(posixpath.join(posixpath.dirname(target), ENV_FILE))
            if key in ("include", "extends") and target not in seen:
                seen[target] = None
                queue.append(target)
        if len(seen) > _MOST_FILES:
            raise Problem(
                f"the stack is made of more than {_MOST_FILES} compose files",
                hint="split it",
                location=Location(folder.path),
            )
    return Read(frozenset(seen), frozenset(name for name in variables if name in folder))


def has_profiles(folder: Folder, files: frozenset[str]) -> bool:
    """Whether any service may be left out because of its profile."""
    return any(b"profiles" in folder.content(name) for name in files if name in folder)


def _references(folder: Folder, name: str) -> Iterator[tuple[str, str, list[str | int]]]:
    for document in documents.load_all(folder.content(name), path=posixpath.join(folder.path, name)):
        if document.error:
            raise document.error
        yield from _search(document.value, [])


def _search(value: Any, keys: list[str | int]) -> Iterator[tuple[str, str, list[str | int]]]:
    """Every (kind of reference, path, keys that lead to it) below `value`."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _search(item, [*keys, index])
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        place = [*keys, key]
        match key:
            case "include":
                yield from _includes(item, place)
            case "extends" if isinstance(item, dict):
                yield from (("extends", file, place) for file in _texts(item.get("file")))
            case "env_file" | "label_file":
                yield from ((key, path, place) for path in _texts(item))
            case _:
                yield from _search(item, place)


def _includes(value: Any, keys: list[str | int]) -> Iterator[tuple[str, str, list[str | int]]]:
    for item in value if isinstance(value, list) else [value]:
        yield from (("include", path, keys) for path in _texts(item))
        if isinstance(item, dict):
            for key in ("env_file", "project_directory"):
                yield from ((key, path, keys) for path in _texts(item.get(key)))


def _texts(value: Any) -> Iterator[str]:
    """The paths in a text, a list of texts, or (lists of) mappings with a ``path``."""
    for item in value if isinstance(value, list) else [value]:
        path = item.get("path") if isinstance(item, dict) else item
        if isinstance(path, list):
            yield from _texts(path)
        elif isinstance(path, str):
            yield path


def _inside(folder: Folder, name: str, key: str, reference: str, keys: list[str | int]) -> str:
    """The path that `reference` means, relative to the folder."""
    data, path = folder.content(name), posixpath.join(folder.path, name)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(name), reference))
    if "$" in reference:
        what = "holds a variable, so that sf cannot tell what it would read"
    elif _ADDRESS.match(reference):
        what = "is an address, and sf reads nothing from elsewhere to make a plan"
    elif target == ".." or target.startswith(("../", "/", "~")):
        what = "leads out of the stack's folder"
    else:
        return target
    raise Problem(
        f"`{key}` {reference} {what}",
        hint="name a file inside the stack's folder",
        location=documents.locate(data, keys, path=path),
    )
