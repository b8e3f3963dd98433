from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.backends.compose.conftest import MakeTree


def test_a_folder_holds_what_is_below_it_and_not_its_neighbours(make_tree: MakeTree) -> None:
    tree = make_tree({"a/one": "1", "a/b/two": "2", "ab/three": "3", "a.txt": "4"})
    assert list(tree.folder("a").files) == ["b/two", "one"]
    assert tree.paths("a") == ["a/b/two", "a/one"]


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../other/file", "../../x", "nowhere", "loop", "deep/../../../x"]
)
def test_a_link_that_leaves_its_folder_is_a_problem_and_no_file(make_tree: MakeTree, target: str) -> None:
    folder = make_tree({"a/one": "1", "other/file": "2"}, links={"a/loop": target}).folder("a")
    assert list(folder.files) == ["one"]
    (problem,) = folder.escapes
    assert "a/loop is a symbolic link that leads out" in problem.message


def test_links_inside_stand_for_files_and_folders(make_tree: MakeTree) -> None:
    folder = make_tree(
        {"a/real/one": "1", "a/real/two": "2"},
        links={"a/file": "real/one", "a/again": "file", "a/dir": "./real"},
    ).folder("a")
    assert {name: folder.content(name) for name in folder.files} == {
        "again": b"1",
        "dir/one": b"1",
        "dir/two": b"2",
        "file": b"1",
        "real/one": b"1",
        "real/two": b"2",
    }


def test_a_submodule_is_a_problem(make_tree: MakeTree) -> None:
    folder = make_tree({"a/one": "1"}, submodules=["a/sub"]).folder("a")
    assert ["submodule" in problem.message for problem in folder.escapes] == [True]


def test_identity_is_decided_by_content_names_and_execute_bits_alone(make_tree: MakeTree) -> None:
    one = make_tree({"a/x": "1", "a/y": "2"}).folder("a")
    assert one.identity == make_tree({"b/y": "2", "b/x": "1"}).folder("b").identity
    others = (
        make_tree({"a/x": "1", "a/y": "3"}),
        make_tree({"a/x": "1", "a/z": "2"}),
        make_tree({"a/x": "1", "a/y": "2"}, programs=["a/x"]),
        make_tree({"a/x": "1", "a/y": "2"}, links={"a/out": "/etc"}),
    )
    assert len({one.identity, *(tree.folder("a").identity for tree in others)}) == 5


def test_what_is_below_a_name(make_tree: MakeTree) -> None:
    folder = make_tree({"a/html/x": "1", "a/html2/y": "2", "a/z": "3"}).folder("a")
    assert list(folder.below("html")) == ["html/x"]
    assert list(folder.below("z")) == ["z"]
    assert list(folder.below(".")) == ["html/x", "html2/y", "z"]
    assert folder.below("missing") == {}


def test_materialised_files_cannot_be_run(make_tree: MakeTree, tmp_path: Path) -> None:
    make_tree({"a/run.sh": "#!/bin/sh\n"}, programs=["a/run.sh"]).folder("a").materialise(tmp_path)
    assert (tmp_path / "run.sh").stat().st_mode & 0o111 == 0
