"""Gitea Actions and Forgejo Actions. Both also set ``GITHUB_ACTIONS``, so that they are asked before GitHub.

The Forgejo runner sets ``FORGEJO_ACTIONS`` and, for compatibility, ``GITEA_ACTIONS``; the Gitea runner the latter
only.
"""

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
    return is_set(environ, "FORGEJO_ACTIONS") or is_set(environ, "GITEA_ACTIONS")


def detect(environ: Mapping[str, str], payload: Payload) -> CIContext:
    """The run as ``GITHUB_*`` and the event payload describe it."""
    provider = Provider.FORGEJO if is_set(environ, "FORGEJO_ACTIONS") else Provider.GITEA
    # Their web addresses count the runs of a repository; GITHUB_RUN_ID is the id in the database.
    return read_run(environ, payload, provider, run=environ.get("GITHUB_RUN_NUMBER", ""))
