"""The command line: python -m toolchain --help."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

from toolchain import programs, tiers
from toolchain.engine import Engine
from toolchain.errors import ToolchainError
from toolchain.progress import say

ENGINE = "by-hand"
"""The name of the engine that people start."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 1 for a ToolchainError, otherwise that of the command."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        return int(chosen.command(chosen))
    except ToolchainError as error:
        say(f"error: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m toolchain", description="The real engines of tests and demo."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ensure = commands.add_parser("ensure", help="fetch or build a tier into the cache unless it is there")
    ensure.add_argument("tier", choices=[*tiers.NAMES, *tiers.EXTRA, "all"])
    ensure.set_defaults(command=_ensure)

    path = commands.add_parser(
        "path", help="print the folders of the tiers that are there, as a value for PATH"
    )
    path.set_defaults(command=_path)

    engine = commands.add_parser("engine", help="start a private Docker Engine that stays, or stop it")
    engine.add_argument("action", choices=["up", "down"])
    engine.set_defaults(command=_engine)

    run = commands.add_parser("run", help="run a command with the tools in PATH and a private Docker Engine")
    run.add_argument(
        "--any-engine",
        action="store_true",
        help="use the machine's own engine if it runs and has compose",
    )
    run.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="TAG",
        help="have a busybox under this tag in the private engine",
    )
    run.add_argument("argv", nargs="+", metavar="CMD", help="write -- before it")
    run.set_defaults(command=_run)
    return parser


def _ensure(chosen: argparse.Namespace) -> int:
    for name in tiers.NAMES if chosen.tier == "all" else [chosen.tier]:
        tiers.ensure(name)
    return 0


def _path(_: argparse.Namespace) -> int:
    folders = tiers.program_folders()
    if not folders:
        raise ToolchainError("there is nothing yet: python -m toolchain ensure packages")
    print(os.pathsep.join(map(str, folders)))
    return 0


def _engine(chosen: argparse.Namespace) -> int:
    running = Engine.running(ENGINE)
    if chosen.action == "down":
        for engine in running:
            engine.stop()
        return 0
    engine = running[0] if running else Engine.start(ENGINE, detached=True)
    for name, value in engine.environment.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _run(chosen: argparse.Namespace) -> int:
    tiers.ensure("packages")
    if chosen.any_engine and _machine_has_engine():
        say("using the Docker Engine of this machine")
        # Last, so that the machine's docker command goes with the machine's engine.
        own = os.environ.get("PATH", os.defpath)
        return _foreground(chosen.argv, {"PATH": os.pathsep.join([own, *map(str, tiers.program_folders())])})
    tools = {"PATH": programs.search_path(*tiers.program_folders())}
    with Engine.start("run") as engine:
        for tag in chosen.image:
            engine.image(tag)
        return _foreground(chosen.argv, {**engine.environment, **tools})


def _machine_has_engine() -> bool:
    try:
        programs.run(["docker", "info"])
        # Compose is a plugin of the docker command since version 2.
        programs.run(["docker", "compose", "version"])
    except ToolchainError:
        return False
    return True


def _foreground(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command on the caller's terminal; signals are the command's affair, so that what follows it runs."""

    def forward(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    process = subprocess.Popen(argv, env={**os.environ, **environment})
    # A Ctrl-C reaches the whole foreground group without help.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, forward)
    status = process.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
