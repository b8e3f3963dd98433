from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sf.backends.compose.release import (
    desired_files,
    edited_files,
    is_writable,
    make_project,
    manifest,
    place_files,
    refuse_foreign,
)
from sf.models import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.backends.compose.conftest import MakeTree

FIRST = {"compose.yaml": (b"one", 0o644), "conf/a.conf": (b"a", 0o644), "conf/run.sh": (b"#!", 0o755)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_project(tmp_path / "stacks/web")
    return tmp_path / "stacks/web"


def listing(project: Path) -> list[str]:
    found = (path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".sf/"))


def test_files_are_placed_with_their_modes_whatever_the_mask(project: Path) -> None:
    old = os.umask(0o077)
    try:
        assert place_files(project, FIRST, {}) == tuple(sorted(FIRST))
    finally:
        os.umask(old)
    modes = {name: (project / name).stat().st_mode & 0o777 for name in FIRST}
    assert modes == {"compose.yaml": 0o644, "conf/a.conf": 0o644, "conf/run.sh": 0o755}
    assert project.stat().st_mode & 0o777 == 0o700
    assert (project / "conf").stat().st_mode & 0o777 == 0o755


def test_placing_the_same_again_touches_nothing(project: Path) -> None:
    place_files(project, FIRST, {})
    before = {name: (project / name).stat().st_ino for name in FIRST}
    assert place_files(project, FIRST, manifest(FIRST)) == ()
    assert {name: (project / name).stat().st_ino for name in FIRST} == before


def test_only_what_the_manifest_lists_is_ever_removed(project: Path) -> None:
    place_files(project, FIRST, {})
    (project / "data").mkdir()
    (project / "data/mine").write_text("kept")
    (project / "conf/written-by-a-container").write_text("kept")
    changed = place_files(project, {"compose.yaml": (b"two", 0o644)}, manifest(FIRST))
    assert changed == ("compose.yaml", "conf/a.conf", "conf/run.sh")
    assert listing(project) == ["compose.yaml", "conf/written-by-a-container", "data/mine"]
    previous = project / ".sf/previous"
    assert {name: (previous / name).read_bytes() for name in FIRST} == {
        name: data for name, (data, _) in FIRST.items()
    }


def test_folders_that_become_empty_go(project: Path) -> None:
    place_files(project, FIRST, {})
    place_files(project, {"compose.yaml": (b"one", 0o644)}, manifest(FIRST))
    assert not (project / "conf").exists()


def test_a_file_is_replaced_and_not_written_through(project: Path) -> None:
    place_files(project, FIRST, {})
    with (project / "compose.yaml").open() as held:
        place_files(project, {**FIRST, "compose.yaml": (b"two", 0o644)}, manifest(FIRST))
        assert held.read() == "one"


def test_a_link_that_a_container_left_is_not_followed(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.conf").write_text("untouched")
    (project / "conf").symlink_to(outside)
    with pytest.raises(Problem, match="should be a folder of the stack"):
        place_files(project, FIRST, {})
    place_files(project, {}, manifest(FIRST))
    assert (outside / "a.conf").read_text() == "untouched"
    (project / "compose.yaml").unlink(missing_ok=True)
    (project / "compose.yaml").symlink_to(outside / "a.conf")
    place_files(project, {"compose.yaml": (b"one", 0o644)}, {})
    assert (outside / "a.conf").read_text() == "untouched"
    assert not (project / "compose.yaml").is_symlink()


def test_a_folder_where_a_file_belongs_is_told(project: Path) -> None:
    (project / "conf/a.conf").mkdir(parents=True)
    with pytest.raises(Problem, match="is a folder on the host"):
        place_files(project, FIRST, {})


def test_files_changed_or_missing_on_the_host_are_found(project: Path) -> None:
    place_files(project, FIRST, {})
    assert edited_files(project, manifest(FIRST)) == ()
    (project / "conf/a.conf").write_text("by hand")
    (project / "conf/run.sh").unlink()
    assert edited_files(project, manifest(FIRST)) == ("conf/a.conf", "conf/run.sh")


def test_a_stack_may_not_bring_the_folder_of_sf(make_tree: MakeTree) -> None:
    with pytest.raises(Problem, match="is where sf keeps its own files"):
        desired_files(make_tree({"s/.sf/record.json": "{}"}).folder("s"))


def test_a_place_that_does_not_exist_is_writable_when_it_can_be_made(tmp_path: Path) -> None:
    assert is_writable(tmp_path / "a/b/c")
    (tmp_path / "file").touch()
    assert not is_writable(tmp_path / "file/c")


def test_a_file_that_is_not_ours_is_not_replaced_unless_it_is_the_same(project: Path) -> None:
    (project / "compose.yaml").write_text("theirs")
    with pytest.raises(Problem, match="sf did not write"):
        refuse_foreign(project, FIRST, {})
    refuse_foreign(project, FIRST, manifest(FIRST))
    (project / "compose.yaml").write_text("one")
    refuse_foreign(project, FIRST, {})


def test_the_previous_release_is_the_last_that_was_to_be_kept(project: Path) -> None:
    place_files(project, FIRST, {})
    second = {"compose.yaml": (b"two", 0o644)}
    place_files(project, second, manifest(FIRST))
    place_files(project, {"compose.yaml": (b"three", 0o644)}, manifest(second), keep_previous=False)
    assert (project / ".sf/previous/compose.yaml").read_bytes() == b"one"
