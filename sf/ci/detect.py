"""Finds out where a run happens. A further forge is one more module and its name in `FORGES`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, Protocol

from sf.ci import gitea, github, gitlab, local, neutral
from sf.ci.context import Provider
from sf.ci.payload import read_payload
from sf.ci.values import repository_address, repository_identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.ci.context import CIContext
    from sf.ci.payload import Payload
    from sf.tools.git import Git


class Forge(Protocol):
    """What a module has to offer to be one of the `FORGES`."""

    def recognises(self, environ: Mapping[str, str]) -> bool:
        """Whether this forge runs us."""

    def detect(self, environ: Mapping[str, str], payload: Payload) -> CIContext:
        """The run as this forge describes it."""


# The first one that recognises its environment is taken. Gitea and Forgejo also look like GitHub; the last two
# take what is left.
FORGES: Final[tuple[Forge, ...]] = (gitea, github, gitlab, neutral, local)


def detect(environ: Mapping[str, str], *, git: Git | None) -> CIContext:
    """The run that `environ` describes, completed by what the clone knows.

    Without `git` (nothing is checked out) such facts stay empty. Raises a `Problem` for a description that cannot
    be read: a broken payload, a commit id that is none.
    """
    forge = next(forge for forge in FORGES if forge.recognises(environ))
    context = neutral.apply(forge.detect(environ, read_payload(environ)), environ)
    if git is not None:
        context = _complete(context, git)
    return dataclasses.replace(context, head_commit=context.head_commit or context.commit)


def _complete(context: CIContext, git: Git) -> CIContext:
    """`context` with what it leaves open taken from the clone."""
    remote = "" if context.repository else git.remote_url()
    is_described = context.provider not in (Provider.LOCAL, Provider.GENERIC)
    branch = context.branch or ("" if is_described or context.tag else git.current_branch())
    return dataclasses.replace(
        context,
        branch=branch,
        commit=context.commit or git.head(),
        default_branch=context.default_branch or git.default_branch(),
        repository_url=context.repository_url or repository_address(remote),
        repository=context.repository or repository_identity(remote),
        workspace=context.workspace or str(git.toplevel()),
    )
