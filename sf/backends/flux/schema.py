"""How Kubernetes merges the lists of its own kinds, handed to kustomize so that it need not find out.

Before the first patch that merges, kustomize reads its whole description of Kubernetes, which takes four times as
long as all else that an ordinary build does. ``schema.json`` is the part of it that a merge looks at (kyaml 0.21,
`walk.Walker` and `openapi.ResourceSchema`). The program toolchain/go/cmd/mergeschema makes it, and a test holds it
to what that says.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The description that ``schema.json`` is a part of, as `kustomize openapi info` names it.
DESCRIPTION: Final = "{title:Kubernetes,version:v1.21.2}"
# Without a patch nothing is merged.
_PATCH: Final = b"patch"
# A kustomization may have a schema of its own; a comment may refer into the one that is used.
_OTHER_SCHEMAS: Final = (b"openapi", b"$ref")


def is_enough(files: Iterable[bytes]) -> bool:
    """Whether a build of these `files` comes to the same with ``schema.json``, and is the faster for it."""
    is_patched = False
    for content in files:
        if any(mark in content for mark in _OTHER_SCHEMAS):
            return False
        is_patched = is_patched or _PATCH in content
    return is_patched


def declaration() -> dict[str, Any]:
    """What a kustomization says to be built with ``schema.json``."""
    return {"openapi": {"path": str(resources.files("sf.backends.flux") / "schema.json")}}
