"""The cluster of mode gitops: whether it can be reached, knows us, and lets us do what a run does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf import session as sessions
from sf.backends.flux.cluster import Cluster, find_access
from sf.backends.flux.repository import Repository
from sf.backends.flux.rights import described, missing, needed, roles
from sf.doctor.check import Check, failed
from sf.models import Problem

if TYPE_CHECKING:
    from sf.doctor.repository import Settings
    from sf.tools.kubernetes import Right, User

_NAME = "cluster"


def cluster(settings: Settings) -> Check:
    """Go the way that a run goes. What is missing of rights comes with the roles that grant them."""
    config, context = settings.config, settings.context
    if context.steering:
        return Check(
            name=_NAME,
            passed=True,
            detail="not looked at",
            hint="this change decides how it is reached; look again when it is merged",
        )
    try:
        access = find_access(config.gitops, context)
        there = Cluster(access, context)
        user, version = there.check(), there.api.version()
    except Problem as problem:
        return failed(_NAME, problem)
    found = f"{access.server} ({version}) knows us as {user.name} ({access.notes['credential']})"
    try:
        wanted = _rights(settings)
    except Problem as problem:
        return Check(
            name=_NAME,
            passed=True,
            detail=found,
            hint=f"what a run may do there was not looked at: {problem.message}",
        )
    return _judged(there, user, wanted, found)


def _rights(settings: Settings) -> list[Right]:
    """What a run for this CI event takes. Raises `Problem` where the Kustomizations cannot be found."""
    repository = Repository(settings.config, settings.context)
    graph = repository.graph(repository.git.tree_of(repository.git.head()))
    nodes = graph.entry(repository.start(graph)).nodes.values()
    return needed(
        sorted({node.namespace for node in nodes}),
        {node.source for node in nodes},
        act=sessions.reconciles(settings.context.ci),
    )


def _judged(there: Cluster, user: User, wanted: list[Right], found: str) -> Check:
    try:
        denied = missing(there.api, wanted)
    except Problem as problem:
        return failed(_NAME, problem)
    if not denied:
        return Check(name=_NAME, passed=True, detail=found)
    return Check(
        name=_NAME,
        passed=False,
        detail=f"{found}, and does not let us {described(denied)}",
        hint="have an administrator apply the manifests at the end",
        # All of them: to apply a role with less than another time would take rights away.
        manifests=roles(wanted, user),
    )
