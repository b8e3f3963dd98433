"""What of a run people find on their forge: the comment on its change, and the issue about its target's drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.ci.context import EventKind, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sf.ci.context import CIContext
    from sf.config import ReportConfig
    from sf.models import Record
    from sf.redact import Redactor
    from sf.report.forges.api import Forge

# Seconds that all requests for one text may take together.
_PATIENCE: Final = 60.0
_HASTE: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Writes on the forge of `ci` what `config` asks for. `in_haste` tells that the run is being cancelled.

    Both methods take a scrubbed record (`sf.report.scrubbing`) and return a warning, empty when all is well.
    """

    ci: CIContext
    environ: Mapping[str, str]
    redactor: Redactor
    config: ReportConfig
    in_haste: Callable[[], bool] = lambda: False
    note: str = ""

    def comment(self, record: Record) -> str:
        """Bring the comment on the change of this run up to date."""
        if self.config.comment == "off" or not self._has_forge:
            return ""
        from sf.report.sticky import StickyComment  # noqa: PLC0415 - pydantic costs more than a short command

        comment = StickyComment(forge=self.forge, ci=self.ci, label=self.config.label, note=self.note)
        return comment.show(record)

    def issue(self, record: Record) -> str:
        """Bring the issue about drift up to date, after a run on schedule."""
        if not self.config.drift_issue or self.ci.event is not EventKind.SCHEDULE or not self._has_forge:
            return ""
        from sf.report.drift import DriftIssue  # noqa: PLC0415 - pydantic costs more than a short command

        return DriftIssue(forge=self.forge, ci=self.ci, label=self.config.label).show(record)

    def forge(self) -> Forge:
        """The forge, with the credential of this run. Raises `Problem` without one."""
        from sf.http import Http  # noqa: PLC0415 - the network costs more than a short command
        from sf.report.forges import FORGES  # noqa: PLC0415 - as pydantic

        # A runner that cancels a job gives it a few seconds, which are needed to clean up.
        patience = _HASTE if self.in_haste() else _PATIENCE
        return FORGES[self.ci.provider](
            self.ci, self.environ, Http(self.redactor, environ=self.environ), patience
        )

    @property
    def _has_forge(self) -> bool:
        if self.ci.provider is Provider.LOCAL:
            return False
        from sf.report.forges import FORGES  # noqa: PLC0415 - as pydantic

        return self.ci.provider in FORGES
