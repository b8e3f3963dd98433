"""What a run is for, and in which order it goes about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.backends.flux.graph import Entry
from sf.backends.flux.impact import compare
from sf.backends.flux.kustomization import Kustomization
from sf.backends.flux.reconcile import Reconciliation
from sf.backends.flux.selection import select_all, select_only
from sf.config import load_config
from sf.models import Problem
from sf.tools.kubernetes import Right

if TYPE_CHECKING:
    from sf.backends.flux.impact import Impact
    from sf.backends.flux.unit import Unit

CONFIG: Final = load_config(b"{lifecycle: {mode: gitops}, gitops: {}}")


def node(name: str, *depends_on: str, parent: str | None = "flux/root", **spec: Any) -> Kustomization:
    namespace, _, rest = name.rpartition("/")
    waits = [dict(zip(("namespace", "name"), other.split("/"), strict=True)) for other in depends_on]
    source = {"kind": "GitRepository", "namespace": "flux", "name": "fleet"}
    return Kustomization(
        namespace=namespace,
        name=rest,
        parent=parent,
        spec={"prune": True, "sourceRef": source, "dependsOn": waits, **spec},
    )


ROOT: Final = node("flux/root", parent=None)


def impact(before: list[Kustomization], after: list[Kustomization]) -> Impact:
    old, new = (Entry("cluster", {one.id: one for one in nodes}) for nodes in (before, after))
    return compare("cluster", old, new)


def units(found: Impact, *names: str) -> dict[str, Unit]:
    return {unit.node.id: unit for unit in Reconciliation(found, names, CONFIG).units}


CHAIN: Final = [ROOT, node("a/base"), node("a/mid", "a/base"), node("b/top", "a/mid"), node("b/other")]
CHANGED: Final = [*CHAIN[:-1], node("b/other", timeout="1m")]


def test_everything_is_in_waves() -> None:
    found = select_all(impact(CHAIN, CHAIN))
    assert found.affected == ("a/base", "a/mid", "b/other", "b/top", "flux/root")
    assert found.order == (("a/base", "b/other", "flux/root"), ("a/mid",), ("b/top",))
    assert found.shown == frozenset()


def test_only_one_is_with_what_it_depends_on_beside_it() -> None:
    found = select_only(impact(CHAIN, CHANGED), ["b/top"])
    assert found.order == (("a/base",), ("a/mid",), ("b/top",))
    assert found.shown == {"a/base", "a/mid"}
    assert found.direct == ()
    assert select_only(impact(CHAIN, CHANGED), ["b/other"]).direct == ("b/other",)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("b/topp", "did you mean b/top?"), ("nothing", "`sf gitops inspect` lists all that there are")],
)
def test_an_unknown_name_is_an_error(name: str, hint: str) -> None:
    with pytest.raises(Problem, match=f"there is no Kustomization {name} in this commit") as caught:
        select_only(impact(CHAIN, CHAIN), [name])
    assert caught.value.hint == hint


def test_who_is_not_asked_is_waited_through() -> None:
    found = units(impact(CHAIN, CHAIN), "a/base", "b/top")
    assert list(found) == ["a/base", "b/top"]
    assert found["b/top"].after == {"a/base"}


def test_what_is_new_waits_for_who_brings_it() -> None:
    new = [*CHAIN, node("c/new")]
    found = units(impact(CHAIN, new), "flux/root", "c/new", "a/base")
    assert found["c/new"].definer == "flux/root"
    assert found["a/base"].definer is None
    assert units(impact(CHAIN, new), "c/new")["c/new"].definer is None
    assert units(impact(CHAIN, CHANGED), "flux/root", "b/other")["b/other"].definer == "flux/root"


def test_nobody_waits_for_himself() -> None:
    root = node("flux/root", "c/new", parent=None)
    assert units(impact(CHAIN, [root, node("c/new")]), "flux/root", "c/new")["c/new"].definer is None


def test_what_is_dropped_is_to_go_where_flux_prunes() -> None:
    [gone] = (unit for unit in units(impact(CHAIN, CHAIN[:-1]), "flux/root").values() if unit.gone)
    assert (gone.node.id, gone.definer, gone.source) == ("b/other", "flux/root", None)
    keeping = [node("flux/root", parent=None, prune=False), *CHAIN[1:]]
    assert not any(unit.gone for unit in units(impact(CHAIN, keeping[:-1]), "flux/root").values())


def test_rights_are_for_what_is_asked_and_for_what_is_only_looked_at() -> None:
    rights = Reconciliation(impact(CHAIN, CHAIN), ["b/top"], CONFIG).rights
    group = "kustomize.toolkit.fluxcd.io"
    assert Right("b", group, "kustomizations", "patch") in rights
    assert Right("a", group, "kustomizations", "watch") in rights
    assert Right("a", group, "kustomizations", "patch") not in rights
    assert Right("flux", "source.toolkit.fluxcd.io", "gitrepositories", "patch") in rights
