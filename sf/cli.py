"""The command line: reads the environment once, runs one command, ends the process.

Nothing below this module reads ``os.environ`` or exits. What is heavy is imported by the commands that need it, so
that help and completion stay quick.
"""

from __future__ import annotations

import gc
import io
import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TextIO
from urllib.parse import unquote

import click

from sf import __version__
from sf.console import WIDTH, Console, Mark, styled
from sf.models import Interrupted, Phase, Problem, pretty_json
from sf.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from sf.session import Session

EXIT_BUG: Final = 1
EXIT_PHASES: Final = {phase: 10 + number for number, phase in enumerate(Phase)}
EXIT_CHANGES: Final = 20
_EXIT_SIGNAL: Final = 128
_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000

# Variables whose whole value is a credential, whoever set them. Others are recognised by how their name ends.
_SECRET_NAMES: Final = frozenset(
    {"STAGEFREIGHT_OIDC", "SF_FINGERPRINT_KEY", "SSH_PRIVATE_KEY", "SOPS_AGE_KEY"}
)
_SECRET_ENDINGS: Final = (
    "_TOKEN",
    "_PASSWORD",
    "_SECRET",
    "_SECRET_KEY",
    "_ACCESS_KEY",
    "_PRIVATE_KEY",
    "_API_KEY",
    "_SSH_KEY",
)
# By its name alone a short value may be a word like "none"; hiding that would hide every "none".
_SHORTEST_GUESS: Final = 8


class Signals:
    """Turns the first signal into an exception in the main thread, except while the run cleans up.

    GitHub sends INT, then TERM after 7.5 s (actions/runner, ProcessInvoker.cs); cleanup must not be cut short by
    the second one.
    """

    def __init__(self) -> None:
        self._received = 0
        self._held = False
        self._tell: Callable[[], None] = lambda: None
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._receive)

    def hold(self) -> None:
        """From now on a signal is only remembered."""
        self._held = True

    def also(self, tell: Callable[[], None]) -> None:
        """Have the first signal call `tell` too.

        Python drops an exception that a handler raises while some ``__del__`` runs; what `tell` did remains.
        """
        self._tell = tell

    def _receive(self, signum: int, _frame: FrameType | None) -> None:
        first = not self._received
        self._received = self._received or signum
        if first and not self._held:
            self._tell()
            raise Interrupted(signum)

    @property
    def received(self) -> int:
        return self._received


class _Through(io.StringIO):
    """A stream for click's own words: help and usage go through the console as everything else."""

    def __init__(self, put: Callable[[str], None]) -> None:
        super().__init__()
        self._put = put

    def write(self, text: str) -> int:
        # click finds out what kind of stream this is by writing nothing: as bytes, which fails, and as text.
        if text != "":
            self._put(text)
        return len(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The outside of the process, as it was when it started, and the options that every command has."""

    environ: Mapping[str, str]
    redactor: Redactor
    console: Console
    signals: Signals
    directory: Path = Path()
    config_file: str = ".stagefreight.yml"

    def session(self) -> Session:
        from sf.session import Session  # noqa: PLC0415 - start-up time

        return Session(
            environ=self.environ,
            redactor=self.redactor,
            console=self.console,
            hold_signals=self.signals.hold,
            on_signal=self.signals.also,
            directory=self.directory,
            config_file=self.config_file,
        )


def main() -> NoReturn:
    """Run the command that the arguments name and end the process."""
    # What a run makes lives to its end. To look for cycles among it every few hundred objects costs a tenth.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    environ = dict(os.environ)  # noqa: TID251 - the one place that reads it
    redactor = Redactor()
    for value in _secrets(environ):
        redactor.register(value)
    in_ci = any(environ.get(name) for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI"))
    console = Console(
        sys.stdout,
        sys.stderr,
        redactor,
        color=_wants_color(environ),
        in_ci=in_ci,
        is_live=not in_ci and _is_terminal(sys.stderr, environ),
        width=shutil.get_terminal_size((WIDTH, 24)).columns,
    )
    sys.stdout = _Through(console.document)
    edge = Edge(environ=environ, redactor=redactor, console=console, signals=Signals())
    code = _exit_code(edge)
    # A document that was asked for and did not arrive is a failed report; the files of a run did arrive.
    if console.lost and code == 0:
        console.note(
            f"{styled('error:', Mark.RED, Mark.BOLD)} report: {console.lost}; the output is incomplete"
        )
        code = EXIT_PHASES[Phase.REPORT]
    sys.exit(code)


def _exit_code(edge: Edge) -> int:
    console = edge.console
    try:
        code = cli.main(prog_name="sf", standalone_mode=False, obj=edge) or 0
    except click.ClickException as error:
        error.show(_Through(console.note))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _EXIT_SIGNAL + signal.SIGINT
    except Interrupted as stop:
        console.note(f"stopped by {signal.Signals(stop.signum).name}")
        return _EXIT_SIGNAL + stop.signum
    except Problem as problem:
        code = _told(console, problem)
    except Exception:  # noqa: BLE001 - the last line of defence: a bug is reported as one
        _report_bug(console)
        return EXIT_BUG
    return _EXIT_SIGNAL + edge.signals.received if edge.signals.received else int(code)


def _told(console: Console, problem: Problem) -> int:
    """Print `problem` with what came on top of it; the exit code of its phase. One without a phase is load's."""
    console.problem(problem)
    for more in getattr(problem, "also", ()):
        console.problem(more)
    return EXIT_PHASES[getattr(problem, "phase", Phase.LOAD)]


def _report_bug(console: Console) -> None:
    import traceback  # noqa: PLC0415 - only needed here

    console.note(traceback.format_exc())
    console.note(
        f"{styled('error:', Mark.RED, Mark.BOLD)} this is a bug in sf {__version__} on Python "
        f"{sys.version.split()[0]}; please report it with the lines above"
    )


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        upper = name.upper()
        if upper.endswith("_PROXY"):
            yield from _proxy_credentials(value)
        if upper in _SECRET_NAMES or (upper.endswith(_SECRET_ENDINGS) and len(value) >= _SHORTEST_GUESS):
            yield value


def _proxy_credentials(value: str) -> Iterator[str]:
    """What of `value`, the address of a proxy, logs in there: as it is written and as the proxy gets it."""
    before_host = value.rpartition("@")[0].rpartition("//")[2]
    user, _, password = before_host.partition(":")
    # A user without a password is a token; one with a password is a name, which may well be a word of the report.
    secret = password or user
    yield secret
    yield unquote(secret)


def _wants_color(environ: Mapping[str, str]) -> bool:
    """NO_COLOR and FORCE_COLOR as no-color.org and force-color.org define them, else whether a person looks on."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or _is_terminal(sys.stdout, environ)


def _is_terminal(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    return stream is not None and stream.isatty() and environ.get("TERM") != "dumb"


class _Commit(click.ParamType[str]):
    """Whatever names a commit. An empty name comes from a variable that is not set, and would mean HEAD."""

    name = "commit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name of the commit is empty", param, ctx)
        return value


class _Place(click.Path):
    """A path that has to be said: an empty one comes from a variable that is not set, and would mean ``.``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="sf %(version)s")
@click.option(
    "-C",
    "--directory",
    type=_Place(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Work on the repository of this folder instead of the current one.",
)
@click.option(
    "--config",
    "config_file",
    type=_Place(path_type=str),
    metavar="FILE",
    default=".stagefreight.yml",
    show_default=True,
    help="The configuration file, relative to the root of the repository.",
)
@click.pass_context
def cli(context: click.Context, directory: Path, config_file: str) -> None:
    """Plan, review and prove what a Git repository of infrastructure changes.

    sf reads .stagefreight.yml in the root of the repository. `sf plan` says what the current change would do,
    without doing anything; `sf reconcile` does it.
    """
    context.obj = replace(context.obj, directory=directory, config_file=config_file)


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_base = click.option(
    "--base", type=_Commit(), help="Compare with this commit or branch, instead of what the event names."
)
_head = click.option(
    "--head", type=_Commit(), help="Look at this commit or branch, instead of what is checked out."
)
_compared = _options(_base, _head)
_out_dir = click.option(
    "--out-dir",
    type=_Place(path_type=Path),
    default=Path("sf-out"),
    show_default=True,
    help="Where plan.json, result.json and the reports are written, relative to the root of the repository.",
)


def _output(*formats: str) -> Callable[[Any], Any]:
    return click.option(
        "--output",
        "output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="The format of what is printed.",
    )


_run_options = _options(
    _compared,
    _out_dir,
    _output("text", "json", "markdown"),
    click.option("--diffs/--no-diffs", default=True, help="Print the differences of objects in full."),
    click.option("--detailed-exitcode", is_flag=True, help="Exit with 20 when there are changes."),
)


def _digest(_context: click.Context, _option: click.Parameter, value: str) -> str:
    digest = value.strip().lower()
    if value and not re.fullmatch("[0-9a-f]{64}", digest):
        raise click.BadParameter("it has to be the 64 hexadecimal digits that `sf plan` prints")
    return digest


@cli.command()
@_run_options
@click.pass_obj
def plan(edge: Edge, /, **options: Any) -> int:
    """Say what the current change would do. Nothing is touched."""
    return _lifecycle(edge, dry_run=True, **options)


@cli.command()
@_run_options
@click.option("--dry-run", is_flag=True, help="Stop after planning.")
@click.option(
    "--plan",
    "plan_file",
    type=_Place(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Refuse unless this run plans exactly what the plan.json in FILE says. Nothing is taken from it.",
)
@click.option(
    "--change-digest",
    default="",
    callback=_digest,
    metavar="SHA256",
    help="Refuse unless the change has this digest, which the plan of its pull request told.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Reconcile every Kustomization, not only those that the change affects (mode gitops).",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAMESPACE/NAME",
    help="Reconcile this Kustomization and nothing else (mode gitops). Can be repeated.",
)
@click.option(
    "--force", is_flag=True, help="Confirm what the configuration wants confirmed: pruning orphaned stacks."
)
@click.pass_obj
def reconcile(edge: Edge, /, *, dry_run: bool, **options: Any) -> int:
    """Plan, then do what the plan says."""
    if options["everything"] and options["only"]:
        raise click.UsageError("--all and --only exclude each other")
    return _lifecycle(edge, dry_run=dry_run, **options)


@cli.command()
@_run_options
@click.pass_obj
def run(edge: Edge, /, **options: Any) -> int:
    """Plan or reconcile, whichever the CI event asks for.

    A push to the default branch reconciles. A pull or merge request, a schedule and everything else plans.
    """
    return _lifecycle(edge, dry_run=None, **options)


def _lifecycle(
    edge: Edge,
    *,
    dry_run: bool | None,
    base: str | None,
    head: str | None,
    out_dir: Path,
    output: str,
    diffs: bool,
    detailed_exitcode: bool,
    plan_file: Path | None = None,
    change_digest: str = "",
    everything: bool = False,
    only: tuple[str, ...] = (),
    force: bool = False,
) -> int:
    from sf import cleanup as leftovers  # noqa: PLC0415 - start-up time
    from sf import session as sessions  # noqa: PLC0415 - start-up time

    leftovers.remember(edge.environ)
    session = edge.session()
    config, context = sessions.load(session, dry_run=dry_run, base=base, head=head)
    context.force = force
    context.approval = sessions.approval(plan_file, change_digest)
    sessions.select(config, context, everything=everything, only=only)
    sessions.run(session, config, context, sessions.Printing(out_dir=out_dir, output=output, diffs=diffs))
    changed = context.plan is not None and context.plan.has_changes
    return EXIT_CHANGES if detailed_exitcode and changed else 0


@cli.command()
@_out_dir
@_output("text", "json", "markdown")
@click.option(
    "--plan",
    "plan_file",
    type=_Place(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Report the plan.json in FILE, which a job without rights made, and comment on its pull request.",
)
@click.pass_obj
def report(edge: Edge, out_dir: Path, output: str, plan_file: Path | None) -> None:
    """Print the report of the last run again.

    It is read from the output directory of that run. With --plan, a plan of another job is reported as if it had
    been made here; nothing in it is believed.
    """
    from sf import session as sessions  # noqa: PLC0415 - start-up time

    printing = sessions.Printing(out_dir=out_dir, output=output)
    if plan_file is None:
        sessions.print_again(edge.session(), printing)
    else:
        from sf.relay import relay  # noqa: PLC0415 - start-up time

        relay(edge.session(), plan_file, printing)


@cli.command()
@click.pass_obj
def cleanup(edge: Edge) -> None:
    """Remove what a killed run left behind. Safe to repeat, and while other runs are alive.

    Also stops the container that the run of this job lives in, if a runner has lost it.
    """
    from sf import cleanup as leftovers  # noqa: PLC0415 - start-up time

    gone = 0
    for line in leftovers.clean(edge.environ, edge.redactor):
        edge.console.note(line)
        gone += 1
    edge.console.note(f"{gone} leftovers removed" if gone else "nothing was left behind")


@cli.command()
@_output("text", "json")
@click.pass_obj
def doctor(edge: Edge, output: str) -> int:
    """Check whether everything is here that a run needs.

    Looks at programs, credentials, the Docker Engine and the cluster, and says what to fix.
    """
    from sf import doctor as checks  # noqa: PLC0415 - start-up time

    found = checks.examine(edge.session())
    if output == "json":
        edge.console.data(pretty_json([check.document() for check in found]).decode())
    else:
        edge.console.document(checks.render(found))
    return 0 if all(check.passed for check in found) else EXIT_PHASES[Phase.VALIDATE]


@cli.group()
def gitops() -> None:
    """Look at the Flux Kustomizations of the repository."""


@gitops.command("inspect")
@_head
@_output("text", "json", "mermaid")
@click.pass_obj
def gitops_inspect(edge: Edge, head: str | None, output: str) -> None:
    """Print every Kustomization as Flux would find it."""
    from sf.backends.flux.inspection import graph_document  # noqa: PLC0415 - start-up time

    _inspected(edge, "gitops", graph_document, output, head=head)


@gitops.command("impact")
@_compared
@_output("text", "json", "mermaid")
@click.pass_obj
def gitops_impact(edge: Edge, base: str | None, head: str | None, output: str) -> None:
    """Print which Kustomizations the change affects.

    They stand in the order in which they reconcile.
    """
    from sf.backends.flux.inspection import impact_document  # noqa: PLC0415 - start-up time

    _inspected(edge, "gitops", impact_document, output, base=base, head=head)


@cli.group()
def docker() -> None:
    """Look at the compose stacks of the repository."""


@docker.command("trust")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.pass_obj
def docker_trust(edge: Edge, hosts: tuple[str, ...]) -> None:
    """Print the keys that hosts show, for `docker.ssh.known_hosts`.

    Without a HOST those of all that are reached over ssh. Anybody in between could show keys of his own: compare
    them with those on the machines before you commit them.
    """
    from sf import session as sessions  # noqa: PLC0415 - start-up time
    from sf.backends.compose.run import Run  # noqa: PLC0415 - start-up time

    document = sessions.inspect(
        edge.session(), "docker", lambda config, context: {"lines": Run(config, context).trust(hosts)}
    )
    edge.console.document(document["lines"])
    edge.console.note("compare these keys with those on the machines before you commit them")


@docker.command("adopt")
@click.argument("stacks", nargs=-1, required=True, metavar="HOST/STACK...")
@click.pass_obj
def docker_adopt(edge: Edge, stacks: tuple[str, ...]) -> None:
    """Take over stacks that another repository deployed.

    Writes this repository's name into their records on the hosts and prints what it wrote. Nothing that runs is
    touched: the next run deploys them from here.
    """
    from sf import session as sessions  # noqa: PLC0415 - start-up time
    from sf.backends.compose.adoption import adopt  # noqa: PLC0415 - start-up time

    document = sessions.inspect(
        edge.session(), "docker", lambda config, context: adopt(config, context, stacks)
    )
    edge.console.document("".join(f"{line}\n" for line in document["lines"]))


@docker.command("inspect")
@_head
@_output("text", "json")
@click.pass_obj
def docker_inspect(edge: Edge, head: str | None, output: str) -> None:
    """Print every host with its stacks and services."""
    from sf.backends.compose.inspection import estate_document  # noqa: PLC0415 - start-up time

    _inspected(edge, "docker", estate_document, output, head=head)


def _inspected(
    edge: Edge, mode: str, describe: Callable[..., Any], output: str, **revisions: str | None
) -> None:
    """Print what `describe` says about the repository, in the format asked for."""
    from sf import session as sessions  # noqa: PLC0415 - start-up time
    from sf.report import drawing  # noqa: PLC0415 - start-up time

    session = edge.session()
    document = sessions.inspect(session, mode, describe, **revisions)
    if output == "json":
        edge.console.data(pretty_json(document).decode())
    else:
        edge.console.document(drawing.draw(document, output, width=edge.console.width))


@cli.group()
def config() -> None:
    """Look at the configuration file."""


@config.command("schema")
@click.pass_obj
def config_schema(edge: Edge) -> None:
    """Print the JSON Schema of .stagefreight.yml, for editors."""
    from sf.config import json_schema  # noqa: PLC0415 - start-up time

    edge.console.data(pretty_json(json_schema()).decode())


@config.command("validate")
@click.argument("file", required=False, type=_Place(path_type=Path))
@click.pass_obj
def config_validate(edge: Edge, file: Path | None) -> int:
    """Check the configuration file.

    Names everything that is wrong with FILE, or else with the configuration of this repository.
    """
    from sf import session as sessions  # noqa: PLC0415 - start-up time

    problems = sessions.config_problems(edge.session(), file)
    for problem in problems:
        edge.console.problem(problem)
    if not problems:
        edge.console.document("the configuration is valid")
    return EXIT_PHASES[Phase.LOAD] if problems else 0
