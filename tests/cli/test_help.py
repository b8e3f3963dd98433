"""What a newcomer reads: every help text as it stands on a terminal of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from sf import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.command import Command

COMMANDS: Final = (
    "",
    "plan",
    "reconcile",
    "run",
    "report",
    "cleanup",
    "doctor",
    "gitops",
    "gitops inspect",
    "gitops impact",
    "docker",
    "docker inspect",
    "docker adopt",
    "docker trust",
    "config",
    "config schema",
    "config validate",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, sf: Command, golden: Callable[[str, bytes], None]) -> None:
    done = sf(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= 80
    assert "..." not in done.out.partition("Commands:")[2]
    golden(f"help/{command.replace(' ', '-') or 'sf'}.txt", done.out.encode())


def test_no_command_is_missing_here(sf: Command) -> None:
    for group in ("", "gitops", "docker", "config"):
        listed = sf(*group.split(), "--help").out.partition("Commands:\n")[2]
        names = {f"{group} {line.split()[0]}".strip() for line in listed.splitlines() if line[2:3].strip()}
        assert names <= set(COMMANDS)


@pytest.mark.parametrize("arguments", [["-h"], []])
def test_without_a_command_there_is_help(arguments: list[str], sf: Command) -> None:
    done = sf(*arguments)
    assert "Commands:" in done.out + done.err
    assert done.code == (0 if arguments else 2)


def test_version(sf: Command) -> None:
    for arguments in (["--version"], ["-C", ".", "--version"]):
        done = sf(*arguments)
        assert (done.code, done.out, done.err) == (0, f"sf {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plna"], "No such command 'plna'"),
        (["plan", "--bse", "x"], "No such option"),
        (["plan", "--output", "yaml"], "'yaml' is not one of 'text', 'json', 'markdown'"),
        (["-C", "nowhere", "plan"], "Directory 'nowhere' does not exist"),
        (["config", "validate", "a", "b"], "unexpected extra argument"),
    ],
)
def test_usage(arguments: list[str], said: str, sf: Command) -> None:
    done = sf(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Try 'sf" in done.err
