"""Images made from files of this machine, without a registry."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.programs import run

FOLDERS = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "var": 0o755,
    "www": 0o755,
}

FILES = {
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
}

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Archive:
    """An image as `docker load` reads it; the same parts give the same identifier on every machine."""

    identifier: str
    content: bytes


def busybox(program: Path, tag: str, machine: str) -> Archive:
    """Return an image `tag` that holds a static busybox, a link for each of its commands, and /etc/passwd.

    `machine` is the hardware name that uname gives.
    """
    commands = run([program, "--list"]).split()
    layer = _layer(program.read_bytes(), commands)
    config = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "created": "1970-01-01T00:00:00Z",
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "busybox-static"}],
        "os": "linux",
        "rootfs": {"diff_ids": [f"sha256:{_hex(layer)}"], "type": "layers"},
    }
    document = json.dumps(config, sort_keys=True).encode()
    name = f"{_hex(document)}.json"
    manifest = [{"Config": name, "Layers": ["layer.tar"], "RepoTags": [tag]}]
    content = archive({name: document, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})
    return Archive(f"sha256:{_hex(document)}", content)


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of plain files, always the same bytes for the same files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            _add(tar, name, files[name], mode=0o644)
    return stream.getvalue()


def _layer(program: bytes, commands: list[str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder, mode in FOLDERS.items():
            _add(tar, folder, type=tarfile.DIRTYPE, mode=mode)
        _add(tar, "bin/busybox", program, mode=0o755)
        for command in sorted(set(commands) - {"busybox"}):
            _add(tar, f"bin/{command}", type=tarfile.SYMTYPE, linkname="busybox")
        for name, text in FILES.items():
            _add(tar, name, text.encode(), mode=0o644)
        # Relative: an absolute link makes the engine refuse to copy files to paths below it.
        _add(tar, "var/run", type=tarfile.SYMTYPE, linkname="../run")
    return stream.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes = b"", **attributes: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    tar.addfile(member, io.BytesIO(content))


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
