"""Whether a run looks at the cluster, and who it is there. Planning goes on without, executing does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sf.backends.flux.cluster import Cluster, find_access
from sf.ci.context import Trust
from sf.models import NOTHING, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.config import Config
    from sf.runtime.context import RuntimeContext
    from sf.tools.kubernetes import User

_UNSET: Final = "`gitops.cluster` is not set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The cluster and who we are there; or why there is none, in words that follow "live state unknown"."""

    cluster: Cluster | None = None
    user: User | None = None
    lacking: str = ""
    notes: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    @property
    def required(self) -> tuple[Cluster, User]:
        """The cluster and who we are there. Raises `Problem` without one."""
        if self.cluster is None or self.user is None:
            raise Problem(f"there is no cluster to work with: {self.lacking or _UNSET}")
        return self.cluster, self.user


def connect(config: Config, context: RuntimeContext) -> Connection:
    """The cluster of this run, proven to answer and to know us.

    A dry run without one says why. Raises `Problem` for a run that is to execute.
    """
    if context.dry_run and (why := _forbidden(config, context)):
        return Connection(lacking=why)
    try:
        access = find_access(config.gitops, context)
        cluster = Cluster(access, context)
        return Connection(cluster=cluster, user=cluster.check(), notes=access.notes)
    except Problem as problem:
        if not context.dry_run:
            raise
        return Connection(lacking=told(problem))


def told(problem: Problem) -> str:
    """`problem` with its hint, as long as that is a single sentence."""
    hint = f" ({problem.hint})" if problem.hint and "\n" not in problem.hint else ""
    return f"{problem}{hint}"


def _forbidden(config: Config, context: RuntimeContext) -> str:
    """Why this run does not even try; empty when it may."""
    if config.gitops.cluster is None:
        return _UNSET
    if context.ci.trust is not Trust.TRUSTED:
        return "this run is not trusted, so it is not let near the cluster"
    if context.steering:
        return "this change decides how the cluster is reached, so it is not let near it"
    return ""
