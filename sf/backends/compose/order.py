"""In which order the stacks of a host are brought up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.backends.compose.side import is_script
from sf.backends.compose.stack import required_stacks
from sf.models import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sf.backends.compose.outlook import Outlook
    from sf.backends.compose.side import Side, Unit


class Order:
    """Follows ``depends_on_stack``. ``dependencies`` are those of each unit, once `places` was asked."""

    def __init__(self, base: Side, head: Side, outlook: Outlook) -> None:
        self._base = base
        self._head = head
        self._outlook = outlook
        self.dependencies: dict[str, tuple[str, ...]] = {}

    def places(self, names: Sequence[str]) -> dict[str, int]:
        """Where each unit stands in the order of its host: by name, but behind those that it depends on."""
        self.dependencies = {name: self._depends_on(name) for name in names}
        ordered: dict[str, None] = {}

        def put(name: str, above: tuple[str, ...]) -> None:
            if name in above:
                circle = " → ".join((*above[above.index(name) :], name))
                problem = Problem(
                    f"the stacks depend on each other in a circle: {circle}",
                    hint="take one of them out of `depends_on_stack`",
                    location=Location(self._unit(name).stack.path),
                )
                self._outlook.find_new("dependency-circle", name, problem)
            elif name not in ordered:
                for other in self.dependencies[name]:
                    put(other, (*above, name))
                ordered.setdefault(name)

        for name in names:
            put(name, ())
        places: dict[str, int] = {}
        counts: dict[str, int] = {}
        for name in ordered:
            host = self._unit(name).host.name
            places[name] = counts[host] = counts.get(host, -1) + 1
        return places

    def _depends_on(self, name: str) -> tuple[str, ...]:
        """The units of the same host that `name` names; one that is not there is a finding."""
        unit = self._head.units.get(name)
        if unit is None or is_script(unit):
            return ()
        try:
            stacks = required_stacks(unit.folder)
        except Problem as problem:
            self._outlook.find_new("stack-unreadable", unit.stack.path, problem)
            return ()
        names = [f"{unit.host.name}/{stack}" for stack in stacks]
        for other, stack in zip(names, stacks, strict=True):
            if other not in self._head.units:
                missing = Problem(
                    f"{unit.stack.path} depends on the stack {stack}, and {unit.host.name} has none of that name",
                    hint="correct `depends_on_stack`; it names stacks of the same host",
                    location=Location(unit.stack.path),
                )
                self._outlook.find_new("dependency-missing", name, missing)
        return tuple(other for other in names if other in self._head.units)

    def _unit(self, name: str) -> Unit:
        return self._head.units.get(name) or self._base.units[name]
