from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.backends.flux.closure import Closures
from sf.backends.flux.graph import Entry
from sf.backends.flux.impact import compare, unmapped
from sf.backends.flux.kustomization import Kustomization, cycles, waves
from sf.backends.flux.names import Names
from tests.fleets import config_map, kustomization, tree_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def node(name: str, *depends: str, **spec: object) -> Kustomization:
    return Kustomization(
        namespace="ns", name=name, spec={"dependsOn": [{"name": other} for other in depends], **spec}
    )


def graph(**depends: str) -> dict[str, Kustomization]:
    """Nodes by id; each keyword is a name, its value the names it waits for."""
    return {f"ns/{name}": node(name, *others.split()) for name, others in depends.items()}


def ids(text: str) -> list[list[str]]:
    return [[f"ns/{name}" for name in wave.split()] for wave in text.split("|")]


def test_each_wave_waits_only_for_earlier_ones() -> None:
    nodes = graph(a="", b="a", c="a", d="b c", e="")
    assert waves(nodes, nodes) == ids("a e|b c|d")


def test_a_dependency_counts_through_what_was_not_chosen() -> None:
    nodes = graph(a="", b="a", c="b", d="c")
    assert waves(nodes, {"ns/a", "ns/d"}) == ids("a|d")


def test_members_of_a_cycle_share_a_wave_and_others_wait_for_it() -> None:
    nodes = graph(a="", b="a c", c="b", d="c", e="d")
    assert waves(nodes, nodes) == ids("a|b c|d|e")
    assert cycles(nodes) == ids("b c")


def test_what_waits_for_itself_is_a_cycle() -> None:
    nodes = graph(a="a", b="a")
    assert cycles(nodes) == ids("a")
    assert waves(nodes, nodes) == ids("a|b")


def test_two_cycles_that_touch_are_one_and_others_are_not() -> None:
    nodes = graph(a="b", b="a c", c="d", d="c", e="f", f="g", g="e")
    assert cycles(nodes) == ids("a b|c d|e f g")


def test_a_dependency_that_does_not_exist_holds_nothing_up() -> None:
    nodes = graph(a="gone", b="a")
    assert waves(nodes, nodes) == ids("a|b")
    assert cycles(nodes) == []


def test_a_long_chain_takes_no_recursion_and_no_square_of_its_length() -> None:
    nodes = {f"ns/{number:05}": node(f"{number:05}", f"{number - 1:05}") for number in range(20_000)}
    assert len(waves(nodes, nodes)) == 20_000


names = st.sampled_from("abcdefgh")
graphs = st.dictionaries(names, st.lists(names, max_size=3).map(" ".join), min_size=1).map(
    lambda drawn: graph(**drawn)
)


def reachable(nodes: Mapping[str, Kustomization], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for dependency in nodes[waiting.pop()].depends_on:
            if dependency.id in nodes and dependency.id not in found:
                found.add(dependency.id)
                waiting.append(dependency.id)
    return found


@given(graphs, st.data())
def test_waves_respect_every_dependency(nodes: dict[str, Kustomization], data: st.DataObject) -> None:
    chosen = data.draw(st.sets(st.sampled_from(sorted(nodes))))
    ordered = waves(nodes, chosen)
    assert sorted(name for wave in ordered for name in wave) == sorted(chosen)
    assert all(wave and wave == sorted(wave) for wave in ordered)
    place = {name: number for number, wave in enumerate(ordered) for name in wave}
    for name in chosen:
        for other in reachable(nodes, name) & chosen:
            if name in reachable(nodes, other):
                assert place[other] == place[name]
            else:
                assert place[other] < place[name]
    # Nothing waits longer than it has to: each wave has someone who waits for the one before.
    for number, (_, wave) in enumerate(pairwise(ordered)):
        assert any(place[other] == number for name in wave for other in reachable(nodes, name) & chosen)


@given(graphs, st.randoms())
def test_the_order_of_discovery_does_not_matter(nodes: dict[str, Kustomization], chance: object) -> None:
    shuffled = list(nodes.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert waves(dict(shuffled), reversed(list(nodes))) == waves(nodes, nodes)
    assert cycles(dict(shuffled)) == cycles(nodes)


@given(graphs)
def test_cycles_are_what_reaches_itself(nodes: dict[str, Kustomization]) -> None:
    inside = {name for name in nodes if name in reachable(nodes, name)}
    assert {name for group in cycles(nodes) for name in group} == inside
    for group in cycles(nodes):
        assert all(set(group) <= reachable(nodes, name) for name in group)


def entry(files: dict[str, str], **nodes: Kustomization) -> Entry:
    closures = Closures(tree_of(files), Names())
    placed = {
        value.id: Kustomization(
            namespace="ns",
            name=value.name,
            spec=value.spec,
            path=value.name,
            closure=closures.of(value.name) if tree_of(files).is_folder(value.name) else None,
        )
        for value in nodes.values()
    }
    return Entry(path="cluster", nodes=placed)


FILES = {
    "a/kustomization.yaml": kustomization(["../base"]),
    "b/kustomization.yaml": kustomization(["c.yaml"]),
    "b/c.yaml": config_map("c"),
    "base/kustomization.yaml": kustomization(["m.yaml"]),
    "base/m.yaml": config_map("m"),
    "unused.yaml": "",
}


def test_added_removed_changed_and_affected() -> None:
    before = entry(FILES, a=node("a"), b=node("b"), gone=node("gone"), last=node("last", "b"))
    changed = FILES | {"base/m.yaml": config_map("m", x="1")}
    after = entry(changed, a=node("a"), b=node("b", "a"), last=node("last", "b"), new=node("new"))
    impact = compare("cluster", before, after)
    assert impact.added == ("ns/new",)
    assert impact.removed == ("ns/gone",)
    # b for its spec, a for its base.
    assert impact.direct == ("ns/a", "ns/b", "ns/new")
    assert impact.affected == ("ns/a", "ns/b", "ns/last", "ns/new")
    assert impact.order == (("ns/a", "ns/new"), ("ns/b",), ("ns/last",))


def test_a_cluster_that_appears_or_vanishes() -> None:
    one = entry(FILES, a=node("a"))
    assert compare("cluster", None, one).added == ("ns/a",)
    assert compare("cluster", one, None).removed == ("ns/a",)
    assert compare("cluster", one, None).affected == ()
    assert compare("cluster", one, one).affected == ()


def test_files_that_no_kustomization_is_built_from() -> None:
    entries = [entry(FILES, a=node("a")), entry(FILES, b=node("b"))]
    assert unmapped([*FILES, "gone.yaml"], entries) == ("gone.yaml", "unused.yaml")


@given(st.sets(st.sampled_from(sorted(FILES))), st.sampled_from(sorted(FILES)))
def test_one_more_changed_file_never_takes_anything_out(changed: set[str], more: str) -> None:
    def after(names: set[str]) -> Entry:
        files = {name: text + ("# changed\n" if name in names else "") for name, text in FILES.items()}
        return entry(files, a=node("a"), b=node("b", "a"))

    before = after(set())
    fewer = compare("cluster", before, after(changed))
    all_of_them = compare("cluster", before, after(changed | {more}))
    assert set(fewer.direct) <= set(all_of_them.direct)
    assert set(fewer.affected) <= set(all_of_them.affected)


@pytest.mark.parametrize(
    ("spec", "deletes"),
    [
        ({}, False),
        ({"prune": True}, True),
        ({"prune": "true"}, False),
        ({"prune": True, "deletionPolicy": "Orphan"}, False),
        ({"prune": False, "deletionPolicy": "Delete"}, True),
        ({"deletionPolicy": "WaitForTermination"}, True),
        ({"prune": True, "deletionPolicy": "MirrorPrune"}, True),
    ],
)
def test_whether_objects_go_with_their_kustomization(spec: dict[str, object], deletes: bool) -> None:
    assert node("a", **spec).deletes_objects is deletes


@pytest.mark.parametrize("depends", ["text", [5], [{"name": 5}], {"name": "a"}, [None], [{}]])
def test_a_spec_of_a_strange_form_is_no_crash(depends: object) -> None:
    strange = Kustomization(namespace="ns", name="a", spec={"dependsOn": depends, "components": depends})
    assert isinstance(strange.depends_on, tuple)
    assert isinstance(strange.components, tuple)
    assert strange.fingerprint
