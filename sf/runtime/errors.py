"""The one error that leaves the lifecycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.models import Failure, Problem

if TYPE_CHECKING:
    from sf.models import Phase


class LifecycleError(Problem):
    """A phase failed. Printed as ``plan[flux]: what happened``; the hint and the place are those of the cause."""

    def __init__(
        self, phase: Phase, backend: str, message: str, cause: BaseException | None = None, *, hint: str = ""
    ) -> None:
        problem = cause if isinstance(cause, Problem) else None
        super().__init__(
            message,
            hint=hint or (problem.hint if problem else ""),
            location=problem.location if problem else None,
        )
        self.phase = phase
        self.backend = backend
        self.cause = cause
        #: Problems of later phases (report, cleanup) that came on top.
        self.also: tuple[Problem, ...] = ()

    @property
    def where(self) -> str:
        return f"{self.phase.value}[{self.backend}]" if self.backend else self.phase.value

    @property
    def failure(self) -> Failure:
        """What a document may show of this error."""
        place = f"{self.location}: " if self.location else ""
        return Failure(
            phase=self.phase, backend=self.backend, message=f"{place}{self.message}", hint=self.hint
        )

    def __str__(self) -> str:
        return f"{self.where}: {super().__str__()}"
