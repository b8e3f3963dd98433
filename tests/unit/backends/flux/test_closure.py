from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.backends.flux.closure import Closures
from sf.backends.flux.names import Names
from tests.fleets import kustomization, manifest, tree_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.flux.closure import Closure

K = "kustomization.yaml"


def closure_of(
    files: Mapping[str, str | bytes],
    path: str = "app",
    components: tuple[str, ...] = (),
    links: Mapping[str, str] | None = None,
) -> Closure:
    return Closures(tree_of(files, links), Names()).of(path, components)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("resources: [a.yaml, ../b.yaml]", {"app/a.yaml", "b.yaml"}),
        ("bases: [../base]", {"base/kustomization.yaml"}),
        ("components: [../part]", {"part/kustomization.yaml"}),
        ("crds: [crd.json]", {"app/crd.json"}),
        ("configurations: [names.yaml]", {"app/names.yaml"}),
        ("openapi: {path: schema.json}", {"app/schema.json"}),
        ("patches: [{path: p.yaml}, {patch: 'a: b'}]", {"app/p.yaml"}),
        ("patchesJson6902: [{path: p.json, target: {kind: X}}]", {"app/p.json"}),
        ("patchesStrategicMerge: [p.yaml, 'kind: ConfigMap']", {"app/p.yaml"}),
        ("replacements: [{path: r.yaml}, {source: {kind: X}}]", {"app/r.yaml"}),
        ("configMapGenerator: [{name: x, files: [f.txt, key=g.txt]}]", {"app/f.txt", "app/g.txt"}),
        ("configMapGenerator: [{name: x, envs: [e.env], env: one.env}]", {"app/e.env", "app/one.env"}),
        ("secretGenerator: [{name: x, files: [s=../s.txt], literals: [a=b.yaml]}]", {"s.txt"}),
        ("helmCharts: [{name: x, valuesFile: v.yaml, additionalValuesFiles: [w.yaml]}]",
         {"app/v.yaml", "app/w.yaml"}),
        ("helmChartInflationGenerator: [{chartName: x, values: v.yaml}]", {"app/v.yaml"}),
        ("generators: [gen.yaml]", {"app/gen.yaml"}),
        ("transformers: [../t.yaml]", {"t.yaml"}),
        ("validators: [../v]", {"v/kustomization.yaml"}),
        ("somethingNew: {deeply: [{nested: n.yaml}]}", {"app/n.yaml"}),
        ("somethingNew: [key=n.yaml]", {"app/n.yaml"}),
        ("Resources: [a.yaml]\nCONFIGMAPGENERATOR: [{name: x, Files: [f.txt]}]", {"app/a.yaml", "app/f.txt"}),
        ("images: [{name: a.yaml}]\ncommonLabels: {a: a.yaml}\nnamespace: a.yaml", set()),
        ("resources: [a.yaml]\nresources: [b.yaml]", {"app/b.yaml"}),
        ("resources: [a.yaml]\n---\nresources: [b.yaml]", {"app/a.yaml"}),
        ('resources: ["a\\nb{c}.yaml"]', {"app/a\nb{c}.yaml"}),
    ],
)  # fmt: skip
def test_every_field_that_names_files(text: str, files: set[str]) -> None:
    around = {
        *("app/a.yaml", "app/b.yaml", "b.yaml", "app/crd.json", "app/names.yaml", "app/schema.json"),
        *("app/p.yaml", "app/p.json", "app/r.yaml", "app/f.txt", "app/g.txt", "app/e.env", "app/one.env"),
        *("s.txt", "app/v.yaml", "app/w.yaml", "app/gen.yaml", "t.yaml", "app/n.yaml", "app/a\nb{c}.yaml"),
    }
    folders = {f"{folder}/{K}": kustomization() for folder in ("base", "part", "v")}
    tree = {name: f"# {name}" for name in around} | folders | {f"app/{K}": manifest(text)}
    closure = closure_of(tree)
    assert set(closure.files) == files | {f"app/{K}"}
    assert closure.unreadable == frozenset()


CONFIG = """
apiVersion: builtin
kind: PatchTransformer
metadata: {name: x}
path: ../deep/p.yaml
target: {kind: ConfigMap}
"""


@pytest.mark.parametrize("field", ["generators", "transformers", "validators"])
@pytest.mark.parametrize("form", ["file", "folder", "folder with a kustomization", "inline"])
def test_what_the_configuration_of_a_plugin_names(field: str, form: str) -> None:
    inline = "\n".join(["- |", *(f"  {line}" for line in CONFIG.strip().splitlines())])
    named = {"file": "- ../c.yaml", "inline": inline}.get(form, "- ../configs/inner")
    files = {
        f"app/{K}": f"{field}:\n{named}\n",
        "c.yaml": CONFIG,
        "configs/inner/c.yaml": CONFIG,
        "deep/p.yaml": "patch",
    }
    if form == "folder with a kustomization":
        files[f"configs/inner/{K}"] = kustomization(["c.yaml"])
    closure = closure_of(files)
    assert "deep/p.yaml" in closure.files
    assert closure.unchecked == frozenset()


def test_a_long_inline_configuration_is_read_as_well() -> None:
    text = CONFIG + "".join(f"# {number}\n" for number in range(2000))
    inline = "\n".join(f"  {line}" for line in text.strip().splitlines())
    closure = closure_of({f"app/{K}": f"transformers:\n- |\n{inline}\n", "deep/p.yaml": ""})
    assert "deep/p.yaml" in closure.files


def test_plugins_made_by_more_than_listing_files_are_not_followed() -> None:
    files = {
        f"app/{K}": "transformers: [../configs]",
        f"configs/{K}": kustomization(["c.yaml"], "patches: [{path: change.yaml}]"),
        "configs/c.yaml": CONFIG,
        "configs/change.yaml": CONFIG.replace("../deep/p.yaml", "/etc/hostname"),
        "deep/p.yaml": "",
    }
    assert closure_of(files).unchecked == {f"configs/{K}"}


def test_a_configuration_that_names_what_is_outside_escapes() -> None:
    for path in ("/etc/hostname", "../../x", "key=/etc/hostname"):
        config = f"apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {{name: x}}\nfiles: ['{path}']\n"
        assert closure_of({f"app/{K}": "generators: [g.yaml]", "app/g.yaml": config}).escapes


def test_field_specs_of_a_transformer_are_no_paths() -> None:
    config = (
        "apiVersion: builtin\nkind: PrefixTransformer\nprefix: x-\nfieldSpecs: [{path: /metadata/name}]\n"
    )
    assert not closure_of({f"app/{K}": "transformers: [t.yaml]", "app/t.yaml": config}).escapes


def test_plugins_that_lead_back_to_their_own_folder_come_to_an_end() -> None:
    files = {
        f"app/{K}": "transformers: [../other]",
        f"other/{K}": "transformers: [../app]\nresources: [../app]",
    }
    assert set(closure_of(files).files) == {f"app/{K}", f"other/{K}"}


def test_everything_below_what_is_named() -> None:
    files = {
        f"app/{K}": kustomization(["../base", "c.yaml"]),
        f"base/{K}": kustomization(["../lower", "b.yaml"], "components: [../part]"),
        f"lower/{K}": kustomization(["l.yaml"]),
        f"part/{K}": kustomization((), "patches: [{path: p.yaml}]", kind="Component"),
        "app/c.yaml": "",
        "app/unused.yaml": "",
        "base/b.yaml": "",
        "lower/l.yaml": "",
        "part/p.yaml": "",
    }
    assert set(closure_of(files).files) == set(files) - {"app/unused.yaml"}
    assert closure_of(files).kustomizations == {name for name in files if name.endswith(K)}


def test_a_cycle_of_bases_comes_to_an_end() -> None:
    files = {f"app/{K}": "resources: [../base]", f"base/{K}": "resources: [../app]"}
    assert set(closure_of(files).files) == set(files)


def test_the_components_of_a_flux_kustomization() -> None:
    files = {f"app/{K}": "", f"part/{K}": "patches: [{path: p.yaml}]", "part/p.yaml": ""}
    assert set(closure_of(files, components=("../part", "../absent", "../../out")).files) == set(files)


def test_without_a_kustomization_all_manifests_count() -> None:
    files = {
        "app/a.yaml": "",
        "app/deep/b.yml": "",
        "app/note.txt": "",
        f"app/own/{K}": kustomization(["c.yaml"]),
        "app/own/c.yaml": "",
        "app/own/unused.yaml": "",
    }
    closure = closure_of(files)
    assert set(closure.files) == {"app/a.yaml", "app/deep/b.yml", f"app/own/{K}", "app/own/c.yaml"}
    assert f"app/{K}" in closure.missing


def test_both_of_two_kustomization_files_count() -> None:
    files = {f"app/{K}": "", "app/Kustomization": ""}
    assert set(closure_of(files).files) == set(files)


def test_a_file_wins_over_a_folder_of_the_same_stem() -> None:
    files = {f"app/{K}": "resources: [x, x.yaml]", "app/x.yaml": "", f"app/x/{K}": ""}
    assert set(closure_of(files).files) == set(files)


@pytest.mark.parametrize(
    "later", [{"app/late.yaml": ""}, {f"app/late.yaml/{K}": ""}], ids=["as a file", "as a folder"]
)
def test_a_missing_file_that_appears_changes_the_hash(later: dict[str, str]) -> None:
    before = {f"app/{K}": "resources: [late.yaml]"}
    assert closure_of(before).missing == {"app/late.yaml"}
    assert closure_of(before).hash != closure_of(before | later).hash


@pytest.mark.parametrize("name", ["app/new.yaml", f"app/{K}", f"app/deep/{K}"])
def test_a_new_file_in_a_folder_without_kustomization_changes_the_hash(name: str) -> None:
    before = {"app/a.yaml": "", "app/deep/b.yaml": ""}
    assert closure_of(before).hash != closure_of(before | {name: ""}).hash


def test_content_and_place_of_a_file_count() -> None:
    one = {f"app/{K}": "resources: [a.yaml]", "app/a.yaml": "1"}
    assert closure_of(one).hash != closure_of(one | {"app/a.yaml": "2"}).hash
    assert closure_of(one).hash == closure_of(one | {"app/other.yaml": "2"}).hash
    moved = {f"new/{K}": one[f"app/{K}"], "new/a.yaml": "1"}
    assert closure_of(one).hash != closure_of(moved, "new").hash


def test_a_symbolic_link_is_missing() -> None:
    closure = closure_of({f"app/{K}": "resources: [a.yaml]", "b.yaml": ""}, links={"app/a.yaml": "../b.yaml"})
    assert closure.missing == {"app/a.yaml"}
    assert set(closure.files) == {f"app/{K}"}


@pytest.mark.parametrize("text", ["resources: [", "a: b: c", "\x00", "resources: *nothing", "&a [*a]"])
def test_a_kustomization_that_cannot_be_read_is_said_to_be(text: str) -> None:
    closure = closure_of({f"app/{K}": text})
    assert closure.unreadable == {f"app/{K}"}
    assert set(closure.files) == {f"app/{K}"}


def test_a_configuration_that_cannot_be_read_is_said_to_be() -> None:
    closure = closure_of({f"app/{K}": "generators: [g.yaml]", "app/g.yaml": "a: ["})
    assert closure.unreadable == {"app/g.yaml"}


@pytest.mark.parametrize("text", ["", "just text", "[a, b]", "resources:", "resources: {a: 5}", "patches: x"])
def test_a_kustomization_of_another_form_names_nothing(text: str) -> None:
    assert set(closure_of({f"app/{K}": text}).files) == {f"app/{K}"}


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/org/repo//path?ref=v1",
        "https://example.test/file.yaml",
        "http://127.0.0.1/file.yaml",
        "github.com/org/repo",
        "GitHub.com/org/repo/path?ref=main",
        "git::https://example.test/org/repo.git",
        "git@example.test:org/repo.git",
        "deploy@example.test:org/repo",
        "ssh://example.test/org/repo",
        "file:///srv/repo",
        "https://dev.azure.com/org/project/_git/repo/path",
    ],
)
def test_addresses(address: str) -> None:
    for field in ("resources", "bases", "components", "crds"):
        closure = closure_of({f"app/{K}": f"{field}: ['{address}']"})
        assert closure.remote == {(f"app/{K}", address)}
        assert closure.missing == closure.escapes == frozenset()


@pytest.mark.parametrize(
    "name", ["../base?ref=main", "example.test/org/repo//x?ref=v1", "a@b", "./github.com/a"]
)
def test_names_that_only_look_like_addresses(name: str) -> None:
    assert closure_of({f"app/{K}": f"resources: ['{name}']"}).remote == frozenset()


def test_a_local_file_wins_over_an_address_but_not_over_the_web() -> None:
    files = {
        f"app/{K}": "resources: ['a@b:c/d', 'https://x.test/y']",
        "app/a@b:c/d": "",
        "app/https:/x.test/y": "",
    }
    closure = closure_of(files)
    assert set(closure.files) == {f"app/{K}", "app/a@b:c/d"}
    assert closure.remote == {(f"app/{K}", "https://x.test/y")}


@pytest.mark.parametrize(
    "text",
    [
        "patches: [{path: 'https://x.test/y'}]",
        "patches: [{Path: 'https://x.test/y'}]",
        "configMapGenerator: [{name: x, files: ['k=https://x.test/y']}]",
        "secretGenerator: [{name: x, envs: ['https://x.test/y']}]",
        "replacements: [{path: 'https://x.test/y'}]",
        "openapi: {path: 'https://x.test/y'}",
        "transformers: ['https://x.test/y']",
        "RESOURCES: ['https://x.test/y']",
    ],
)
def test_the_web_is_seen_in_every_field_that_kustomize_would_load(text: str) -> None:
    assert closure_of({f"app/{K}": text}).remote == {(f"app/{K}", "https://x.test/y")}


@pytest.mark.parametrize("name", ["/etc/hostname", "../../x.yaml", "../../../.."])
def test_names_that_lead_out(name: str) -> None:
    for text in (f"resources: ['{name}']", f"configMapGenerator: [{{name: x, Files: ['k={name}']}}]"):
        assert closure_of({f"app/{K}": text}).escapes == {name}


def test_explored_together_or_alone_closures_are_equal() -> None:
    files = {
        f"{name}/{K}": kustomization([f"../{other}"] if other else [])
        for name, other in (("a", "b"), ("b", "c"), ("c", ""), ("d", "b"))
    }
    tree = tree_of(files)
    together = Closures(tree, Names())
    together.explore([("a", ()), ("d", ["../c"])])
    alone = Closures(tree, Names())
    assert together.of("a") == alone.of("a")
    assert together.of("d", ["../c"]) == alone.of("d", ["../c"])


FOLDERS = ("a", "b", "c")
FILES = tuple(f"{folder}/{name}" for folder in FOLDERS for name in ("x.yaml", "y.yaml"))


@st.composite
def commits(draw: st.DrawFn) -> dict[str, str]:
    """A tree of three folders, each of which may have a kustomization that names anything in any of them."""
    listed = st.sampled_from([*(f"../{place}" for place in (*FOLDERS, *FILES)), "gone.yaml", "z"])
    fields = st.sampled_from(["resources", "components", "generators"])
    files = {}
    for folder in FOLDERS:
        if draw(st.booleans()):
            names = ", ".join(draw(st.lists(listed, max_size=3)))
            files[f"{folder}/{K}"] = f"{draw(fields)}: [{names}]"
    for name in FILES:
        if content := draw(st.sampled_from(["", "one", "kind: X\nfiles: [../a/x.yaml]"])):
            files[name] = content
    return files


@given(commits(), st.lists(st.tuples(st.sampled_from(FILES), st.sampled_from(["one", "two"])), max_size=2))
def test_what_another_commit_shares_is_what_would_be_found_anew(
    before: dict[str, str], edits: list[tuple[str, str]]
) -> None:
    after = before | dict(edits)
    old, new = tree_of(before), tree_of(after)
    known = Closures(old, Names())
    roots = [(folder, components) for folder in FOLDERS for components in ((), ("../b",))]
    roots = [(folder, components) for folder, components in roots if old.is_folder(folder)]
    known.explore(roots)
    for root in roots:
        known.of(*root)
    shared, anew = Closures(new, Names(), like=known), Closures(new, Names())
    shared.explore(roots)
    for root in roots:
        assert shared.of(*root) == anew.of(*root)
        assert shared.of(*root).hash == anew.of(*root).hash


def test_a_closure_is_shared_until_something_in_it_or_around_it_changes() -> None:
    files = {f"app/{K}": kustomization(["one.yaml"]), "app/one.yaml": "one", "other/two.yaml": "two"}
    known = Closures(tree_of(files), Names())
    first = known.of("app")

    def of(changed: Mapping[str, str]) -> Closure:
        return Closures(tree_of({**files, **changed}), Names(), like=known).of("app")

    assert of({"other/two.yaml": "three"}) is first
    assert of({"app/one.yaml": "two"}).files["app/one.yaml"] != first.files["app/one.yaml"]
    assert of({"app/Kustomization": ""}).files.keys() - first.files.keys() == {"app/Kustomization"}
