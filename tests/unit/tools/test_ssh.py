from __future__ import annotations

import shutil
import stat
import subprocess  # noqa: TID251 - the quoting is judged by real shells
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sf.models import Problem
from sf.process import Launcher
from sf.redact import Redactor
from sf.tools.ssh import _IN_A_SESSION, Client, Route, explain, parse_options, remote_command, repaired_key
from toolchain import packages, pins

if TYPE_CHECKING:
    from pathlib import Path

SHELLS = [
    *(shell for shell in ("dash", "bash", "zsh", "ksh") if shutil.which(shell)),
    pytest.param("busybox", marks=pytest.mark.tools),
]
HOSTILE = [
    *"""'"\\`$&|;<>(){}[]*?~#!%^=+-,.:@/ \t\n\r""",
    *(
        "",
        "$(id)",
        "`id`",
        "${HOME}",
        "$'a'",
        "a'b\"c",
        "-rf",
        "--",
        "!!",
        "\\'",
        "'\\''",
        "a\nb",
        "é",
        "\x7f",
    ),
    *("&& id", "|| id", "; id", "> /dev/null", "< /etc/passwd", "/*", "~root", "{a,b}", "%s", "\\n", "\x01"),
]
ROUTE = Route(name="web", address="10.0.0.1", port=2222, user="deploy")


def taken_apart(shell: str, command: str) -> list[str]:
    argv = [shell]
    if shell == "busybox":
        argv = [str(packages.programs(packages.ensure(pins.load().packages)) / "busybox"), "sh"]
    done = subprocess.run([*argv, "-c", command], capture_output=True, check=True, timeout=10)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("argument", HOSTILE, ids=ascii)
def test_no_character_of_an_argument_means_anything_to_a_shell(shell: str, argument: str) -> None:
    argv = ["printf", "%s\\0", argument, f"a{argument}b", "end"]
    assert taken_apart(shell, remote_command(argv)) == argv[2:]


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=4))
@example(["'", "\n'", "\\"])
def test_any_arguments_arrive_as_they_are(arguments: list[str]) -> None:
    argv = ["printf", "%s\\0", "first", *arguments]
    assert taken_apart("sh", remote_command(argv)) == argv[2:]


def test_what_no_argument_can_hold_is_refused() -> None:
    with pytest.raises(Problem, match="NUL"):
        remote_command(["echo", "a\0b"])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", ()),
        ("-o ConnectTimeout=5", (("ConnectTimeout", "5"),)),
        ("-oconnecttimeout=5 -o 'Port 2222'", (("ConnectTimeout", "5"), ("Port", "2222"))),
        ("-J jump@bastion:22,[::1]:2022", (("ProxyJump", "jump@bastion:22,[::1]:2022"),)),
        ("-Jbastion -p 22 -l deploy", (("Port", "22"), ("ProxyJump", "bastion"), ("User", "deploy"))),
        ("-p 1 -p 2", (("Port", "1"),)),
    ],
)
def test_harmless_options_are_taken_over(text: str, options: tuple[tuple[str, str], ...]) -> None:
    assert parse_options(text) == options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-o ProxyCommand=evil", "sets ProxyCommand, and only ProxyJump"),
        ("-o StrictHostKeyChecking=no", "sets StrictHostKeyChecking"),
        ("-o LocalCommand=evil -o PermitLocalCommand=yes", "sets LocalCommand"),
        ("-F /tmp/config", "holds -F"),
        ("-A", "holds -A"),
        ("evil", "holds evil"),
        ("-J -oProxyCommand=evil", "ProxyJump to a value that it cannot have"),
        ("-J", "ProxyJump to a value"),
        ("-o 'ProxyJump=a$(id)'", "ProxyJump to a value"),
        ("-o 'Port=22\nProxyCommand=evil'", "Port to a value"),
        ("-o ConnectTimeout=soon", "ConnectTimeout to a value"),
        ("-o 'unclosed", "cannot be split"),
    ],
)
def test_an_option_that_could_do_harm_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("$", r"\$")):
        parse_options(text)


@pytest.mark.parametrize("text", ["a\nb", "a\nb\n", "\n a\r\nb \r\n\n"])
def test_a_key_gets_back_the_newlines_that_ssh_needs(text: str) -> None:
    assert repaired_key(text) == b"a\nb\n"


@pytest.mark.parametrize(
    ("stderr", "message", "hint"),
    [
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n", "another host key", "sf docker trust web"),
        (
            "No ED25519 host key is known for [10.0.0.1]:2222 and you have requested strict checking.\n",
            "the host key of web (10.0.0.1 port 2222) is not known",
            "sf docker trust web",
        ),
        ("deploy@10.0.0.1: Permission denied (publickey).\n", "does not let deploy in", "SSH_PRIVATE_KEY"),
        ("ssh: connect to host x port 22: Connection refused\n", "Connection refused", "10.0.0.1 port 2222"),
        ("", "the connection was lost", "10.0.0.1 port 2222"),
    ],
)
def test_what_went_wrong_is_told_with_the_next_step(stderr: str, message: str, hint: str) -> None:
    problem = explain(stderr, ROUTE)
    assert message in problem.message
    assert hint in problem.hint


def client(folder: Path, **environ: str) -> Client:
    folder.mkdir()
    redactor = Redactor()
    return Client(
        Launcher(redactor), {"PATH": "/usr/bin:/bin", **environ}, folder, known_hosts="", redactor=redactor
    )


def test_a_host_is_not_reached_through_itself(tmp_path: Path) -> None:
    route = Route(name="web", options=(("ProxyJump", "me@web"),))
    with pytest.raises(Problem, match="web is to be reached through itself"):
        client(tmp_path / "s").connection(route)


@pytest.mark.parametrize(
    ("stderr", "message", "hint"),
    [
        (
            "Permission denied (publickey).",
            "bastion (on the way to web) does not let me in",
            "SSH_PRIVATE_KEY",
        ),
        (
            "No ED25519 host key is known for bastion",
            "the host key of bastion (on the way to web)",
            "`ssh-keyscan -p 2022 bastion`",
        ),
        (
            "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed",
            "web cannot be reached from bastion: channel 0: open failed: connect failed: Connection refused",
            "that bastion passes connections on",
        ),
    ],
)
def test_what_went_wrong_on_the_way_names_the_host_in_between(stderr: str, message: str, hint: str) -> None:
    jump = Route(name="web", options=(("ProxyJump", "first,me@bastion:2022"),)).jump
    assert jump == Route(name="bastion", port=2022, user="me")
    problem = explain(stderr, jump, via="web")
    assert problem.message.startswith(message)
    assert hint in problem.hint


def test_ssh_itself_understands_the_configuration_as_meant(tmp_path: Path) -> None:
    private = tmp_path / "s"
    route = Route(
        name="web",
        address="10.0.0.1",
        port=2222,
        user="deploy",
        key_file="/keys/web",
        options=(("ConnectTimeout", "3"), ("ProxyJump", "first,me@bastion:2022")),
    )
    client(private, SSH_PRIVATE_KEY="secret").connection(route)
    said = subprocess.run(
        ["ssh", "-G", "-F", private / "config1", "web"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    settings = dict(line.split(" ", 1) for line in said if " " in line)
    expected = {
        "hostname": "10.0.0.1",
        "port": "2222",
        "user": "deploy",
        "connecttimeout": "3",
        # As ssh makes it of ProxyJump, but in a session of its own.
        "proxycommand": f"{sys.executable} -I -S -c '{_IN_A_SESSION}' ssh -F {private}/config1 -W '[%h]:%p'"
        f" -J first -l me -p 2022 -- bastion 2>{private}/log1",
        "stricthostkeychecking": "true",
        "userknownhostsfile": str(private / "known_hosts"),
        "globalknownhostsfile": "none",
        "batchmode": "yes",
        "identitiesonly": "yes",
        "forwardagent": "no",
        "permitlocalcommand": "no",
        "controlpath": str(private / "c1"),
    }
    assert {name: settings[name] for name in expected} == expected
    keys = [line.partition(" ")[2] for line in said if line.startswith("identityfile ")]
    assert keys == ["/keys/web", str(private / "key")]
    assert stat.S_IMODE((private / "key").stat().st_mode) == 0o600
    # A jump host is reached with the same strictness.
    jump = subprocess.run(
        ["ssh", "-G", "-F", private / "config1", "bastion"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {
        "stricthostkeychecking true",
        f"userknownhostsfile {private}/known_hosts",
        "batchmode yes",
    } <= set(jump)
