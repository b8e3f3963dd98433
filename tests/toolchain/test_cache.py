import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toolchain import cache
from toolchain.errors import ToolchainError


def test_a_key_depends_on_names_and_contents_and_not_on_their_order() -> None:
    key = cache.key({"a": b"1", "b": b"2"})
    assert key == cache.key({"b": b"2", "a": b"1"})
    others = [
        {"a": b"1"},
        {"a": b"1", "b": b"3"},
        {"a": b"1", "c": b"2"},
        {"a": b"1b", "": b"2"},
        {"a1": b"", "b": b"2"},
    ]
    assert len({key, *map(cache.key, others)}) == 1 + len(others)
    assert len(key) == 12


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("SF_TOOLCHAIN", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.home() == Path("/home/someone/.cache/sf-toolchain")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache.home() == Path("/caches/sf-toolchain")
    monkeypatch.setenv("SF_TOOLCHAIN", "/elsewhere")
    assert cache.home() == Path("/elsewhere")


def test_a_failed_build_leaves_no_folder_and_the_next_one_starts_afresh(tmp_path: Path) -> None:
    folder = tmp_path / "tier"

    def fail(partial: Path) -> None:
        (partial / "half").touch()
        raise ToolchainError("half way")

    with pytest.raises(ToolchainError, match="half way"):
        cache.ensure(folder, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["tier.lock"]
    cache.ensure(folder, lambda partial: (partial / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_a_tier_is_built_once_although_two_want_it(tmp_path: Path) -> None:
    builds = []

    def build(partial: Path) -> None:
        builds.append(partial)
        time.sleep(0.2)

    # Two threads exclude each other as two processes do: the lock belongs to the opened file.
    with ThreadPoolExecutor(2) as pool:
        wanted = [pool.submit(cache.ensure, tmp_path / "tier", build) for _ in range(2)]
    assert [future.exception() for future in wanted] == [None, None]
    assert len(builds) == 1
