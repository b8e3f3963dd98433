from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.graph import API_VERSION, Start
from sf.backends.flux.starts import find_candidates, find_starts, start_at, unreached
from sf.models import Severity
from tests.fleets import Fleet, cluster, config_map, flux_kustomization, kustomization, manifest, tree_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


pytestmark = pytest.mark.tools

APP = {"apps/a/c.yaml": config_map("c")}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def paths(fleet: Fleet, files: Mapping[str, str]) -> list[str]:
    return [start.path for start in find_starts(fleet.graph(tree_of(files)))]


def test_every_kustomization_that_builds_itself(fleet: Fleet) -> None:
    files = cluster("one") | cluster("two") | APP
    files["clusters/one/apps.yaml"] = flux_kustomization("apps", "./apps/a")
    assert paths(fleet, files) == ["clusters/one", "clusters/two"]


def test_what_they_build_is_no_start_however_deep(fleet: Fleet) -> None:
    files = (
        cluster("one")
        | APP
        | {
            "clusters/one/a.yaml": flux_kustomization("a", "./level-1"),
            "level-1/b.yaml": flux_kustomization("b", "./level-2"),
            "level-2/c.yaml": flux_kustomization("c", "./level-3"),
            "level-3/d.yaml": flux_kustomization("d", "./apps/a"),
        }
    )
    assert paths(fleet, files) == ["clusters/one"]


def test_a_cluster_whose_own_build_fails_is_still_there(fleet: Fleet) -> None:
    files = cluster("one") | {"clusters/one/bad.yaml": "not: [closed"}
    assert paths(fleet, files) == ["clusters/one"]
    (start,) = find_starts(fleet.graph(tree_of(files)))
    assert [finding.code for finding in fleet.graph(tree_of(files)).entry(start).findings] == ["build-failed"]


def test_a_kustomization_around_itself_that_its_build_does_not_hold_is_from_elsewhere(fleet: Fleet) -> None:
    files = cluster("one") | {
        "clusters/one/kustomization.yaml": kustomization(["flux-system"]),
        "examples/kustomization.yaml": kustomization(
            ["c.yaml"], "patches: [{path: ks.yaml, target: {kind: X}}]"
        ),
        "examples/c.yaml": config_map("c"),
        "examples/ks.yaml": flux_kustomization("theirs", "./examples"),
    }
    assert paths(fleet, files) == ["clusters/one"]


def test_a_raw_kustomization_that_builds_others(fleet: Fleet) -> None:
    files = APP | {
        "bootstrap/root.yaml": flux_kustomization("root", "./cluster"),
        "cluster/apps.yaml": flux_kustomization("apps", "./apps/a"),
        "archive/old.yaml": flux_kustomization("old", "./apps/a"),
    }
    graph = fleet.graph(tree_of(files))
    (start,) = find_starts(graph)
    entry = graph.entry(start)
    assert sorted(entry.nodes) == ["flux-system/apps", "flux-system/root"]
    lost = unreached(find_candidates(graph, [API_VERSION]), [entry])
    assert [(finding.subject, str(finding.location)) for finding in lost] == [
        ("flux-system/old", "archive/old.yaml:1")
    ]


INSTANCE = """
apiVersion: fluxcd.controlplane.io/v1
kind: FluxInstance
metadata: {name: flux, namespace: flux-system}
spec:
  sync: {kind: GitRepository, url: 'https://git.example.test/acme/fleet', path: clusters/one, ref: refs/heads/main}
"""
RELEASE = """
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: flux-instance, namespace: flux-system}
spec:
  chartRef: {kind: OCIRepository, name: flux-instance}
  values: {instance: {sync: {kind: OCIRepository, path: clusters/one, name: fleet}}}
"""


@pytest.mark.parametrize(
    ("text", "root"), [(INSTANCE, "flux-system/flux-system"), (RELEASE, "flux-system/fleet")]
)
def test_flux_operator(fleet: Fleet, text: str, root: str) -> None:
    files = APP | {
        "somewhere/instance.yaml": text,
        "clusters/one/apps.yaml": flux_kustomization("apps", "./apps/a").replace(
            "{kind: GitRepository, name: flux-system}", "{kind: OCIRepository, name: fleet}"
        ),
    }
    graph = fleet.graph(tree_of(files))
    (start,) = find_starts(graph)
    assert start == start_at(graph, "clusters/one")
    entry = graph.entry(start)
    assert sorted(entry.nodes) == sorted([root, "flux-system/apps"])
    assert entry.nodes["flux-system/apps"].parent == root


PATCHES = """  kustomize:
    patches:
    - target: {kind: Kustomization}
      patch: |
        - {op: add, path: /spec/postBuild, value: {substitute: {colour: blue}}}
    - target: {kind: (Git|OCI)Repository}
      patch: |
        - {op: add, path: /spec/ignore, value: /data/hidden.yaml}
    - target: {kind: Deployment, name: source-controller}
      patch: |
        - {op: remove, path: /spec/template}
"""


def test_patches_of_an_instance_hold_for_its_sync(fleet: Fleet) -> None:
    files = {
        "somewhere/instance.yaml": INSTANCE + PATCHES,
        "clusters/one/c.yaml": config_map("c", colour="${colour}"),
        "data/hidden.yaml": config_map("hidden"),
        "data/seen.yaml": config_map("seen"),
        "clusters/one/app.yaml": flux_kustomization("all", "./data"),
    }
    graph = fleet.graph(tree_of(files))
    (start,) = find_starts(graph)
    entry = graph.entry(start)
    objects = graph.render(entry.nodes["flux-system/flux-system"]).objects
    assert [item["data"] for item in objects if item["kind"] == "ConfigMap"] == [{"colour": "blue"}]
    closure = entry.nodes["flux-system/all"].closure
    assert closure is not None
    assert set(closure.files) == {"data/seen.yaml"}


@pytest.mark.parametrize("kind", ["[", "Nothing", "5"])
def test_patches_that_select_nothing_are_no_matter(fleet: Fleet, kind: str) -> None:
    patches = PATCHES.replace("(Git|OCI)Repository", f"'{kind}'").replace("{kind: Kustomization}", "{}")
    files = APP | {"i.yaml": INSTANCE + patches, "clusters/one/c.yaml": flux_kustomization("a", "./apps/a")}
    (start,) = find_starts(fleet.graph(tree_of(files)))
    assert start.root is not None
    assert "postBuild" not in start.root.spec


def test_what_flux_operator_makes_of_a_resource_set_is_named(fleet: Fleet) -> None:
    resource_set = (
        "apiVersion: fluxcd.controlplane.io/v1\nkind: ResourceSet\nmetadata: {name: apps, namespace: x}\n"
        "spec: {inputs: [{tenant: a}], resources: []}\n"
    )
    files = cluster("one") | {
        "clusters/one/k.yaml": flux_kustomization("tenants", "./tenants"),
        "tenants/set.yaml": resource_set,
    }
    graph = fleet.graph(tree_of(files))
    (finding,) = graph.entry(Start(path="clusters/one")).findings
    assert (finding.code, finding.severity) == ("not-rendered", Severity.INFO)
    assert finding.message == (
        "flux-system/tenants: what Flux Operator makes of ResourceSet apps is not rendered here"
    )


def test_a_part_of_a_kustomization_is_no_candidate(fleet: Fleet) -> None:
    patch = manifest(
        """
        apiVersion: kustomize.toolkit.fluxcd.io/v1
        kind: Kustomization
        metadata: {name: apps}
        spec: {path: ./apps/a}
        """
    )
    graph = fleet.graph(tree_of(APP | {"patches/p.yaml": patch, "text.yaml": f"# {API_VERSION}\n[broken"}))
    assert find_candidates(graph, [API_VERSION]) == []
    assert find_starts(graph) == []


def test_a_path_that_the_configuration_names(fleet: Fleet) -> None:
    graph = fleet.graph(tree_of(APP))
    assert start_at(graph, "apps/a") == Start(path="apps/a")


def test_what_its_own_source_ignores_is_no_start(fleet: Fleet) -> None:
    source = "interval: 1m, ignore: '/archive/',"
    files = {path: text.replace("interval: 1m,", source) for path, text in cluster("one").items()}
    files |= APP | {
        "archive/k.yaml": flux_kustomization("old", "./archive/old"),
        "archive/old/x.yaml": flux_kustomization("older", "./apps/a"),
    }
    assert paths(fleet, files) == ["clusters/one"]
    shown = {path: text.replace("'/archive/'", "'/nothing/'") for path, text in files.items()}
    assert paths(fleet, shown) == ["archive/old", "clusters/one"]
