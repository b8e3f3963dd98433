"""Hosts for people without Ansible: those that the configuration lists, and the docker command's contexts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sf.backends.compose.inventory import (
    ALL,
    FACTS,
    Host,
    Inventory,
    at_address,
    is_name,
    read_host,
    wrong,
)
from sf.models import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.tools.contexts import Context

_GROUPS: Final = "groups"
_KNOWN: Final = FACTS | {_GROUPS}


def state_inventory(stated: Mapping[str, Mapping[str, Any]], source: str) -> Inventory:
    """What the configuration at `source` says itself: the facts of each host, and its ``groups``.

    Raises `Problem` also for a fact that no inventory of ours has: here, it can only be a mistake.
    """
    members: dict[str, set[str]] = {ALL: set(stated)}
    for name, facts in stated.items():
        if unknown := sorted(set(map(str, facts)) - _KNOWN):
            raise Problem(
                f"the host {name} has {unknown[0]}, which means nothing here",
                hint=f"what can be said of a host is {', '.join(sorted(_KNOWN))}",
                location=Location(source),
            )
        groups = facts.get(_GROUPS, [])
        if not isinstance(groups, list) or not all(is_name(group) for group in groups):
            raise wrong(name, _GROUPS, groups, "a list of names", source)
        for group in groups:
            members.setdefault(group, set()).add(name)
    return Inventory(
        hosts={name: read_host(name, facts, source) for name, facts in sorted(stated.items())},
        groups={group: tuple(sorted(names)) for group, names in sorted(members.items())},
        source=source,
    )


def context_inventory(contexts: Mapping[str, Context]) -> Inventory:
    """The hosts that the contexts of the docker command lead to, each under its context's name."""
    hosts: dict[str, Host] = {}
    unusable: dict[str, Problem] = {}
    for name, context in sorted(contexts.items()):
        try:
            hosts[name] = _context_host(context)
        except Problem as problem:
            unusable[name] = problem
    return Inventory(hosts=hosts, groups={ALL: tuple(hosts)}, unusable=unusable)


def _context_host(context: Context) -> Host:
    name = context.name
    if not is_name(name):
        raise Problem(
            f"the docker context {name!r} has a name that could be taken for an option or for shell code",
            hint="use letters, digits, dots, hyphens and underscores",
        )
    if context.address.startswith("unix:///"):
        return Host(name=name, local=True, socket=context.address.removeprefix("unix://"))
    try:
        host = at_address(Host(name=name), context.address)
    except ValueError as error:
        raise Problem(
            f"the docker context {name} leads to {context.address or 'nowhere'}, which is not"
            f" unix:///path/of/the/docker.sock, {error}",
            hint="make it with `docker context create`, in one of these forms",
        ) from error
    if host.engine and not context.certificates:
        raise Problem(
            f"the docker context {name} leads to {context.address} without TLS, and whoever reaches that owns"
            " the machine",
            hint="make it with `docker context create --docker host=…,ca=…,cert=…,key=…`, or reach it over ssh",
        )
    return replace(host, certificates=context.certificates)
