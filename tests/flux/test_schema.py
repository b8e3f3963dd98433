"""With our part of kustomize's description of Kubernetes every patch merges as with the whole of it."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sf import documents
from sf.backends.flux import schema
from sf.backends.flux.closure import Closures
from sf.backends.flux.names import Names
from sf.backends.flux.render import Build
from sf.models import Problem
from sf.process import Launcher
from sf.redact import Redactor
from sf.tools.kustomize import Kustomize
from tests.fleets import Fleet, programs, tree_of
from tests.flux.oracle import write
from toolchain import packages, pins, tiers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.tools

FILE = Path(schema.declaration()["openapi"]["path"])
KINDS = "x-kubernetes-group-version-kind"
STRATEGY, KEY, KEYS = (
    f"x-kubernetes-{name}" for name in ("patch-strategy", "patch-merge-key", "list-map-keys")
)
OBJECT = "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
# Where a merge would go wrong if it took what is inside for an object of its own.
STRANGER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "spec": {"template": {"spec": {}}}}


def test_it_is_the_part_that_merges_look_at(request: pytest.FixtureRequest) -> None:
    said = Launcher(Redactor()).run(["mergeschema"], environ=programs(), timeout=60).text
    if request.config.getoption("--update-golden"):
        FILE.write_text(said)
    assert FILE.read_text() == said


class Specimens:
    """An object of every kind, and a patch for it that touches every list anywhere in it."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._numbers = count()

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        for name, definition in self._definitions.items():
            is_object = definition.get("properties", {}).get("metadata") == {"$ref": OBJECT}
            for kind in definition.get(KINDS, ()) if is_object else ():
                yield self._pair(name, kind)

    def _pair(self, definition: str, kind: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
        version = "/".join(filter(None, (kind["group"], kind["version"])))
        head = {"apiVersion": version, "kind": kind["kind"]}
        before, patch = self._value({"$ref": f"#/definitions/{definition}"}, ())
        named = {"name": f"{kind['kind']}-{version.replace('/', '-')}".lower()}
        for side in (before, patch):
            side.update(head)
            side["metadata"].update(
                named | {"annotations": {"a": "b"}, "labels": {"a": "b"}, "namespace": "c"}
            )
        return before, patch

    def _value(self, shape: Mapping[str, Any], above: tuple[str, ...], field: str = "") -> tuple[Any, Any]:
        if reference := shape.get("$ref"):
            if reference in above:
                return self._leaf("")
            name = reference.removeprefix("#/definitions/")
            return self._value(self._definitions[name], (*above, reference))
        if "items" in shape or STRATEGY in shape:
            return self._list(shape, above)
        if "properties" in shape:
            pairs = {name: self._value(inner, above, name) for name, inner in shape["properties"].items()}
            return {name: pair[0] for name, pair in pairs.items()}, {
                name: pair[1] for name, pair in pairs.items()
            }
        if inner := shape.get("additionalProperties"):
            before, patch = self._value(inner, above)
            return {"one": before, "two": before}, {"two": patch}
        return self._leaf(field)

    def _list(self, shape: Mapping[str, Any], above: tuple[str, ...]) -> tuple[Any, Any]:
        keys = shape.get(KEYS) or [shape[KEY]] if KEY in shape else []
        before, patch = self._value(shape.get("items", {}), above)
        if not keys:
            # What merges without a key is a set of texts.
            return (["a", "b"], ["b", "c"]) if STRATEGY in shape else ([before], [patch])

        def entry(value: Any, identity: str) -> dict[str, Any]:
            own = value if isinstance(value, dict) else {}
            return {**own, **dict.fromkeys(keys, identity)}

        deleted = {**dict.fromkeys(keys, "c"), "$patch": "delete"}
        return [entry(before, "a"), entry(before, "b"), entry({}, "c")], [
            entry(patch, "b"),
            deleted,
            entry({}, "d"),
        ]

    def _leaf(self, field: str) -> tuple[Any, Any]:
        """Of what is not described any further: a list or a map, in turn, and texts where kustomize wants one."""
        if field.lower().endswith("name"):
            return "before", "after"
        containers = [{"name": "a"}, {"name": "b"}]
        stranger = {**STRANGER, "spec": {"template": {"spec": {"containers": containers}}}}
        patched = {**STRANGER, "spec": {"template": {"spec": {"containers": containers[1:]}}}}
        return [(containers, containers[1:]), (stranger, patched)][next(self._numbers) % 2]


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of objects and patches, of every kind in the schema."""
    root = tmp_path_factory.mktemp("patched")
    pairs = list(Specimens(json.loads(FILE.read_text())["definitions"]))
    assert len(pairs) > 80
    write(
        root,
        {
            "objects.yaml": "\n---\n".join(json.dumps(before) for before, _ in pairs),
            "patches.yaml": "\n---\n".join(json.dumps(patch) for _, patch in pairs),
            "kustomization.yaml": "resources: [objects.yaml]\npatches: [{path: patches.yaml}]\n",
        },
    )
    return root


def built(root: Path, programs_at: str, openapi: Mapping[str, Any]) -> str:
    file = root / "kustomization.yaml"
    plain = file.read_text()
    file.write_text(plain + (documents.dump(dict(openapi)) if openapi else ""))
    try:
        return Kustomize(Launcher(Redactor()), {"PATH": programs_at}).build(root, ".")
    finally:
        file.write_text(plain)


@pytest.mark.parametrize("tier", ["packages", "go"])
def test_every_list_of_every_kind_merges_alike(tier: str, patched: Path) -> None:
    folders = dict(zip(("packages", "go"), both_programs(), strict=True))
    kustomize = Kustomize(Launcher(Redactor()), {"PATH": folders[tier]})
    assert kustomize.description == schema.DESCRIPTION
    whole = built(patched, folders[tier], {})
    assert built(patched, folders[tier], schema.declaration()) == whole


def both_programs() -> tuple[str, str]:
    debian = packages.programs(packages.ensure(pins.load().packages))
    released = next(
        folder for folder in tiers.program_folders() if folder != debian and (folder / "kustomize").exists()
    )
    return str(debian), str(released)


@pytest.mark.parametrize(
    ("definition", "field", "lost"),
    [("PodSpec", "containers", STRATEGY), ("Container", "ports", KEYS), ("Container", "env", KEY)],
)
def test_the_comparison_notices_what_a_schema_lacks(
    definition: str, field: str, lost: str, patched: Path
) -> None:
    _, released = both_programs()
    lacking = json.loads(FILE.read_text())
    del lacking["definitions"][f"io.k8s.api.core.v1.{definition}"]["properties"][field][lost]
    (patched / "lacking.json").write_text(json.dumps(lacking))
    whole = built(patched, released, {})
    try:
        other = built(patched, released, {"openapi": {"path": "lacking.json"}})
    except Problem as problem:
        other = problem.message
    assert other != whole


K = "app/kustomization.yaml"
PATCHED = {K: b"resources: [../base]\npatches: [{path: p.yaml}]\n"}
BASE = "base/kustomization.yaml"


@pytest.mark.parametrize(
    ("files", "is_used"),
    [
        ({K: b"resources: [a.yaml]"}, False),
        (PATCHED, True),
        ({**PATCHED, BASE: b"openapi: {path: own.json}"}, False),
        ({**PATCHED, "base/Kustomization": b"OpenApi: {version: v1.21.2}"}, False),
        ({**PATCHED, BASE: rb'"\x6fpenapi": {path: own.json}'}, False),
        ({**PATCHED, BASE: b"!!binary b3BlbmFwaQ==: {path: own.json}"}, False),
        ({**PATCHED, BASE: b"!<tag:yaml.org,2002:binary> b3BlbmFwaQ==: {path: own.json}"}, False),
        ({**PATCHED, "a.yaml": b'replicas: 1 # {"$ref": "#/definitions/io.k8s.api.core.v1.PodSpec"}'}, False),
        ({**PATCHED, "a.yaml": rb'replicas: 1 # {"\u0024ref": "#/definitions/x"}'}, False),
        ({**PATCHED, "a.yaml": b'# {"$openapi": "x"}'}, False),
        ({**PATCHED, "crd.yaml": b"openAPIV3Schema: {type: object}\nx: {$ref: '#/definitions/x'}"}, True),
        ({**PATCHED, "board.json": rb'{"a": "\u003cb\u003e", "$ref": "x"}'}, True),
    ],
)
def test_it_is_used_for_patches_unless_something_may_have_a_schema_of_its_own(
    files: dict[str, bytes], is_used: bool
) -> None:
    assert schema.is_enough(files) is is_used


OTHER = {
    "definitions": {
        "Deployment": {
            "properties": {"spec": {"properties": {"template": {"$ref": "#/definitions/none"}}}},
            KINDS: [{"group": "apps", "version": "v1", "kind": "Deployment"}],
        }
    }
}


@pytest.mark.parametrize("name", ["openapi", "OpenAPI", r'"\x6fpenapi"', "!!binary b3BlbmFwaQ=="])
def test_a_schema_that_a_base_brings_is_the_one_that_counts(name: str, tmp_path: Path) -> None:
    containers = "spec: {template: {spec: {containers: [{name: %s, image: one}]}}}\n"
    head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
    files = {
        K: PATCHED[K].decode(),
        "app/p.yaml": head + containers % "second",
        BASE: f"resources: [web.yaml]\n{name}: {{path: own.json}}\n",
        "base/web.yaml": head + containers % "first",
        "base/own.json": json.dumps(OTHER),
    }
    fleet = Fleet(tmp_path / "builds")
    tree = tree_of(files)
    rendering = fleet.renderer.render(
        Build(tree=tree, path="app", spec={}, closure=Closures(tree, Names()).of("app"))
    )
    write(tmp_path, files)
    _, released = both_programs()
    plain = Kustomize(Launcher(Redactor()), {"PATH": released}).build(tmp_path, "app")
    [built_by_us], [by_kustomize] = rendering.objects, documents.load_all(plain.encode(), path="")
    assert built_by_us == by_kustomize.value
    # Nothing is merged by name in that schema.
    assert [one["name"] for one in built_by_us["spec"]["template"]["spec"]["containers"]] == ["second"]
