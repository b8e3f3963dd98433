from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.mentions import _MOST_BYTES, _MOST_FILES, Mentions
from sf.backends.flux.tree import Blobs, Tree
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ("needle", "kind: Secret", "two\nlines", "é", ".*")
BEFORE = {
    "same.yaml": "a needle\n",
    "loses.yaml": "a needle\n",
    "gains.yaml": "hay\n",
    "moves.yaml": "kind: Secret\n",
    "goes.yaml": "a needle\n",
    "lines.yaml": "two\nthree\n",
    "é.yaml": "é\n",
}
AFTER = {
    "same.yaml": "a needle\n",
    "loses.yaml": "hay\n",
    "gains.yaml": "needles, kind: Secret\n",
    "moved/moves.yaml": "kind: Secret\n",
    "new.yaml": "needle",
    "lines.yaml": "four lines\n",
    "binary": "\x00needle\x00",
    "empty": "",
    "é.yaml": "e .*\n",
}


class Search:
    """The two states of a repository, searched by `Mentions` with the calls of git counted."""

    def __init__(self, root: Path, before: dict[str, str], after: dict[str, str]) -> None:
        repository = Repository.init(root)
        self.git = repository.open()
        self.trees = []
        for files in (before, after):
            repository.git("rm", "-r", "--quiet", "--ignore-unmatch", ".")
            repository.commit(files)
            self.trees.append(self.git.tree_of(repository.head))
        self.blobs = Blobs(self.git.read_blobs)
        self.mentions = Mentions(self.git, self.blobs)
        for tree in self.trees:
            self.mentions.add(tree, Tree(self.git.ls_tree(tree), self.blobs).oids)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("first", [0, 1])
def test_a_second_tree_is_searched_where_it_differs_with_the_same_result(
    tmp_path: Path, text: str, first: int
) -> None:
    search = Search(tmp_path / "repository", BEFORE, AFTER)
    for number in (first, 1 - first):
        tree = search.trees[number]
        assert search.mentions.of(tree, text) == search.git.files_with(tree, text)
    assert 0 < search.blobs.reads < len(AFTER)


def test_what_an_earlier_run_found_is_not_searched_for_again(tmp_path: Path) -> None:
    search = Search(tmp_path / "repository", BEFORE, AFTER)
    before, after = search.trees
    search.mentions.remember(before, {"needle": ["goes.yaml"]})
    assert search.mentions.of(before, "needle") == {"goes.yaml"}
    # Nor is what has not changed.
    assert search.mentions.of(after, "needle") == {"gains.yaml", "new.yaml", "binary"}
    assert search.mentions.remembered(after) == {"needle": ["binary", "gains.yaml", "new.yaml"]}


@pytest.mark.parametrize(
    "more",
    [
        {f"{number}.yaml": f"needle {number}" for number in range(_MOST_FILES + 1)},
        {"big": "needle" * _MOST_BYTES},
    ],
    ids=["many", "large"],
)
def test_where_too_much_differs_git_searches(tmp_path: Path, more: dict[str, str]) -> None:
    search = Search(tmp_path / "repository", BEFORE, BEFORE | more)
    before, after = search.trees
    assert search.mentions.of(before, "needle") == {"same.yaml", "loses.yaml", "goes.yaml"}
    assert search.mentions.of(after, "needle") == {"same.yaml", "loses.yaml", "goes.yaml", *more}
    assert search.blobs.reads == 0
