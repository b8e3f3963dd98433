"""One command of one person or job: everything between the command line and the lifecycle.

Loads (phase load is the caller's of the lifecycle, which is here), tells the progress, has the reports written and
prints one of them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sf.backends import register_builtins
from sf.ci.context import EventKind, Provider, Trust
from sf.ci.detect import detect
from sf.console import Mark, styled
from sf.models import (
    ActionState,
    ActionUpdated,
    Phase,
    PhaseEnded,
    PhaseStarted,
    Problem,
    Record,
    pretty_json,
)
from sf.process import Launcher
from sf.report import markdown, terminal
from sf.report.annotations import annotate
from sf.report.delivery import CIFiles, deliver
from sf.report.scrubbing import scrubbed
from sf.runtime.approval import Approval
from sf.runtime.context import RuntimeContext, detect_invoker
from sf.runtime.errors import LifecycleError
from sf.runtime.phase import run_lifecycle
from sf.tools.git import Git
from sf.workspace import OutputDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sf.ci.context import CIContext
    from sf.config import Config
    from sf.console import Console
    from sf.models import Event
    from sf.redact import Redactor
    from sf.report.forges.api import Forge

# Seconds that a comment may take.
_PATIENCE: Final = 60.0
_HASTE: Final = 3.0
# One byte more than any configuration may have, so that the loader sees that it is too long.
_CONFIG_READ: Final = 1024 * 1024 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every command starts from.

    `hold_signals` lets cleanup finish once it has begun. `on_signal` takes what stops the programs of a run.
    """

    environ: Mapping[str, str]
    redactor: Redactor
    console: Console
    hold_signals: Callable[[], None]
    on_signal: Callable[[Callable[[], None]], None] = lambda _stop: None
    directory: Path = Path()
    config_file: str = ".stagefreight.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Printing:
    """What of a run goes to stdout, and where its files go: `out_dir` is relative to the repository's root."""

    out_dir: Path
    output: str = "text"
    diffs: bool = True


@contextmanager
def _within(phase: Phase) -> Iterator[None]:
    """A `Problem` inside becomes the `LifecycleError` of `phase`, as it does inside of the lifecycle."""
    try:
        yield
    except LifecycleError:
        raise
    except Problem as problem:
        raise LifecycleError(phase, "", problem.message, problem) from problem


def locate(session: Session) -> tuple[Path, CIContext]:
    """The root of the repository around the session's directory, and where this runs."""
    git = Git(Launcher(session.redactor), session.directory.resolve(), session.environ)
    root = git.toplevel()
    return root, detect(session.environ, git=git)


def _read(path: Path, name: str) -> bytes | None:
    """The content of a configuration file; None when there is none."""
    try:
        if not path.exists():
            return None
        if not path.is_file():
            # A pipe or a device may never end.
            raise Problem(f"{name} is not a file", hint="name a file with --config")
        with path.open("rb") as file:
            return file.read(_CONFIG_READ)
    except OSError as error:
        raise Problem(f"{name} cannot be read: {error.strerror}") from error


def load(
    session: Session,
    *,
    dry_run: bool | None = True,
    base: str | None = None,
    head: str | None = None,
    mode: str | None = None,
) -> tuple[Config, RuntimeContext]:
    """The configuration and the context of a run. With `dry_run` None the CI event decides.

    A `mode` is for commands that only look: they need no configuration, but one of another mode is an error.
    Raises `LifecycleError` of phase load.
    """
    from sf.config import load_config  # noqa: PLC0415 - pydantic costs more than a short command

    with _within(Phase.LOAD):
        root, ci = locate(session)
        data = _read(root / session.config_file, session.config_file)
        if data is None and mode is not None:
            data = f"lifecycle: {{mode: {mode}}}\n{mode}: {{}}\n".encode()
        config = load_config(data, path=session.config_file, environ=session.environ)
        if mode is not None and config.mode != mode:
            raise Problem(
                f"this command is for mode {mode}, and this repository has mode {config.mode}",
                hint=f"see `sf {'docker' if mode == 'gitops' else 'gitops'} --help`",
            )
    context = RuntimeContext(
        ci=ci,
        invoker=detect_invoker(ci),
        repo_root=root,
        dry_run=not reconciles(ci) if dry_run is None else dry_run,
        environ=session.environ,
        redactor=session.redactor,
        base=base,
        head=head,
    )
    session.on_signal(context.launcher.cancel)
    return config, context


def reconciles(ci: CIContext) -> bool:
    """Whether `sf run` executes: only for a trusted push to the default branch. Everything else is planned."""
    return ci.event is EventKind.PUSH and ci.on_default_branch and ci.trust is Trust.TRUSTED


def run(session: Session, config: Config, context: RuntimeContext, printing: Printing) -> None:
    """One pass through the lifecycle, told while it runs and reported at its end.

    Raises `LifecycleError`.
    """
    register_builtins()
    out = OutputDirectory(context.repo_root / printing.out_dir)
    with _within(Phase.REPORT):
        out.prepare()
    folder = printing.out_dir.as_posix()
    comment = _comment(session, config, context)
    progress = _Progress(session)

    def warn(warning: str) -> None:
        if warning:
            session.console.note(f"{styled('warning:', Mark.YELLOW)} {warning}")

    def listen(event: Event) -> None:
        progress(event)
        if isinstance(event, PhaseStarted) and event.phase is Phase.EXECUTE:
            begun = Record(
                mode=config.mode,
                backend=config.backend,
                dry_run=False,
                plan=context.plan,
                links=context.links,
            )
            warn(comment(scrubbed(begun, session.redactor)))

    def report(record: Record) -> None:
        clean = scrubbed(record, session.redactor)
        for warning in deliver(clean, out=out, folder=folder, ci=_ci_files(session.environ)):
            warn(warning)
        warn(comment(clean))
        if context.ci.provider is Provider.GITHUB:
            for annotation in annotate(clean):
                session.console.command(annotation.level, annotation.text, annotation.properties)
        _print(session.console, clean, printing)
        session.console.note(f"reports: {_shown(out.path)}")

    run_lifecycle(config, context, events=listen, reporters=[report])


def approval(plan_file: Path | None, change_digest: str) -> Approval | None:
    """What a reviewer approved, as the command line names it; None if it names nothing.

    Raises `LifecycleError` of phase load when the file is no plan, or one that was edited.
    """
    if plan_file is None and not change_digest:
        return None
    from sf.report.reading import read_plan  # noqa: PLC0415 - pydantic costs more than a short command

    try:
        plan = read_plan(plan_file) if plan_file else None
    except Problem as problem:
        raise LifecycleError(Phase.LOAD, "", problem.message, problem) from problem
    return Approval(plan=plan, change_digest=change_digest)


def _comment(session: Session, config: Config, context: RuntimeContext) -> Callable[[Record], str]:
    """What brings the comment of this run's pull request up to date, and returns a warning or nothing."""
    ci = context.ci
    if ci.provider is Provider.LOCAL:
        return lambda _record: ""
    from sf.http import Http  # noqa: PLC0415 - the network and pydantic cost more than a short command
    from sf.report.forges import FORGES  # noqa: PLC0415 - as above
    from sf.report.sticky import StickyComment  # noqa: PLC0415 - as above

    connect = FORGES.get(ci.provider)
    if connect is None or config.report.comment == "off":
        return lambda _record: ""

    def forge() -> Forge:
        # A runner that cancels a job gives it a few seconds, which are needed to clean up.
        patience = _HASTE if context.launcher.is_cancelled else _PATIENCE
        return connect(ci, session.environ, Http(session.redactor), patience)

    return StickyComment(forge=forge, ci=ci, label=config.report.label).show


def _ci_files(environ: Mapping[str, str]) -> CIFiles:
    summary, outputs = (environ.get(name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"))
    return CIFiles(summary=Path(summary) if summary else None, outputs=Path(outputs) if outputs else None)


def _print(console: Console, record: Record, printing: Printing) -> None:
    match printing.output:
        case "json":
            document = record.plan.document() if record.plan and record.dry_run else record.result_document()
            console.data(pretty_json(document).decode())
        case "markdown":
            console.document(markdown.summary(record))
        case _:
            console.document(terminal.render(record, width=console.width, diffs=printing.diffs))


def _shown(path: Path) -> str:
    """`path` as the reader would type it."""
    here = Path.cwd()
    return f"{path.relative_to(here)}/" if path.is_relative_to(here) else f"{path}/"


class _Progress:
    """Tells on stderr what happens, line by line."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, event: Event) -> None:
        match event:
            case PhaseStarted(phase=Phase.CLEANUP):
                self._session.hold_signals()
            case PhaseEnded():
                how = styled("failed", Mark.RED) if event.error else "done"
                self._session.console.note(f"{event.phase.value:<9}{how} in {event.duration:.1f} s")
            case ActionUpdated():
                self._session.console.note(_action_line(event))


def _action_line(event: ActionUpdated) -> str:
    if event.state is not ActionState.ENDED or event.result is None:
        return f"  {event.name}: {event.message or event.state.value}"
    result = event.result
    outcome = result.outcome.value if result.outcome else ""
    mark = Mark.GREEN if result.success else Mark.RED
    return f"  {event.name}: {styled(outcome, mark)} in {result.duration:.1f} s"


def inspect(
    session: Session,
    mode: str,
    describe: Callable[[Config, RuntimeContext], dict[str, Any]],
    *,
    base: str | None = None,
    head: str | None = None,
) -> dict[str, Any]:
    """The document that `describe` makes of the repository, with a run's context around it and cleaned up.

    Raises `LifecycleError` of phase load, or of phase plan, whose beginning this is.
    """
    config, context = load(session, mode=mode, base=base, head=head)
    try:
        with _within(Phase.PLAN):
            return describe(config, context)
    finally:
        session.hold_signals()
        context.workspace.close()


def config_problems(session: Session, file: Path | None) -> list[Problem]:
    """Everything that is wrong with `file`, or else with the configuration of this repository."""
    from sf.config import check_config  # noqa: PLC0415 - pydantic costs more than a short command

    with _within(Phase.LOAD):
        root, name = (locate(session)[0], session.config_file) if file is None else (Path(), str(file))
        data = _read(root / name, name)
    return check_config(data, path=name, environ=session.environ)


def print_again(session: Session, printing: Printing) -> None:
    """Print the record of the last run, as its output directory holds it."""
    from sf.report.reading import read_record  # noqa: PLC0415 - pydantic costs more than a short command

    with _within(Phase.LOAD):
        root, _ = locate(session)
    with _within(Phase.REPORT):
        record = read_record(root / printing.out_dir)
    _print(session.console, record, printing)
