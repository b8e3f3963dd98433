"""What Flux itself says: `flux build kustomization --dry-run` on a checkout."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sf import documents
from sf.backends.flux.kustomization import GROUP
from sf.models import Problem
from sf.process import Launcher, ProgramFailed
from sf.redact import Redactor
from tests.fleets import programs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sf.backends.flux.kustomization import Kustomization

# Flux labels every object with the Kustomization it belongs to. So does the controller, when it applies them.
_OWNER = (f"{GROUP}/name", f"{GROUP}/namespace")


@dataclass(frozen=True)
class Answer:
    """The objects that Flux builds, or why it does not."""

    objects: tuple[dict[str, Any], ...] = ()
    error: str = ""


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def flux_build(
    checkout: Path, scratch: Path, node: Kustomization, variables: Mapping[str, str] | None
) -> Answer:
    """Let flux build `node` from `checkout`, with `variables` in the place of those it takes from the cluster."""
    spec = dict(node.spec)
    if variables is not None:
        spec["postBuild"] = {**spec.get("postBuild", {}), "substitute": dict(variables), "substituteFrom": []}
    document = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Kustomization",
        "metadata": {"name": node.name, "namespace": node.namespace},
        "spec": spec,
    }
    file = scratch / f"{node.namespace}-{node.name}-of-{node.path.replace('/', '-')}.yaml"
    file.write_text(documents.dump(document))
    environ = programs() | {"HOME": str(scratch)}
    command = [
        "flux",
        "build",
        "kustomization",
        node.name,
        "--namespace",
        node.namespace,
        "--dry-run",
        "--path",
    ]
    arguments = [*command, f"./{node.path}", "--kustomization-file", str(file), "--strict-substitute"]
    try:
        done = Launcher(Redactor()).run(arguments, cwd=checkout, environ=environ, timeout=120)
    except ProgramFailed as error:
        return Answer(error=error.completed.stderr.strip())
    return Answer(objects=tuple(documents.load(text, path="") for text in parts(done.text)))


def parts(stream: str) -> list[str]:
    """The documents of what kustomize or flux printed. Neither begins a line of one with `---`."""
    return [text for text in re.split(r"^---\n", stream, flags=re.MULTILINE) if text.strip()]


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    """`item` as it compares: flux masks Secrets as it prints them, and loses the quotes of what stays."""
    if item["kind"] == "Secret" and isinstance(item.get("stringData"), dict):
        return {**item, "stringData": {name: _unquoted(text) for name, text in item["stringData"].items()}}
    return item


def _unquoted(text: Any) -> Any:
    try:
        return documents.load(text, path="") if isinstance(text, str) and "\n" not in text else text
    except Problem:
        return text


def comparable(objects: Iterable[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    """`objects` by identity, without Flux's own labels and its order."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for item in map(_plain, objects):
        metadata = item["metadata"]
        labels = {key: text for key, text in (metadata.get("labels") or {}).items() if key not in _OWNER}
        plain = {**item, "metadata": {**metadata, "labels": labels}}
        if not labels:
            del plain["metadata"]["labels"]
        key = (item["apiVersion"], item["kind"], str(metadata.get("namespace")), str(metadata["name"]))
        assert key not in found
        found[key] = plain
    return found
