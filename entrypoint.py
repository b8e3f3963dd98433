#!/opt/sf/bin/python -I
"""The first process of the container: turns the inputs of the action into a command line, and nothing more."""

import os
import signal
import sys

GLOBAL = ("directory", "config")
OPTIONS = ("base", "head", "out-dir", "plan", "change-digest", "only", "output")
FLAGS = ("dry-run", "all", "force", "detailed-exitcode")
# Keys of the configuration file that are inputs by the last part of their name.
SETTINGS = ("REPORT__COMMENT", "REPORT__LABEL", "GITOPS__CONCURRENCY", "DOCKER__CONCURRENCY")
AWAITED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD}


def given(name: str) -> str:
    """The value of an input. GitHub keeps the hyphens of its name, and the variables of GitLab can have none."""
    names = (f"INPUT_{name.upper()}", f"INPUT_{name.upper().replace('-', '_')}")
    return next(filter(None, map(os.environ.get, names)), "")


def options(names: tuple[str, ...]) -> list[str]:
    return [f"--{name}={line}" for name in names for line in given(name).splitlines()]


def command_line() -> list[str]:
    """The arguments that the inputs stand for."""
    flags = [f"--{name}" for name in FLAGS if given(name) == "true"]
    return [*options(GLOBAL), *given("command").split(), *options(OPTIONS), *flags]


def supervise(child: int) -> int:
    """Hand signals on to `child` and collect whatever ends, as nobody else does; the exit code of `child`."""
    while True:
        if (number := signal.sigwait(AWAITED)) != signal.SIGCHLD:
            os.kill(child, number)
            continue
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
                return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # Process 1 has no default action for a signal, and one that comes before sf is loaded must not be lost.
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    if child := os.fork():
        sys.exit(supervise(child))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
    if sys.argv[0].endswith("sf-cleanup"):  # the step after the job
        sys.argv[1:] = ["cleanup"]
    elif given("command") and not sys.argv[1:]:
        settings = {f"SF_CONFIG_{key}": given(key.partition("__")[2]) for key in SETTINGS}
        os.environ.update({variable: value for variable, value in settings.items() if value})
        sys.argv[1:] = command_line()
    from sf.__main__ import main

    main()
