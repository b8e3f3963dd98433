"""The lifecycle of mode gitops for Flux."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sf.backends.flux.impact import compare
from sf.backends.flux.preview import Side, preview
from sf.backends.flux.repository import Repository
from sf.changes.masking import Fingerprints
from sf.ci.comparison import resolve_comparison
from sf.models import Finding, LifecyclePlan, Problem, Severity
from sf.runtime.capability import Capability

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sf.backends.flux.graph import Entry, Graph, Start
    from sf.backends.flux.impact import Impact
    from sf.ci.comparison import Comparison
    from sf.config import Config
    from sf.models import LifecycleResult
    from sf.runtime.context import RuntimeContext

_NO_CLUSTER: Final = "live state: this version plans from the repository and does not look at the cluster"


class FluxBackend:
    """Plans what a change does to the Kustomizations of one cluster."""

    name = "flux"
    capabilities = frozenset({Capability.DRY_RUN, Capability.IMPACT_ANALYSIS})

    def __init__(self) -> None:
        self._repository: Repository | None = None
        self._comparison: Comparison | None = None

    def validate(self, config: Config, context: RuntimeContext) -> None:
        """The programs are there, the repository is one, the two states to compare exist."""
        repository = Repository(config, context)
        _ = repository.git.version, repository.kustomize.version
        self._comparison = resolve_comparison(
            repository.git, context.ci, base=context.base, head=context.head
        )
        self._repository = repository

    def prepare(self, config: Config, context: RuntimeContext) -> None:
        """Nothing: what planning needs is made when it is needed."""

    def plan(self, config: Config, context: RuntimeContext) -> LifecyclePlan:
        """What the compared change does."""
        repository, comparison = self._ready
        after = repository.graph(comparison.head_tree)
        before = (
            after if comparison.base_tree == comparison.head_tree else repository.graph(comparison.base_tree)
        )
        start = repository.start(after)
        new = after.entry(start)
        old = new if before is after else _same_cluster(repository, before, start)
        impact = compare(start.path, old, new)
        shown = preview(
            impact,
            Side(graph=before, nodes=impact.before),
            Side(graph=after, nodes=impact.after),
            repository,
            Fingerprints.from_environ(context.environ),
        )
        return LifecyclePlan(
            mode=config.mode,
            backend=self.name,
            dry_run=context.dry_run,
            target=start.path,
            repository=context.ci.repository,
            commit=comparison.head,
            base=comparison.base or "",
            config_hash=config.digest,
            tools={"kustomize": repository.kustomize.version},
            contents=_contents(impact),
            actions=shown.actions,
            # What the walk and the preview both come upon is said once.
            findings=tuple(dict.fromkeys((*_judged(new, old), *shown.findings, *_dirty(comparison)))),
            unknown=(*shown.unknown, _NO_CLUSTER),
            notes={"compared": comparison.reason, "kustomizations": str(len(new.nodes))},
            fingerprint_key=Fingerprints.from_environ(context.environ).key_id,
        )

    def execute(self, plan: LifecyclePlan, context: RuntimeContext) -> LifecycleResult:  # noqa: ARG002
        """Not among the capabilities, so the lifecycle never asks for it."""
        raise Problem("the flux backend plans only", hint="run `sf plan`")

    def cleanup(self, context: RuntimeContext) -> None:  # noqa: ARG002
        """Keep the cache within its bounds; the workspace goes as a whole."""
        if self._repository is not None:
            self._repository.close()

    @property
    def builds(self) -> int:
        """How many times kustomize ran: what benchmarks count."""
        return self._repository.renderer.builds if self._repository else 0

    @property
    def reads(self) -> int:
        """How many git objects were read: what benchmarks count."""
        return self._repository.blobs.reads if self._repository else 0

    @property
    def _ready(self) -> tuple[Repository, Comparison]:
        if self._repository is None or self._comparison is None:
            raise Problem("the flux backend was asked to plan before it was asked to validate")
        return self._repository, self._comparison


def _same_cluster(repository: Repository, before: Graph, start: Start) -> Entry | None:
    """The cluster of `start` in the older state; None when it did not exist yet."""
    found = next((other for other in repository.starts_before(before) if other.path == start.path), None)
    return before.entry(found) if found else None


def _contents(impact: Impact) -> dict[str, str]:
    """The closure hash of everything the change is about, on the newer side where it exists."""
    nodes = {**{name: impact.before[name] for name in impact.removed}}
    nodes |= {name: impact.after[name] for name in impact.direct}
    return {name: node.closure.hash for name, node in sorted(nodes.items()) if node.closure}


def _judged(new: Entry, old: Entry | None) -> Iterable[Finding]:
    """What is wrong with the newer state. What was as wrong before is no reason to stop this change."""
    known = set(old.findings) if old else set()
    for finding in new.findings:
        if finding in known and finding.severity is Severity.ERROR and old is not new:
            yield replace(finding, severity=Severity.WARNING, message=f"{finding.message} (as before)")
        else:
            yield finding


def _dirty(comparison: Comparison) -> Iterable[Finding]:
    if comparison.dirty:
        yield Finding(
            code="uncommitted-changes",
            severity=Severity.WARNING,
            message="the working tree holds changes that are not committed and not part of this plan",
            hint="commit them to see what they do",
        )
