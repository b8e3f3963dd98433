"""What a check is, and how it looks on a terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sf.console import WIDTH, Mark, display_width, styled
from sf.report.escape import one_line, visible
from sf.report.terminal import wrapped
from sf.report.wording import clipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sf.models import Problem
    from sf.redact import Redactor

_LONGEST_TEXT: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. ``detail`` says what was found, ``hint`` what to do about it.

    A check that passed may have a hint too: what is only needed for something that was not asked for.
    ``manifests`` (YAML) are for an administrator to apply.
    """

    name: str
    passed: bool
    detail: str
    hint: str = ""
    manifests: str = ""

    def document(self) -> dict[str, Any]:
        """The check as plain JSON values."""
        return asdict(self)


def failed(name: str, problem: Problem) -> Check:
    place = f"{problem.location}: " if problem.location else ""
    return Check(name=name, passed=False, detail=f"{place}{problem.message}", hint=problem.hint)


def presentable(check: Check, redactor: Redactor) -> Check:
    """`check` as it may be shown: without secrets, each text in one line of bearable length."""
    # Cut after scrubbing: the piece of a secret would not be recognised.
    detail, hint = (
        clipped(one_line(redactor.scrub(text)), _LONGEST_TEXT) for text in (check.detail, check.hint)
    )
    return replace(check, detail=detail, hint=hint, manifests=redactor.scrub(check.manifests))


def render(checks: Iterable[Check]) -> str:
    """The checks for a terminal, one below the other, ending in what to make of them."""
    listed = tuple(checks)
    width = max(display_width(check.name) for check in listed)
    lines = [line for check in listed for line in _lines(check, width)]
    failed = sum(not check.passed for check in listed)
    verdict = (
        styled(f"{failed} of {len(listed)} checks failed", Mark.RED, Mark.BOLD)
        if failed
        else styled("everything a run here needs is there", Mark.GREEN, Mark.BOLD)
    )
    # Last and not indented: to be copied as they are.
    manifests = [
        line for check in listed if check.manifests for line in ["", *visible(check.manifests).splitlines()]
    ]
    return "".join(f"{line}\n" for line in [*lines, "", verdict, *manifests])


def _lines(check: Check, width: int) -> Iterator[str]:
    word, color = ("ok", Mark.GREEN) if check.passed else ("failed", Mark.RED)
    if check.passed and check.hint:
        word, color = "note", Mark.YELLOW
    label = styled(f"{word:<6}", color)
    yield f"{label}  {check.name + ' ' * (width - display_width(check.name))}  {check.detail}"
    if check.hint:
        yield from wrapped(f"hint: {check.hint}", WIDTH, " " * 8)
