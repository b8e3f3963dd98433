"""What is known of the files of a tree, kept between runs: no run reads again what an earlier one has read."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.declarations import Declarations
from sf.backends.flux.mentions import Mentions
from sf.backends.flux.names import Names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.flux.tree import Blobs
    from sf.cache import Cache
    from sf.tools.git import Git

# Part of every key: raise it when the same files may say something else than before.
_VERSION: Final = 2


class Memory:
    """What the trees of one run share: facts by object id, which hold for whatever tree a file is in."""

    def __init__(self, cache: Cache, git: Git, blobs: Blobs) -> None:
        self.names = Names()
        self.declarations = Declarations()
        self.mentions = Mentions(git, blobs)
        self._cache = cache
        self._listings: dict[str, Mapping[str, str]] = {}
        self._kept: dict[str, bytes] = {}

    def recall(self, tree: str, listing: Mapping[str, str]) -> None:
        """Know again what was kept of the tree with the id `tree`; `listing`: its paths with their object ids."""
        self._listings[tree] = listing
        self.mentions.add(tree, listing)
        kept = self._cache.get(_entry(tree))
        if kept is None:
            return
        self._kept[tree] = kept
        document = json.loads(zlib.decompress(kept))
        self.names.remember(document["names"])
        self.declarations.remember(document["declarations"])
        self.mentions.remember(tree, document["mentions"])

    def keep(self) -> None:
        """Keep what is known of each tree, and of no file that is in none of them."""
        learned = self.names.learned + self.declarations.learned + self.mentions.learned
        for tree, listing in self._listings.items():
            if learned or tree not in self._kept:
                content = zlib.compress(self._document(tree, listing), 1)
                if content != self._kept.get(tree):
                    self._cache.put(_entry(tree), content)
                    self._kept[tree] = content

    def _document(self, tree: str, listing: Mapping[str, str]) -> bytes:
        oids = set(listing.values())
        document: dict[str, Any] = {
            "names": self.names.remembered(oids),
            "declarations": self.declarations.remembered(oids),
            "mentions": self.mentions.remembered(tree),
        }
        return json.dumps(document, sort_keys=True).encode()


def _entry(tree: str) -> str:
    """The name of what is known of a tree in the cache."""
    return f"{hashlib.sha256(f'{_VERSION} {tree}'.encode()).hexdigest()}.tree"
