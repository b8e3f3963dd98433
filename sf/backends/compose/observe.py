"""What runs of a stack, service by service, against what is to run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from sf.models import Cause, Change, ObjectChange, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sf.backends.compose.record import Deployed, Record, Sealed
    from sf.tools.docker import Container, Engine

# Restart policies under which a container that did its work and ended may stay ended.
_MAY_END: Final = frozenset({"no", "on-failure"})


class Condition(StrEnum):
    """How a container does. ``resting``: a person stopped it, and it is left alone."""

    FINE = "fine"
    STARTING = "starting"
    RESTING = "resting"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Health:
    """The condition of a container, with a word for the state and a sentence when it is not fine."""

    condition: Condition
    state: str
    message: str = ""


_RUNNING: Final = {
    "unhealthy": Health(Condition.BROKEN, "unhealthy", "it is unhealthy"),
    "starting": Health(Condition.STARTING, "starting", "its health is not known yet"),
}
_AT_REST: Final = {
    "paused": Health(Condition.RESTING, "paused", "somebody paused it: it stays paused"),
    "created": Health(Condition.BROKEN, "created", "it was created and never started"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """What was seen of one service and what bringing the stack up would do to it.

    ``edited``: a file it reads was changed on the host, so that its containers have to be made anew. ``by_hand``:
    there is something to do only because somebody changed the service on the host. ``moved``: the registry has
    another image under the same tag.
    """

    change: ObjectChange
    resting: bool = False
    edited: bool = False
    by_hand: bool = False
    moved: bool = False
    state: str = ""


def examine(container: Container, engine: Engine) -> Health:
    """How `container` does. Only one that is not simply running costs a second request."""
    state = container.state
    if state == "running":
        return _RUNNING.get(container.health, Health(Condition.FINE, container.health or state))
    if state == "restarting":
        code = engine.history(container.id).exit_code
        # It may have been started again since it was listed, and then the code says nothing.
        how = f" (exit code {code})" if code else ""
        return Health(Condition.BROKEN, state, f"it restarts in a loop{how}")
    return _AT_REST.get(state) or _examine_ended(container, engine)


def observe(
    desired: Mapping[str, Sealed],
    *,
    inactive: Sequence[str],
    record: Record | None,
    containers: Sequence[Container],
    edited: Sequence[str],
    engine: Engine,
) -> tuple[ServiceState, ...]:
    """The state of every service that is to run, or runs. `edited` are managed files changed on the host."""
    running: dict[str, list[Container]] = {}
    for container in containers:
        running.setdefault(container.service, []).append(container)
    deployed = record.services if record else {}
    states = []
    for name in sorted({*desired, *(name for name in running if name not in inactive)}):
        mine = running.get(name, [])
        healths = [examine(container, engine) for container in mine]
        if name in desired:
            states.append(_wanted(name, desired[name], deployed.get(name), mine, healths, edited))
        else:
            reason = Reason(cause=Cause.ORPHAN, message="it runs and is not part of the stack", subject=name)
            states.append(ServiceState(change=_change(Change.REMOVE, name, [reason])))
    return tuple(states)


def _wanted(  # noqa: PLR0917 - everything that is known of one service
    name: str,
    desired: Sealed,
    deployed: Deployed | None,
    containers: Sequence[Container],
    healths: Sequence[Health],
    edited: Sequence[str],
) -> ServiceState:
    if not containers and (desired.replicas or deployed is None):
        reason = _drift("it has no container") if deployed else _git("it was never deployed here")
        return ServiceState(change=_change(Change.ADD, name, [reason]))
    of_files = list(_edited(desired, edited))
    by_hand = [*_tampered(deployed, containers), *of_files]
    reasons = [*_outdated(desired, deployed), *by_hand]
    reasons += [_drift(health.message) for health in healths if health.condition is Condition.BROKEN]
    if len(containers) != desired.replicas:
        reasons.append(_drift(f"{len(containers)} of {desired.replicas} containers are there"))
    resting = bool(healths) and all(health.condition is Condition.RESTING for health in healths)
    change = Change.CHANGE if reasons else Change.UNCHANGED
    if resting:
        reasons.append(_drift(healths[0].message))
    return ServiceState(
        change=_change(change, name, reasons),
        resting=resting and change is Change.UNCHANGED,
        edited=bool(of_files),
        by_hand=bool(by_hand) and len(by_hand) == len(reasons),
        state=", ".join(sorted({health.state for health in healths})),
    )


def _outdated(desired: Sealed, deployed: Deployed | None) -> Iterator[Reason]:
    """Why what was deployed is not what is to run."""
    if deployed is None:
        yield _git("it runs, and sf has no record of having deployed it")
        return
    for what, new, old in (
        ("{} is not the deployed value", desired.fields, deployed.sealed.fields),
        ("the content of {} is not the deployed one", desired.files, deployed.sealed.files),
        ("the content of the {} is not the deployed one", desired.inline, deployed.sealed.inline),
    ):
        for subject in sorted(key for key in {*new, *old} if new.get(key) != old.get(key)):
            yield Reason(cause=Cause.GIT, message=what.format(subject), subject=subject)


def _tampered(deployed: Deployed | None, containers: Sequence[Container]) -> Iterator[Reason]:
    """Compose wrote its hash into the record and into the label: the same compose, or somebody came in between."""
    if deployed and any(container.config_hash != deployed.config_hash for container in containers):
        yield _drift("its container is not the one that the last deployment made")


def _edited(desired: Sealed, edited: Sequence[str]) -> Iterator[Reason]:
    for name in edited:
        if name in desired.files:
            yield Reason(cause=Cause.DRIFT, message=f"{name} was changed on the host", subject=name)


def _examine_ended(container: Container, engine: Engine) -> Health:
    ended = engine.history(container.id)
    failed = f"it is not running (exit code {ended.exit_code})"
    if ended.error:
        return Health(Condition.BROKEN, "failed", f"it could not be started: {ended.error}")
    if container.state == "exited" and ended.restart_policy in _MAY_END:
        if ended.exit_code == 0:
            return Health(Condition.FINE, "completed")
        if engine.last_order(container.id) == "stop":
            return Health(Condition.RESTING, "stopped", "somebody stopped it: it stays stopped")
    # The engine starts such a container again unless it was told to stop or kill it; it forgets orders quickly,
    # and then a person's stop is what is left as the cause.
    if ended.restart_policy == "unless-stopped" and engine.last_order(container.id) != "kill":
        return Health(Condition.RESTING, "stopped", "somebody stopped it: it stays stopped")
    return Health(Condition.BROKEN, "exited", failed)


def _change(change: Change, name: str, reasons: Sequence[Reason]) -> ObjectChange:
    return ObjectChange(change=change, kind="service", name=name, reasons=tuple(reasons))


def _drift(message: str) -> Reason:
    return Reason(cause=Cause.DRIFT, message=message)


def _git(message: str) -> Reason:
    return Reason(cause=Cause.GIT, message=message)
