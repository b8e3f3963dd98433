"""What two stacks of one host cannot both have: a container's name, a published port.

A stack that does not change is not resolved, which would cost as much as all the rest of a plan: only one whose
text could claim what another one claims is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sf.models import Finding, Location, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sf.backends.compose.model import Model, Service
    from sf.backends.compose.side import Unit

_ANYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not listened at
_TEXTS: Final = (".yaml", ".yml", ".json", ".env")
# "8000-8010:80-90" publishes ports that stand nowhere in the text.
_RANGE: Final = re.compile(rb"\d-\d+:\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Something of a host that only one container can have. ``address``: where a port is published."""

    kind: str
    value: str
    service: str
    address: str = ""

    def excludes(self, other: Claim) -> bool:
        """Whether not both can be had."""
        if (self.kind, self.value) != (other.kind, other.value):
            return False
        return self.address == other.address or bool({self.address, other.address} & _ANYWHERE)

    @property
    def text(self) -> re.Pattern[bytes]:
        """How a file looks that may claim the same."""
        number = re.escape(self.value.partition("/")[0].encode())
        if self.kind == _PORT:
            return re.compile(rb"(?<![\d.])%s:|published:\s*[\"']?%s\b|=\s*[\"']?%s\b" % ((number,) * 3))
        return re.compile(number)


_NAME: Final = "container name"
_PORT: Final = "port"


def claims(model: Model) -> list[Claim]:
    """What the services of `model` claim."""
    return [claim for service in model.services.values() if service.replicas for claim in _claims(service)]


def clashes(
    units: Sequence[Unit],
    known: Callable[[Unit], Model | None],
    resolve: Callable[[Unit], Model | None],
) -> Iterator[Finding]:
    """Every clash of a stack that is `known` (resolved already) with another of `units`, all those of one host.

    `resolve` is only asked for those that may be the other one.
    """
    claimed = {unit.name: claims(model) for unit in units if (model := known(unit))}
    by_name = {unit.name: unit for unit in units}
    wanted = [claim for name in list(claimed) for claim in claimed[name]]
    if wanted:
        for unit in _candidates([unit for unit in units if unit.name not in claimed], wanted):
            model = resolve(unit)
            claimed[unit.name] = claims(model) if model else []
    seen: list[tuple[Unit, Claim]] = []
    for name, found in sorted(claimed.items()):
        for claim in found:
            unit = by_name[name]
            other = next((one for one in seen if one[1].excludes(claim)), None)
            if other:
                yield _finding(other, (unit, claim))
            seen.append((unit, claim))


def _claims(service: Service) -> Iterator[Claim]:
    if name := service.fields.get(("container_name",)):
        yield Claim(kind=_NAME, value=str(name), service=service.name)
    for port in service.fields.get(("ports",)) or []:
        if number := _published(port):
            protocol = str(port.get("protocol", "tcp"))
            address = str(port.get("host_ip", ""))
            yield Claim(kind=_PORT, value=f"{number}/{protocol}", service=service.name, address=address)


def _published(port: Mapping[str, Any]) -> str:
    """The one port that is published; empty when the engine is free to choose."""
    published = str(port.get("published", ""))
    return published if published.isdecimal() and published != "0" else ""


def _candidates(units: Sequence[Unit], wanted: Sequence[Claim]) -> Iterator[Unit]:
    """Those of `units` whose text looks as if it claimed something `wanted`."""
    ids = {
        unit.name: [file.oid for name, file in unit.folder.files.items() if name.endswith(_TEXTS)]
        for unit in units
    }
    texts = units[0].folder.blobs({oid for oids in ids.values() for oid in oids}) if units else {}
    may_claim = {
        oid
        for oid, text in texts.items()
        if _RANGE.search(text) or any(claim.text.search(text) for claim in wanted)
    }
    return (unit for unit in units if may_claim.intersection(ids[unit.name]))


def _finding(first: tuple[Unit, Claim], second: tuple[Unit, Claim]) -> Finding:
    (unit, claim), (other, same) = first, second
    host = other.host.name
    owners = (
        f"the services {claim.service} and {same.service} of {other.stack.path} both"
        if unit.name == other.name
        else f"{unit.stack.path} and {other.stack.path} both"
    )
    name = claim.kind == _NAME
    return Finding(
        code="container-name-twice" if name else "port-twice",
        severity=Severity.ERROR,
        message=f"{owners} call a container {claim.value} on {host}"
        if name
        else f"{owners} publish port {claim.value} on {host}",
        subject=other.name,
        location=Location(other.stack.path),
        hint="take `container_name` away: compose gives names of its own"
        if name
        else "publish another port, or each on an address of its own",
    )
