"""A runner of GitHub's, as far as a container action can see it: the same command line, mounts, files and signals.

Sources: actions/runner, ContainerActionHandler.cs (mounts, environment, entrypoints of the stages),
DockerCommandManager.cs (the command line), ProcessInvoker.cs (how a step is cancelled).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess  # noqa: TID251 - the client of docker is what a runner signals
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sf import documents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from toolchain.engine import Engine

ACTION: Final = Path(__file__).parents[2] / "action.yml"
# Seconds from SIGINT to SIGTERM, and from there to SIGKILL.
PATIENCE: Final = (7.5, 2.5)
# What ends by itself within all of it was in time; on an idle machine the first part is enough.
IN_TIME: Final = sum(PATIENCE)
# What a runner mounts below /github, by the name of its folder on the machine.
MOUNTS: Final = {"temp": "runner_temp", "home": "home", "workflow": "workflow", "commands": "file_commands"}
COMMANDS: Final = ("OUTPUT", "ENV", "PATH", "STATE", "STEP_SUMMARY")
# The user that a hosted runner works as; the container is root.
RUNNER_UID: Final = 1001


@dataclass
class Step:
    """One container of the job: its client, what it printed, and what it told through files."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    files: Mapping[str, Path]
    started: float = field(default_factory=time.monotonic)

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def told(self, file: str) -> str:
        return self.files[file].read_text()

    def values(self, file: str) -> dict[str, str]:
        """What was set by ``name=value`` or by a delimiter."""
        pattern = r"^(?P<name>[^=\n<]+)(?:=(?P<value>.*)|<<(?P<end>.+)\n(?P<text>(?:.*\n)*?)(?P=end))$"
        return {
            found["name"]: found["value"] if found["end"] is None else found["text"].removesuffix("\n")
            for found in re.finditer(pattern, self.told(file), re.MULTILINE)
        }

    def wait(self, seconds: float = 300) -> int:
        return self.process.wait(seconds)

    def cancel(self) -> float:
        """Cancel it as a runner does; how many seconds it took."""
        started = time.monotonic()
        for number, patience in zip((signal.SIGINT, signal.SIGTERM), PATIENCE, strict=True):
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
                return time.monotonic() - started
        self.process.kill()
        self.process.wait()
        return time.monotonic() - started


class Runner:
    """One job in `engine` whose action is `image`; `workspace` is what was checked out."""

    def __init__(self, engine: Engine, image: str, root: Path, workspace: Path) -> None:
        self._engine, self._image, self._root = engine, image, root
        self.workspace = workspace
        for folder in MOUNTS:
            (root / folder).mkdir(parents=True)
        for path, folders, files in os.walk(workspace):
            for name in (".", *folders, *files):
                os.chown(Path(path, name), RUNNER_UID, RUNNER_UID, follow_symlinks=False)
        self.action = documents.load(ACTION.read_bytes(), path="action.yml")
        self._steps = 0

    def main(self, inputs: Mapping[str, str] | None = None, *options: str, **environ: str) -> Step:
        """Start the action. `options` go to ``docker run``, `environ` is the job's."""
        given = inputs or {}
        assert set(given) <= set(self.action["inputs"])
        values = {
            name: given.get(name, about.get("default", "")) for name, about in self.action["inputs"].items()
        }
        values["token"] = given.get("token", "")
        return self._start({**_inputs(values), **environ}, [*options])

    def post(self, main: Step, **environ: str) -> Step:
        """Start the step after the job, which knows the inputs and what `main` saved as its state."""
        state = {f"STATE_{name}": value for name, value in main.values("STATE").items()}
        return self._start({**state, **environ}, ["--entrypoint", self.action["runs"]["post-entrypoint"]])

    def run(self, inputs: Mapping[str, str] | None = None, *options: str, **environ: str) -> tuple[int, Step]:
        step = self.main(inputs, *options, **environ)
        return step.wait(), step

    def event(self, payload: str) -> None:
        (self._root / "workflow/event.json").write_text(payload)

    @property
    def containers(self) -> list[str]:
        """The names of the job's containers that live."""
        return self._engine.docker(
            "ps", "--format", "{{.Names}}", "--filter", f"ancestor={self._image}"
        ).split()

    def leftovers(self) -> Iterator[Path]:
        """What lies where it outlives the container, and is no report."""
        for folder in ("temp", "home"):
            yield from (self._root / folder).rglob("*")
        for path in self.workspace.rglob("*"):
            if (
                not {".git", "sf-out"} & set(path.relative_to(self.workspace).parts)
                and path.stat().st_uid == 0
            ):
                yield path

    def _start(self, environ: Mapping[str, str], options: list[str]) -> Step:
        self._steps += 1
        name = f"{self._root.name}-{self._steps}"
        files = {command: self._root / f"commands/{command.lower()}_{self._steps}" for command in COMMANDS}
        for file in files.values():
            file.touch()
        job: dict[str, Any] = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": "/github/workspace",
            "GITHUB_EVENT_PATH": "/github/workflow/event.json",
            "RUNNER_TEMP": "/github/runner_temp",
            **{f"GITHUB_{command}": f"/github/file_commands/{file.name}" for command, file in files.items()},
            **environ,
            "HOME": "/github/home",
        }
        folders = {self._root / folder: name for folder, name in MOUNTS.items()} | {
            self.workspace: "workspace"
        }
        socket = self._engine.socket.removeprefix("unix://")
        argv = [
            "docker",
            "run",
            "--name",
            name,
            "--label",
            "sf-job",
            "--workdir",
            "/github/workspace",
            "--rm",
        ]
        argv += [word for variable in job for word in ("-e", variable)]
        argv += [*options, "--network", "host", "-v", f"{socket}:/var/run/docker.sock"]
        argv += [word for folder, inside in folders.items() for word in ("-v", f"{folder}:/github/{inside}")]
        argv.append(self._image)
        output = self._root / f"output-{self._steps}"
        with output.open("wb") as log:
            # The client takes its values from its own environment, but HOME, which is the machine's for itself.
            argv = ["env", f"HOME={job['HOME']}", *argv]
            process = subprocess.Popen(
                argv,
                env={**job, **self._engine.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return Step(name, process, output, files)


def _inputs(values: Mapping[str, str]) -> dict[str, str]:
    return {f"INPUT_{name.upper().replace(' ', '_')}": value for name, value in values.items()}


def typed(argv: list[str], cwd: Path, environ: Mapping[str, str]) -> tuple[int, str]:
    """Run what a person would type; its exit code and all that it printed."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={"LC_ALL": "C.UTF-8", **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    return done.returncode, done.stdout


def wait_until(reached: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until `reached` says so."""
    patience = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < patience, "it did not get there"
        time.sleep(0.02)
