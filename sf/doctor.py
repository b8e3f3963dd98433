"""What `sf doctor` finds: whether a run would have here what it needs.

Nothing that is missing, broken or hanging keeps the rest from being examined. Programs are only asked for their
version, in an empty home and folder, so that neither the user's nor the repository's settings are read.
"""

from __future__ import annotations

import base64
import binascii
import os
import platform
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sf import session as sessions
from sf.cache import cache_folder
from sf.changes.masking import KEY_VARIABLE, Fingerprints
from sf.ci.context import Provider
from sf.ci.detect import detect
from sf.console import WIDTH, Mark, display_width, styled
from sf.http import Http, Unreachable
from sf.models import Problem
from sf.process import Launcher, find, inherited
from sf.report.escape import one_line
from sf.report.terminal import wrapped
from sf.report.wording import clipped
from sf.tools import ansible, compose, flux, kustomize
from sf.tools.docker import engine_socket
from sf.tools.git import OLDEST_MERGE_TREE, Git
from sf.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sf.ci.context import CIContext
    from sf.config import ClusterConfig, Config
    from sf.redact import Redactor
    from sf.session import Session

# Seconds. Most programs answer at once; those in Python have to be compiled the first time.
PROGRAM_TIMEOUT: Final = 10.0
CLUSTER_TIMEOUT: Final = 5.0
_ANSWER_LIMIT: Final = 64 * 1024
_LONGEST_TEXT: Final = 300
_OUT_DIR: Final = "sf-out"
_VERSION: Final = re.compile(r"(?<![\d.])(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")
# How programs written in Go call a build that was not made from a release.
_UNRELEASED: Final = frozenset({"(devel)", "devel", "(unknown)", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. ``detail`` says what was found, ``hint`` what to do about it.

    A check that passed may have a hint too: what is only needed for something that was not asked for.
    """

    name: str
    passed: bool
    detail: str
    hint: str = ""

    def document(self) -> dict[str, Any]:
        """The check as plain JSON values."""
        return asdict(self)


def _always(config: Config | None) -> bool:  # noqa: ARG001 - one of the answers to the same question
    return True


def _never(config: Config | None) -> bool:  # noqa: ARG001 - one of the answers to the same question
    return False


def _for_gitops(config: Config | None) -> bool:
    return config is not None and config.mode == "gitops"


def _for_docker(config: Config | None) -> bool:
    return config is not None and config.mode == "docker"


def _for_an_inventory(config: Config | None) -> bool:
    return config is not None and _for_docker(config) and bool(config.docker.targets.inventory)


def _for_this_machine(config: Config | None) -> bool:
    return config is not None and _for_docker(config) and config.docker.targets.is_local


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that sf can use: how it is asked for its version, and whether a run with this configuration
    cannot do without it. ``oldest`` is the first usable release, empty where any is; ``remedy`` is what to do
    when it does not work, where that is not to install it.
    """

    name: str
    ask: tuple[str, ...]
    needed: Callable[[Config | None], bool]
    purpose: str
    oldest: tuple[int, ...] = ()
    remedy: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


PROGRAMS: Final = (
    Program(
        name="git",
        ask=("git", "--version"),
        needed=_always,
        purpose="to read the repository",
        oldest=OLDEST_MERGE_TREE,
    ),
    Program(
        name=kustomize.PROGRAM,
        ask=(kustomize.PROGRAM, "version"),
        needed=_for_gitops,
        purpose="to render Kustomizations",
        oldest=kustomize.OLDEST,
    ),
    Program(
        name=flux.PROGRAM,
        ask=(flux.PROGRAM, "--version"),
        needed=_never,
        purpose="for substitutions such as `${x^^}`",
    ),
    Program(
        name="kubectl",
        ask=("kubectl", "version", "--client"),
        needed=_never,
        purpose="to look at the cluster by hand",
    ),
    Program(name="docker", ask=("docker", "--version"), needed=_for_docker, purpose="to deploy stacks"),
    Program(
        name="docker compose",
        ask=("docker", "compose", "version", "--short"),
        needed=_for_docker,
        purpose="to resolve and deploy stacks",
        oldest=compose.OLDEST,
    ),
    Program(
        name=ansible.PROGRAM,
        ask=(ansible.PROGRAM, "--version"),
        needed=_for_an_inventory,
        purpose="to read the inventory of hosts",
    ),
    Program(
        name="sops",
        ask=("sops", "--version"),
        needed=_never,
        purpose="to decrypt files",
        # It would ask the network for its newest release.
        environ=MappingProxyType({"SOPS_DISABLE_VERSION_CHECK": "true"}),
    ),
    Program(name="age", ask=("age", "--version"), needed=_never, purpose="to make keys for sops"),
    Program(name="ssh", ask=("ssh", "-V"), needed=_never, purpose="to reach other hosts"),
)
_ENGINE: Final = Program(
    name="docker engine",
    ask=("docker", "version", "--format", "{{.Server.Version}}"),
    needed=_for_this_machine,
    purpose="for stacks of this machine",
    remedy="start it, let this user use its socket, or set DOCKER_HOST=unix:///path/of/the/docker.sock",
)

# Variable -> whether a run with this configuration would use it.
_CREDENTIALS: Final[Mapping[str, Callable[[Config | None], bool]]] = MappingProxyType(
    {
        "STAGEFREIGHT_OIDC": _for_gitops,
        "SSH_PRIVATE_KEY": _for_docker,
        "SOPS_AGE_KEY": _for_docker,
        "SOPS_AGE_KEY_FILE": _for_docker,
        KEY_VARIABLE: _always,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What a program said of its version, or what is wrong. ``path`` is empty when it is missing."""

    path: str = ""
    version: str = ""
    problem: str = ""

    @property
    def works(self) -> bool:
        return bool(self.path) and not self.problem


@dataclass(frozen=True, slots=True)
class _Clone:
    """The repository around the directory, as far as it can be read."""

    git: Git
    root: Path


def examine(session: Session) -> tuple[Check, ...]:
    """Look at everything once. Takes seconds, however much is broken; raises nothing that a check could say."""
    workspace = Workspace(session.environ)
    try:
        return tuple(_presentable(check, session.redactor) for check in _examined(session, workspace))
    finally:
        session.hold_signals()
        workspace.close()


def _presentable(check: Check, redactor: Redactor) -> Check:
    # Cut after scrubbing: the piece of a secret would not be recognised.
    detail, hint = (
        clipped(one_line(redactor.scrub(text)), _LONGEST_TEXT) for text in (check.detail, check.hint)
    )
    return replace(check, detail=detail, hint=hint)


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
    return "".join(f"{line}\n" for line in [*lines, "", verdict])


def _lines(check: Check, width: int) -> Iterator[str]:
    word, color = ("ok", Mark.GREEN) if check.passed else ("failed", Mark.RED)
    if check.passed and check.hint:
        word, color = "note", Mark.YELLOW
    label = styled(f"{word:<6}", color)
    yield f"{label}  {check.name + ' ' * (width - display_width(check.name))}  {check.detail}"
    if check.hint:
        yield from wrapped(f"hint: {check.hint}", WIDTH, " " * 8)


def _examined(session: Session, workspace: Workspace) -> Iterator[Check]:
    temporary, home = _temporary_files(workspace)
    answers = _ask_all(session, home)
    repository, clone = _repository(session, answers["git"])
    description, ci = _description(session, clone)
    configuration, config = _configuration(session, ci if clone else None)
    yield _python()
    yield repository
    yield description
    yield configuration
    for program in PROGRAMS:
        yield _judged(program, answers[program.name], config)
    yield _judged(_ENGINE, answers[_ENGINE.name], config)
    if config is not None and config.gitops.cluster and _for_gitops(config):
        yield _cluster(session, config.gitops.cluster)
    yield _credentials(session.environ, config)
    yield _fingerprint_key(session.environ)
    yield temporary
    if clone:
        yield _output_directory(clone.root / _OUT_DIR)
    if ci and (folder := cache_folder(session.environ, on_laptop=ci.provider is Provider.LOCAL)):
        yield _cache(folder)


def _temporary_files(workspace: Workspace) -> tuple[Check, Path]:
    """Whether a run has a place for its files, and an empty folder there."""
    try:
        private, scratch = workspace.private, workspace.scratch
    except Problem as problem:
        return _failed("temporary files", problem), Path(os.devnull)
    places = dict.fromkeys((str(private.parent), str(scratch.parent)))
    return Check(name="temporary files", passed=True, detail=", ".join(places)), scratch


def _ask_all(session: Session, home: Path) -> dict[str, _Answer]:
    """The answers by name, asked for at the same time."""
    launcher = Launcher(session.redactor)
    # The pool waits for its threads, wherever in it the exception of a signal strikes.
    session.on_signal(launcher.cancel)
    environ = {**inherited(session.environ), "LC_ALL": "C.UTF-8", "HOME": str(home)}
    # Where the plugins of the docker command may be.
    own_home = session.environ.get("HOME", "")
    environ["DOCKER_CONFIG"] = session.environ.get("DOCKER_CONFIG") or f"{own_home}/.docker"
    with ThreadPoolExecutor(max_workers=len(PROGRAMS) + 1) as pool:
        asked = {
            program.name: pool.submit(_ask, launcher, program, {**environ, **program.environ}, home)
            for program in PROGRAMS
        }
        asked[_ENGINE.name] = pool.submit(_ask_engine, launcher, environ, session.environ, home)
        try:
            return {name: answer.result() for name, answer in asked.items()}
        except BaseException:
            launcher.cancel()
            raise


def _ask(launcher: Launcher, program: Program, environ: Mapping[str, str], home: Path) -> _Answer:
    path = find(program.ask[0], environ)
    if path is None:
        return _Answer(problem=f"`{program.ask[0]}` is not on the PATH")
    try:
        completed = launcher.run(
            program.ask,
            timeout=PROGRAM_TIMEOUT,
            environ=environ,
            cwd=home if home.is_dir() else None,
            stdout_limit=_ANSWER_LIMIT,
        )
    except Problem as problem:
        return _Answer(path=str(path), problem=problem.message)
    said = completed.text.strip() or completed.stderr.strip()
    if said in _UNRELEASED:
        return _Answer(path=str(path), version=said.strip("()"))
    if numbers := _VERSION.search(said):
        return _Answer(path=str(path), version=".".join(filter(None, numbers.groups())))
    shown = clipped(one_line(said), 60)
    return _Answer(path=str(path), problem=f"does not say its version but `{shown}`")


def _ask_engine(
    launcher: Launcher, environ: Mapping[str, str], given: Mapping[str, str], home: Path
) -> _Answer:
    try:
        socket = engine_socket(given)
    except Problem as problem:
        return _Answer(problem=problem.message)
    answer = _ask(launcher, _ENGINE, {**environ, "DOCKER_HOST": f"unix://{socket}"}, home)
    return replace(answer, path=str(socket)) if answer.path else answer


def _judged(program: Program, answer: _Answer, config: Config | None) -> Check:
    problem = answer.problem
    if answer.works and _is_older(answer.version, program.oldest):
        problem = f"{answer.version} is too old"
    if not problem:
        return Check(name=program.name, passed=True, detail=f"{answer.version} ({answer.path})")
    place = f" ({answer.path})" if answer.path else ""
    needed = program.needed(config)
    return Check(
        name=program.name,
        passed=not needed,
        detail=f"{problem}{place}",
        hint=(program.remedy or _installed(program)) if needed else f"only needed {program.purpose}",
    )


def _installed(program: Program) -> str:
    release = f" {'.'.join(map(str, program.oldest))} or newer" if program.oldest else ""
    return f"install {program.name}{release}: it is needed {program.purpose}"


def _is_older(version: str, oldest: tuple[int, ...]) -> bool:
    """Whether `version` is a release before `oldest`. What is no release is not known to be."""
    return version[:1].isdigit() and tuple(map(int, version.split("."))) < oldest


def _python() -> Check:
    return Check(name="python", passed=True, detail=f"{platform.python_version()} ({sys.executable})")


def _repository(session: Session, answer: _Answer) -> tuple[Check, _Clone | None]:
    if not answer.works:
        return Check(
            name="repository", passed=False, detail="cannot be read without git", hint="see the check of git"
        ), None
    git = Git(Launcher(session.redactor), session.directory.resolve(), session.environ)
    try:
        root, commit, is_shallow = git.toplevel(), git.head(), git.is_shallow()
    except Problem as problem:
        return _failed("repository", problem), None
    shallow = ", a shallow clone" if is_shallow else ""
    return Check(
        name="repository",
        passed=True,
        detail=f"{root} at {commit[:12]}{shallow}",
        hint="commits that are missing are fetched when they are needed" if is_shallow else "",
    ), _Clone(git, root)


def _description(session: Session, clone: _Clone | None) -> tuple[Check, CIContext | None]:
    """Where this runs, as the CI describes it."""
    try:
        ci = detect(session.environ, git=clone.git if clone else None)
    except Problem as problem:
        return _failed("ci", problem), None
    facts = [
        ci.provider.value,
        ci.event.value + (f" {ci.change_number}" if ci.change_number else ""),
        f"branch {ci.branch}" if ci.branch else "",
        f"tag {ci.tag}" if ci.tag else "",
        ci.trust.value,
        f"`sf run` {'reconciles' if sessions.reconciles(ci) else 'plans'}",
    ]
    return Check(name="ci", passed=True, detail=", ".join(filter(None, facts))), ci


def _configuration(session: Session, ci: CIContext | None) -> tuple[Check, Config | None]:
    if ci is None:
        return Check(
            name="configuration",
            passed=False,
            detail=f"{session.config_file} is not read without a repository and a CI that can be described",
            hint="see the checks above",
        ), None
    try:
        config, _ = sessions.load(session)
    except Problem as problem:
        return _failed("configuration", problem), None
    detail = f"{session.config_file}: mode {config.mode}, backend {config.backend}"
    return Check(name="configuration", passed=True, detail=detail), config


def _cluster(session: Session, cluster: ClusterConfig) -> Check:
    prefix = cluster.env_prefix
    try:
        http = Http(session.redactor, ca=_authority(session.environ, prefix))
        answer = http.request(
            "GET", f"{cluster.server}/version", timeout=CLUSTER_TIMEOUT, limit=_ANSWER_LIMIT
        )
    except Unreachable as problem:
        return _failed("cluster", problem, hint=_way_to_trust(prefix) if _is_distrust(problem) else "")
    except Problem as problem:
        return _failed("cluster", problem)
    return Check(name="cluster", passed=True, detail=f"{cluster.server} answers with status {answer.status}")


def _authority(environ: Mapping[str, str], prefix: str) -> str | None:
    """The certificates (PEM) that the job brings for the cluster; None when it brings none.

    Raises `Problem` when they cannot be read.
    """
    file, text = f"{prefix}_CA_FILE", f"{prefix}_CA_B64"
    if path := environ.get(file):
        try:
            return Path(path).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"the file that {file} names cannot be read: {error}") from error
    if encoded := environ.get(text):
        try:
            return base64.b64decode("".join(encoded.split()), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Problem(
                f"{text} is not a PEM file in base64",
                hint=f"make it with `base64 -w0 ca.crt`, or name the file itself at {file}",
            ) from error
    return None


def _is_distrust(problem: Problem) -> bool:
    return "certificate" in problem.message.lower()


def _way_to_trust(prefix: str) -> str:
    return (
        f"give the certificate authority of the cluster: {prefix}_CA_FILE (the path of a PEM file) or"
        f" {prefix}_CA_B64 (its content in base64)"
    )


def _credentials(environ: Mapping[str, str], config: Config | None) -> Check:
    """Which variables with credentials are set. Their values are nobody's business here."""
    names = [name for name, used in _CREDENTIALS.items() if config is None or used(config)]
    if config is not None and config.gitops.cluster and _for_gitops(config):
        prefix = config.gitops.cluster.env_prefix
        names += [f"{prefix}_{ending}" for ending in ("TOKEN", "CA_FILE", "CA_B64")]
    present = [name for name in names if environ.get(name)]
    absent = [name for name in names if not environ.get(name)]
    groups = [
        f"{words} {', '.join(group)}" for words, group in (("set:", present), ("not set:", absent)) if group
    ]
    return Check(name="credentials", passed=True, detail="; ".join(groups))


def _fingerprint_key(environ: Mapping[str, str]) -> Check:
    try:
        key = Fingerprints.from_environ(environ).key_id
    except Problem as problem:
        return _failed("fingerprint key", problem)
    if key:
        return Check(name="fingerprint key", passed=True, detail=f"key {key}")
    return Check(
        name="fingerprint key",
        passed=True,
        detail=f"{KEY_VARIABLE} is not set",
        hint="without it a plan tells that a secret value changed, but not into which",
    )


def _output_directory(path: Path) -> Check:
    if path.is_symlink():
        return Check(
            name="output directory",
            passed=False,
            detail=f"{path} is a symbolic link",
            hint="remove the link, or name another directory with --out-dir",
        )
    if _is_writable(path):
        return Check(name="output directory", passed=True, detail=str(path))
    return Check(
        name="output directory",
        passed=False,
        detail=f"{path} cannot be written",
        hint="make it writable for this user, or name another directory with --out-dir",
    )


def _cache(folder: Path) -> Check:
    if _is_writable(folder):
        return Check(name="cache", passed=True, detail=str(folder))
    return Check(
        name="cache",
        passed=True,
        detail=f"{folder} cannot be written",
        hint="everything works without, only slower; SF_CACHE_DIR names another folder",
    )


def _is_writable(path: Path) -> bool:
    """Whether this user could make files in the folder `path`, which may still have to be made itself."""
    place = next(place for place in (path, *path.parents) if place.exists())
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def _failed(name: str, problem: Problem, *, hint: str = "") -> Check:
    place = f"{problem.location}: " if problem.location else ""
    return Check(name=name, passed=False, detail=f"{place}{problem.message}", hint=hint or problem.hint)
