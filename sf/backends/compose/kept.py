"""Models that are kept between runs, where nobody can read them who could not make them anew.

A model holds the values of a stack's environment, so an entry is sealed with a key that comes from the content of
the stack's files: without those it is noise, and with those it says nothing new. A model in which a value of the
runner's own variables shows is not kept at all.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sf.backends.compose.ciphertext import Use
from sf.backends.compose.model import Model, Service
from sf.models import canonical_json
from sf.redact import SHORTEST_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.compose.tree import Folder
    from sf.cache import Cache

# Part of every key: raise it when equal inputs may give another model than before.
_FORMAT: Final = 1


class KeptModels:
    """Models in `cache`, as compose of `version` resolves them with `variables`."""

    def __init__(self, cache: Cache, version: str, variables: Mapping[str, str]) -> None:
        self._cache = cache
        self._about = [_FORMAT, version, dict(variables)]
        self._hidden = [value for value in variables.values() if len(value) >= SHORTEST_SECRET]

    def get(self, folder: Folder, contents: Mapping[str, bytes]) -> Model | None:
        """The model of the stack in `folder`, whose files have `contents`."""
        seed = self._seed(folder, contents)
        kept = self._cache.get(_name(seed))
        return None if kept is None else _read(json.loads(zlib.decompress(_sealed(kept, seed))))

    def put(self, folder: Folder, contents: Mapping[str, bytes], model: Model) -> None:
        """Keep `model`, unless a variable of the runner shows in it."""
        text = canonical_json(_plain(model))
        if any(json.dumps(value)[1:-1].encode() in text or value.encode() in text for value in self._hidden):
            return
        seed = self._seed(folder, contents)
        self._cache.put(_name(seed), _sealed(zlib.compress(text, 1), seed))

    def _seed(self, folder: Folder, contents: Mapping[str, bytes]) -> bytes:
        """What the model is made from. Ids of git would do as a name, but plans show some, so they are no key."""
        listing = [
            [name, file.id, hashlib.sha256(contents[name]).hexdigest()] for name, file in folder.files.items()
        ]
        # Compose derives the name of a project from that of the folder.
        name = folder.path.rpartition("/")[2]
        return hashlib.sha256(canonical_json([self._about, name, listing])).digest()


def _name(seed: bytes) -> str:
    return hashlib.sha256(b"sf model name" + seed).hexdigest()


def _sealed(data: bytes, seed: bytes) -> bytes:
    """`data` under the key stream of `seed`; a second time opens it. One seed only ever seals one model."""
    stream = hashlib.shake_256(b"sf model seal" + seed).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


def _plain(model: Model) -> dict[str, Any]:
    return {
        "project": model.project,
        "files": model.files,
        "inactive": model.inactive,
        "encrypted": dict(model.encrypted),
        "services": [
            {
                "name": service.name,
                "fields": [[path, value] for path, value in service.fields.items()],
                "files": dict(service.files),
                "inline": dict(service.inline),
                "replicas": service.replicas,
                "built": service.built,
            }
            for service in model.services.values()
        ],
    }


def _read(document: Mapping[str, Any]) -> Model:
    services = {
        stated["name"]: Service(
            name=stated["name"],
            fields=MappingProxyType({tuple(path): value for path, value in stated["fields"]}),
            files=MappingProxyType(stated["files"]),
            inline=MappingProxyType(stated["inline"]),
            replicas=stated["replicas"],
            built=stated["built"],
        )
        for stated in document["services"]
    }
    return Model(
        project=document["project"],
        files=tuple(document["files"]),
        services=MappingProxyType(services),
        inactive=tuple(document["inactive"]),
        encrypted=MappingProxyType({name: Use(use) for name, use in document["encrypted"].items()}),
    )
