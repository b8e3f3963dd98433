"""Everything a cluster runs, found by rendering all of it, with nothing of the backend.

Knows of Flux only what the made-up history uses. Two builds share a result when their Kustomizations have equal
specs and all files are equal in every folder that either could have read, which are those whose name occurs in
what was read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sf import documents
from sf.process import Launcher, ProgramFailed
from sf.redact import Redactor
from tests.fleets import programs
from tests.flux.oracle import parts, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Key = tuple[str, str]
_MOST_PASSES = 6
_WORD = re.compile(r"[\w-]+")
_BUILT_FROM = (
    *(
        "components",
        "images",
        "namePrefix",
        "targetNamespace",
        "patches",
        "commonMetadata",
        "postBuild",
        "path",
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What one Kustomization comes to: its spec and its objects, as comparable text."""

    spec: str
    objects: str


class Oracle:
    """Renders whole clusters with kustomize and flux envsubst."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._launcher = Launcher(Redactor())
        self._environ = programs() | {"HOME": str(scratch)}
        self._built: dict[str, str | None] = {}
        self._substituted: dict[tuple[str, str], str | None] = {}
        self.builds = 0

    def clusters(self, files: Mapping[str, str]) -> list[str]:
        return sorted(
            name.removesuffix("/flux-system/gotk-sync.yaml")
            for name in files
            if re.fullmatch(r"clusters/[^/]+/flux-system/gotk-sync.yaml", name)
        )

    def cluster(self, files: Mapping[str, str], path: str) -> dict[Key, Outcome]:
        sync = documents.load_all(files[f"{path}/flux-system/gotk-sync.yaml"], path="")
        root = next(item.value for item in sync if item.value["kind"] == "Kustomization")
        maps: dict[Key, dict[str, str]] = {}
        while True:
            found = self._walk(files, root, maps)
            seen = {
                (item["metadata"].get("namespace", ""), item["metadata"]["name"]): item.get("data", {})
                for _, objects in found.values()
                for item in objects or ()
                if item["kind"] == "ConfigMap"
            }
            if seen == maps:
                return {
                    key: Outcome(
                        _text(item["spec"]),
                        "fails" if objects is None else _text(sorted(map(_text, objects))),
                    )
                    for key, (item, objects) in found.items()
                }
            maps = seen

    def _walk(
        self, files: Mapping[str, str], root: dict[str, Any], maps: Mapping[Key, dict[str, str]]
    ) -> dict[Key, tuple[dict[str, Any], list[dict[str, Any]] | None]]:
        found: dict[Key, tuple[dict[str, Any], list[dict[str, Any]] | None]] = {}
        waiting = [root]
        while waiting:
            item = waiting.pop(0)
            key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
            if key in found:
                continue
            objects = self._objects(files, item, maps)
            found[key] = (item, objects)
            waiting += [
                inner
                for inner in objects or ()
                if inner["kind"] == "Kustomization" and "kustomize.toolkit" in inner["apiVersion"]
            ]
        return found

    def _objects(
        self, files: Mapping[str, str], item: dict[str, Any], maps: Mapping[Key, dict[str, str]]
    ) -> list[dict[str, Any]] | None:
        spec = item["spec"]
        built = self._build(files, spec)
        if built is None:
            return None
        variables: dict[str, str] = {}
        if "postBuild" in spec:
            for source in spec["postBuild"].get("substituteFrom", []):
                variables |= maps.get((item["metadata"].get("namespace", ""), source["name"]), {})
            variables |= spec["postBuild"].get("substitute", {})
        objects = []
        for text in parts(built):
            final = self._substitute(text, variables) if variables and "$" in text else text
            if final is None:
                return None
            loaded = documents.load(final, path="")
            for field, more in spec.get("commonMetadata", {}).items():
                loaded["metadata"].setdefault(field, {}).update(more)
            objects.append(loaded)
        return objects

    def _build(self, files: Mapping[str, str], spec: dict[str, Any]) -> str | None:
        read = _readable(files, spec)
        key = _text([{field: spec.get(field) for field in _BUILT_FROM}, read])
        if key not in self._built:
            self.builds += 1
            self._built[key] = self._run(read, spec, self._scratch / str(self.builds))
        return self._built[key]

    def _run(self, files: dict[str, str], spec: dict[str, Any], root: Path) -> str | None:
        folder = spec["path"].removeprefix("./")
        write(root, files)
        own = root / folder / "kustomization.yaml"
        if own.exists():
            merged = documents.load(own.read_text(), path="")
        else:
            merged = {"resources": self._listed(root / folder)}
        if "targetNamespace" in spec:
            merged["namespace"] = spec["targetNamespace"]
        if "namePrefix" in spec:
            merged["namePrefix"] = spec["namePrefix"]
        for field in ("patches", "images"):
            merged[field] = merged.get(field, []) + spec.get(field, [])
        present = [name for name in spec.get("components", []) if (root / folder / name).exists()]
        merged["components"] = merged.get("components", []) + present
        own.write_text(json.dumps({key: value for key, value in merged.items() if value}))
        return self._said(
            ["kustomize", "build", str(own.parent), "--load-restrictor", "LoadRestrictionsNone"]
        )

    def _listed(self, folder: Path) -> list[str]:
        inner = sorted(path.parent for path in folder.rglob("kustomization.yaml"))
        plain = [
            path for path in folder.rglob("*.yaml") if not any(path.is_relative_to(other) for other in inner)
        ]
        return [str(path.relative_to(folder)) for path in sorted([*plain, *inner])]

    def _substitute(self, text: str, variables: dict[str, str]) -> str | None:
        key = (text, _text(variables))
        if key not in self._substituted:
            self._substituted[key] = self._said(["flux", "envsubst", "--strict"], text, variables)
        return self._substituted[key]

    def _said(self, argv: list[str], stdin: str = "", variables: dict[str, str] | None = None) -> str | None:
        try:
            return self._launcher.run(
                argv, environ=self._environ | (variables or {}), timeout=120, stdin=stdin.encode()
            ).text
        except ProgramFailed:
            return None


def _readable(files: Mapping[str, str], spec: dict[str, Any]) -> dict[str, str]:
    """The files of every folder whose name occurs in the spec, or in a file that is read for that reason."""
    by_folder: dict[str, dict[str, str]] = {}
    for name, text in files.items():
        folders = name.split("/")[:-1]
        if folders:
            # The folder that has a name of its own; what is below it belongs to it.
            by_folder.setdefault("/".join(folders[:2]), {})[name] = text
    read: dict[str, str] = {}
    waiting = [_text(spec)]
    while waiting:
        words = set(_WORD.findall(waiting.pop()))
        for folder in [folder for folder in by_folder if folder.rpartition("/")[2] in words]:
            added = by_folder.pop(folder)
            read |= added
            waiting += added.values()
    return dict(sorted(read.items()))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
