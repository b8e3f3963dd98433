"""``docker compose``: what a file means to it, and how a project is brought up.

A model is always resolved away from any engine, with a home, a docker configuration and a socket that lead
nowhere, and with remote includes switched off.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sf.models import Problem
from sf.process import ProgramFailed, ProgramMissing, ProgramTimeout, find, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sf.process import Completed, Launcher

# The names compose looks for, in its order (compose-go, cli.DefaultFileNames and DefaultOverrideFileNames).
FILE_NAMES: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDE_NAMES: Final = (
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)
# The first release line with everything used here: `up --wait`, `env_file.required`, remote includes to refuse.
OLDEST: Final = (2, 24)
_RESOLVE_TIMEOUT: Final = 60.0
# Seconds that `up` may take beyond its own --wait-timeout, which does not cover pulling and building.
BEYOND_WAITING: Final = 900.0
_PLUGIN: Final = "docker-compose"
_PLUGIN_PLACES: Final = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
)
_PLAIN_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_UNSET: Final = re.compile(r'The \\?"(?P<name>[^"\\]+)\\?" variable is not set')
_LOG_LINE: Final = re.compile(r'^time="[^"]*" level=(?P<level>\w+) msg="(?P<message>.*)"\s*$')
# Compose is done before its first garbage would have to be collected; the limit is for what is not.
TUNING: Final = {"GOGC": "off", "GOMEMLIMIT": "256MiB", "GOMAXPROCS": "1"}
REMOTE_OFF: Final = {
    "COMPOSE_EXPERIMENTAL_GIT_REMOTE": "false",
    "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "false",
}
# What of the user's docker configuration says where programs are, and what says how to log in to registries.
_PLUGIN_SETTINGS: Final = ("cliPluginsExtraDirs",)
_LOGIN_SETTINGS: Final = ("auths", "credsStore", "credHelpers", "HttpHeaders", "proxies")


class Refused(Problem):
    """Compose can make no model of the files; the message is its own."""


class UnsetVariables(Refused):
    """The files use variables that nobody sets; ``names`` are those."""

    def __init__(self, names: Sequence[str]) -> None:
        listed = ", ".join(names)
        super().__init__(
            f"{'the variables' if len(names) > 1 else 'the variable'} {listed} {'are' if len(names) > 1 else 'is'}"
            " not set, and compose would put in nothing",
            hint="set it in the .env file beside the compose file, write ${NAME:-default}, or let it in from the"
            " runner by listing its name at `docker.env`; a literal dollar sign is written $$",
        )
        self.names = tuple(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What one call is about: ``files`` are relative to ``folder``, ``name`` is empty for compose's own choice."""

    folder: Path
    files: tuple[str, ...]
    name: str = ""

    @property
    def options(self) -> list[str]:
        named = ["--project-name", self.name] if self.name else []
        return [*named, *(option for file in self.files for option in ("--file", file))]


class Compose:
    """The compose plugin of the docker command, with a private configuration of its own.

    `private` is a directory for that configuration; `environ` the environment of the run.
    """

    def __init__(self, launcher: Launcher, environ: Mapping[str, str], private: Path) -> None:
        self._launcher = launcher
        self._environ = environ
        self._private = private

    def version(self) -> str:
        """The release of the compose plugin, such as ``2.40.3``.

        Raises `Problem` when the docker command or the plugin is missing or too old.
        """
        try:
            said = self._launcher.run(
                [*self._resolving, "version", "--short"],
                timeout=_RESOLVE_TIMEOUT,
                environ=self._aloof(Path("/"), {}),
            ).text.strip()
        except ProgramFailed as error:
            raise Problem(
                f"`docker compose` does not work: {error.completed.complaint}",
                hint="install the compose plugin of the docker command (docker-compose-plugin)",
            ) from error
        version = said.removeprefix("v")
        refuse_old(version)
        # A distribution's own suffix (2.40.3-3) is not part of the release.
        return version.partition("-")[0].partition("+")[0]

    def resolve(
        self, project: Project, *, home: Path, variables: Mapping[str, str], tuned: bool = False
    ) -> dict[str, Any]:
        """The model that compose makes of the files, with absolute paths below `project.folder`.

        `home` stands for the home of whoever deploys; `variables` are all that the files may use besides `.env`.
        `tuned` saves a third of the time and sets the variables in `TUNING`, which the files must not use.

        Raises `Refused`, or its kind `UnsetVariables`.
        """
        tuning = TUNING if tuned else {}
        environ = {**tuning, **self._aloof(project.folder, variables), "HOME": str(home)}
        try:
            completed = self._launcher.run(
                [*self._resolving, *project.options, "config", "--format", "json"],
                timeout=_RESOLVE_TIMEOUT,
                environ=environ,
                cwd=project.folder,
            )
        except ProgramTimeout:
            raise
        except ProgramFailed as error:
            if names := _unset(error.completed.stderr):
                raise UnsetVariables(names) from error
            raise Refused(
                f"compose refuses the stack: {explain(error.completed, project.folder)}",
                hint="`docker compose config` in its folder says the same",
            ) from error
        if names := _unset(completed.stderr):
            raise UnsetVariables(names)
        model: dict[str, Any] = json.loads(completed.stdout)
        return model

    def services(self, project: Project, *, variables: Mapping[str, str]) -> tuple[str, ...]:
        """The names of all services, those of profiles that are not active included."""
        listed = self._launcher.run(
            [*self._resolving, *project.options, "--profile", "*", "config", "--services"],
            timeout=_RESOLVE_TIMEOUT,
            environ=self._aloof(project.folder, variables),
            cwd=project.folder,
        )
        return tuple(sorted(listed.text.split()))

    @cached_property
    def _docker(self) -> str:
        program = find("docker", self._environ)
        if program is None:
            raise ProgramMissing(
                "the program `docker` is not installed",
                hint="install the docker command and its compose plugin",
            )
        return str(program)

    @cached_property
    def _resolving(self) -> list[str]:
        """The start of a command line that resolves: the plugin itself, which takes a third of the time.

        The docker command asks every plugin for its name first. It looks for them in these places, in this order
        (docker/cli, cli-plugins/manager).
        """
        settings = json.loads((self._configured("client", _PLUGIN_SETTINGS) / "config.json").read_bytes())
        places = [*settings.get("cliPluginsExtraDirs", ()), *_PLUGIN_PLACES]
        plugin = find(_PLUGIN, {"PATH": os.pathsep.join(map(str, places))})
        docker = self._docker
        return [str(plugin)] if plugin else [docker, "compose"]

    def _aloof(self, folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
        """The environment of a call that must reach neither an engine nor a registry nor the runner's secrets."""
        return {
            # Compose files can use it: the machine's own would make plans differ between machines.
            "PATH": _PLAIN_PATH,
            "LC_ALL": "C",
            **variables,
            **REMOTE_OFF,
            "HOME": str(self._private),
            # Shells set it and compose files use it.
            "PWD": str(folder),
            "DOCKER_CONFIG": str(self._configured("client", _PLUGIN_SETTINGS)),
            "DOCKER_HOST": f"unix://{self._private}/no-engine.sock",
        }

    def deploying(self, socket: Path) -> dict[str, str]:
        """The environment of what deploys to the engine at `socket` of this machine."""
        return {
            **inherited(self._environ),
            "DOCKER_CONFIG": str(self._configured("login", (*_PLUGIN_SETTINGS, *_LOGIN_SETTINGS))),
            "DOCKER_HOST": f"unix://{socket}",
        }

    def _configured(self, name: str, settings: Sequence[str]) -> Path:
        """A directory for DOCKER_CONFIG that holds only `settings` of the user's own configuration."""
        directory = self._private / name
        if not directory.exists():
            own = _user_configuration(self._environ)
            known = _read_settings(own / "config.json")
            kept = {key: known[key] for key in settings if key in known}
            plugins = own / "cli-plugins"
            if plugins.is_dir():
                kept["cliPluginsExtraDirs"] = [*kept.get("cliPluginsExtraDirs", ()), str(plugins)]
            directory.mkdir(mode=0o700)
            path = directory / "config.json"
            path.touch(mode=0o600)
            path.write_text(json.dumps(kept))
        return directory


def refuse_old(version: str, *, where: str = "") -> None:
    """Raise `Problem` when compose of this version (empty: there is none) cannot do what is asked of it."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        what = f"docker compose {version} is too old" if version else "`docker compose` does not work"
        raise Problem(f"{what}{where}", hint=f"install {'.'.join(map(str, OLDEST))} or newer")


def up_command(
    project: Project, *, wait: int, build: bool = False, services: Sequence[str] = ()
) -> list[str]:
    """What creates and starts all that the model says and waits until it is healthy, at most `wait` seconds.

    With `services` only those, without what they depend on. Its exit code is 0 or 1 and no verdict: compose also
    says 1 when a container did its work and ended. To be typed in the project's folder.
    """
    return [
        *("docker", "compose", *project.options, "up", "--detach"),
        *("--wait", "--wait-timeout", str(wait), "--remove-orphans"),
        *(["--build"] if build else []),
        *(["--no-deps", "--", *services] if services else []),
    ]


def down_command(project: str) -> list[str]:
    """What stops and removes the containers and networks of `project`; its volumes and images stay.

    Named alone, a project is what its containers' labels say: no file of it is read, which may be gone or broken.
    """
    return ["docker", "compose", "--project-name", project, "down", "--remove-orphans"]


def explain(completed: Completed, folder: Path) -> str:
    """Why compose failed, in its own words, without the place where the files stood.

    What it says of files may be several lines, such as the members of a circle of includes.
    """
    said = " ".join(filter(None, map(_sentence, completed.stderr.splitlines())))
    return explain_lines([said], folder, completed.code)


def explain_lines(lines: Sequence[str], folder: Path, code: int) -> str:
    """As `explain`, of all the lines that compose printed."""
    for line in reversed(lines):
        if sentence := _sentence(line):
            return sentence.replace(f"{folder}/", "").replace(str(folder), ".")
    return f"it ended with exit code {code} and said nothing"


def _sentence(line: str) -> str:
    """What `line` says; nothing when that is a warning."""
    log = _LOG_LINE.match(line)
    if log and log["level"] == "warning":
        return ""
    return (log["message"] if log else line).strip()


def _unset(stderr: str) -> list[str]:
    return sorted({match["name"] for match in _UNSET.finditer(stderr)})


def _user_configuration(environ: Mapping[str, str]) -> Path:
    if "DOCKER_CONFIG" in environ:
        return Path(environ["DOCKER_CONFIG"])
    return Path(environ.get("HOME", "/nonexistent")) / ".docker"


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError):
        # The docker command itself works without; what it needs will be missed by name.
        return {}
    return settings if isinstance(settings, dict) else {}
