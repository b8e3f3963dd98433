"""The look that a plan takes at the cluster: once, and only at what the plan is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.backends.flux.connection import told
from sf.backends.flux.drift import find_drift
from sf.backends.flux.live import Expectation, Observation, Observer
from sf.backends.flux.revision import Lineage
from sf.backends.flux.sight import look
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.backends.flux.connection import Connection
    from sf.backends.flux.impact import Impact
    from sf.backends.flux.kustomization import Kustomization
    from sf.backends.flux.outline import Rendering
    from sf.backends.flux.preview import Preview
    from sf.backends.flux.sight import Sight
    from sf.changes.masking import Fingerprints
    from sf.ci.comparison import Comparison
    from sf.tools.git import Git


def observe(
    connection: Connection,
    preview: Preview,
    impact: Impact,
    comparison: Comparison,
    *,
    git: Git,
    merged: bool,
    fingerprints: Fingerprints | None,
) -> Observation:
    """The actions of `preview` with what was seen of their units; without a cluster only why nothing was.

    `merged`: the newer of the two compared commits is to be running already. With `fingerprints` the objects
    themselves are compared as well. A cluster that fails meanwhile is no error: the plan is incomplete.
    """
    if connection.cluster is None or connection.user is None:
        return Observation(actions=preview.actions, unknown=(f"live state: {connection.lacking}",))
    # Removed ones are known by the older state alone.
    nodes = {**impact.before, **impact.after}
    units = [nodes[action.name] for action in preview.actions]
    api, user = connection.cluster.api, connection.user
    try:
        sight = look(api, user, (node.namespace for node in units), (node.source for node in units))
        compared = _applied(preview, nodes, sight, comparison) if fingerprints is not None else ()
        drifts = find_drift(api, user, compared, fingerprints) if fingerprints is not None else {}
    except Problem as problem:
        return Observation(actions=preview.actions, unknown=(f"live state: {told(problem)}",))
    planned = comparison.head if merged else comparison.base or comparison.head
    expected = Expectation(
        lineage=Lineage(git, planned), before=comparison.base or "" if merged else "", merged=merged
    )
    return Observer(sight=sight, nodes=nodes, expected=expected, preview=preview, drifts=drifts).observe()


def _applied(
    preview: Preview, nodes: Mapping[str, Kustomization], sight: Sight, comparison: Comparison
) -> Iterator[tuple[Kustomization, Rendering]]:
    """The units of which that was built which Flux applied last."""
    sides = {comparison.base: preview.before, comparison.head: preview.after}
    for action in preview.actions:
        state = sight.kustomizations.get(action.name)
        built = sides.get(state.applied_commit, {}).get(action.name) if state else None
        if built is not None:
            yield nodes[action.name], built
