"""A plan that another job made, reported by this one.

A pull request from a fork is planned by a job without any right, which cannot comment. A second job that has the
right (``workflow_run``) takes that plan from an artifact and posts it. Whoever wrote the change may have written
the file: it is checked against its schema and its own digests, shown as hostile text as everything else, and never
decides where it is shown. That follows from the event alone, and from what the forge says about its commit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sf.ci.context import EventKind
from sf.ci.detect import detect
from sf.console import Mark, styled
from sf.models import Phase, Problem, Record
from sf.publication import Publication
from sf.report.delivery import ci_files, deliver
from sf.report.reading import read_plan
from sf.report.scrubbing import scrubbed
from sf.session import locate, print_record, read_config, shown, within
from sf.workspace import OutputDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from sf.ci.context import CIContext
    from sf.config import ReportConfig
    from sf.models import LifecyclePlan
    from sf.session import Printing, Session

_NOTE: Final = (
    "**Made by a run without rights**, which the author of the change may have steered. Nothing is taken from it:"
    " executing makes a plan of its own and compares the digest."
)


def relay(session: Session, plan_file: Path, printing: Printing) -> None:
    """Report the plan in `plan_file` as a run would report its own, with the comment on its pull request.

    Raises `LifecycleError` of phase load when the file is no plan of this repository, of phase report when the
    output directory cannot be written. A comment that cannot be posted is a warning.
    """
    with within(Phase.LOAD):
        root, ci = _here(session)
        config = _config(session, root)
        plan = read_plan(plan_file)
        _require_own(plan, ci)
    upstream = ci.upstream
    run_url = upstream.run_url if upstream else ci.run_url
    record = Record(
        mode=plan.mode,
        backend=plan.backend,
        dry_run=True,
        plan=plan,
        links={"run": run_url} if run_url else {},
    )
    clean = scrubbed(record, session.redactor)
    with within(Phase.REPORT):
        out = OutputDirectory(root / printing.out_dir)
        out.prepare()
        warnings = deliver(clean, out=out, folder=printing.out_dir.as_posix(), ci=ci_files(session.environ))
    publication = Publication(
        ci=ci, environ=session.environ, redactor=session.redactor, config=config, note=_NOTE
    )
    for warning in filter(None, (*warnings, _comment(publication, clean))):
        session.console.note(f"{styled('warning:', Mark.YELLOW)} {warning}")
    print_record(session.console, clean, printing)
    session.console.note(f"reports: {shown(out.path)}")


def _here(session: Session) -> tuple[Path, CIContext]:
    """Where this runs. A job that only reports needs no checkout."""
    try:
        return locate(session)
    except Problem:
        return session.directory.resolve(), detect(session.environ, git=None)


def _config(session: Session, root: Path) -> ReportConfig:
    from sf.config import ReportConfig, load_config  # noqa: PLC0415 - pydantic costs more than a short command

    data = read_config(root, session.config_file)
    if data is None:
        return ReportConfig()
    return load_config(data, path=session.config_file, environ=session.environ).report


def _require_own(plan: LifecyclePlan, ci: CIContext) -> None:
    """A plan of another repository has nothing to say here."""
    if ci.repository and plan.repository != ci.repository:
        raise Problem(
            f"the plan is of the repository {plan.repository!r}, and this is {ci.repository!r}",
            hint="take the artifact of a run of this repository",
        )


def _comment(publication: Publication, record: Record) -> str:
    """Comment on the one pull request that this event is about. Returns a warning, or nothing."""
    ci = publication.ci
    upstream = ci.upstream
    if upstream is None or publication.config.comment == "off":
        return publication.comment(record)
    if upstream.event is not EventKind.PULL_REQUEST:
        return (
            f"there is no comment: the run before was not about a pull request, but a {upstream.event.value}"
        )
    try:
        changes = publication.forge().changes_at(ci.head_commit)
    except Problem as problem:
        return f"there is no comment: {problem}. The reports have everything"
    if len(changes) != 1:
        found = "no open pull request ends" if not changes else f"{len(changes)} open pull requests end"
        return f"there is no comment: {found} with commit {ci.head_commit[:12]}, which was planned"
    # Of two runs of that workflow the later one counts, in whatever order they are reported.
    about = replace(ci, change_number=changes[0], run_id=upstream.run_id, run_attempt=upstream.run_attempt)
    return replace(publication, ci=about).comment(record)
