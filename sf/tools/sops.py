"""``sops``: which files it encrypted, for whom, and what is in them.

A file is recognised by its content: the metadata that sops writes into it has a MAC. Plaintext goes from sops to
us through a pipe, and every value that was encrypted is registered with the redactor before anybody can print it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sf import documents
from sf.models import Location, Problem
from sf.process import ProgramFailed, ProgramMissing, find, inherited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sf.process import Launcher
    from sf.redact import Redactor

PROGRAM: Final = "sops"
# One encrypted value, as sops writes it (sops, aes/cipher.go).
CIPHERTEXT: Final = re.compile(
    r"ENC\[AES256_GCM,data:[A-Za-z0-9+/=]*,iv:[A-Za-z0-9+/=]*,tag:[A-Za-z0-9+/=]*,type:[a-z]+\]"
)
# Where sops looks for private keys of age and PGP (its manual), and what it needs to find them there.
KEY_VARIABLES: Final = (
    "SOPS_AGE_KEY",
    "SOPS_AGE_KEY_FILE",
    "SOPS_AGE_KEY_CMD",
    "SOPS_AGE_SSH_PRIVATE_KEY_FILE",
    "SOPS_AGE_SSH_PRIVATE_KEY_CMD",
    "SOPS_GPG_EXEC",
    "SOPS_DECRYPTION_ORDER",
    "GNUPGHOME",
    "XDG_CONFIG_HOME",
)
_TIMEOUT: Final = 60.0
# What sops ends with when no private key fits (sops, cmd/sops/codes).
_NO_KEY: Final = 128
_MARK: Final = b"ENC[AES256_GCM,"
_DOTENV: Final = re.compile(rb"(?m)^sops_mac=ENC\[AES256_GCM,")
_INI: Final = re.compile(rb"(?m)^\[sops\]\s*$")
_YAML: Final = re.compile(rb"(?m)^\"?sops\"?:")
_FLAT: Final = re.compile(
    r"(?m)^(?:sops_)?(?P<provider>[a-z_]+)__list_(?P<index>\d+)__map_(?P<field>[a-z_]+)\s*=\s*(?P<value>\S+)"
)
# What tells a recipient of each provider from others, in the metadata (sops, stores/metadata.go).
_RECIPIENTS: Final = {
    "age": ("recipient",),
    "pgp": ("fp",),
    "kms": ("arn",),
    "gcp_kms": ("resource_id",),
    "azure_kv": ("vault_url", "name"),
    "hc_vault": ("vault_address", "engine_path", "key_name"),
}
# A file whose metadata says which of its values are encrypted is no binary.
_SELECTORS: Final = ("suffix", "regex")


class Format(StrEnum):
    """What sops took the file for; its own words."""

    DOTENV = "dotenv"
    INI = "ini"
    JSON = "json"
    YAML = "yaml"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Encryption:
    """How a file is encrypted. ``recipients`` are those who can decrypt it: ``age age1…``, ``pgp …``."""

    format: Format
    recipients: tuple[str, ...]


class NotDecrypted(Problem):
    """A file stays closed to this run."""


def encryption(data: bytes, *, path: str) -> Encryption | None:
    """How sops encrypted the file with the content `data`; None when it did not.

    The name at the end of `path` decides in one case alone: a JSON document with nothing but ``data`` in it, of
    which sops before 3.8 does not say whether it stands for a binary.
    """
    if _MARK not in data or b"sops" not in data:
        return None
    if _DOTENV.search(data):
        return Encryption(Format.DOTENV, _flat_recipients(data))
    if data.lstrip().startswith(b"{"):
        return _in_json(data, path)
    if _INI.search(data):
        return Encryption(Format.INI, _flat_recipients(data))
    return _in_yaml(data, path) if _YAML.search(data) else None


def public_lines(data: bytes) -> bytes:
    """A dotenv file without what sops added to it: names with encrypted values."""
    kept = [line for line in data.splitlines() if not line.startswith((b"sops_", b"#ENC["))]
    return b"".join(line + b"\n" for line in kept)


class Sops:
    """Decrypts with the private keys that sops finds by its own rules. `private` is an empty directory."""

    def __init__(
        self, launcher: Launcher, environ: Mapping[str, str], redactor: Redactor, private: Path
    ) -> None:
        self._launcher = launcher
        self._redactor = redactor
        self._private = private
        self._search = environ
        keys = {name: environ[name] for name in KEY_VARIABLES if name in environ}
        self._environ = {**inherited(environ), **keys, "SOPS_DISABLE_VERSION_CHECK": "true"}

    def decrypt(self, data: bytes, *, path: str) -> bytes:
        """What is in the encrypted file `data` of the repository's `path`; the redactor knows it from now on.

        Raises `NotDecrypted`, naming the recipients when none of the keys here is one.
        """
        found = encryption(data, path=path)
        if found is None:
            raise NotDecrypted(f"{path} is not encrypted with sops", location=Location(path))
        if find(PROGRAM, self._search) is None:
            raise ProgramMissing(
                f"the program `{PROGRAM}` is not installed, and {path} is encrypted", hint="install sops"
            )
        kind = found.format.value
        try:
            plain = self._launcher.run(
                [PROGRAM, "decrypt", "--input-type", kind, "--output-type", kind, "/dev/stdin"],
                timeout=_TIMEOUT,
                environ=self._environ,
                # Not in the repository, whose .sops.yaml has no say in this.
                cwd=self._private,
                stdin=data,
            ).stdout
        except ProgramFailed as error:
            raise _explain(error, found, path) from error
        for secret in _secrets(data, plain, found.format, path):
            self._redactor.register(secret)
        return plain


def _explain(error: ProgramFailed, found: Encryption, path: str) -> NotDecrypted:
    if error.completed.code != _NO_KEY:
        return NotDecrypted(
            f"{path} cannot be decrypted: {error.completed.complaint or error.message}",
            hint="`sops decrypt` says the same; a file is to be changed with `sops edit` alone",
            location=Location(path),
        )
    return NotDecrypted(
        f"{path} cannot be decrypted: no private key here fits. It is encrypted for"
        f" {', '.join(found.recipients) or 'nobody that it names'}",
        hint="give the pipeline the key of one of them (SOPS_AGE_KEY or SOPS_AGE_KEY_FILE for age, GNUPGHOME for"
        " PGP), or add the key that it has to .sops.yaml and run `sops updatekeys`",
        location=Location(path),
    )


def _in_json(data: bytes, path: str) -> Encryption | None:
    try:
        document = json.loads(data)
    except ValueError:
        return None
    metadata = _metadata(document)
    if metadata is None:
        return None
    selected = any(key.endswith(_SELECTORS) for key in metadata)
    whole = set(document) == {"data", "sops"} and not (selected and path.endswith(".json"))
    return Encryption(Format.BINARY if whole else Format.JSON, recipients(metadata))


def _in_yaml(data: bytes, path: str) -> Encryption | None:
    try:
        found = [_metadata(one.value) for one in documents.load_all(data, path=path)]
    except Problem:
        return None
    metadata = next((one for one in found if one is not None), None)
    return None if metadata is None else Encryption(Format.YAML, recipients(metadata))


def _metadata(document: Any) -> Mapping[str, Any] | None:
    metadata = document.get("sops") if isinstance(document, dict) else None
    is_whole = isinstance(metadata, dict) and CIPHERTEXT.fullmatch(str(metadata.get("mac", "")))
    return metadata if is_whole else None


def recipients(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Who can decrypt, as the metadata of sops name them; with and without key groups."""
    groups = [metadata, *_mappings(metadata.get("key_groups"))]
    named = (
        f"{provider} {' '.join(str(key[field]) for field in fields if key.get(field))}"
        for group in groups
        for provider, fields in _RECIPIENTS.items()
        for key in _mappings(group.get(provider))
    )
    return tuple(dict.fromkeys(named))


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _flat_recipients(data: bytes) -> tuple[str, ...]:
    """As the formats without nesting spell them: ``sops_age__list_0__map_recipient=age1…``."""
    keys: dict[tuple[str, str], dict[str, str]] = {}
    for match in _FLAT.finditer(data.decode("utf-8", "replace")):
        keys.setdefault((match["provider"], match["index"]), {})[match["field"]] = match["value"]
    metadata: dict[str, list[dict[str, str]]] = {}
    for (provider, _), key in keys.items():
        metadata.setdefault(provider, []).append(key)
    return recipients(metadata)


def _secrets(data: bytes, plain: bytes, kind: Format, path: str) -> Iterator[str | bytes]:
    """Every value of `plain` that is encrypted in `data`."""
    match kind:
        case Format.DOTENV | Format.INI:
            yield from _of_lines(data, plain)
        case Format.JSON | Format.YAML:
            try:
                pairs = zip(
                    documents.load_all(data, path=path), documents.load_all(plain, path=path), strict=False
                )
                for closed, opened in pairs:
                    yield from _of_values(closed.value, opened.value)
            except Problem:
                yield plain
        case Format.BINARY:
            yield plain


def _of_lines(data: bytes, plain: bytes) -> Iterator[str]:
    """Sops keeps one line for each, in their order; what it cannot be told from is taken for a secret."""
    encrypted = {line.partition(b"=")[0].strip() for line in data.splitlines() if _MARK in line}
    for line in plain.decode("utf-8", "surrogateescape").splitlines():
        name, _, value = line.partition("=")
        if line.lstrip().startswith(("#", ";")):
            yield line.lstrip("#; ")
        elif name.strip().encode("utf-8", "surrogateescape") in encrypted:
            bare = value.strip()
            yield bare
            yield bare.strip("\"'").replace("\\n", "\n")


def _of_values(closed: Any, opened: Any) -> Iterator[str]:
    if isinstance(closed, dict) and isinstance(opened, dict):
        for key in opened:
            yield from _of_values(closed.get(key), opened[key])
    elif isinstance(closed, list) and isinstance(opened, list):
        for one, other in zip(closed, opened, strict=False):
            yield from _of_values(one, other)
    elif isinstance(closed, str) and CIPHERTEXT.fullmatch(closed) and not isinstance(opened, bool | None):
        yield str(opened)
