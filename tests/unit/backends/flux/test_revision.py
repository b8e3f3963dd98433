"""Revisions, and how commits stand to the planned one, in real repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.revision import Lineage, Relation, commit_of
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "a" * 40


@pytest.mark.parametrize(
    ("revision", "commit"),
    [
        (f"main@sha1:{COMMIT}", COMMIT),
        (f"feature/x@y@sha1:{COMMIT}", COMMIT),
        (f"refs/heads/main@sha1:{COMMIT}", COMMIT),
        (f"sha1:{COMMIT}", COMMIT),
        (f"main@sha256:{'b' * 64}", "b" * 64),
        (f"main/{COMMIT}", COMMIT),
        (COMMIT, ""),
        ("main@sha1:abc", ""),
        (f"main@sha256:{COMMIT}", ""),
        ("", ""),
    ],
)
def test_the_commit_of_a_revision(revision: str, commit: str) -> None:
    assert commit_of(revision) == commit


def test_how_commits_stand_to_the_planned_one(tmp_path: Path) -> None:
    origin = Repository.init(tmp_path / "origin")
    origin.git("config", "uploadpack.allowAnySHA1InWant", "true")
    older = origin.commit({"a": "1"})
    planned = origin.commit({"a": "2"})
    clone = origin.clone(tmp_path / "clone")
    newer = origin.commit({"a": "3"})
    origin.git("switch", "--quiet", "--create", "side", older)
    side = origin.commit({"b": "1"})
    lineage = Lineage(clone.open(), planned)
    assert lineage.relation(planned) is Relation.SAME
    assert lineage.relation(older) is Relation.OLDER
    assert lineage.relation(newer) is Relation.NEWER
    assert lineage.relation(side) is Relation.FOREIGN
    assert lineage.relation("c" * 40) is Relation.UNKNOWN


def test_a_shallow_clone_gets_as_much_history_as_it_takes(tmp_path: Path) -> None:
    origin = Repository.init(tmp_path / "origin")
    origin.git("config", "uploadpack.allowAnySHA1InWant", "true")
    commits = [origin.commit({"a": str(number)}) for number in range(50)]
    clone = origin.clone(tmp_path / "clone", "--depth=1")
    assert Lineage(clone.open(), commits[-1]).relation(commits[5]) is Relation.OLDER
