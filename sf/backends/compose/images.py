"""Whether the tags of what runs mean another image in their registries by now.

The engine of the host asks, since it is the one that would pull.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.models import Cause, Change, Problem, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.backends.compose.live import Sight, View
    from sf.backends.compose.observe import ServiceState
    from sf.tools.docker import Engine

# A reference by digest cannot move, and an id is no reference at all.
_FIXED: Final = ("@", "sha256:")


@dataclass(frozen=True, slots=True)
class Tag:
    """What is known of the image that a service runs. ``moved`` is None when it cannot be known: see ``why``."""

    reference: str
    moved: bool | None
    why: str = ""


def check_tags(view: View) -> dict[tuple[str, str], Tag]:
    """The tag of every (project, service) that sf deployed there, each asked for once."""
    found: dict[tuple[str, str], Tag] = {}
    asked: dict[tuple[str, str], Tag] = {}
    engine = view.machine.engine
    for project in sorted(view.records):
        for container in view.containers.get(project, ()):
            try:
                reference = engine.image_reference(container.id)
            except Problem as problem:
                # It may have gone since it was listed.
                found[project, container.service] = Tag(container.image, None, problem.message)
                continue
            if any(mark in reference for mark in _FIXED):
                continue
            key = (reference, container.image)
            if key not in asked:
                asked[key] = _check(engine, reference, container.image)
            found[project, container.service] = asked[key]
    return found


def with_tags(sight: Sight, tags: Mapping[tuple[str, str], Tag]) -> tuple[Sight, list[str]]:
    """`sight` with what moved, and a sentence for each service of which that is unknown."""
    states = tuple(_state(state, tags.get((sight.project, state.change.name))) for state in sight.states)
    unknown = [
        f"whether the image {tag.reference} of {name} moved is unknown: {tag.why}"
        for name, one in sorted(sight.desired.items())
        if not one.built and (tag := tags.get((sight.project, name))) and tag.moved is None
    ]
    return replace(sight, states=states), unknown


def _check(engine: Engine, reference: str, image: str) -> Tag:
    try:
        local = engine.image_digests(image)
        if not local:
            return Tag(reference, None, "it was not pulled from a registry")
        return Tag(reference, engine.registry_digest(reference) not in local)
    except Problem as problem:
        return Tag(reference, None, problem.message)


def _state(state: ServiceState, tag: Tag | None) -> ServiceState:
    if tag is None or not tag.moved or state.resting or state.change.change is Change.REMOVE:
        return state
    reason = Reason(
        cause=Cause.DRIFT,
        subject=tag.reference,
        message=f"the registry has another image for {tag.reference} now",
    )
    change = replace(state.change, change=Change.CHANGE, reasons=(*state.change.reasons, reason))
    return replace(state, change=change, moved=True, by_hand=False)
