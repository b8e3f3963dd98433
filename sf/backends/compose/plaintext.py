"""What is in encrypted files, for as long as a run needs it and in its memory only."""

from __future__ import annotations

import posixpath
import threading
from typing import TYPE_CHECKING

from sf.backends.compose.ciphertext import Place, Use, places
from sf.models import Finding, Location, Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sf.backends.compose.side import Unit
    from sf.backends.compose.tree import Folder
    from sf.tools.sops import Sops


def in_memory(unit: Unit, encrypted: Mapping[str, str], at_rest: str) -> Iterator[Finding]:
    """What there is to say of files of `unit` that stay in the memory of its host, by their `Use`."""
    kept = sorted(name for name, place in places(encrypted, at_rest).items() if place is Place.MEMORY)
    for name in kept:
        if encrypted[name] == Use.WITHIN:
            path = posixpath.join(unit.stack.path, name)
            yield Finding(
                code="secret-in-folder",
                severity=Severity.ERROR,
                message=f"{path} is encrypted and mounted with the folder it is in; a link into memory that stands"
                " there leads nowhere in a container",
                subject=unit.name,
                location=Location(path),
                hint="mount the file itself, or set `docker.secrets.at_rest: disk`",
            )
    if kept:
        yield Finding(
            code="secrets-in-memory",
            severity=Severity.INFO,
            message=f"{', '.join(kept)} of {unit.name} will not survive a reboot: containers that mount them do"
            " not start then until the stack is deployed again",
            subject=unit.name,
            location=Location(unit.stack.path),
            hint="`docker.secrets.at_rest: disk` keeps them on the host's disk, for its owner alone",
        )


class Plaintexts:
    """Decrypts each content once, however many hosts get it. Safe to use from several threads."""

    def __init__(self, sops: Sops) -> None:
        self._sops = sops
        self._lock = threading.Lock()
        self._known: dict[str, bytes] = {}

    def of(self, folder: Folder, names: Collection[str]) -> dict[str, bytes]:
        """What is in the encrypted files `names` of `folder`.

        Raises `NotDecrypted` for the first one that stays closed, and another `Problem` for one that is not there.
        """
        return {name: self._open(folder, name) for name in sorted(names)}

    def _open(self, folder: Folder, name: str) -> bytes:
        path = posixpath.join(folder.path, name)
        if name not in folder:
            raise Problem(f"{path} was decrypted once, and is not in the repository at that commit")
        oid = folder.files[name].oid
        with self._lock:
            if oid not in self._known:
                self._known[oid] = self._sops.decrypt(folder.content(name), path=path)
            return self._known[oid]
