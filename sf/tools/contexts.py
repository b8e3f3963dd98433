"""The contexts of the docker command, from its own store (docker/cli, cli/context/store).

Reading the files costs no start of a program, and gives the places of the keys, which ``docker context inspect``
does only in part.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sf.models import Problem
from sf.tools.docker import engine_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT: Final = "default"
_ENDPOINT: Final = "docker"
_KEYS: Final = ("ca.pem", "cert.pem", "key.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One context. ``certificates``: the folder with all three files that TLS needs; empty when one is missing."""

    name: str
    address: str
    certificates: str = ""


def read_contexts(environ: Mapping[str, str]) -> dict[str, Context]:
    """Every context by name, the default one included. Raises `Problem` for a store that cannot be read."""
    contexts = {DEFAULT: Context(name=DEFAULT, address=f"unix://{engine_socket(environ)}")}
    store = _configuration(environ) / "contexts"
    for path in sorted(store.glob("meta/*/meta.json")):
        context = _read(path, store)
        contexts[context.name] = context
    return contexts


def _read(path: Path, store: Path) -> Context:
    try:
        document: dict[str, Any] = json.loads(path.read_bytes())
        name = str(document["Name"])
        endpoint = document["Endpoints"][_ENDPOINT]
        address = str(endpoint.get("Host", ""))
        unchecked = bool(endpoint.get("SkipTLSVerify"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Problem(
            f"the docker context in {path.parent.name} cannot be read", hint="`docker context ls` tells more"
        ) from error
    folder = store / "tls" / hashlib.sha256(name.encode()).hexdigest() / _ENDPOINT
    complete = not unchecked and all((folder / key).is_file() for key in _KEYS)
    return Context(name=name, address=address, certificates=str(folder) if complete else "")


def _configuration(environ: Mapping[str, str]) -> Path:
    own = environ.get("DOCKER_CONFIG")
    return Path(own) if own else Path(environ.get("HOME", "/nonexistent")) / ".docker"
