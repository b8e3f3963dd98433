"""Keys of age, and files that sops encrypts for them."""

from __future__ import annotations

import subprocess  # noqa: TID251 - tests stand outside of the doors
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Key:
    """A pair of keys of age: ``private`` as SOPS_AGE_KEY takes it."""

    private: str
    recipient: str


def new_key(path: str) -> Key:
    """A new pair; `path` is the PATH with age-keygen."""
    made = subprocess.run(["age-keygen"], env={"PATH": path}, capture_output=True, text=True, check=True)
    private = next(line for line in made.stdout.splitlines() if line.startswith("AGE-SECRET-KEY-"))
    recipient = next(line for line in made.stdout.splitlines() if "public key: " in line)
    return Key(private, recipient.rpartition(" ")[2])


def encrypt(
    data: str | bytes,
    kind: str,
    folder: Path,
    *arguments: str,
    environ: Mapping[str, str],
) -> bytes:
    """What `sops` makes of `data`, a document of its type `kind`; `arguments` say for whom."""
    content = data.encode() if isinstance(data, str) else data
    return subprocess.run(
        ["sops", "encrypt", "--input-type", kind, "--output-type", kind, *arguments, "/dev/stdin"],
        env=environ,
        cwd=folder,
        input=content,
        capture_output=True,
        check=True,
    ).stdout
