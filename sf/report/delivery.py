"""Where reports go: the output directory, and the job summary of the CI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf import workspace
from sf.report import FORMATS, markdown

if TYPE_CHECKING:
    from pathlib import Path

    from sf.models import Record
    from sf.workspace import OutputDirectory


def deliver(record: Record, *, out: OutputDirectory, summary_path: Path | None) -> list[str]:
    """Write every format into `out` and append the summary to `summary_path`, where the CI shows it.

    `record` is scrubbed (`sf.report.scrubbing`). Returns warnings: a summary that cannot be delivered never turns
    a good run red. Raises `Problem` when `out` cannot be written.
    """
    rendered = {name: render(record) for name, render in FORMATS.items()}
    for name, data in rendered.items():
        if data is not None:
            out.write(name, data)
    for name, data in rendered.items():
        if data is None:
            # The plan of an earlier run must not pass for one of this run.
            (out.path / name).unlink(missing_ok=True)
    return _append(markdown.summary(record), summary_path) if summary_path else []


def _append(summary: str, path: Path) -> list[str]:
    try:
        workspace.append_text(path, summary)
    except OSError as error:
        return [f"the job summary {path} could not be written: {error.strerror or error}"]
    return []
