"""Models between runs: the same for whoever has the files, noise for everybody else."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.backends.compose.ciphertext import Use
from sf.backends.compose.kept import KeptModels, _plain, _read, _sealed
from sf.backends.compose.model import Model, Service
from sf.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.backends.compose.tree import Folder
    from tests.unit.backends.compose.conftest import MakeTree

FILES = {"s/web/compose.yaml": "services: {web: {image: a, environment: {TOKEN: hunter2hunter2}}}"}


def model(token: str = "hunter2hunter2", extra: object = None) -> Model:
    service = Service(
        name="web",
        fields=MappingProxyType({("environment", "TOKEN"): token, ("image",): "a", ("x",): extra}),
        files={"conf": "1+x"},
        inline={"config a": "text"},
        replicas=2,
        built=True,
    )
    return Model(
        project="web",
        files=("compose.yaml",),
        services={"web": service},
        inactive=("other",),
        encrypted={"key": Use.MOUNTED},
    )


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def folder(make_tree: MakeTree, files: Mapping[str, str] = MappingProxyType(FILES)) -> Folder:
    return make_tree(files).folder("s/web")


def test_a_model_comes_back_as_it_was(make_tree: MakeTree, cache: Cache) -> None:
    stack = folder(make_tree)
    shelf = KeptModels(cache, "2.40.3", {})
    assert shelf.get(stack, stack.contents()) is None
    shelf.put(stack, stack.contents(), model())
    assert shelf.get(stack, stack.contents()) == model()


def test_anything_that_it_is_made_from_makes_it_another(make_tree: MakeTree, cache: Cache) -> None:
    stack = folder(make_tree)
    KeptModels(cache, "2.40.3", {"A": "1"}).put(stack, stack.contents(), model())
    for version, variables in (("2.40.4", {"A": "1"}), ("2.40.3", {"A": "2"}), ("2.40.3", {})):
        assert KeptModels(cache, version, variables).get(stack, stack.contents()) is None
    for files in ({**FILES, "s/web/x": ""}, {path: f"{text} " for path, text in FILES.items()}):
        other = folder(make_tree, files)
        assert KeptModels(cache, "2.40.3", {"A": "1"}).get(other, other.contents()) is None


def test_what_lies_in_the_cache_is_noise(make_tree: MakeTree, cache: Cache, tmp_path: Path) -> None:
    stack = folder(make_tree)
    KeptModels(cache, "2.40.3", {}).put(stack, stack.contents(), model("x" * 5000))
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    data = kept.read_bytes()
    for text in (b"xxxx", b"web", b"TOKEN", b"compose"):
        assert text not in data
    assert stack.identity.encode() not in data
    assert stack.identity != kept.name


def test_a_model_that_shows_a_variable_of_the_runner_is_not_kept(
    make_tree: MakeTree, cache: Cache, tmp_path: Path
) -> None:
    stack = folder(make_tree)
    shelf = KeptModels(cache, "2.40.3", {"TOKEN": 'swordfish "und\n', "SHORT": "a"})
    shelf.put(stack, stack.contents(), model('Bearer swordfish "und\n'))
    assert list(tmp_path.iterdir()) == []
    shelf.put(stack, stack.contents(), model())
    assert list(tmp_path.iterdir()) != []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), JSON), st.binary(), st.binary(min_size=32, max_size=32))
def test_nothing_is_lost_on_the_way(fields: dict[str, object], data: bytes, seed: bytes) -> None:
    assert _read(_plain(model(extra=fields))) == model(extra=fields)
    assert _sealed(_sealed(data, seed), seed) == data
