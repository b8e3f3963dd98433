"""The files of a stack on their way to a host: one folder there that never moves, changed only where it is ours.

Every file is replaced by rename. What a container wrote beside our files is never touched, and no link that a
container may have put in our way is followed. The steps themselves are in ``host.sh``.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.backends.compose.ciphertext import Place
from sf.backends.compose.record import FOLDER
from sf.models import Location, Problem, pretty_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sf.backends.compose.record import Deployed
    from sf.backends.compose.tree import Folder

CONTENT_FILE: Final = f"{FOLDER}/content.json"
PINNED_FILE: Final = f"{FOLDER}/pinned.json"
CONTENT_LABEL: Final = "sf.content"
PRE_HOOK: Final = "pre.sh"
POST_HOOK: Final = "post.sh"
HOOKS: Final = (PRE_HOOK, POST_HOOK)
# The end of a list of files for the memory of a host; alone, there are none.
NOTHING: Final = b"\n"
_EXECUTABLE: Final = 0o755
_PLAIN: Final = 0o644
_PRIVATE: Final = 0o600
# Folders below the one that host.sh makes in memory.
_IN_MEMORY: Final = {Place.MEMORY: "kept", Place.MOMENT: "up"}


@dataclass(frozen=True, slots=True)
class Present:
    """What is on the host at the path of a file. ``digest`` is empty for something that is no plain file."""

    digest: str = ""
    executable: bool = False


def content_labels(services: Mapping[str, Deployed], *, pulled: Collection[str] = ()) -> bytes:
    """A compose file that labels each service with the content it reads, and has the images of `pulled` pulled.

    Compose recreates a container when its labels change and does not look at what it mounts, so this is what makes
    a changed file reach exactly the services that use it.
    """
    stated = {
        name: {
            **({"labels": {CONTENT_LABEL: service.content_label}} if service.content_label else {}),
            **({"pull_policy": "always"} if name in pulled else {}),
        }
        for name, service in services.items()
    }
    return pretty_json({"services": {name: fields for name, fields in stated.items() if fields}})


def pinned_images(images: Mapping[str, str]) -> bytes:
    """A compose file that gives services the images with these ids, wherever their tags are now."""
    return pretty_json(
        {"services": {name: {"image": image, "pull_policy": "never"} for name, image in images.items()}}
    )


def desired_files(folder: Folder, programs: Collection[str] = HOOKS) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every file of the stack.

    Raises `Problem` when the stack brings files of its own where sf keeps its, or one of `programs` cannot be run.
    """
    if taken := next((name for name in folder.files if name.split("/", 1)[0] == FOLDER), None):
        raise Problem(
            f"{folder.path}/{taken} is where sf keeps its own files on the host", hint="rename that folder"
        )
    if odd := next((name for name in folder.files if not name.isprintable()), None):
        raise Problem(f"{folder.path}/{odd!r} has a name with a control character", hint="rename that file")
    for name in programs:
        if name in folder and not folder.files[name].executable:
            path = f"{folder.path}/{name}"
            raise Problem(
                f"{path} is to be run on the host, and git does not mark it executable",
                hint=f"git update-index --chmod=+x {path}",
                location=Location(path),
            )
    contents = folder.contents()
    return {
        name: (contents[name], _EXECUTABLE if file.executable else _PLAIN)
        for name, file in folder.files.items()
    }


@dataclass(frozen=True, slots=True)
class Opened:
    """Plaintexts by path: ``files`` go to the disk with their mode, ``memory`` stays in memory there."""

    files: Mapping[str, tuple[bytes, int]]
    memory: Mapping[str, tuple[bytes, Place]]

    @classmethod
    def of(cls, plaintexts: Mapping[str, bytes], places: Mapping[str, Place]) -> Opened:
        """`plaintexts`, each where `places` says."""
        on_disk = {name for name, place in places.items() if place is Place.DISK}
        return cls(
            {name: (data, _PRIVATE) for name, data in plaintexts.items() if name in on_disk},
            {name: (data, places[name]) for name, data in plaintexts.items() if name not in on_disk},
        )

    @property
    def header(self) -> bytes:
        """The part in memory as the script reads it from its input, behind the variables."""
        lines = [
            f"{_octal(data)} {_IN_MEMORY[place]}/".encode() + name.encode("utf-8", "surrogateescape")
            for name, (data, place) in sorted(self.memory.items())
        ]
        return b"".join(line + b"\n" for line in [*lines, b""])


def manifest(files: Mapping[str, tuple[bytes, int]]) -> dict[str, str]:
    """What a record says of `files`: sha256 by path."""
    return {name: hashlib.sha256(data).hexdigest() for name, (data, _) in sorted(files.items())}


def read_digests(answer: bytes, names: Sequence[str]) -> dict[str, Present]:
    """What the script says of `names`, in their order; a file that is not there is left out."""
    lines = answer.decode("ascii", "replace").split("\n")
    found: dict[str, Present] = {}
    for name, line in zip(names, lines, strict=False):
        kind, _, digest = line.partition(" ")
        if kind != "-":
            found[name] = Present(digest, kind == "x")
    return found


def refuse_foreign(
    files: Mapping[str, tuple[bytes, int]],
    linked: Collection[str],
    managed: Collection[str],
    present: Mapping[str, Present],
    *,
    project: str,
) -> None:
    """Raise `Problem` when a file would replace one that is not `managed` and says something else.

    In the place of `linked` there will be links.
    """
    for name in sorted({*files, *linked} - set(managed)):
        if name in present and (name in linked or not _is(present[name], *files[name])):
            raise Problem(
                f"{project}/{name} is part of the stack now, and a file that sf did not write is there already",
                hint="move it away, or commit it as it is there",
            )


def edited_files(managed: Mapping[str, str], present: Mapping[str, Present]) -> tuple[str, ...]:
    """The managed files that are no longer what sf wrote, missing ones included."""
    return tuple(
        name for name, digest in sorted(managed.items()) if present.get(name, Present()).digest != digest
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What goes to a host: the steps from what is `present` there to `files` and the files in ``memory``.

    ``managed`` are the files that sf put there before. With ``keep`` they become the previous release, but for
    those of ``encrypted``, whose plaintext is there once at most.
    """

    files: Mapping[str, tuple[bytes, int]]
    memory: Collection[str]
    managed: Collection[str]
    encrypted: Collection[str]
    present: Mapping[str, Present]
    keep: bool

    @property
    def written(self) -> list[str]:
        return sorted(
            name
            for name, (data, mode) in self.files.items()
            if name not in self.present or not _is(self.present[name], data, mode)
        )

    @property
    def gone(self) -> list[str]:
        return sorted(set(self.managed) - set(self.files) - set(self.memory))

    def pack(self, *, record: bytes, content: bytes) -> bytes:
        """The tar that the script takes for a deployment, where `record` is what is true while it lasts."""
        members = {
            "record.json": (record, 0o600),
            "content.json": (content, 0o600),
            "written": (_lines(self.written), 0o600),
            "gone": (_lines(self.gone), 0o600),
            "managed": (_lines(sorted(set(self.managed) - set(self.encrypted))), 0o600),
            "all": (_lines(sorted({*self.managed, *self.files, *self.memory})), 0o600),
            **({"keep": (b"", 0o600)} if self.keep else {}),
            **{f"files/{name}": self.files[name] for name in self.written},
        }
        return pack(members)


def pack(members: Mapping[str, tuple[bytes, int]]) -> bytes:
    """A tar with `members`: content and mode by path."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, (data, mode) in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def variables_header(variables: Mapping[str, str]) -> bytes:
    """`variables` as the script reads them from its input, where no list of processes shows them."""
    lines = [
        f"{name}={_octal(value.encode('utf-8', 'surrogateescape'))}"
        for name, value in sorted(variables.items())
    ]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()


def _octal(data: bytes) -> str:
    """As `printf %b` of any shell takes it."""
    return "".join(f"\\0{byte:03o}" for byte in data)


def _is(present: Present, data: bytes, mode: int) -> bool:
    return present.digest == hashlib.sha256(data).hexdigest() and present.executable == (mode == _EXECUTABLE)


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
