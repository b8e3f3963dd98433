"""What was deployed, kept where it runs: ``<stack_dir>/<project>/.sf/record.json``.

Nothing in it can be turned back into a value of the model: fields are sealed with a random salt of that record, so
that two records, or a record and a guess made elsewhere, cannot be compared.
"""

from __future__ import annotations

import hmac
import io
import json
import secrets
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sf.backends.compose.ciphertext import places
from sf.backends.compose.difference import field_name
from sf.models import Problem, canonical_json, pretty_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.compose.ciphertext import Place
    from sf.backends.compose.model import Model, Service
    from sf.backends.compose.tree import Folder

SCHEMA: Final = "sf.deployment/v1"
FOLDER: Final = ".sf"
FILE: Final = f"{FOLDER}/record.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A service with its values sealed: ``fields`` and ``inline`` by name, ``files`` as content ids by path."""

    fields: Mapping[str, str]
    files: Mapping[str, str]
    inline: Mapping[str, str]
    replicas: int = 1
    built: bool = False

    @property
    def content(self) -> str:
        """What the container gets to read beside its configuration, as one id; empty when that is nothing."""
        if not self.files and not self.inline:
            return ""
        return hmac.new(b"sf content", canonical_json([self.files, self.inline]), "sha256").hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A service as the last deployment left it: compose's own hash of it, and its image's id.

    ``generation`` counts how often its containers had to be made anew although nothing of the model changed.
    """

    sealed: Sealed
    config_hash: str = ""
    image: str = ""
    generation: int = 0

    @property
    def content_label(self) -> str:
        """What its containers are labelled with; empty when they read nothing beside their configuration."""
        content = self.sealed.content
        return f"{content}.{self.generation}" if content and self.generation else content


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One deployment. ``stack`` is the folder in the repository, ``inputs`` everything the model is made from.

    ``complete``: it ended well; otherwise ``services`` are those of the last one that did. ``managed``: sha256 by
    path of every file that sf wrote below the project's folder. ``files``: its compose files, in their order.
    ``encrypted``: the use of each file that was decrypted, and ``at_rest`` where those that are mounted stand.
    """

    repository: str
    host: str
    stack: str
    project: str
    commit: str
    salt: str
    inputs: str
    complete: bool
    managed: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, Deployed] = field(default_factory=dict)
    inactive: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    encrypted: Mapping[str, str] = field(default_factory=dict)
    at_rest: str = ""

    @property
    def places(self) -> dict[str, Place]:
        """Where the plaintext of each encrypted file stands."""
        return places(self.encrypted, self.at_rest)


def new_salt() -> str:
    return secrets.token_hex(32)


def seal(service: Service, salt: str) -> Sealed:
    """`service` as a record holds it."""
    return Sealed(
        fields={field_name(path): _sealed(value, salt) for path, value in service.fields.items()},
        files=dict(service.files),
        inline={name: _sealed(content, salt) for name, content in service.inline.items()},
        replicas=service.replicas,
        built=service.built,
    )


def seal_model(model: Model, salt: str) -> dict[str, Sealed]:
    return {name: seal(service, salt) for name, service in model.services.items()}


def seal_inputs(folder: Folder, variables: Mapping[str, str], salt: str) -> str:
    """Everything that decides how a stack is resolved: equal inputs need not be resolved again."""
    return _sealed([folder.identity, dict(variables)], salt)


def read_record(data: bytes, *, project: str) -> Record:
    """The record in `data`, from the folder of `project`. Raises `Problem` for one that cannot be read."""
    try:
        return _understand(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Problem(
            f"the deployment record of {project} is damaged",
            hint=f"remove {project}/{FILE} below `docker.stack_dir`; the next deployment writes a new one",
        ) from error


def unpack_records(archive: bytes) -> dict[str, bytes]:
    """The records in a tar of ``<project>/.sf/record.json``, by project. Raises `Problem` for what is no tar."""
    if not archive:
        return {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            found = {member.name: tar.extractfile(member) for member in tar.getmembers() if member.isfile()}
            return {name.split("/", 1)[0]: file.read() for name, file in found.items() if file}
    except tarfile.TarError as error:
        raise Problem(f"the deployment records did not arrive whole: {error}") from error


def record_document(record: Record) -> bytes:
    """`record` as it is written."""
    return pretty_json({"schema": SCHEMA, **_plain(record)})


def _plain(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__dataclass_fields__}


def _understand(document: dict[str, Any]) -> Record:
    if document.pop("schema") != SCHEMA:
        raise ValueError(SCHEMA)
    services = {
        name: Deployed(**{**stated, "sealed": Sealed(**stated["sealed"])})
        for name, stated in document.pop("services").items()
    }
    inactive, files = tuple(document.pop("inactive")), tuple(document.pop("files"))
    return Record(services=services, inactive=inactive, files=files, **document)


def _sealed(value: Any, salt: str) -> str:
    return hmac.new(bytes.fromhex(salt), canonical_json(value), "sha256").hexdigest()
