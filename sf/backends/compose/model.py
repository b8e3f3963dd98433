"""What a stack is to be: per service the resolved fields, and the content of everything it refers to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from sf.backends.compose.ciphertext import Use, encryptions, is_ciphertext, refuse_models, resolvable
from sf.backends.compose.references import check_references, has_profiles
from sf.backends.compose.stack import compose_files
from sf.models import Location, Problem
from sf.tools.compose import TUNING, Compose, Project, Refused
from sf.workspace import write_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sf.backends.compose.tree import Folder

FieldPath = tuple[str, ...]

# Fields that say nothing about a container: `develop` is for `compose watch`.
_NOT_DEPLOYED: Final = frozenset({"develop", "profiles"})
# Folders between the root and the stack, more than any `..` climbs: what leaves the stack stays recognisable.
_DEPTH: Final = 24


class Unreadable(Problem):
    """A stack of which no model can be made, or none that may be used. The message is free of this machine."""

    @classmethod
    def because(cls, problem: Problem, otherwise: Location) -> Unreadable:
        return cls(problem.message, hint=problem.hint, location=problem.location or otherwise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service as compose resolves it, independent of where its files were.

    ``fields``: every value by its keys (``("healthcheck", "interval")``); the networks, volumes, configs and
    secrets it uses are in there under ``("volume data", …)``. ``files``: content id by path of every file it
    mounts, is given as config or secret, or is built from. ``inline``: contents that stand in the model
    or in a variable. ``built``: whether it has a ``build`` section.
    """

    name: str
    fields: Mapping[FieldPath, Any]
    files: Mapping[str, str]
    inline: Mapping[str, str]
    replicas: int = 1
    built: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A whole stack. ``inactive``: services that only a profile starts, which is not chosen.

    ``encrypted``: how each file that sops encrypted is used; others that nothing refers to are left out.
    """

    project: str
    files: tuple[str, ...]
    services: Mapping[str, Service]
    inactive: tuple[str, ...] = ()
    encrypted: Mapping[str, Use] = MappingProxyType({})


class Shelf(Protocol):
    """Where models are kept between runs, by the folder of the stack and what is in its files."""

    def get(self, folder: Folder, contents: Mapping[str, bytes]) -> Model | None:
        """The model, if it is there."""

    def put(self, folder: Folder, contents: Mapping[str, bytes], model: Model) -> None:
        """Keep the model, or not."""


class Resolver:
    """Makes models, each in a folder of its own below `scratch`. ``count`` is how many it had to make."""

    def __init__(self, compose: Compose, scratch: Path, variables: Mapping[str, str], shelf: Shelf) -> None:
        self._compose = compose
        self._scratch = scratch
        self._variables = variables
        self._shelf = shelf
        self.count = 0

    def resolve(self, folder: Folder) -> Model:
        """The model of the stack in `folder`.

        Raises `Unreadable` when it cannot be resolved, or would read or mount what is not in the folder.
        """
        if folder.escapes:
            raise Unreadable.because(folder.escapes[0], Location(folder.path))
        contents = folder.contents()
        model = self._shelf.get(folder, contents)
        if model is None:
            model = self._make(folder, contents)
            self._shelf.put(folder, contents, model)
        return model

    def _make(self, folder: Folder, contents: Mapping[str, bytes]) -> Model:
        try:
            encrypted = encryptions(contents, folder=folder.path)
            files = compose_files(folder)
            refuse_models(files, encrypted, folder=folder.path)
            read = check_references(folder, files)
            refuse_models(read.models, encrypted, folder=folder.path)
            contents = resolvable(contents, encrypted, read.variables, folder=folder.path)
        except Problem as problem:
            raise Unreadable.because(problem, Location(folder.path)) from problem
        self.count += 1
        root = self._scratch
        # The folder keeps its name, from which compose makes the name of the project.
        place = root.joinpath(*["_"] * _DEPTH, str(self.count), folder.path.rpartition("/")[2])
        home = root / "home"
        home.mkdir(exist_ok=True)
        place.mkdir(parents=True)
        tuned = not any(name.encode() in data for data in contents.values() for name in TUNING)
        write_tree(place, contents)
        project = Project(folder=place, files=files)
        try:
            raw = self._compose.resolve(project, home=home, variables=self._variables, tuned=tuned)
        except Refused as problem:
            raise Unreadable.because(_refused(problem), Location(f"{folder.path}/{files[0]}")) from problem
        inactive: tuple[str, ...] = ()
        if has_profiles(folder, read.models):
            every = self._compose.services(project, variables=self._variables)
            inactive = tuple(name for name in every if name not in raw.get("services", {}))
        reading = _Reading(raw, folder, files, self._variables, _Paths(root, place, home))
        return reading.model(inactive, variables=read.variables, encrypted=frozenset(encrypted))


class _Paths:
    """Takes the place where a model was resolved back out of it."""

    def __init__(self, root: Path, place: Path, home: Path) -> None:
        self._root = str(root)
        self._place = re.compile(re.escape(str(place)) + r"(?![\w.-])")
        self._home = re.compile(re.escape(str(home)) + r"(?![\w.-])")

    def relative(self, value: Any) -> Any:
        """`value` with paths of the stack starting with ``.`` and those of the home with ``~``."""
        if isinstance(value, dict):
            return {self.relative(key): self.relative(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.relative(item) for item in value]
        if isinstance(value, str) and self._root in value:
            return self._home.sub("~", self._place.sub(".", value))
        return value

    def leaves(self, value: Any) -> bool:
        """Whether `value` still names a place between the root and the stack: it left the folder by ``..``."""
        if isinstance(value, dict):
            return any(self.leaves(item) for item in value.values())
        if isinstance(value, list):
            return any(self.leaves(item) for item in value)
        return isinstance(value, str) and self._root in value


class _Reading:
    """One pass over a resolved document."""

    def __init__(
        self,
        raw: Mapping[str, Any],
        folder: Folder,
        files: tuple[str, ...],
        variables: Mapping[str, str],
        paths: _Paths,
    ) -> None:
        self._document = paths.relative(raw)
        self._paths = paths
        self._folder = folder
        self._files = files
        self._variables = variables
        self._mounted: dict[str, Use] = {}

    def model(
        self, inactive: tuple[str, ...], *, variables: frozenset[str], encrypted: frozenset[str]
    ) -> Model:
        """`variables` are the files that compose itself reads variables from, `encrypted` files that are."""
        services = self._document.get("services") or {}
        read = {name: self._service(name, services[name]) for name in sorted(services)}
        uses = {**dict.fromkeys(variables, Use.READ), **self._mounted}
        return Model(
            project=str(self._document.get("name", "")),
            files=self._files,
            services=MappingProxyType(read),
            inactive=inactive,
            encrypted=MappingProxyType({name: uses[name] for name in sorted(uses) if name in encrypted}),
        )

    def _service(self, name: str, stated: Mapping[str, Any]) -> Service:
        if "provider" in stated:
            raise self._problem(
                f"the service {name} has a `provider`, a program that compose would run on the host",
                "run what it provides as a service of its own",
            )
        fields = dict(_flat({key: value for key, value in stated.items() if key not in _NOT_DEPLOYED}))
        files: dict[str, str] = {}
        inline: dict[str, str] = {}
        for kind, source in _used(stated):
            definition = (self._document.get(f"{kind}s") or {}).get(source) or {}
            fields.update(_flat({f"{kind} {source}": _without_content(definition)}))
            if "file" in definition:
                self._reference(files, str(definition["file"]), mounted=True)
            if "content" in definition:
                inline[f"{kind} {source}"] = str(definition["content"])
            if "environment" in definition:
                inline[f"{kind} {source}"] = self._variables.get(str(definition["environment"]), "")
        for path in _mounted(stated):
            self._reference(files, path, mounted=True)
        for path in _built_from(stated):
            self._reference(files, path, mounted=False)
        self._refuse_outside(name, fields)
        return Service(
            name=name,
            fields=MappingProxyType(fields),
            files=MappingProxyType(files),
            inline=MappingProxyType(inline),
            replicas=_replicas(stated),
            built="build" in stated,
        )

    def _reference(self, files: dict[str, str], path: str, *, mounted: bool) -> None:
        """Note the content of `path`, if it is part of the stack; what a container makes itself has none."""
        if path == "." or path.startswith("./"):
            within = path.removeprefix("./")
            found = self._folder.below(within)
            files.update({name: file.id for name, file in found.items()})
            if mounted:
                use = Use.MOUNTED if within in found else Use.WITHIN
                # What is also mounted by way of its folder has to be a plain file there.
                self._mounted.update(
                    {name: use for name in found if self._mounted.get(name) is not Use.WITHIN}
                )

    def _refuse_outside(self, name: str, fields: Mapping[FieldPath, Any]) -> None:
        for path, value in fields.items():
            if self._paths.leaves(value):
                raise self._problem(
                    f"the service {name} refers in {'.'.join(path)} to something outside of the stack's folder",
                    "put what it needs into the folder, or name an absolute path of the host",
                )

    def _problem(self, message: str, hint: str) -> Unreadable:
        return Unreadable(message, hint=hint, location=Location(f"{self._folder.path}/{self._files[0]}"))


def _flat(value: Mapping[str, Any], parents: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Every value that is not a mapping, by its keys; what is not set is left out."""
    for key in sorted(value):
        item = value[key]
        path = (*parents, str(key))
        if isinstance(item, dict) and item:
            yield from _flat(item, path)
        elif item is not None or parents:
            yield path, _ordered(item)


def _ordered(value: Any) -> Any:
    """`value` with the keys of every mapping in order, which a model that was kept has as well."""
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value


def _used(stated: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The (kind, name) of every definition beside the services that a service uses."""
    yield from (("network", str(name)) for name in stated.get("networks") or {})
    for kind in ("config", "secret"):
        yield from ((kind, str(entry["source"])) for entry in stated.get(f"{kind}s") or [])
    for mount in stated.get("volumes") or []:
        if mount.get("type") == "volume" and mount.get("source"):
            yield "volume", str(mount["source"])


def _mounted(stated: Mapping[str, Any]) -> Iterator[str]:
    for mount in stated.get("volumes") or []:
        if mount.get("type") == "bind":
            yield str(mount.get("source", ""))


def _built_from(stated: Mapping[str, Any]) -> Iterator[str]:
    build = stated.get("build") or {}
    yield from (str(build[key]) for key in ("context", "dockerfile") if key in build)
    yield from (str(context) for context in (build.get("additional_contexts") or {}).values())


def _refused(problem: Refused) -> Problem:
    if not is_ciphertext(problem.message):
        return problem
    return Problem(
        problem.message,
        hint="this value is encrypted, and compose has to understand it: ports, paths and names of images belong"
        " into a plain file",
    )


def _without_content(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in definition.items() if key != "content"}


def _replicas(stated: Mapping[str, Any]) -> int:
    deploy = stated.get("deploy") or {}
    return int(deploy.get("replicas", stated.get("scale", 1)))
