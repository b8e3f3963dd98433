"""A made-up history of a Flux repository: states that follow each other by known kinds of edits.

A state is a model (clusters, tenants, applications, bases, components) and becomes files with `State.files`. Names
of folders are unique words, so that whoever refers to a folder has to spell its name.
"""

from __future__ import annotations

import json
import random
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fleets import cluster, config_map, flux_kustomization, kustomization, manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMBINED = 0.45
"""The share of steps with several edits."""


def json_patch(operation: str, path: str, value: str) -> str:
    return json.dumps([{"op": operation, "path": path, "value": value}])


@dataclass
class App:
    """One application: the folder it is built from and the Kustomization that builds it."""

    folder: str
    revision: int = 0
    base: str = ""
    parts: list[str] = field(default_factory=list)
    flux_parts: list[str] = field(default_factory=list)
    patch: int | None = None
    flux_patch: int | None = None
    generator: int | None = None
    plugin: bool = False
    replacement: int | None = None
    variables: dict[str, str] | None = None
    from_cluster: bool = False
    image: str = ""
    prefix: str = ""
    team: str = ""
    target: str = ""
    generated: bool = False
    more: dict[str, int] = field(default_factory=dict)
    depends: list[str] = field(default_factory=list)
    suspended: bool = False
    broken: bool = False

    def files(self) -> Iterator[tuple[str, str]]:
        deployment = manifest(
            f"""
            apiVersion: apps/v1
            kind: Deployment
            metadata: {{name: web, labels: {{revision: r{self.revision}}}}}
            spec:
              selector: {{matchLabels: {{app: web}}}}
              template:
                metadata: {{labels: {{app: web}}}}
                spec: {{containers: [{{name: web, image: "nginx:1"}}]}}
            """
        )
        yield "web.yaml", deployment + ("spec: [\n" if self.broken else "")
        if self.variables is not None or self.from_cluster:
            yield "values.yaml", config_map("values", own="${own:=none}", region="x-${region:=nowhere}")
        for name, value in self.more.items():
            yield f"{name}.yaml", config_map(name, value=f"v{value}")
        if not self.generated:
            yield from self._own_files()

    def _own_files(self) -> Iterator[tuple[str, str]]:
        resources = ["web.yaml", *(f"{name}.yaml" for name in sorted(self.more))]
        if self.variables is not None or self.from_cluster:
            resources.append("values.yaml")
        if self.base:
            resources.append(f"../../bases/{self.base}")
        lines = []
        if self.parts:
            lines.append(f"components: [{', '.join(f'../../components/{part}' for part in self.parts)}]")
        if self.patch is not None:
            lines.append("patches: [{path: patch.yaml}]")
            yield (
                "patch.yaml",
                manifest(
                    f"""
                apiVersion: apps/v1
                kind: Deployment
                metadata: {{name: web}}
                spec: {{replicas: {self.patch}}}
                """
                ),
            )
        if self.generator is not None:
            lines.append("configMapGenerator: [{name: made, files: [key=data.txt], envs: [some.env]}]")
            yield "data.txt", f"text {self.generator}\n"
            yield "some.env", f"NUMBER={self.generator % 3}\n"
        if self.plugin:
            lines.append("transformers: [plugin.yaml]")
            yield (
                "plugin.yaml",
                manifest(
                    """
                apiVersion: builtin
                kind: PatchTransformer
                metadata: {name: plugin}
                path: ../../shared/common-patch.yaml
                target: {kind: Deployment}
                """
                ),
            )
        if self.replacement is not None:
            lines.append("replacements: [{path: replacement.yaml}]")
            yield (
                "replacement.yaml",
                manifest(
                    f"""
                source: {{kind: Deployment, name: web, fieldPath: metadata.labels.revision}}
                targets:
                - select: {{kind: Deployment, name: web}}
                  fieldPaths: [metadata.labels.copy{self.replacement}]
                  options: {{create: true}}
                """
                ),
            )
        yield "kustomization.yaml", kustomization(resources, "\n".join([*lines, ""]))

    def flux(self, name: str) -> str:
        """The Kustomization."""
        lines = [f"suspend: {'true' if self.suspended else 'false'}"]
        if self.depends:
            lines.append(f"dependsOn: [{', '.join(f'{{name: {other}}}' for other in self.depends)}]")
        if self.flux_parts:
            listed = ", ".join(f"../../components/{part}" for part in self.flux_parts)
            lines += [f"components: [{listed}]", "ignoreMissingComponents: true"]
        if self.flux_patch is not None:
            lines.append(
                "patches: [{target: {kind: Deployment}, patch: '"
                + json_patch("add", "/metadata/labels/flux", f"f{self.flux_patch}")
                + "'}]"
            )
        if self.variables is not None or self.from_cluster:
            inline = ", ".join(f"{key}: {value}" for key, value in (self.variables or {}).items())
            sources = "[{kind: ConfigMap, name: cluster-values}]" if self.from_cluster else "[]"
            lines.append(f"postBuild: {{substitute: {{{inline}}}, substituteFrom: {sources}}}")
        if self.image:
            lines.append(f"images: [{{name: nginx, newTag: '{self.image}'}}]")
        if self.prefix:
            lines.append(f"namePrefix: {self.prefix}")
        if self.team:
            lines.append(f"commonMetadata: {{labels: {{team: {self.team}}}}}")
        if self.target:
            lines.append(f"targetNamespace: {self.target}")
        return flux_kustomization(name, f"./apps/{self.folder}", "\n".join([*lines, ""]))


@dataclass
class State:
    """Everything at one commit."""

    clusters: dict[str, dict[str, str]]
    tenants: dict[str, str]
    apps: dict[str, App]
    owners: dict[str, str]
    bases: dict[str, dict[str, int]]
    components: dict[str, int]
    shared: int = 0
    notes: int = 0
    numbers: int = 0

    def files(self) -> dict[str, str]:
        files = {
            "README.md": f"note {self.notes}\n",
            "unused/stray.yaml": config_map("stray", a=f"n{self.notes}"),
        }
        files["shared/common-patch.yaml"] = json_patch("add", "/metadata/labels/shared", f"s{self.shared}")
        for name, values in self.clusters.items():
            files |= cluster(name) | self._of_cluster(name, values)
        for tenant, namespace in self.tenants.items():
            names = sorted(name for name, owner in self.owners.items() if owner == tenant)
            files[f"tenants/{tenant}/kustomization.yaml"] = kustomization(
                [f"ks-{name}.yaml" for name in names], f"namespace: {namespace}\n"
            )
            files |= {f"tenants/{tenant}/ks-{name}.yaml": self.apps[name].flux(name) for name in names}
        for app in self.apps.values():
            files |= {f"apps/{app.folder}/{name}": text for name, text in app.files()}
        for name, maps in self.bases.items():
            files[f"bases/{name}/kustomization.yaml"] = kustomization(f"{key}.yaml" for key in sorted(maps))
            files |= {
                f"bases/{name}/{key}.yaml": config_map(key, v=f"v{value}") for key, value in maps.items()
            }
        for name, value in self.components.items():
            patch = json_patch("add", f"/metadata/labels/{name}", f"c{value}")
            files[f"components/{name}/kustomization.yaml"] = kustomization(
                (), f"patches: [{{target: {{kind: Deployment}}, patch: '{patch}'}}]\n", kind="Component"
            )
        return files

    def _of_cluster(self, name: str, values: dict[str, str]) -> dict[str, str]:
        folder = f"clusters/{name}"
        documents = [
            self.apps[app].flux(app) for app, owner in sorted(self.owners.items()) if owner == "clusters"
        ]
        roots = [flux_kustomization(f"tenant-{tenant}", f"./tenants/{tenant}") for tenant in self.tenants]
        data = {"region": values["region"], "size": values["size"]}
        settings = config_map("cluster-values", **data).replace(
            "{name: cluster-values}", "{name: cluster-values, namespace: flux-system}"
        )
        files = {
            f"{folder}/apps.yaml": "---\n".join(documents) or "# none\n",
            f"{folder}/tenants.yaml": "---\n".join(roots) or "# none\n",
            f"{folder}/values/cluster-values.yaml": settings,
            f"{folder}/values.yaml": flux_kustomization("values", f"./{folder}/values"),
        }
        if values.get("interval"):
            patch = json_patch("replace", "/spec/interval", values["interval"])
            files[f"{folder}/kustomization.yaml"] = kustomization(
                ["flux-system", "apps.yaml", "tenants.yaml", "values.yaml"],
                f"patches: [{{target: {{kind: Kustomization, name: 'app-.*'}}, patch: '{patch}'}}]\n",
            )
        return files


def first() -> State:
    """Two clusters, two tenants and 24 applications that use every feature."""
    apps: dict[str, App] = {}
    owners: dict[str, str] = {}
    for number in range(24):
        name = f"app-{number}"
        feature = number % 8
        apps[name] = App(
            folder=f"folder-{number}-x",
            base=f"base-{number % 4}-x" if feature in {1, 2, 6} else "",
            parts=[f"part{number % 5}"] if feature in {1, 3, 5} else [],
            flux_parts=[f"part{(number + 1) % 5}", "gone"] if feature in {4, 5} else [],
            patch=number if feature in {1, 4} else None,
            flux_patch=number if feature in {2, 5} else None,
            generator=number if feature in {2, 7} else None,
            plugin=feature in {3, 6},
            replacement=number if feature in {4, 7} else None,
            variables={"own": f"o{number}"} if feature in {1, 6} else None,
            from_cluster=feature in {6, 7},
            image="1.1" if feature in {3, 7} else "",
            prefix="pre-" if feature == 7 else "",
            team="blue" if feature in {2, 7} else "",
            target=f"ns{number}" if feature in {1, 3} else "",
            generated=feature == 0,
            more={"extra": number},
            depends=[f"app-{number - 3}"] if number >= 3 and number % 3 == 0 else [],
        )
        owners[name] = ("clusters", "red-tenant", "blue-tenant")[number % 3]
    return State(
        clusters={
            "production": {"region": "eu", "size": "s1", "interval": "7m"},
            "staging": {"region": "us", "size": "s2"},
        },
        tenants={"red-tenant": "flux-system", "blue-tenant": "blue"},
        apps=apps,
        owners=owners,
        bases={f"base-{number}-x": {f"one{number}": 1, f"two{number}": 2} for number in range(4)},
        components={f"part{number}": number for number in range(5)},
        numbers=100,
    )


class Editor:
    """Changes a state in one of the known ways. Every edit may find nothing to do and then says so."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def app(self, state: State, wanted: Callable[[App], bool] = lambda _: True) -> App | None:
        found = [app for _, app in sorted(state.apps.items()) if wanted(app)]
        return self._random.choice(found) if found else None

    def number(self, state: State) -> int:
        state.numbers += 1
        return state.numbers

    def base(self, state: State) -> bool:
        name = self._random.choice(sorted(state.bases))
        maps = state.bases[name]
        if len(maps) > 1 and self._random.random() < 0.2:
            del maps[self._random.choice(sorted(maps))]
        elif self._random.random() < 0.3:
            maps[f"new{self.number(state)}"] = 1
        else:
            maps[self._random.choice(sorted(maps))] = self.number(state)
        return True

    def choice_of_base(self, state: State) -> bool:
        app = self.app(state, lambda app: not app.generated)
        if app is None:
            return False
        app.base = self._random.choice([name for name in ("", *sorted(state.bases)) if name != app.base])
        return True

    def component(self, state: State) -> bool:
        state.components[self._random.choice(sorted(state.components))] = self.number(state)
        return True

    def choice_of_components(self, state: State) -> bool:
        app = self.app(state, lambda app: not app.generated)
        if app is None:
            return False
        chosen = app.flux_parts if self._random.random() < 0.5 else app.parts
        part = self._random.choice(sorted(state.components))
        if part in app.parts + app.flux_parts and part in chosen:
            chosen.remove(part)
        elif part not in app.parts + app.flux_parts:
            chosen.append(part)
        else:
            return False
        return True

    def missing_component(self, state: State) -> bool:
        if "gone" in state.components:
            del state.components["gone"]
        else:
            state.components["gone"] = self.number(state)
        return not any("gone" in app.parts for app in state.apps.values())

    def patch(self, state: State) -> bool:
        app = self.app(state, lambda app: not app.generated)
        if app is None:
            return False
        app.patch = None if app.patch is not None and self._random.random() < 0.3 else self.number(state)
        return True

    def patch_of_flux(self, state: State) -> bool:
        app = self.app(state)
        assert app is not None
        app.flux_patch = None if app.flux_patch and self._random.random() < 0.3 else self.number(state)
        return True

    def patch_of_children(self, state: State) -> bool:
        values = state.clusters[self._random.choice(sorted(state.clusters))]
        values["interval"] = (
            "" if values.get("interval") and self._random.random() < 0.3 else self.minutes(state)
        )
        return True

    def minutes(self, state: State) -> str:
        return f"{self.number(state)}m"

    def generator(self, state: State) -> bool:
        app = self.app(state, lambda app: not app.generated)
        if app is None:
            return False
        app.generator = None if app.generator and self._random.random() < 0.3 else self.number(state)
        return True

    def plugin(self, state: State) -> bool:
        if self._random.random() < 0.6:
            state.shared = self.number(state)
            return True
        app = self.app(state, lambda app: not app.generated)
        if app is None:
            return False
        app.plugin = not app.plugin
        return True

    def replacement(self, state: State) -> bool:
        app = self.app(state, lambda app: not app.generated)
        if app is None:
            return False
        app.replacement = None if app.replacement and self._random.random() < 0.3 else self.number(state)
        return True

    def rename_of_a_folder(self, state: State) -> bool:
        app = self.app(state)
        assert app is not None
        app.folder = f"renamed-{self.number(state)}-x"
        return True

    def rename_of_a_file(self, state: State) -> bool:
        app = self.app(state, lambda app: bool(app.more))
        if app is None:
            return False
        name = self._random.choice(sorted(app.more))
        app.more[f"file{self.number(state)}"] = app.more.pop(name)
        return True

    def content(self, state: State) -> bool:
        app = self.app(state)
        assert app is not None
        app.revision = self.number(state)
        return True

    def files_of_a_folder(self, state: State) -> bool:
        app = self.app(state, lambda app: app.generated)
        if app is None:
            return False
        if app.more and self._random.random() < 0.4:
            del app.more[self._random.choice(sorted(app.more))]
        else:
            app.more[f"file{self.number(state)}"] = 1
        return True

    def own_kustomization(self, state: State) -> bool:
        app = self.app(state, lambda app: not (app.base or app.parts or app.plugin))
        if app is None:
            return False
        app.generated = not app.generated
        return True

    def substitution(self, state: State) -> bool:
        app = self.app(state)
        assert app is not None
        app.variables = (
            None if app.variables and self._random.random() < 0.3 else {"own": f"o{self.number(state)}"}
        )
        return True

    def variables_of_a_cluster(self, state: State) -> bool:
        values = state.clusters[self._random.choice(sorted(state.clusters))]
        values["region" if self._random.random() < 0.7 else "size"] = f"x{self.number(state)}"
        return True

    def source_of_variables(self, state: State) -> bool:
        app = self.app(state, lambda app: state.owners[self._name(state, app)] == "clusters")
        if app is None:
            return False
        app.from_cluster = not app.from_cluster
        return True

    def _name(self, state: State, app: App) -> str:
        return next(name for name, other in state.apps.items() if other is app)

    def namespace(self, state: State) -> bool:
        if self._random.random() < 0.5:
            state.tenants[self._random.choice(sorted(state.tenants))] = f"ns{self.number(state)}"
            return True
        app = self.app(state)
        assert app is not None
        app.target = f"ns{self.number(state)}"
        return True

    def fields_of_flux(self, state: State) -> bool:
        app = self.app(state)
        assert app is not None
        kind = self._random.choice(["image", "prefix", "team"])
        setattr(app, kind, f"x{self.number(state)}" + ("-" if kind == "prefix" else ""))
        return True

    def suspension(self, state: State) -> bool:
        app = self.app(state)
        assert app is not None
        app.suspended = not app.suspended
        return True

    def dependency(self, state: State) -> bool:
        app = self.app(state)
        assert app is not None
        app.depends = [] if app.depends else [self._random.choice(sorted(state.apps))]
        return True

    def clusters(self, state: State) -> bool:
        if len(state.clusters) > 2:
            del state.clusters[self._random.choice(sorted(state.clusters))]
        else:
            state.clusters[f"cluster-{self.number(state)}"] = {"region": "new", "size": "s3"}
        return True

    def apps(self, state: State) -> bool:
        if len(state.apps) > 24:
            name = self._random.choice(sorted(state.apps))
            del state.apps[name], state.owners[name]
        else:
            number = self.number(state)
            state.apps[f"app-{number}"] = App(folder=f"folder-{number}-x", generated=number % 2 == 0)
            state.owners[f"app-{number}"] = self._random.choice(["clusters", *sorted(state.tenants)])
        return True

    def move_to_another_owner(self, state: State) -> bool:
        name = self._random.choice(sorted(state.owners))
        others = {"clusters", *state.tenants} - {state.owners[name]}
        state.owners[name] = self._random.choice(sorted(others))
        return True

    def breakage(self, state: State) -> bool:
        app = self.app(state, lambda app: app.broken) or self.app(state)
        assert app is not None
        app.broken = not app.broken
        return True

    def nothing_that_counts(self, state: State) -> bool:
        state.notes = self.number(state)
        return True


KINDS: dict[str, Callable[[Editor, State], bool]] = {
    name: edit
    for name, edit in vars(Editor).items()
    if not name.startswith("_") and name not in {"app", "number", "minutes"}
}


@dataclass(frozen=True)
class Step:
    """One commit: what was done and the files after it."""

    kinds: tuple[str, ...]
    files: dict[str, str]


def history(seed: int, length: int) -> Iterator[Step]:
    """The first state and `length` more. All kinds of edits come equally often."""
    chance = random.Random(seed)
    editor = Editor(seed)
    state = first()
    yield Step((), state.files())
    bag: list[str] = []
    for _ in range(length):
        wanted = chance.randint(2, 5) if chance.random() < COMBINED else 1
        kinds: list[str] = []
        state = deepcopy(state)
        while len(kinds) < wanted:
            if not bag:
                bag = chance.sample(sorted(KINDS), len(KINDS))
            kind = bag.pop()
            if KINDS[kind](editor, state):
                kinds.append(kind)
        yield Step(tuple(kinds), state.files())
