"""The lifecycle of mode gitops for Flux."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sf.backends.flux.connection import Connection, connect
from sf.backends.flux.impact import compare
from sf.backends.flux.observation import observe
from sf.backends.flux.preview import Side, preview
from sf.backends.flux.reconcile import Reconciliation
from sf.backends.flux.repository import Repository
from sf.backends.flux.selection import select_all, select_only
from sf.changes.masking import Fingerprints
from sf.ci.comparison import resolve_comparison
from sf.ci.context import EventKind
from sf.models import ActionKind, Finding, LifecyclePlan, Problem, Severity
from sf.runtime.capability import Capability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sf.backends.flux.graph import Entry, Graph, Start
    from sf.backends.flux.impact import Impact
    from sf.ci.comparison import Comparison
    from sf.config import Config
    from sf.models import LifecycleResult
    from sf.runtime.context import RuntimeContext


class FluxBackend:
    """Plans what a change does to the Kustomizations of one cluster."""

    name = "flux"
    capabilities = frozenset(
        {
            Capability.RECONCILE,
            Capability.DRY_RUN,
            Capability.IMPACT_ANALYSIS,
            Capability.CLUSTER_AUTH,
            Capability.PLAN_EXECUTE,
            Capability.STRUCTURED_PROGRESS,
        }
    )

    def __init__(self) -> None:
        self._repository: Repository | None = None
        self._comparison: Comparison | None = None
        self._config: Config | None = None
        self._select: Callable[[Impact], Impact] = lambda impact: impact
        self._connection = Connection()

    def validate(self, config: Config, context: RuntimeContext) -> None:
        """The programs are there, the repository is one, the two states to compare exist, the cluster answers."""
        repository = Repository(config, context)
        _ = repository.git.version, repository.kustomize.version
        self._comparison = resolve_comparison(
            repository.git, context.ci, base=context.base, head=context.head
        )
        self._repository, self._config = repository, config
        if context.only:
            self._select = lambda impact: select_only(impact, context.only)
        elif context.everything:
            self._select = select_all
        self._connection = connect(config, context)

    def prepare(self, config: Config, context: RuntimeContext) -> None:
        """Before executing, see that the cluster allows what the change needs."""
        if not context.dry_run:
            cluster, user = self._connection.required
            impact = self._compared.impact
            names = [
                name
                for name in impact.affected
                if name not in impact.shown and not impact.after[name].suspended
            ]
            cluster.require(Reconciliation(impact, names, config).rights, user)

    def plan(self, config: Config, context: RuntimeContext) -> LifecyclePlan:
        """What the compared change does."""
        repository, comparison = self._ready
        compared = self._compared
        impact, new, connection = compared.impact, compared.new, self._connection
        fingerprints = Fingerprints.from_environ(context.environ)
        shown = preview(
            impact,
            Side(graph=compared.before, nodes=impact.before),
            Side(graph=compared.after, nodes=impact.after),
            repository,
            fingerprints,
            # Without a change it is all about what is running.
            everything=compared.before is compared.after and connection.cluster is not None,
        )
        seen = observe(
            connection,
            shown,
            impact,
            comparison,
            git=repository.git,
            merged=compared.before is compared.after
            or context.ci.on_default_branch
            or context.ci.event is EventKind.TAG,
            fingerprints=fingerprints if config.gitops.drift else None,
        )
        return LifecyclePlan(
            mode=config.mode,
            backend=self.name,
            dry_run=context.dry_run,
            target=impact.path,
            repository=context.ci.repository,
            commit=comparison.head,
            base=comparison.base or "",
            config_hash=config.digest,
            tools={"kustomize": repository.kustomize.version},
            contents=_contents(impact),
            actions=seen.actions,
            # What the walk and the preview both come upon is said once.
            findings=tuple(
                dict.fromkeys(
                    (*_judged(new, compared.old), *shown.findings, *seen.findings, *_dirty(comparison))
                )
            ),
            unknown=(*shown.unknown, *seen.unknown),
            notes={
                "compared": comparison.reason,
                "kustomizations": str(len(new.nodes)),
                **connection.notes,
                **_selected(context),
            },
            fingerprint_key=fingerprints.key_id,
        )

    def execute(self, plan: LifecyclePlan, context: RuntimeContext) -> LifecycleResult:
        """Have Flux reconcile what the plan says is to be reconciled, and see it there."""
        repository, _ = self._ready
        if self._config is None:
            raise Problem("the flux backend was asked to execute before it was asked to validate")
        cluster, user = self._connection.required
        names = [action.name for action in plan.actions if action.action is ActionKind.RECONCILE]
        reconciliation = Reconciliation(
            self._compared.impact, names, self._config, force=context.everything or bool(context.only)
        )
        cluster.require(reconciliation.rights, user)
        return reconciliation.run(plan, cluster, repository.git, context)

    def cleanup(self, context: RuntimeContext) -> None:  # noqa: ARG002
        """Keep the cache within its bounds; the workspace goes as a whole."""
        if self._repository is not None:
            self._repository.close()

    @property
    def builds(self) -> int:
        """How many times kustomize ran: what benchmarks count."""
        return self._repository.renderer.builds if self._repository else 0

    @cached_property
    def _compared(self) -> _Compared:
        repository, comparison = self._ready
        after = repository.graph(comparison.head_tree)
        before = (
            after if comparison.base_tree == comparison.head_tree else repository.graph(comparison.base_tree)
        )
        start = repository.start(after)
        new = after.entry(start)
        old = new if before is after else _same_cluster(repository, before, start)
        impact = self._select(compare(start.path, old, new))
        return _Compared(before=before, after=after, old=old, new=new, impact=impact)

    @property
    def reads(self) -> int:
        """How many git objects were read: what benchmarks count."""
        return self._repository.blobs.reads if self._repository else 0

    @property
    def _ready(self) -> tuple[Repository, Comparison]:
        if self._repository is None or self._comparison is None:
            raise Problem("the flux backend was asked to plan before it was asked to validate")
        return self._repository, self._comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """The cluster in both states, and what differs. ``old`` is None when it did not exist yet."""

    before: Graph
    after: Graph
    old: Entry | None
    new: Entry
    impact: Impact


def _same_cluster(repository: Repository, before: Graph, start: Start) -> Entry | None:
    """The cluster of `start` in the older state; None when it did not exist yet."""
    found = next((other for other in repository.starts_before(before) if other.path == start.path), None)
    return before.entry(found) if found else None


def _selected(context: RuntimeContext) -> dict[str, str]:
    """What the run was told to be for."""
    if context.only:
        return {"selected": f"only {', '.join(context.only)}"}
    return {"selected": "everything"} if context.everything else {}


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
