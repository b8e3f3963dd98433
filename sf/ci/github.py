"""GitHub Actions, on github.com and on GitHub Enterprise Server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.ci.actions import read_run
from sf.ci.context import Provider
from sf.ci.values import is_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.context import CIContext
    from sf.ci.payload import Payload


def recognises(environ: Mapping[str, str]) -> bool:
    return is_set(environ, "GITHUB_ACTIONS")


def detect(environ: Mapping[str, str], payload: Payload) -> CIContext:
    """The run as ``GITHUB_*`` and the event payload describe it."""
    return read_run(environ, payload, Provider.GITHUB, run=environ.get("GITHUB_RUN_ID", ""))
