"""Trees without a repository: what git would say is written down by the test."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from sf.backends.compose.tree import Tree
from sf.tools.git import TreeEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    MakeTree = Callable[..., Tree]

MODES = {"file": "100644", "program": "100755", "link": "120000"}


@pytest.fixture
def make_tree() -> MakeTree:
    """Make a tree of files, programs and links by path."""

    def make(
        files: Mapping[str, str | bytes],
        *,
        programs: Iterable[str] = (),
        links: Mapping[str, str] | None = None,
        submodules: Iterable[str] = (),
    ) -> Tree:
        blobs: dict[str, bytes] = {}
        entries = []
        for kind, several in (("file", files), ("link", links or {})):
            for path, content in several.items():
                data = content.encode() if isinstance(content, str) else content
                oid = hashlib.sha1(data, usedforsecurity=False).hexdigest()
                blobs[oid] = data
                mode = MODES["program" if path in programs else kind]
                entries.append(TreeEntry(mode, "blob", oid, path))
        entries += [TreeEntry("160000", "commit", "0" * 40, path) for path in submodules]
        return Tree(entries, lambda oids: {oid: blobs[oid] for oid in oids})

    return make
