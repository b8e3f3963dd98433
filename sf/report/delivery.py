"""Where reports go: the output directory, and the files through which the CI takes a summary and outputs."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sf import workspace
from sf.report import FORMATS, markdown, outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.models import Record
    from sf.workspace import OutputDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class CIFiles:
    """Files of the CI's runner that are appended to; None where it has none."""

    summary: Path | None = None
    outputs: Path | None = None


def ci_files(environ: Mapping[str, str]) -> CIFiles:
    """The files that a runner of GitHub, Gitea or Forgejo names in its variables."""
    summary, outputs_ = (environ.get(name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"))
    return CIFiles(summary=Path(summary) if summary else None, outputs=Path(outputs_) if outputs_ else None)


def deliver(record: Record, *, out: OutputDirectory, folder: str, ci: CIFiles) -> list[str]:
    """Write every format into `out`, and hand summary and outputs to the CI.

    `record` is scrubbed (`sf.report.scrubbing`). `folder` is what later steps call the directory `out`. Returns
    warnings: what the CI does not take never turns a good run red. Raises `Problem` when `out` cannot be written.
    """
    told = outputs.values(record, folder)
    rendered = {name: render(record) for name, render in FORMATS.items()}
    rendered["sf.env"] = outputs.dotenv(told)
    for name, data in rendered.items():
        if data is not None:
            out.write(name, data)
    for name, data in rendered.items():
        if data is None:
            # The plan of an earlier run must not pass for one of this run.
            (out.path / name).unlink(missing_ok=True)
    warnings = []
    if ci.summary:
        warnings.append(_append(markdown.summary(record), ci.summary, "the job summary"))
    if ci.outputs:
        warnings.append(
            _append(outputs.step_outputs(told, f"sf-{secrets.token_hex(16)}"), ci.outputs, "the outputs")
        )
    return [warning for warning in warnings if warning]


def _append(text: str, path: Path, what: str) -> str:
    try:
        workspace.append_text(path, text)
    except OSError as error:
        return f"{what} could not be written to {path}: {error.strerror or error}"
    return ""
