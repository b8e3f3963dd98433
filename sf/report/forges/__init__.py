"""The forges that sf comments on: one module each, all with the same few operations."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.ci.context import Provider
from sf.report.forges import gitea, github, gitlab

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sf.ci.context import CIContext
    from sf.http import Http
    from sf.report.forges.api import Forge

#: Who runs us -> how to talk to it within so many seconds. Raises `Problem` when there is no credential.
FORGES: Final[Mapping[Provider, Callable[[CIContext, Mapping[str, str], Http, float], Forge]]] = (
    MappingProxyType(
        {
            Provider.GITHUB: github.connect,
            Provider.GITLAB: gitlab.connect,
            Provider.GITEA: gitea.connect,
            Provider.FORGEJO: gitea.connect,
        }
    )
)
