"""What is behind a Kustomization that fails: the objects that are not ready, and what was told about them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.kustomization import KIND
from sf.models import Problem
from sf.tools.kubernetes import Collection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sf.backends.flux.state import State
    from sf.backends.flux.verdict import Verdict
    from sf.tools.kubernetes import Api

# `Deployment/shop/web status: 'InProgress'`, or without namespace (fluxcd/pkg/ssa, WaitForSet).
_NOT_READY: Final = re.compile(r"\b([A-Z]\w+)/(?:([\w.-]+)/)?([\w.:-]+) status: '(\w+)'")
_MOST_OBJECTS: Final = 5
_MOST_EVENTS: Final = 5


def find_evidence(api: Api, state: State, verdict: Verdict) -> str:
    """The last events of the Kustomization and of the objects that `verdict` names, a line each.

    What we are not allowed to see is said as such: the failure itself is known without it.
    """
    lines = list(_events(api, KIND, state.namespace, str(state.metadata.get("name", ""))))
    for kind, namespace, name, status in _NOT_READY.findall(verdict.message)[:_MOST_OBJECTS]:
        lines.append(
            f"{kind} {namespace}/{name} is not ready: {status}" if namespace else f"{kind} {name}: {status}"
        )
        lines += _events(api, kind, namespace or "default", name)
    return "\n".join(lines)


def _events(api: Api, kind: str, namespace: str, name: str) -> Iterator[str]:
    """The newest events about one object, oldest first. Those of cluster-scoped objects are in ``default``."""
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    try:
        found = api.list(Collection("", "v1", "events", namespace), fieldSelector=selector).items
    except Problem as problem:
        yield f"events of {kind} {namespace}/{name} cannot be read: {problem}"
        return
    for event in sorted(found, key=_when)[-_MOST_EVENTS:]:
        message = " ".join(str(event.get("message", "")).split())
        yield f"{kind} {name}: {event.get('type', '')} {event.get('reason', '')}: {message}"


def _when(event: dict[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")
