"""Which hosts a plan looks at, and why not at others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sf.ci.context import EventKind, Trust
from sf.models import Finding, Severity

if TYPE_CHECKING:
    from sf.backends.compose.fleet import Fleet
    from sf.backends.compose.inventory import Host
    from sf.backends.compose.live import View
    from sf.backends.compose.outlook import Outlook
    from sf.backends.compose.side import Side
    from sf.ci.context import CIContext

PULL_REQUEST: Final = frozenset(
    {EventKind.PULL_REQUEST, EventKind.PULL_REQUEST_TARGET, EventKind.MERGE_GROUP}
)


class Lookout:
    """Looks at hosts, those without stacks only when `everywhere`. ``blind``: those that could not be seen."""

    def __init__(self, base: Side, head: Side, outlook: Outlook, *, ci: CIContext, everywhere: bool) -> None:
        self._base = base
        self._head = head
        self._outlook = outlook
        self._ci = ci
        self._everywhere = everywhere
        self.blind: set[str] = set()

    def look(self, fleet: Fleet, *, reaches_out: bool) -> dict[str, View]:
        """Views of the hosts that may and can be seen, by name; of the others it is noted why."""
        hosts = self._hosts()
        self.blind = set(hosts)
        if self._ci.trust is Trust.UNTRUSTED:
            self._outlook.note(hosts, "this run is not trusted, so nothing was looked at there")
            return {}
        if not reaches_out:
            distant = {name for name, host in hosts.items() if not host.local and not host.reading_only}
            self._outlook.note(distant, "it is reached over ssh, and `docker.ssh.known_hosts` is not set")
            hosts = {name: host for name, host in hosts.items() if name not in distant}
        hosts = {name: host for name, host in sorted(hosts.items()) if self._same_host(host)}
        fleet.look(hosts.values())
        for name in sorted(set(fleet.failures) & set(hosts)):
            self._outlook.note([name], "its Docker Engine or its deployment records could not be read")
            self._outlook.find("host-unreadable", Severity.WARNING, name, fleet.failures[name])
        views = {name: fleet.view(host) for name, host in hosts.items() if name not in fleet.failures}
        self.blind -= set(views)
        return views

    def _hosts(self) -> dict[str, Host]:
        """Those with stacks, those that just lost one, and all that are said to take part: for what is left."""
        inventory = self._head.inventory.hosts
        names = {unit.host.name for unit in self._head.units.values()}
        names |= {unit.host.name for unit in self._base.units.values()} & set(inventory)
        if self._everywhere:
            names |= self._head.selected
        return {name: inventory[name] for name in sorted(names)}

    def _same_host(self, host: Host) -> bool:
        """Whether a pull request leaves alone where we would look; if not, it is told and not followed."""
        before = self._base.inventory.hosts.get(host.name)
        if self._ci.event not in PULL_REQUEST or before == host:
            return True
        self._outlook.note(
            [host.name], "this change decides how it is reached, so nothing was looked at there"
        )
        if not any(finding.subject == host.name for finding in self._outlook.findings):
            self._outlook.findings.append(
                Finding(
                    code="host-steered",
                    severity=Severity.DANGER,
                    message=f"the change makes {host.name} the machine that sf itself runs on"
                    if host.local
                    else f"the change decides how {host.name} is reached",
                    subject=host.name,
                    hint="merge it only if that is meant: its stacks are then deployed to the runner's engine"
                    if host.local
                    else "merge it only if that is meant: sf then logs in there with the keys of the pipeline",
                )
            )
        return False
