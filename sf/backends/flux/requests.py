"""Requests to reconcile, as Flux documents them: an annotation, set with kubectl on many objects in one call."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sf.backends.flux.kustomization import GROUP
from sf.backends.flux.rights import SOURCE_GROUP, SOURCES
from sf.backends.flux.state import REQUESTED_AT
from sf.models import Problem
from sf.tools.kubectl import PROGRAM, Passing
from sf.tools.kubernetes import Collection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sf.backends.flux.kustomization import Kustomization, SourceRef
    from sf.tools.kubectl import Kubectl

# So many seconds for one call. What it asks the API server for has less, so that kubectl can still say so.
_TIMEOUT: Final = 20.0
_ANSWER: Final = 15
# Fields with this manager stay as they are when Flux applies the object (Flux FAQ, "kubectl annotate").
_MANAGER: Final = "flux-client-side-apply"
# The names of so many objects fit into a command line, whatever they are: 253 characters each, 128 KiB in all.
_MOST: Final = 200


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One object that can be asked to reconcile."""

    collection: Collection
    name: str


def target_of(node: Kustomization) -> Target:
    return Target(kustomizations(node.namespace), node.name)


def target_of_source(source: SourceRef) -> Target:
    """Raises KeyError for a kind that Flux has no controller for."""
    return Target(Collection(SOURCE_GROUP, "v1", SOURCES[source.kind], source.namespace), source.name)


def kustomizations(namespace: str) -> Collection:
    return Collection(GROUP, "v1", "kustomizations", namespace)


def new_request() -> str:
    """A value that the annotation has not had before, as the flux program makes them."""
    return datetime.now(UTC).isoformat()


def shown(target: Target, request: str) -> str:
    """What a person would type to make `request` of `target`."""
    return shlex.join([PROGRAM, *_arguments(target.collection, [target.name], request)])


def ask(kubectl: Kubectl, targets: Iterable[Target], request: str) -> dict[Target, Problem]:
    """Make `request` of all `targets`, one call for each collection; those it could not be made of, and why."""
    failed: dict[Target, Problem] = {}
    by_collection: dict[Collection, list[str]] = {}
    for target in sorted(targets):
        by_collection.setdefault(target.collection, []).append(target.name)
    for collection, names in by_collection.items():
        for start in range(0, len(names), _MOST):
            failed |= _ask_some(kubectl, collection, names[start : start + _MOST], request)
    return failed


def _ask_some(
    kubectl: Kubectl, collection: Collection, names: Sequence[str], request: str
) -> dict[Target, Problem]:
    try:
        kubectl.run(
            [f"--request-timeout={_ANSWER}s", *_arguments(collection, names, request)], timeout=_TIMEOUT
        )
    except Problem as problem:
        if len(names) == 1 or isinstance(problem, Passing):
            return {Target(collection, name): problem for name in names}
        # One may be gone, and that is nothing to the others.
        return {
            target: found
            for name in names
            for target, found in _ask_some(kubectl, collection, [name], request).items()
        }
    return {}


def _arguments(collection: Collection, names: Sequence[str], request: str) -> list[str]:
    kind = f"{collection.resource}.{collection.group}"
    return [
        "annotate",
        f"--namespace={collection.namespace}",
        "--overwrite",
        f"--field-manager={_MANAGER}",
        kind,
        *names,
        f"{REQUESTED_AT}={request}",
    ]
