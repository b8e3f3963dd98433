"""What is kept between runs comes back as it was, or not at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.cache import Cache, cache_folder

KEY = "ab12"


def test_what_was_put_is_got(tmp_path: Path) -> None:
    Cache(tmp_path).put(KEY, b"content")
    assert Cache(tmp_path).get(KEY) == b"content"
    assert Cache(tmp_path).get("ab13") is None


def test_without_a_folder_nothing_is_kept() -> None:
    cache = Cache(None)
    cache.put(KEY, b"content")
    cache.prune()
    assert cache.get(KEY) is None


@given(st.binary(max_size=80))
def test_a_damaged_entry_is_dropped_and_told(tmp_path_factory: pytest.TempPathFactory, damage: bytes) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = Cache(folder)
    cache.put(KEY, b"content")
    (folder / "ab" / KEY).write_bytes(damage)
    assert cache.get(KEY) is None
    assert cache.dropped == [KEY]
    assert list((folder / "ab").iterdir()) == []


def test_the_longest_unused_go_first_and_only_after_something_was_written(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit=250)
    for age, key in enumerate(["aa1", "aa2", "aa3"]):
        cache.put(key, b"x" * 60)
        used = time.time() - 1000 * (3 - age)
        os.utime(tmp_path / "aa" / key, (used, used))
    Cache(tmp_path, limit=1).prune()
    assert len(list((tmp_path / "aa").iterdir())) == 3
    cache.prune()
    assert sorted(path.name for path in (tmp_path / "aa").iterdir()) == ["aa2", "aa3"]


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file")
    cache.put(KEY, b"content")
    cache.prune()
    assert cache.get(KEY) is None


@pytest.mark.parametrize(
    ("environ", "on_laptop", "folder"),
    [
        ({"SF_CACHE_DIR": "/c"}, False, Path("/c")),
        ({"SF_CACHE_DIR": "/c", "HOME": "/h"}, True, Path("/c")),
        ({"HOME": "/h"}, False, None),
        ({"HOME": "/h"}, True, Path("/h/.cache/sf")),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, True, Path("/x/sf")),
        ({}, True, None),
        ({"XDG_CACHE_HOME": "relative"}, True, None),
    ],
)
def test_where_the_cache_is(environ: dict[str, str], *, on_laptop: bool, folder: Path | None) -> None:
    assert cache_folder(environ, on_laptop=on_laptop) == folder
