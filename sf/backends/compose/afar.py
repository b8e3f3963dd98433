"""A host whose engine is only reached over TLS: it can be looked at, and nothing can be put there.

Its deployment records cannot be read, so nobody can tell whether what runs is what is to run. How it does can be
told, and what there should not be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.backends.compose.live import Sight
from sf.backends.compose.observe import observe
from sf.backends.compose.record import Deployed, Record, new_salt, seal_model
from sf.models import Problem
from sf.process import Completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.backends.compose.live import View
    from sf.backends.compose.model import Model
    from sf.backends.compose.side import Unit
    from sf.tools.docker import Engine


class TlsMachine:
    """A machine of which only the engine is there."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self.engine = engine

    def reach(self) -> None:
        """As the protocol says; looking tells whether it answers."""

    def refuse_elsewhere(self) -> None:
        """As the protocol says: nothing is put there."""

    def attach(self, socket: str) -> None:
        """As the protocol says: there is no other engine to choose."""

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",  # noqa: ARG002 - of the protocol
        timeout: float = 0.0,  # noqa: ARG002 - of the protocol
        on_line: Callable[[str], None] | None = None,  # noqa: ARG002 - of the protocol
    ) -> Completed:
        """Looking finds nothing beside the engine. Raises `Problem` for everything else."""
        if arguments[0] != "look":
            raise Problem(f"nothing can be run on {self.name}, whose engine is only reached over TLS")
        return Completed(argv=arguments, code=0, stdout=b"", stderr="", duration=0.0)

    def close(self) -> None:
        self.engine.close()


def watch(unit: Unit, view: View, model: Model) -> Sight:
    """How `unit` does, with what runs taken for what was deployed."""
    salt = new_salt()
    desired = seal_model(model, salt)
    containers = view.containers.get(model.project, ())
    hashes = {container.service: container.config_hash for container in containers}
    assumed = Record(
        repository="",
        host=unit.host.name,
        stack=unit.stack.path,
        project=model.project,
        commit="",
        salt=salt,
        inputs="",
        complete=True,
        services={
            name: Deployed(sealed=sealed, config_hash=hashes[name])
            for name, sealed in desired.items()
            if name in hashes
        },
    )
    states = observe(
        desired,
        inactive=model.inactive,
        record=assumed,
        containers=containers,
        edited=(),
        engine=view.machine.engine,
    )
    return Sight(
        project=model.project,
        salt=salt,
        desired=desired,
        inactive=model.inactive,
        encrypted=model.encrypted,
        at_rest="",
        record=None,
        states=states,
    )
