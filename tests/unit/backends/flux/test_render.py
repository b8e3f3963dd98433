from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from sf.backends.flux.closure import Closures
from sf.backends.flux.names import Names
from sf.backends.flux.render import Build
from sf.backends.flux.substitute import Variables
from tests.fleets import Fleet, config_map, kustomization, programs, tree_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.backends.flux.outline import Rendering

pytestmark = pytest.mark.tools

FILES = {"app/kustomization.yaml": kustomization(["c.yaml"]), "app/c.yaml": config_map("c", x="${x^^}")}


def build_of(
    files: Mapping[str, str | bytes],
    spec: Mapping[str, Any] | None = None,
    variables: Variables | None = None,
    links: Mapping[str, str] | None = None,
) -> Build:
    tree = tree_of(files, links)
    spec = spec or {}
    closure = Closures(tree, Names()).of("app", spec.get("components", ()))
    return Build(tree=tree, path="app", spec=spec, closure=closure, variables=variables)


def render(scratch: Path, files: Mapping[str, str | bytes], **more: Any) -> Rendering:
    return Fleet(scratch).renderer.render(build_of(files, **more))


def test_equal_inputs_are_built_once_also_at_the_same_time(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    start = threading.Barrier(8)

    def one(_: int) -> Rendering:
        start.wait()
        return fleet.renderer.render(build_of(FILES))

    with ThreadPoolExecutor(max_workers=8) as pool:
        results = list(pool.map(one, range(8)))
    assert all(result.error is None and result == results[0] for result in results)
    assert fleet.renderer.builds == 1


@pytest.mark.parametrize("name", ["c.yaml", "missing.yaml"])
def test_the_files_of_a_build_go_when_it_ends(tmp_path: Path, name: str) -> None:
    files = FILES | {"app/kustomization.yaml": kustomization([name])}
    assert bool(render(tmp_path, files).error) == (name == "missing.yaml")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "other",
    [
        {"files": FILES | {"app/c.yaml": config_map("c", x="2")}},
        {"spec": {"namePrefix": "p-"}},
        {"variables": Variables({"x": "1"})},
    ],
)
def test_whatever_decides_the_outcome_is_part_of_the_key(tmp_path: Path, other: dict[str, Any]) -> None:
    renderer = Fleet(tmp_path).renderer
    one = renderer.render(build_of(FILES))
    another = renderer.render(build_of(**({"files": FILES} | other)))
    assert one != another
    assert renderer.builds == 2


def test_what_does_not_decide_it_is_not(tmp_path: Path) -> None:
    renderer = Fleet(tmp_path).renderer
    renderer.render(build_of(FILES, {"interval": "1m", "suspend": True, "prune": False, "dependsOn": []}))
    renderer.render(build_of(FILES | {"elsewhere.yaml": ""}, {"interval": "2m"}))
    assert renderer.builds == 1


def test_without_flux_a_rare_expression_is_unknown_and_no_failure(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    only = tmp_path / "bin"
    only.mkdir()
    (only / "kustomize").symlink_to(_program("kustomize"))
    alone = Fleet(tmp_path / "builds", {"PATH": str(only)})
    build = build_of(FILES, variables=Variables({"x": "loud"}))
    assert fleet.renderer.render(build).objects[0]["data"]["x"] == "LOUD"
    rendering = alone.renderer.render(build)
    assert rendering.error is None
    assert rendering.withheld
    assert "needs the flux program" in rendering.unknown[0]


def _program(name: str) -> Path:
    from sf.process import find

    found = find(name, programs())
    assert found is not None
    return found


def test_a_failure_behind_a_remote_base_is_unknown_and_no_failure(tmp_path: Path) -> None:
    patch = "patches: [{patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: theirs}}'}]"
    files = {"app/kustomization.yaml": kustomization(["https://x.test/org/repo", "c.yaml"], patch)} | {
        "app/c.yaml": config_map("c")
    }
    rendering = render(tmp_path, files)
    assert rendering.error is None
    assert rendering.withheld
    assert rendering.unknown[0] == "needs https://x.test/org/repo, named in app/kustomization.yaml"
    assert "theirs" in rendering.unknown[1]


def test_a_link_is_what_the_hint_says(tmp_path: Path) -> None:
    files = {"app/kustomization.yaml": kustomization(["c.yaml"]), "c.yaml": config_map("c")}
    rendering = render(tmp_path, files, links={"app/c.yaml": "../c.yaml"})
    assert rendering.error is not None
    assert "app/c.yaml is a symbolic link" in rendering.error.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: [a]}\n", "labels"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: text\n", ""),
        ("just text\n", ""),
        ("kind: ConfigMap\nmetadata: {name: c}\n", ""),
    ],
)
def test_what_is_no_object_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    rendering = render(tmp_path, {"app/c.yaml": text})
    assert rendering.error is not None
    assert said in rendering.error.message


def test_substitution_that_leaves_no_object_is_an_error(tmp_path: Path) -> None:
    files = {"app/c.yaml": config_map("c", x="1").replace("kind: ConfigMap", "kind: ${kind}")}
    assert render(tmp_path, files, variables=Variables({"kind": "''"})).error is not None


def test_a_kustomization_we_cannot_read_is_not_built(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    rendering = fleet.renderer.render(build_of(FILES | {"app/kustomization.yaml": "resources: ["}))
    assert rendering.error is not None
    assert rendering.error.location is not None
    assert rendering.error.location.path == "app/kustomization.yaml"
    assert fleet.renderer.builds == 0


def test_nothing_is_left_of_the_folder_in_messages(tmp_path: Path) -> None:
    rendering = render(tmp_path, {"app/kustomization.yaml": kustomization(["gone.yaml"])})
    assert rendering.error is not None
    assert str(tmp_path) not in rendering.error.message
