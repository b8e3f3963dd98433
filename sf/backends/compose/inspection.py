"""The estate as a document: what ``sf docker inspect`` prints.

The schema ``sf.estate/v1`` is public: fields may be added, never renamed or dropped.

::

    {"schema": "sf.estate/v1", "commit": "…",
     "hosts": [{"name", "local", "address", "port", "user", "key_file", "ssh_options": [[name, value]],
                "socket", "engine", "certificates", "groups": [...]}],
     "stacks": [{"host", "scope", "stack", "path", "kind", "project", "services": [
         {"name", "image", "replicas", "built", "files": {path: content id},
          "networks": [...], "volumes": [...]}]}],
     "findings": [{"code", "severity", "message", "subject", "location", "hint"}]}

``project`` is empty and ``services`` are missing for a script stack and for one that a finding says is unreadable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sf.backends.compose.model import Unreadable
from sf.backends.compose.run import Run
from sf.backends.compose.side import is_script
from sf.models import Finding, Severity, plain

if TYPE_CHECKING:
    from sf.backends.compose.inventory import Inventory
    from sf.backends.compose.model import Model, Resolver, Service
    from sf.backends.compose.side import Unit
    from sf.config import Config
    from sf.runtime.context import RuntimeContext

SCHEMA: Final = "sf.estate/v1"


def estate_document(config: Config, context: RuntimeContext) -> dict[str, Any]:
    """Every host with its stacks and services at ``context.head`` (HEAD). No host is looked at.

    Raises `Problem` when the inventory cannot be read; a stack that cannot be is a finding.
    """
    run = Run(config, context)
    run.check_programs()
    commit, side = run.read_commit(context.head or "HEAD")
    findings = list(side.findings)
    models: dict[str, Model | None] = {}
    for unit in side.units.values():
        if unit.stack.path not in models:
            models[unit.stack.path] = _model(unit, run.resolver, findings)
    return {
        "schema": SCHEMA,
        "commit": commit,
        "hosts": _hosts(side.inventory),
        "stacks": [_stack(unit, models[unit.stack.path]) for unit in side.units.values()],
        "findings": plain(findings),
    }


def _model(unit: Unit, resolver: Resolver, findings: list[Finding]) -> Model | None:
    if is_script(unit):
        return None
    try:
        return resolver.resolve(unit.folder)
    except Unreadable as problem:
        findings.append(
            Finding(
                code="stack-unreadable",
                severity=Severity.ERROR,
                message=problem.message,
                subject=unit.stack.path,
                location=problem.location,
                hint=problem.hint,
            )
        )
        return None


def _hosts(inventory: Inventory) -> list[dict[str, Any]]:
    return [
        {
            **plain(host),
            "groups": [group for group, members in sorted(inventory.groups.items()) if name in members],
        }
        for name, host in sorted(inventory.hosts.items())
    ]


def _stack(unit: Unit, model: Model | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "host": unit.host.name,
        "scope": unit.stack.scope,
        "stack": unit.stack.name,
        "path": unit.stack.path,
        "kind": unit.stack.kind.value,
        "project": model.project if model else "",
    }
    if model:
        document["services"] = [_service(service) for service in model.services.values()]
    return document


def _service(service: Service) -> dict[str, Any]:
    used = {path[0] for path in service.fields}
    return {
        "name": service.name,
        "image": service.fields.get(("image",), ""),
        "replicas": service.replicas,
        "built": service.built,
        "files": dict(service.files),
        "networks": sorted(name.removeprefix("network ") for name in used if name.startswith("network ")),
        "volumes": sorted(name.removeprefix("volume ") for name in used if name.startswith("volume ")),
    }
