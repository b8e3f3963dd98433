"""Who waits for whom, of the units that a plan affects: for pictures, which nobody reads of a whole repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.models import Change
from sf.report.mermaid import Flowchart
from sf.report.wording import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.models import LifecyclePlan

# More do not fit beside each other in a comment.
_MOST_NODES: Final = 60
_MOST_EDGES: Final = 120


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Units and what they wait for. An edge leads from a unit to one that waits for it."""

    nodes: Mapping[str, Change]
    edges: tuple[tuple[str, str], ...]


def affected(plan: LifecyclePlan | None) -> Neighbourhood:
    """The affected units of `plan` and the ones they wait for directly, in the order of the plan."""
    actions = plan.actions if plan else ()
    effects = {action.name: action.effect for action in actions}
    told = [action for action in actions if action.effect is not Change.UNCHANGED or action.all_reasons]
    nodes: dict[str, Change] = {}
    for action in told:
        # A dependency outside of the plan is in another repository, or in none: a finding tells.
        nodes |= {name: effects.get(name, Change.UNKNOWN) for name in action.depends_on}
        nodes[action.name] = action.effect
    edges = {(name, action.name): None for action in told for name in action.depends_on}
    return Neighbourhood(nodes, tuple(edges))


def mermaid(neighbourhood: Neighbourhood) -> str | None:
    """`neighbourhood` as a flowchart; None when there is too much to be drawn."""
    if len(neighbourhood.nodes) > _MOST_NODES or len(neighbourhood.edges) > _MOST_EDGES:
        return None
    chart = Flowchart()
    drawn = {
        name: chart.node(f"{SYMBOLS[change]} {name}", *_classes(change))
        for name, change in neighbourhood.nodes.items()
    }
    for before, after in neighbourhood.edges:
        chart.edge(drawn[before], drawn[after])
    return chart.text() if chart.is_readable else None


def _classes(change: Change) -> tuple[str, ...]:
    return () if change is Change.UNCHANGED else (change.value,)
