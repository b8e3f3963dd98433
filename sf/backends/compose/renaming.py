"""Names that hold data: who changes one starts with nothing, and the data stays behind under the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sf.models import Finding, Location, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sf.backends.compose.model import Model, Service
    from sf.backends.compose.side import Unit


def renamings(unit: Unit, before: Model, after: Model) -> Iterator[Finding]:
    """A danger for a project that gets another name, else for each place where a service gets another volume."""
    if before.project != after.project:
        yield _danger(
            unit,
            "project-renamed",
            f"the project {before.project} is called {after.project} now: it starts with empty volumes, and what"
            f" runs as {before.project} on {unit.host.name} is left behind",
            f"keep the name with `name: {before.project}`, or move the data before",
        )
        return
    for name, service in after.services.items():
        if name in before.services:
            yield from _of_service(unit, before.services[name], service)


def _of_service(unit: Unit, before: Service, after: Service) -> Iterator[Finding]:
    old, new = _places(before), _places(after)
    for target, volume in new.items():
        if volume and target in old and old[target] != volume:
            was = f"the volume {old[target]}" if old[target] else "a folder of the host"
            yield _danger(
                unit,
                "volume-renamed",
                f"{after.name} has the volume {volume} at {target} now and had {was}: it starts with"
                " an empty one, and the data stays behind",
                "keep the name with `volumes: {…: {name: …}}`, or move the data before",
            )


def _places(service: Service) -> dict[str, str]:
    """The name of the volume at each place inside of the containers; empty for what is no volume."""
    return {
        str(mount.get("target")): _volume(service, mount)
        for mount in service.fields.get(("volumes",)) or []
        if mount.get("type") in {"bind", "volume"} and mount.get("source")
    }


def _volume(service: Service, mount: dict[str, Any]) -> str:
    if mount["type"] != "volume":
        return ""
    source = str(mount["source"])
    return str(service.fields.get((f"volume {source}", "name"), source))


def _danger(unit: Unit, code: str, message: str, hint: str) -> Finding:
    return Finding(
        code=code,
        severity=Severity.DANGER,
        message=message,
        subject=unit.name,
        location=Location(unit.stack.path),
        hint=hint,
    )
