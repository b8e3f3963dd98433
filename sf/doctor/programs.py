"""The programs that a run may use: whether they are there, and new enough."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.doctor.check import Check
from sf.models import Problem
from sf.process import Launcher, find, inherited
from sf.report.escape import one_line
from sf.report.wording import clipped
from sf.tools import ansible, compose, flux, kubectl, kustomize, ssh
from sf.tools.docker import engine_socket
from sf.tools.git import OLDEST_MERGE_TREE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sf.config import Config
    from sf.session import Session

# Seconds. Most programs answer at once; those in Python have to be compiled the first time.
PROGRAM_TIMEOUT: Final = 10.0
_ANSWER_LIMIT: Final = 64 * 1024
_VERSION: Final = re.compile(r"(?<![\d.])(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")
# How programs written in Go call a build that was not made from a release.
_UNRELEASED: Final = frozenset({"(devel)", "devel", "(unknown)", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What programs would be used for: by a configuration, if there is one.

    ``distant``: for hosts that are reached over ssh. ``local``: for stacks of this machine.
    """

    config: Config | None = None
    distant: bool = False
    local: bool = False

    @property
    def gitops(self) -> bool:
        return self.config is not None and self.config.mode == "gitops"

    @property
    def docker(self) -> bool:
        return self.config is not None and self.config.mode == "docker"

    @property
    def inventory(self) -> bool:
        return self.config is not None and self.docker and bool(self.config.docker.targets.inventory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that sf can use: how it is asked for its version, and whether a run with this configuration
    cannot do without it. ``oldest`` is the first usable release, empty where any is; ``remedy`` is what to do
    when it does not work, where that is not to install it.
    """

    name: str
    ask: tuple[str, ...]
    needed: Callable[[Use], bool]
    purpose: str
    oldest: tuple[int, ...] = ()
    remedy: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


PROGRAMS: Final = (
    Program(
        name="git",
        ask=("git", "--version"),
        needed=lambda _use: True,
        purpose="to read the repository",
        oldest=OLDEST_MERGE_TREE,
    ),
    Program(
        name=kustomize.PROGRAM,
        ask=(kustomize.PROGRAM, "version"),
        needed=lambda use: use.gitops,
        purpose="to render Kustomizations",
        oldest=kustomize.OLDEST,
    ),
    Program(
        name=flux.PROGRAM,
        ask=(flux.PROGRAM, "--version"),
        needed=lambda _use: False,
        purpose="for substitutions such as `${x^^}`",
    ),
    Program(
        name=kubectl.PROGRAM,
        ask=(kubectl.PROGRAM, "version", "--client"),
        needed=lambda _use: False,
        purpose="to look at the cluster by hand",
    ),
    Program(
        name="docker", ask=("docker", "--version"), needed=lambda use: use.docker, purpose="to deploy stacks"
    ),
    Program(
        name="docker compose",
        ask=("docker", "compose", "version", "--short"),
        needed=lambda use: use.docker,
        purpose="to resolve and deploy stacks",
        oldest=compose.OLDEST,
    ),
    Program(
        name=ansible.PROGRAM,
        ask=(ansible.PROGRAM, "--version"),
        needed=lambda use: use.inventory,
        purpose="to read the inventory of hosts",
    ),
    Program(
        name="sops",
        ask=("sops", "--version"),
        needed=lambda _use: False,
        purpose="to decrypt files",
        # It would ask the network for its newest release.
        environ=MappingProxyType({"SOPS_DISABLE_VERSION_CHECK": "true"}),
    ),
    Program(name="age", ask=("age", "--version"), needed=lambda _use: False, purpose="to make keys for sops"),
    Program(
        name=ssh.PROGRAM,
        ask=(ssh.PROGRAM, "-V"),
        needed=lambda use: use.distant,
        purpose="to reach other hosts",
    ),
)
ENGINE: Final = Program(
    name="docker engine",
    ask=("docker", "version", "--format", "{{.Server.Version}}"),
    needed=lambda use: use.local,
    purpose="for stacks of this machine",
    remedy="start it, let this user use its socket, or set DOCKER_HOST=unix:///path/of/the/docker.sock",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a program said of its version, or what is wrong. ``path`` is empty when it is missing."""

    path: str = ""
    version: str = ""
    problem: str = ""

    @property
    def works(self) -> bool:
        return bool(self.path) and not self.problem


def ask_all(session: Session, home: Path) -> dict[str, Answer]:
    """What every program says of its version, by name; asked at the same time, in the empty folder `home`."""
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
        asked[ENGINE.name] = pool.submit(_ask_engine, launcher, environ, session.environ, home)
        try:
            return {name: answer.result() for name, answer in asked.items()}
        except BaseException:
            launcher.cancel()
            raise


def _ask(launcher: Launcher, program: Program, environ: Mapping[str, str], home: Path) -> Answer:
    path = find(program.ask[0], environ)
    if path is None:
        return Answer(problem=f"`{program.ask[0]}` is not on the PATH")
    try:
        completed = launcher.run(
            program.ask,
            timeout=PROGRAM_TIMEOUT,
            environ=environ,
            cwd=home if home.is_dir() else None,
            stdout_limit=_ANSWER_LIMIT,
        )
    except Problem as problem:
        return Answer(path=str(path), problem=problem.message)
    said = completed.text.strip() or completed.stderr.strip()
    if said in _UNRELEASED:
        return Answer(path=str(path), version=said.strip("()"))
    if numbers := _VERSION.search(said):
        return Answer(path=str(path), version=".".join(filter(None, numbers.groups())))
    shown = clipped(one_line(said), 60)
    return Answer(path=str(path), problem=f"does not say its version but `{shown}`")


def _ask_engine(
    launcher: Launcher, environ: Mapping[str, str], given: Mapping[str, str], home: Path
) -> Answer:
    try:
        socket = engine_socket(given)
    except Problem as problem:
        return Answer(problem=problem.message)
    answer = _ask(launcher, ENGINE, {**environ, "DOCKER_HOST": f"unix://{socket}"}, home)
    return replace(answer, path=str(socket)) if answer.path else answer


def judged(program: Program, answer: Answer, use: Use) -> Check:
    """Whether `program`, as it answered, is good enough for `use`."""
    problem = answer.problem
    if answer.works and _is_older(answer.version, program.oldest):
        problem = f"{answer.version} is too old"
    if not problem:
        return Check(name=program.name, passed=True, detail=f"{answer.version} ({answer.path})")
    place = f" ({answer.path})" if answer.path else ""
    needed = program.needed(use)
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
