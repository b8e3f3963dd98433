"""Files of a stack that sops encrypted, as far as they can be told without a key.

Which they are, who uses them, and where on a host what is in them may stand.

Planning reads ciphertext only. The names in an encrypted file of variables are plain, so compose resolves the
stack with values that are ciphertexts, and one that changes shows by its name.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sf.backends.compose.stack import ENV_FILE
from sf.models import Location, Problem
from sf.tools import sops
from sf.tools.sops import Format

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sf.tools.sops import Encryption

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_]")
_SHOWN: Final = 16


class Use(StrEnum):
    """Who uses a file: compose as it brings the stack up, or a container that mounts it or a folder it is in."""

    READ = "read"
    MOUNTED = "mounted"
    WITHIN = "within"


class Place(StrEnum):
    """Where on a host the plaintext of a file stands.

    ``disk``: in the stack's folder, for its owner alone. ``memory``: in a memory-backed folder, until the host
    starts anew. ``moment``: there, too, but only while the stack is brought up.
    """

    DISK = "disk"
    MEMORY = "memory"
    MOMENT = "moment"


def places(encrypted: Mapping[str, str], at_rest: str) -> dict[str, Place]:
    """Where each file goes, from its `Use` and ``docker.secrets.at_rest``."""
    rest = Place.MEMORY if at_rest == "tmpfs" else Place.DISK
    return {name: Place.MOMENT if use == Use.READ else rest for name, use in encrypted.items()}


def encryptions(contents: Mapping[str, bytes], *, folder: str) -> dict[str, Encryption]:
    """How each of the files with `contents` is encrypted; plain ones are left out."""
    found = {
        name: sops.encryption(data, path=posixpath.join(folder, name)) for name, data in contents.items()
    }
    return {name: how for name, how in found.items() if how is not None}


def refuse_models(names: Collection[str], encrypted: Collection[str], *, folder: str) -> None:
    """Raise `Problem` when one of the compose files `names` is encrypted: nobody could plan it."""
    if closed := sorted(set(names) & set(encrypted)):
        path = posixpath.join(folder, closed[0])
        raise Problem(
            f"{path} is encrypted, and sf has to read it without a key to plan the stack",
            hint="keep the compose file plain and move its secrets into an encrypted `env_file`, or into encrypted"
            " files that it names at `secrets`",
            location=Location(path),
        )


def resolvable(
    contents: Mapping[str, bytes],
    encrypted: Mapping[str, Encryption],
    variables: Collection[str],
    *,
    folder: str,
) -> dict[str, bytes]:
    """`contents` such that compose can read the files of `variables` among them.

    Raises `Problem` for a ``.env`` whose names are encrypted, too.
    """
    opened = dict(contents)
    for name in sorted(set(variables) & set(encrypted)):
        if encrypted[name].format is Format.DOTENV:
            opened[name] = sops.public_lines(contents[name])
        elif posixpath.basename(name) == ENV_FILE:
            path = posixpath.join(folder, name)
            raise Problem(
                f"{path} is encrypted as {encrypted[name].format.value}, so that the names in it cannot be read",
                hint="encrypt it as what it is: sops encrypt --input-type dotenv --output-type dotenv",
                location=Location(path),
            )
        else:
            opened[name] = _stand_in(name, contents[name])
    return opened


def is_ciphertext(value: Any, *, whole: bool = False) -> bool:
    """Whether `value` holds something that is encrypted; with `whole`, and nothing else."""
    if not isinstance(value, str):
        return False
    found = sops.CIPHERTEXT.fullmatch(value) if whole else sops.CIPHERTEXT.search(value)
    return found is not None


def shown_ciphertexts(text: str) -> str:
    """`text` with an id in place of each ciphertext: which one it is, in a length that can be read."""
    return sops.CIPHERTEXT.sub(
        lambda match: f"encrypted:{hashlib.sha256(match[0].encode()).hexdigest()[:_SHOWN]}", text
    )


def _stand_in(name: str, data: bytes) -> bytes:
    """One variable in place of all those in a file that hides their names: it changes with the file."""
    variable = f"ENCRYPTED_{_NOT_IN_NAMES.sub('_', name)}"
    return f"{variable}={hashlib.sha256(data).hexdigest()[:_SHOWN]}\n".encode()
