"""The hosts of mode docker: which there are, and which of them are reached over ssh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.backends.compose.run import Run
from sf.doctor.check import Check, failed
from sf.doctor.programs import Use
from sf.models import Problem

if TYPE_CHECKING:
    from sf.doctor.repository import Settings

_NAME = "hosts"


def hosts(settings: Settings) -> tuple[Check, Use]:
    """What the inventory at HEAD says, and what it makes programs needed for."""
    config = settings.config
    if not config.docker.targets.inventory:
        return Check(name=_NAME, passed=True, detail="this machine"), Use(config=config, local=True)
    try:
        _, side = Run(settings.config, settings.context).read_commit("HEAD")
    except Problem as problem:
        return failed(_NAME, problem), Use(config=config)
    known = side.inventory.hosts.values()
    distant = sum(not host.local for host in known)
    use = Use(config=config, distant=distant > 0, local=distant < len(known))
    detail = f"{len(known)} in {config.docker.targets.inventory}, {distant} of them over ssh"
    if distant and not config.docker.ssh.known_hosts:
        return Check(
            name=_NAME,
            passed=False,
            detail=f"{detail}, and no host key is known",
            hint="put what `sf docker trust` prints into a file of the repository, compare it with the keys on the"
            " machines, and name the file at `docker.ssh.known_hosts`",
        ), use
    return Check(name=_NAME, passed=True, detail=detail), use
