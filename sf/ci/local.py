"""A laptop: no CI describes the run, so that the clone itself has to (see `sf.ci.detect`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.ci.context import CIContext, EventKind, Provider, Trust

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.payload import Payload


def recognises(environ: Mapping[str, str]) -> bool:  # noqa: ARG001 - where no forge was recognised, a person is
    return True


def detect(environ: Mapping[str, str], payload: Payload) -> CIContext:  # noqa: ARG001 - a laptop has none
    """A run by hand. Trusted: whoever starts it could run anything here without sf."""
    return CIContext(
        provider=Provider.LOCAL,
        event=EventKind.MANUAL,
        trust=Trust.TRUSTED,
        actor=environ.get("USER", ""),
    )
