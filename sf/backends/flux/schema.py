"""How Kubernetes merges the lists of its own kinds, handed to kustomize so that it need not find out.

Before the first patch that merges, kustomize reads its whole description of Kubernetes, which takes four times as
long as all else that an ordinary build does. ``schema.json`` is the part of it that a merge looks at (kyaml 0.21,
`walk.Walker` and `openapi.ResourceSchema`). The program toolchain/go/cmd/mergeschema makes it, and a test holds it
to what that says.
"""

from __future__ import annotations

import posixpath
import re
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.tree import KUSTOMIZATION_FILES

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The description that ``schema.json`` is a part of, as `kustomize openapi info` names it.
DESCRIPTION: Final = "{title:Kubernetes,version:v1.21.2}"
# Without a patch nothing is merged.
_PATCH: Final = b"patch"
# A kustomization may have a schema of its own, by a name in any case, as Go reads it. YAML can write that name
# without its letters, and then nothing is certain.
_OWN: Final = re.compile(rb"(?i)openapi|\\|!!|!<")
# A comment may refer into the schema that is used; it is JSON, which can be written without its letters, too.
_REFERRING: Final = re.compile(rb"#[^\n]*(?:\$ref|\$openapi|\\u)")


def is_enough(files: Mapping[str, bytes]) -> bool:
    """Whether a build of these `files`, by path, comes to the same with ``schema.json``, and sooner."""
    is_patched = False
    for path, content in files.items():
        is_kustomization = posixpath.basename(path) in KUSTOMIZATION_FILES
        if (is_kustomization and _OWN.search(content)) or _REFERRING.search(content):
            return False
        is_patched = is_patched or _PATCH in content
    return is_patched


def declaration() -> dict[str, Any]:
    """What a kustomization says to be built with ``schema.json``."""
    return {"openapi": {"path": str(resources.files("sf.backends.flux") / "schema.json")}}
