"""The variables of a Kustomization's substitution, as far as objects of the repository define them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from sf.backends.flux.substitute import Variables
from sf.models import Problem, canonical_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sf.backends.flux.kustomization import Kustomization
    from sf.backends.flux.outline import ObjectKey


def variable_sources(node: Kustomization) -> list[ObjectKey]:
    """The objects that ``postBuild.substituteFrom`` of `node` names, in its order."""
    return [
        (str(reference.get("kind", "")), node.namespace, str(reference.get("name", "")))
        for reference in node.substitute_from
    ]


def variables_from(sources: Iterable[Mapping[str, Any] | None], inline: Mapping[str, Any]) -> Variables:
    """What `sources` define, later ones winning, and above them ``postBuild.substitute``, which is `inline`.

    None stands for a source that only the cluster has. Raises `Problem` for what is not text, or no name.
    """
    values: dict[str, str] = {}
    hidden: set[str] = set()
    encrypted: list[Any] = []
    is_open = is_secret = False
    for source in sources:
        if source is None:
            is_open = True
        elif "sops" in source:
            # Names are readable, and hide what an earlier source says about them.
            encrypted.append(source)
            hidden |= _names(source)
        else:
            values |= _data(source)
            hidden -= values.keys()
            is_secret = is_secret or source.get("kind") != "ConfigMap"
    values |= _without_line_breaks(inline)
    hidden -= inline.keys()
    return Variables(
        values,
        open=is_open,
        hidden=frozenset(hidden),
        origin=hashlib.sha256(canonical_json(encrypted)).hexdigest() if encrypted else "",
        secret=is_secret,
    )


def _names(source: Mapping[str, Any]) -> set[str]:
    """The names of the variables in a ConfigMap or Secret."""
    parts = (source.get("data"), source.get("stringData") if source.get("kind") == "Secret" else None)
    return {name for part in parts if isinstance(part, dict) for name in part}


def _data(source: Mapping[str, Any]) -> dict[str, str]:
    """The variables that a ConfigMap or Secret defines. Line breaks are dropped, as Flux does.

    Raises `Problem` for a value that is not text, which the Kubernetes API refuses.
    """
    data = source.get("data")
    data = data if isinstance(data, dict) else {}
    if source.get("kind") == "Secret":
        text = source.get("stringData")
        data = {**_decoded(data), **(text if isinstance(text, dict) else {})}
    return _without_line_breaks(data)


def _decoded(data: Mapping[str, Any]) -> dict[str, str]:
    """The values of a Secret; one that is not base64 of text is no variable Flux could use either."""
    decoded = {}
    for name, value in data.items():
        with contextlib.suppress(binascii.Error, UnicodeDecodeError):
            # Go's decoder skips line breaks and nothing else.
            compact = str(value).replace("\n", "").replace("\r", "")
            decoded[name] = base64.b64decode(compact, validate=True).decode()
    return decoded


def _without_line_breaks(values: Mapping[str, Any]) -> dict[str, str]:
    for name, value in values.items():
        if not (value is None or isinstance(value, str)):
            raise Problem(f"the variable {name!r} is {value!r} and not text; quote it")
    return {name: (value or "").replace("\n", "") for name, value in values.items()}
