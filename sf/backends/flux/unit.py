"""What an execution is given: the Kustomizations to bring somewhere, and how long that may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sf.backends.flux.kustomization import Kustomization, SourceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One Kustomization, and the ids of the other units that have to be there before it.

    ``definer`` is the unit that has to be applied first, since it brings the Kustomization in its new form, or
    takes it away: then it is to be ``gone``.
    """

    node: Kustomization
    after: frozenset[str] = frozenset()
    definer: str | None = None
    gone: bool = False

    @property
    def source(self) -> SourceRef | None:
        """The source that has to offer the planned commit; None when its content is of another repository."""
        return None if self.node.external or self.gone else self.node.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds for one action and for all together, and how many are worked on at a time.

    ``force``: those are asked as well that are where they should be.
    """

    action: float
    run: float
    concurrency: int
    force: bool = False
