from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.backends.flux.tree import Blobs, Escape
from tests.fleets import tree_of

FILES = {
    "apps/a/one.yaml": "1",
    "apps/a/two.yml": "2",
    "apps/a/readme.md": "3",
    "apps/a-b/four.yaml": "4",
    "apps/kustomization.yml": "5",
    "top.yaml": "6",
}


def test_files_and_folders() -> None:
    tree = tree_of(FILES)
    assert tree.is_folder("")
    assert tree.is_folder("apps/a")
    assert not tree.is_folder("apps/a/one.yaml")
    assert not tree.is_folder("apps/nothing")
    assert tree.oid("apps/a/one.yaml") is not None
    assert tree.oid("apps/a") is None
    assert tree.read("apps/a/two.yml") == b"2"


def test_files_below_a_folder_are_not_those_of_its_neighbours() -> None:
    tree = tree_of(FILES)
    assert list(tree.files_below("apps/a")) == ["apps/a/one.yaml", "apps/a/readme.md", "apps/a/two.yml"]
    assert list(tree.files_below("")) == sorted(FILES)
    assert list(tree.files_below("apps/nothing")) == []


def test_a_symbolic_link_is_no_file_as_source_controller_packs_none() -> None:
    tree = tree_of(FILES, links={"apps/a/link.yaml": "../../top.yaml", "other": "apps"})
    assert tree.oid("apps/a/link.yaml") is None
    assert not tree.is_folder("other")
    assert list(tree.manifests("apps/a")) == ["apps/a/one.yaml", "apps/a/two.yml"]
    assert tree.links.keys() == {"apps/a/link.yaml", "other"}
    assert tree.below("apps").links.keys() == {"a/link.yaml"}
    assert tree.without(lambda path: path.startswith("apps/"), lambda _: True).links.keys() == {"other"}


@pytest.mark.parametrize(
    ("folder", "reference", "path"),
    [
        ("apps/a", "one.yaml", "apps/a/one.yaml"),
        ("apps/a", "./one.yaml", "apps/a/one.yaml"),
        ("apps/a", "../a-b//four.yaml", "apps/a-b/four.yaml"),
        ("apps/a", "../..", ""),
        ("", ".", ""),
        ("", "apps/", "apps"),
        ("apps", "no/such/../../a", "apps/a"),
    ],
)
def test_join(folder: str, reference: str, path: str) -> None:
    assert tree_of(FILES).join(folder, reference) == path


@pytest.mark.parametrize("reference", ["../../..", "../../../x", "/etc/passwd", "//etc/passwd", "..//../.."])
def test_a_reference_out_of_the_tree_is_refused(reference: str) -> None:
    with pytest.raises(Escape, match="leads out of the source"):
        tree_of(FILES).join("apps/a", reference)


def test_a_name_that_only_begins_with_dots_is_no_escape() -> None:
    assert tree_of({"..a/b": ""}).join("", "..a/b") == "..a/b"


def test_below_has_the_folder_as_its_root() -> None:
    tree = tree_of(FILES).below("apps")
    assert set(tree.oids) == {path.removeprefix("apps/") for path in FILES if path.startswith("apps/")}
    assert tree.is_folder("a")
    assert not tree.is_folder("apps")
    assert tree.kustomization("") == "kustomization.yml"
    assert tree.below("") is tree


def test_without_drops_the_folders_that_become_empty() -> None:
    tree = tree_of(FILES).without(lambda path: path.startswith("apps/a/"), lambda _: True)
    assert not tree.is_folder("apps/a")
    assert tree.is_folder("apps/a-b")
    assert tree.oid("apps/a/one.yaml") is None


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("kustomization.yaml", "kustomization.yml", "Kustomization"), "kustomization.yaml"),
        (("kustomization.yml", "Kustomization"), "kustomization.yml"),
        (("Kustomization",), "Kustomization"),
        (("kustomization",), None),
        (("kustomization.yaml/file",), None),
    ],
)
def test_the_kustomization_file_in_the_order_of_kustomize(names: tuple[str, ...], found: str | None) -> None:
    tree = tree_of({f"app/{name}": "" for name in names})
    assert tree.kustomization("app") == (f"app/{found}" if found else None)


def test_manifests_stop_at_the_outermost_folder_with_a_kustomization() -> None:
    tree = tree_of(
        {
            "app/a.yaml": "",
            "app/plain/deep/b.yml": "",
            "app/plain/note.txt": "",
            "app/own/Kustomization": "",
            "app/own/inner/kustomization.yaml": "",
            "app/own/c.yaml": "",
            "app/plain/own/kustomization.yaml": "",
            "app/own.yaml": "",
            "apple/d.yaml": "",
        }
    )
    assert sorted(tree.manifests("app")) == [
        "app/a.yaml",
        "app/own",
        "app/own.yaml",
        "app/plain/deep/b.yml",
        "app/plain/own",
    ]


def test_manifests_of_the_root() -> None:
    tree = tree_of({"a.yaml": "", "own/kustomization.yaml": "", "own/b.yaml": ""})
    assert sorted(tree.manifests("")) == ["a.yaml", "own"]


def test_each_blob_is_read_once() -> None:
    asked: list[list[str]] = []

    def read(oids: object) -> dict[str, bytes]:
        asked.append(list(oids))  # type: ignore[call-overload]
        return {oid: oid.encode() for oid in asked[-1]}

    blobs = Blobs(read)
    blobs.fetch(["b", "a", "a"])
    blobs.fetch(["a", "c"])
    assert blobs["b"] == b"b"
    assert asked == [["a", "b"], ["c"]]
    assert blobs.reads == 3


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "c.yaml"]), max_size=8).map("/".join))
def test_a_joined_path_never_leaves_the_tree(reference: str) -> None:
    try:
        path = tree_of(FILES).join("apps/a", reference)
    except Escape:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")
