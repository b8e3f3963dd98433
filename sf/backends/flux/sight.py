"""What one look at the cluster shows: Flux's own account of its Kustomizations and their sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.backends.flux.kustomization import GROUP, SourceRef
from sf.backends.flux.rights import SOURCE_GROUP, SOURCES, described
from sf.backends.flux.state import State
from sf.changes.manifest import Identity
from sf.models import Problem
from sf.tools.kubernetes import ApiProblem, Collection, Right

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sf.tools.kubernetes import Api, User

_VERSION: Final = "v1"
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Kustomizations by ``namespace/name``, and sources: all that there are where was looked."""

    kustomizations: Mapping[str, State]
    sources: Mapping[SourceRef, State]


def look(api: Api, user: User, namespaces: Iterable[str], sources: Iterable[SourceRef]) -> Sight:
    """Read the Kustomizations in `namespaces` and the kinds of `sources`: a request for each kind.

    In several namespaces it takes one for each of them where we may not list them all at once. Raises `Problem`
    for what `user`, who we are, may not see, and when Flux is not there.
    """
    looker = _Looker(api, user)
    places: dict[str, set[str]] = {}
    for source in sources:
        places.setdefault(source.kind, set()).add(source.namespace)
    return Sight(
        kustomizations={
            f"{state.namespace}/{state.name}": state
            for state in looker.states(GROUP, "kustomizations", namespaces)
        },
        sources={
            SourceRef(kind, state.namespace, state.name): state
            for kind in sorted(places.keys() & SOURCES.keys())
            for state in looker.states(SOURCE_GROUP, SOURCES[kind], places[kind])
        },
    )


class _Looker:
    def __init__(self, api: Api, user: User) -> None:
        self._api = api
        self._user = user

    def states(self, group: str, resource: str, namespaces: Iterable[str]) -> list[State]:
        wanted = sorted(set(namespaces))
        if len(wanted) > 1:
            try:
                return self._listed(group, resource, "")
            except ApiProblem as problem:
                if problem.status != _FORBIDDEN:
                    raise
        return [state for namespace in wanted for state in self._allowed(group, resource, namespace)]

    def _allowed(self, group: str, resource: str, namespace: str) -> list[State]:
        try:
            return self._listed(group, resource, namespace)
        except ApiProblem as problem:
            if problem.status != _FORBIDDEN:
                raise
            right = Right(namespace, group, resource, "list")
            raise Problem(
                f"the cluster does not let {self._user.name} {described([right])}",
                hint="`sf doctor` prints the role that is missing",
            ) from problem

    def _listed(self, group: str, resource: str, namespace: str) -> list[State]:
        collection = Collection(group, _VERSION, resource, namespace)
        try:
            return [State(item) for item in self._api.list(collection).items]
        except ApiProblem as problem:
            if problem.status != _NOT_FOUND:
                raise
            raise Problem(
                f"the cluster does not know {resource} of {group}/{_VERSION}",
                hint="install Flux 2.6 or newer there, or correct `gitops.cluster`",
            ) from problem


def held(state: State) -> frozenset[Identity]:
    """The objects that a Kustomization has in the cluster, as its inventory names them."""
    return frozenset(found for entry in state.inventory if (found := inventory_object(entry)) is not None)


def inventory_object(entry: str) -> Identity | None:
    """The object that ``namespace_name_group_kind`` stands for; None for anything else.

    Source: fluxcd/cli-utils, object.ParseObjMetadata.
    """
    namespace, _, rest = entry.partition("_")
    rest, _, kind = rest.rpartition("_")
    name, _, group = rest.rpartition("_")
    # A colon, which names of roles may have, is written as two underscores.
    return Identity(group, kind, namespace, name.replace("__", ":")) if name and kind else None
