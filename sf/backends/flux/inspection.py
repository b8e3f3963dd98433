"""The graph and the impact as documents: what `sf gitops inspect` and `sf gitops impact` print.

The schemas ``sf.graph/v1`` and ``sf.impact/v1`` are public: fields may be added, never renamed or dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.graph import API_VERSION
from sf.backends.flux.impact import compare, unmapped
from sf.backends.flux.repository import Repository
from sf.backends.flux.starts import find_candidates, unreached
from sf.ci.comparison import resolve_comparison
from sf.models import plain

if TYPE_CHECKING:
    from sf.backends.flux.graph import Entry
    from sf.backends.flux.impact import Impact
    from sf.backends.flux.kustomization import Kustomization
    from sf.config import Config
    from sf.runtime.context import RuntimeContext

GRAPH_SCHEMA: Final = "sf.graph/v1"
IMPACT_SCHEMA: Final = "sf.impact/v1"


def graph_document(config: Config, context: RuntimeContext) -> dict[str, Any]:
    """Every cluster at ``context.head`` (HEAD), with all its Kustomizations and whatever is wrong with them."""
    repository = Repository(config, context)
    commit = repository.git.resolve(context.head or "HEAD")
    graph = repository.graph(repository.git.tree_of(commit))
    entries = [graph.entry(start) for start in repository.starts(graph)]
    findings = [finding for entry in entries for finding in entry.findings]
    if not config.gitops.path:
        # With a path, the other clusters of the repository are not looked at, so nothing can be said to be lost.
        findings += unreached(find_candidates(graph, [API_VERSION]), entries)
    repository.close()
    return {
        "schema": GRAPH_SCHEMA,
        "commit": commit,
        "entries": [_entry(entry) for entry in entries],
        "findings": plain(findings),
        "unknown": [sentence for entry in entries for sentence in entry.unknown],
    }


def impact_document(config: Config, context: RuntimeContext) -> dict[str, Any]:
    """What differs between ``context.base`` and ``context.head``, cluster by cluster."""
    repository = Repository(config, context)
    comparison = resolve_comparison(repository.git, context.ci, base=context.base, head=context.head)
    before, after = repository.graph(comparison.base_tree), repository.graph(comparison.head_tree)
    old = {start.path: before.entry(start) for start in repository.starts_before(before)}
    new = {start.path: after.entry(start) for start in repository.starts(after)}
    impacts = [compare(path, old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys())]
    differences = repository.git.diff_names(comparison.base_tree, comparison.head_tree)
    changed = sorted({difference.path for difference in differences})
    inside = {name: repository.in_source(name) for name in changed}
    unused = unmapped(filter(None, inside.values()), [*old.values(), *new.values()])
    repository.close()
    return {
        "schema": IMPACT_SCHEMA,
        "base": comparison.base or "",
        "head": comparison.head,
        "compared": comparison.reason,
        "changed_files": changed,
        "entries": [_impact(impact) for impact in impacts],
        "unmapped_files": [name for name, path in inside.items() if path is None or path in unused],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    nodes = sorted(entry.nodes.values(), key=lambda node: node.id)
    return {"path": entry.path, "kustomizations": [_kustomization(node) for node in nodes]}


def _kustomization(node: Kustomization) -> dict[str, Any]:
    return {
        "namespace": node.namespace,
        "name": node.name,
        "path": node.path,
        "source": {
            "kind": node.source.kind,
            "namespace": node.source.namespace,
            "name": node.source.name,
        },
        "depends_on": [dependency.id for dependency in node.depends_on],
        "ready_expressions": {
            dependency.id: dependency.ready for dependency in node.depends_on if dependency.ready
        },
        "suspended": node.suspended,
        "prune": node.prune,
        "wait": node.spec.get("wait") is True,
        "parent": node.parent,
        "external": node.external,
    }


def _impact(impact: Impact) -> dict[str, Any]:
    return {
        "path": impact.path,
        "added": list(impact.added),
        "removed": list(impact.removed),
        "directly_affected": list(impact.direct),
        "transitively_affected": list(impact.affected),
        "order": [list(wave) for wave in impact.order],
    }
