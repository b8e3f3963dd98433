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
_EXECUTABLE: Final = 0o755
_PLAIN: Final = 0o644


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


def desired_files(folder: Folder) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every file of the stack.

    Raises `Problem` when the stack brings files of its own where sf keeps its, or a hook that cannot be run.
    """
    if taken := next((name for name in folder.files if name.split("/", 1)[0] == FOLDER), None):
        raise Problem(
            f"{folder.path}/{taken} is where sf keeps its own files on the host", hint="rename that folder"
        )
    if odd := next((name for name in folder.files if not name.isprintable()), None):
        raise Problem(f"{folder.path}/{odd!r} has a name with a control character", hint="rename that file")
    for name in HOOKS:
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
    managed: Mapping[str, str],
    present: Mapping[str, Present],
    *,
    project: str,
) -> None:
    """Raise `Problem` when a file would replace one that is not `managed` and says something else."""
    for name, (data, mode) in sorted(files.items()):
        if name not in managed and name in present and not _is(present[name], data, mode):
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
    """What goes to a host: the steps from what is `present` there to `files`.

    ``managed`` are the files that sf wrote before, ``keep``: what is there becomes the previous release.
    """

    files: Mapping[str, tuple[bytes, int]]
    managed: Mapping[str, str]
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
        return sorted(set(self.managed) - set(self.files))

    def pack(self, *, record: bytes, content: bytes) -> bytes:
        """The tar that the script takes for a deployment, where `record` is what is true while it lasts."""
        changed = bool(self.written or self.gone)
        members = {
            "record.json": (record, 0o600),
            "content.json": (content, 0o600),
            "written": (_lines(self.written), 0o600),
            "gone": (_lines(self.gone), 0o600),
            "managed": (_lines(sorted(self.managed)), 0o600),
            "all": (_lines(sorted({*self.managed, *self.files})), 0o600),
            **({"keep": (b"", 0o600)} if self.keep and changed else {}),
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
        f"{name}=" + "".join(f"\\0{byte:03o}" for byte in value.encode("utf-8", "surrogateescape"))
        for name, value in sorted(variables.items())
    ]
    return "".join(f"{line}\n" for line in [*lines, ""]).encode()


def _is(present: Present, data: bytes, mode: int) -> bool:
    return present.digest == hashlib.sha256(data).hexdigest() and present.executable == (mode == _EXECUTABLE)


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
