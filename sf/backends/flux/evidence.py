"""What is behind a Kustomization that fails: the objects that are not ready, and what was told about them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from sf.backends.flux.kustomization import KIND
from sf.backends.flux.sight import held
from sf.models import Problem
from sf.tools.kubernetes import Collection, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.backends.flux.state import State
    from sf.backends.flux.verdict import Verdict
    from sf.tools.kubectl import Kubectl
    from sf.tools.kubernetes import Api

# `Deployment/shop/web status: 'InProgress'`, or without namespace (fluxcd/pkg/ssa, WaitForSet).
_NOT_READY: Final = re.compile(r"\b([A-Z]\w+)/(?:([\w.-]+)/)?([\w.:-]+) status: '(\w+)'")
_MOST_OBJECTS: Final = 5
_MOST_EVENTS: Final = 5
# Of many more, the names would not fit into a line that a person reads.
_MOST_LOOKED_AT: Final = 200
_TIMEOUT: Final = 15.0


def find_evidence(api: Api, kubectl: Kubectl, state: State, verdict: Verdict) -> str:
    """The last events of the Kustomization and of the objects that are not ready, a line each.

    What we are not allowed to see is said as such: the failure itself is known without it. Raises `NoAnswer`.
    """
    lines = list(_events(api, KIND, state.namespace, state.name))
    unready = _NOT_READY.findall(verdict.message)
    if not unready and state.checks_health:
        try:
            unready = list(_unready(kubectl, state))
        except Problem as problem:
            lines.append(f"which objects are not ready cannot be seen: {problem}")
    for kind, namespace, name, status in unready[:_MOST_OBJECTS]:
        lines.append(f"{kind} {namespace}/{name} is not ready: {status}")
        lines += _events(api, kind, namespace or "default", name)
    return "\n".join(lines)


def _events(api: Api, kind: str, namespace: str, name: str) -> Iterator[str]:
    """The newest events about one object, oldest first. Those of cluster-scoped objects are in ``default``."""
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    try:
        found = api.list(Collection("", "v1", "events", namespace), fieldSelector=selector).items
    except NoAnswer:
        raise
    except Problem as problem:
        yield f"events of {kind} {namespace}/{name} cannot be read: {problem}"
        return
    for event in sorted(found, key=_when)[-_MOST_EVENTS:]:
        message = " ".join(str(event.get("message", "")).split())
        yield f"{kind} {name}: {event.get('type', '')} {event.get('reason', '')}: {message}"


def _when(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


def _unready(kubectl: Kubectl, state: State) -> Iterator[tuple[str, str, str, str]]:
    """Kind, namespace, name and trouble of the objects that Flux may be waiting for now."""
    by_namespace: dict[str, list[str]] = {}
    for namespace, name, group, kind in list(_awaited(state))[:_MOST_LOOKED_AT]:
        by_namespace.setdefault(namespace, []).append(f"{kind}.{group}/{name}" if group else f"{kind}/{name}")
    for namespace, names in by_namespace.items():
        place = [f"--namespace={namespace}"] if namespace else []
        said = kubectl.run(["get", *place, "--ignore-not-found", "--output=json", *names], timeout=_TIMEOUT)
        document = json.loads(said.text or "{}")
        for item in document.get("items", [document] if "kind" in document else []):
            if trouble := _trouble(item):
                yield item["kind"], namespace, item["metadata"]["name"], trouble


def _awaited(state: State) -> Iterator[tuple[str, str, str, str]]:
    """Namespace, name, group and kind of what the health of `state` depends on."""
    if state.spec.get("wait") is True:
        for item in sorted(held(state)):
            yield item.namespace, item.name, item.group, item.kind
        return
    for check in state.spec.get("healthChecks") or ():
        group = str(check.get("apiVersion", "")).rpartition("/")[0]
        yield str(check.get("namespace") or ""), str(check.get("name")), group, str(check.get("kind"))


def _trouble(item: Mapping[str, Any]) -> str:
    """What an object says of itself that keeps it from being ready, as most kinds do; empty for nothing."""
    status = item.get("status") or {}
    conditions = {one.get("type"): one for one in status.get("conditions") or () if isinstance(one, dict)}
    for kind in ("Ready", "Available"):
        if (found := conditions.get(kind)) and found.get("status") != "True":
            return f"{kind} is {found.get('status')}: {found.get('message') or found.get('reason') or 'no reason'}"
    wanted = (item.get("spec") or {}).get("replicas")
    ready = status.get("readyReplicas") or 0
    return f"{ready} of {wanted} replicas are ready" if isinstance(wanted, int) and ready < wanted else ""
