from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.graph import Start
from sf.backends.flux.impact import compare
from sf.models import Problem, Severity
from tests.fleets import (
    GOTK,
    URL,
    Fleet,
    cluster,
    config_map,
    flux_kustomization,
    kustomization,
    manifest,
    tree_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.backends.flux.graph import Entry
    from sf.models import Finding

pytestmark = pytest.mark.tools

HERE = "clusters/one"
APP = {"apps/a/config.yaml": config_map("c", x="${x:=none}")}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def one(*documents: str, **files: str) -> dict[str, str]:
    """A cluster with these documents beside its own, and the application ``apps/a``."""
    return cluster("one") | APP | {f"{HERE}/more.yaml": "---\n".join(documents)} | files


def found(entry: Entry, code: str) -> list[Finding]:
    return [finding for finding in entry.findings if finding.code == code]


def in_flux_system(text: str) -> str:
    return text.replace("metadata: {", "metadata: {namespace: flux-system, ")


def secret(name: str, more: str) -> str:
    return (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: flux-system}}\n{manifest(more)}"
    )


def test_a_cluster_is_followed_from_its_own_kustomization(fleet: Fleet) -> None:
    files = one(flux_kustomization("apps", "./apps/a"))
    entry = fleet.entry(files, HERE)
    assert sorted(entry.nodes) == ["flux-system/apps", "flux-system/flux-system"]
    assert entry.nodes["flux-system/apps"].parent == "flux-system/flux-system"
    assert entry.nodes["flux-system/flux-system"].parent is None
    assert entry.nodes["flux-system/apps"].path == "apps/a"
    assert entry.findings == []
    assert entry.unknown == []


def test_only_what_can_hold_kustomizations_is_built(fleet: Fleet) -> None:
    documents = [flux_kustomization(f"app-{number}", "./apps/a") for number in range(20)]
    fleet.entry(one(*documents), HERE)
    # The folder as it is and with the fields of its own Kustomization, which are the same build.
    assert fleet.renderer.builds == 1


def test_a_folder_that_does_not_exist_is_a_problem(fleet: Fleet) -> None:
    with pytest.raises(Problem, match="there is no folder 'clusters/two'") as caught:
        fleet.entry(one(), "clusters/two")
    assert "gitops.path" in caught.value.hint


def test_identity_is_what_comes_out_of_the_build(fleet: Fleet) -> None:
    files = one(
        flux_kustomization("tenants", "./tenants", "targetNamespace: over\nnamePrefix: pre-"),
        **{
            "tenants/kustomization.yaml": kustomization(["ks.yaml"], "namespace: under\nnameSuffix: -x"),
            "tenants/ks.yaml": flux_kustomization("app", "./apps/a"),
        },
    )
    nodes = fleet.entry(files, HERE).nodes
    assert nodes["over/pre-app-x"].parent == "flux-system/tenants"


def test_parents_patch_their_children_and_grandchildren(fleet: Fleet) -> None:
    inner = manifest(
        """
        patches:
        - target: {kind: Kustomization}
          patch: |
            - op: add
              path: /spec/patches
              value: [{target: {kind: ConfigMap}, patch: '[{"op": "add", "path": "/data/deep", "value": "1"}]'}]
        """
    )
    files = one(
        flux_kustomization("parent", "./parent", inner),
        **{"parent/ks.yaml": flux_kustomization("app", "./apps/a")},
    )
    graph = fleet.graph(tree_of(files))
    node = graph.entry(Start(path=HERE)).nodes["flux-system/app"]
    (item,) = graph.render(node).objects
    assert item["data"]["deep"] == "1"


def test_the_fields_of_the_root_apply_to_itself(fleet: Fleet) -> None:
    patch = manifest(
        """
        patches:
        - target: {kind: Kustomization}
          patch: '[{"op": "replace", "path": "/spec/interval", "value": "1h"}]'
        """
    )
    files = one(flux_kustomization("apps", "./apps/a"))
    files[f"{HERE}/flux-system/gotk-sync.yaml"] = (
        f"{GOTK}---\n{flux_kustomization('flux-system', HERE, patch)}"
    )
    nodes = fleet.entry(files, HERE).nodes
    assert nodes["flux-system/flux-system"].spec["interval"] == "1h"
    assert nodes["flux-system/apps"].spec["interval"] == "1h"


@pytest.mark.parametrize(
    ("path", "means"),
    [
        ("apps/a", "apps/a"),
        ("/apps/a/", "apps/a"),
        ("./apps/../apps/./a", "apps/a"),
        ("", ""),
        (".", ""),
        ("/", ""),
    ],
)
def test_forms_of_a_path(fleet: Fleet, path: str, means: str) -> None:
    entry = fleet.entry(one(flux_kustomization("app", f"'{path}'", "suspend: true")), HERE)
    assert entry.nodes["flux-system/app"].path == means
    assert found(entry, "escaping-path") == []


@pytest.mark.parametrize("path", ["../../apps/a", "/../apps/a", "x/../../apps/a"])
def test_a_path_that_leads_out_ends_at_the_root_as_for_flux(fleet: Fleet, path: str) -> None:
    entry = fleet.entry(one(flux_kustomization("app", path)), HERE)
    assert entry.nodes["flux-system/app"].path == "apps/a"
    (finding,) = found(entry, "escaping-path")
    assert finding.severity is Severity.WARNING
    assert "Flux takes it for 'apps/a'" in finding.message


def test_findings_between_kustomizations(fleet: Fleet) -> None:
    files = one(
        flux_kustomization("a", "./apps/a", "dependsOn: [{name: b}]"),
        flux_kustomization("b", "./apps/a", "dependsOn: [{name: c, namespace: flux-system}]"),
        flux_kustomization("c", "./gone", "dependsOn: [{name: a}, {name: nobody, namespace: other}]"),
    )
    entry = fleet.entry(files, HERE)
    assert "flux-system/a, flux-system/b, flux-system/c" in found(entry, "dependency-cycle")[0].message
    assert "other/nobody" in found(entry, "dangling-dependency")[0].message
    assert "gone does not exist" in found(entry, "missing-path")[0].message
    assert "flux-system/a, flux-system/b" in found(entry, "shared-path")[0].message
    assert len(entry.findings) == 4


def test_the_same_identity_twice(fleet: Fleet) -> None:
    files = one(
        flux_kustomization("left", "./left"),
        flux_kustomization("right", "./right"),
        **{
            "left/ks.yaml": flux_kustomization("app", "./apps/a"),
            "right/ks.yaml": flux_kustomization("app", "./apps/a", "wait: true"),
        },
    )
    (finding,) = found(fleet.entry(files, HERE), "duplicate-identity")
    assert "flux-system/left" in finding.message
    assert "flux-system/right" in finding.message


def test_no_namespace(fleet: Fleet) -> None:
    text = flux_kustomization("app", "./apps/a").replace(", namespace: flux-system", "")
    assert found(fleet.entry(one(text), HERE), "missing-namespace")


def test_a_build_that_fails_is_a_finding_and_the_rest_goes_on(fleet: Fleet) -> None:
    files = one(
        flux_kustomization("bad", "./bad"),
        flux_kustomization("app", "./apps/a"),
        **{
            "bad/kustomization.yaml": kustomization(["gone.yaml"]),
            "bad/ks.yaml": flux_kustomization("x", "./x"),
        },
    )
    files["bad/kustomization.yaml"] += "# kustomize.toolkit.fluxcd.io/v1\n"
    entry = fleet.entry(files, HERE)
    assert "flux-system/app" in entry.nodes
    (finding,) = found(entry, "build-failed")
    assert "gone.yaml" in finding.message
    assert "/tmp" not in finding.message


SOURCE = """
apiVersion: source.toolkit.fluxcd.io/v1
kind: {kind}
metadata: {{name: other, namespace: flux-system}}
spec: {{url: '{url}'}}
"""


@pytest.mark.parametrize(
    ("kind", "url", "external"),
    [
        ("GitRepository", URL, False),
        ("GitRepository", "https://elsewhere.test/x", True),
        ("OCIRepository", "oci://x/y", True),
        ("Bucket", "", True),
        ("ExternalArtifact", "", True),
    ],
)
@pytest.mark.parametrize("place", [f"{HERE}/source.yaml", "sources/source.yaml"])
def test_sources(fleet: Fleet, kind: str, url: str, external: bool, place: str) -> None:
    app = flux_kustomization("app", "./apps/a").replace(
        "{kind: GitRepository, name: flux-system}", f"{{kind: {kind}, name: other}}"
    )
    # Nothing in ./sources says that it has to do with Kustomizations.
    files = one(app, flux_kustomization("sources", "./sources"), **{"sources/x.yaml": config_map("x")})
    files[place] = SOURCE.format(kind=kind, url=url)
    entry = fleet.entry(files, HERE)
    assert entry.nodes["flux-system/app"].external is external
    assert entry.findings == []


def test_a_source_that_nothing_defines_is_this_repository(fleet: Fleet) -> None:
    app = flux_kustomization("app", "./apps/a").replace("name: flux-system}\n", "name: by-hand}\n")
    assert fleet.entry(one(app), HERE).nodes["flux-system/app"].closure is not None


FROM = "postBuild: {substituteFrom: [{kind: ConfigMap, name: vars}]}"


def rendered(fleet: Fleet, files: Mapping[str, str], name: str = "flux-system/app") -> str:
    graph = fleet.graph(tree_of(files))
    rendering = graph.render(graph.entry(Start(path=HERE)).nodes[name])
    assert rendering.error is None, rendering.error
    return str(rendering.objects[0]["data"]["x"])


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (f"{HERE}/vars.yaml", in_flux_system(config_map("vars", x="yes-x"))),
        ("vars/vars.yaml", in_flux_system(config_map("vars", x="yes-x"))),
        (
            "vars/vars.yaml",
            secret("vars", "stringData: {x: yes-x}").replace("Secret", "ConfigMap").replace("stringD", "d"),
        ),
    ],
)
def test_variables_wherever_they_are_defined(fleet: Fleet, place: str, text: str) -> None:
    files = one(
        flux_kustomization("app", "./apps/a", FROM),
        flux_kustomization("vars", "./vars"),
        **{"vars/other.yaml": config_map("other"), place: text},
    )
    assert rendered(fleet, files) == "yes-x"


def test_variables_whose_name_is_put_together(fleet: Fleet) -> None:
    files = one(
        flux_kustomization("app", "./apps/a", FROM.replace("vars", "my-vars")),
        flux_kustomization("vars", "./vars"),
        **{
            "vars/kustomization.yaml": kustomization(["v.yaml"], "namePrefix: my-\nnamespace: flux-system"),
            "vars/v.yaml": config_map("vars", x="made"),
        },
    )
    assert rendered(fleet, files) == "made"


def test_variables_that_come_to_light_late(fleet: Fleet) -> None:
    # Both wait: `first` for what the child of `second` defines, `second` for what nobody does.
    files = one(
        flux_kustomization("app", "./apps/a", FROM),
        flux_kustomization("second", "./second", FROM.replace("vars", "nobody")),
        **{
            "second/ks.yaml": flux_kustomization("vars", "./vars"),
            "vars/v.yaml": in_flux_system(config_map("vars", x="late")),
        },
    )
    assert rendered(fleet, files) == "late"
    entry = fleet.entry(files, HERE)
    (finding,) = found(entry, "unknown-variables")
    assert "ConfigMap nobody" in finding.message


def test_secrets_inline_values_and_their_order(fleet: Fleet) -> None:
    encoded = base64.b64encode(b"from-secret").decode()
    sources = "[{kind: ConfigMap, name: vars}, {kind: Secret, name: keys}]"
    app = "postBuild: {substituteFrom: %s, substitute: {%s}}"
    wrapped = f'"{encoded[:8]}\\n{encoded[8:]}"'
    files = {
        f"{HERE}/vars.yaml": in_flux_system(config_map("vars", x="from-map")),
        f"{HERE}/keys.yaml": secret("keys", f"data: {{x: {wrapped}}}"),
    }
    only = one(flux_kustomization("app", "./apps/a", app % (sources, "")), **files)
    assert rendered(fleet, only) == "from-secret"
    both = one(flux_kustomization("app", "./apps/a", app % (sources, "x: inline")), **files)
    assert rendered(fleet, both) == "inline"


def test_an_encrypted_source_hides_what_it_defines_and_nothing_else(fleet: Fleet) -> None:
    sources = "[{kind: ConfigMap, name: vars}, {kind: Secret, name: keys}]"
    files = one(
        flux_kustomization("app", "./apps/a", f"postBuild: {{substituteFrom: {sources}}}"),
        **{
            f"{HERE}/vars.yaml": in_flux_system(config_map("vars", x="from-map")),
            f"{HERE}/keys.yaml": secret(
                "keys", "stringData: {x: 'ENC[AES256_GCM,data:1]'}\nsops: {mac: 'ENC[x]'}"
            ),
        },
    )
    graph = fleet.graph(tree_of(files))
    node = graph.entry(Start(path=HERE)).nodes["flux-system/app"]
    rendering = graph.render(node)
    assert rendering.objects[0]["data"]["x"] == "${x:=none}"
    assert rendering.unknown == ("the values of x are only in the cluster",)
    changed = files | {f"{HERE}/keys.yaml": files[f"{HERE}/keys.yaml"].replace("data:1", "data:2")}
    after = fleet.entry(changed, HERE)
    assert "flux-system/app" in compare(HERE, graph.entry(Start(path=HERE)), after).direct


@pytest.mark.parametrize("value", ["5", "true", "[a]", "1.5"])
def test_a_variable_that_is_no_text(fleet: Fleet, value: str) -> None:
    app = flux_kustomization("app", "./apps/a", f"postBuild: {{substitute: {{x: {value}}}}}")
    (finding,) = found(fleet.entry(one(app), HERE), "invalid-variable")
    assert "quote it" in finding.message


@pytest.mark.parametrize("optional", [True, False])
def test_a_source_of_variables_that_is_only_in_the_cluster(fleet: Fleet, optional: bool) -> None:
    more = FROM.replace("name: vars", f"name: vars, optional: {'true' if optional else 'false'}")
    files = one(flux_kustomization("app", "./apps/a", more))
    assert rendered(fleet, files) == "none"
    assert bool(found(fleet.entry(files, HERE), "unknown-variables")) is not optional


def test_without_values_nothing_is_substituted_unless_always(fleet: Fleet) -> None:
    assert (
        rendered(fleet, one(flux_kustomization("app", "./apps/a", "postBuild: {substitute: {}}")))
        == "${x:=none}"
    )
    always = flux_kustomization("app", "./apps/a", "postBuild: {substituteStrategy: Always}")
    assert rendered(fleet, one(always)) == "none"


def test_remote_bases_are_named_and_the_children_of_that_build_still_found(fleet: Fleet) -> None:
    files = (
        cluster("one")
        | APP
        | {
            f"{HERE}/kustomization.yaml": kustomization(
                ["https://github.com/org/repo//x?ref=v1", "flux-system", "apps.yaml"],
                "patches: [{path: 'https://x.test/p.yaml', target: {kind: Nothing}}]",
            ),
            f"{HERE}/apps.yaml": flux_kustomization("app", "./apps/a"),
        }
    )
    entry = fleet.entry(files, HERE)
    assert "flux-system/app" in entry.nodes
    assert entry.findings == []
    assert [line for line in entry.unknown if "needs https://github.com/org/repo//x?ref=v1" in line]
    assert [line for line in entry.unknown if "needs https://x.test/p.yaml" in line]


def test_a_strange_spec_is_a_finding_and_no_crash(fleet: Fleet) -> None:
    for number, more in enumerate(
        [
            "components: [5]",
            "components: {a: b}",
            "patches: [text]",
            "images: text",
            "images: [{newTag: x}]",
            "postBuild: [a]",
            "postBuild: {substitute: [a], substituteFrom: {a: b}}",
            "postBuild: {substituteFrom: [text, {kind: ConfigMap}]}",
            "commonMetadata: [a]",
            "commonMetadata: {labels: [a]}",
            "buildMetadata: originAnnotations",
            "dependsOn: text",
            "targetNamespace: 5",
        ]
    ):
        files = one(flux_kustomization("app", "./apps/a", more))
        graph = fleet.graph(tree_of(files))
        entry = graph.entry(Start(path=HERE))
        if "flux-system/app" in entry.nodes:
            rendering = graph.render(entry.nodes["flux-system/app"])
            assert rendering.objects or rendering.error or rendering.unknown, (number, more)
