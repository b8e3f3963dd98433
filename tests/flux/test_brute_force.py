"""The impact of every commit of a made-up history equals what rendering everything before and after says."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.closure import Closures
from sf.backends.flux.impact import compare
from sf.backends.flux.starts import find_starts
from tests.fleets import Fleet, tree_of
from tests.flux.brute_force import Oracle
from tests.flux.history import KINDS, history

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sf.backends.flux.closure import Closure
    from sf.backends.flux.graph import Entry, Graph
    from tests.flux.brute_force import Key, Outcome

pytestmark = [pytest.mark.tools, pytest.mark.slow]

LENGTH = 305


@dataclass
class Verdict:
    """What comparing with the oracle found, over all commits."""

    missed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    extra: int = 0
    direct: int = 0
    built: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Ours:
    graph: Graph
    entries: Mapping[str, Entry]


def ours(fleet: Fleet, files: Mapping[str, str]) -> Ours:
    graph = fleet.graph(tree_of(files))
    return Ours(graph, {start.path: graph.entry(start) for start in find_starts(graph)})


def theirs(oracle: Oracle, files: Mapping[str, str]) -> dict[str, dict[Key, Outcome]]:
    with ThreadPoolExecutor(max_workers=2) as pool:
        paths = oracle.clusters(files)
        found = pool.map(lambda path: oracle.cluster(files, path), paths)
        return dict(zip(paths, found, strict=True))


def judge(length: int, tmp_path: Path) -> Verdict:
    fleet, oracle = Fleet(tmp_path / "ours"), Oracle(tmp_path / "theirs")
    verdict = Verdict()
    before: tuple[Ours, dict[str, dict[Key, Outcome]]] | None = None
    for number, step in enumerate(history(seed=2025, length=length)):
        after = ours(fleet, step.files), theirs(oracle, step.files)
        assert sorted(after[0].entries) == sorted(after[1]), step.kinds
        if before is not None:
            _judge_step(f"{number} {step.kinds}", before, after, verdict)
        before = after
    return verdict


def _judge_step(
    about: str,
    before: tuple[Ours, dict[str, dict[Key, Outcome]]],
    after: tuple[Ours, dict[str, dict[Key, Outcome]]],
    verdict: Verdict,
) -> None:
    (old_ours, old_theirs), (new_ours, new_theirs) = before, after
    for path in sorted(old_theirs.keys() | new_theirs.keys()):
        impact = compare(path, old_ours.entries.get(path), new_ours.entries.get(path))
        old, new = _by_id(old_theirs.get(path, {})), _by_id(new_theirs.get(path, {}))
        if set(impact.added) != new.keys() - old.keys() or set(impact.removed) != old.keys() - new.keys():
            verdict.wrong.append(f"{about} {path}: added {impact.added}, removed {impact.removed}")
        verdict.built += sum(outcome.objects != "fails" for outcome in new.values())
        verdict.failed += sum(outcome.objects == "fails" for outcome in new.values())
        changed = {node for node in new if old.get(node) != new[node]}
        verdict.direct += len(impact.direct)
        verdict.missed += [f"{about} {path}: {node}" for node in sorted(changed - set(impact.direct))]
        for node in sorted(set(impact.direct) - changed):
            verdict.extra += 1
            one = old_ours.graph.render(impact.before[node])
            other = new_ours.graph.render(impact.after[node])
            same = sorted(map(repr, one.objects)) == sorted(map(repr, other.objects))
            if not (same and bool(one.error) == bool(other.error)):
                verdict.wrong.append(f"{about} {path}: {node} is said to change, and renders so")


def _by_id(outcomes: Mapping[Key, Outcome]) -> dict[str, Outcome]:
    return {f"{namespace}/{name}": outcome for (namespace, name), outcome in outcomes.items()}


def test_the_history_is_what_it_claims_to_be() -> None:
    steps = list(history(seed=2025, length=LENGTH))[1:]
    kinds = Counter(kind for step in steps for kind in step.kinds)
    assert len(steps) >= 300
    assert set(kinds) == set(KINDS)
    assert min(kinds.values()) >= 20, kinds
    assert sum(len(step.kinds) > 1 for step in steps) >= 0.3 * len(steps)


def test_no_change_is_missed_and_nothing_is_made_up(tmp_path: Path) -> None:
    verdict = judge(LENGTH, tmp_path)
    assert verdict.missed == []
    assert verdict.wrong == []
    assert verdict.direct > 3 * LENGTH
    assert 0 < verdict.failed < verdict.built / 10
    # Unused variables of a ConfigMap and comments: rendered output equal.
    assert verdict.extra < verdict.direct / 4


def test_a_closure_that_drops_components_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Closures.of

    def without_components(self: Closures, path: str, components: Iterable[str] = ()) -> Closure:
        closure = whole(self, path, components)
        kept = {name: oid for name, oid in closure.files.items() if not name.startswith("components/")}
        return replace(closure, files=kept)

    monkeypatch.setattr(Closures, "of", without_components)
    assert judge(25, tmp_path).missed
