"""The token goes to this user's processes through `sf credential`, and to nobody else."""

from __future__ import annotations

import json
import socket
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.broker import Broker
from sf.backends.flux.tokens import Credential, Given, Token
from sf.models import Problem
from sf.process import Completed, Launcher
from sf.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AS_NOBODY = """
import os, socket, sys
os.chdir(sys.argv[1])
os.seteuid(65534)
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect("credential")
    print(connection.recv(1000).decode())
"""


class Fresh:
    name = "fresh"
    renews = True
    file = None

    def fetch(self) -> Token:
        return Token(value="the-token", issued=4_000_000_000, expires=4_000_003_600)


class Broken:
    name = "broken"
    renews = True
    file = None

    def fetch(self) -> Token:
        raise Problem("the forge is away", hint="wait")


def run(*arguments: str) -> Completed:
    return Launcher(Redactor()).run(
        [sys.executable, "-I", *arguments], environ={}, timeout=30, accept=(0, 1, 2)
    )


def credential(path: Path) -> Completed:
    return run("-m", "sf", "credential", "--socket", str(path))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "credential", Credential(Fresh(), Redactor()))
    yield broker
    broker.close()


def test_a_tool_gets_what_client_go_asks_for(broker: Broker) -> None:
    answers = [credential(broker.path) for _ in range(2)]
    assert [(answer.code, answer.stderr) for answer in answers] == [(0, "")] * 2
    assert json.loads(answers[1].text) == {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        # A minute before it expires.
        "status": {"token": "the-token", "expirationTimestamp": "2096-10-02T08:05:40+00:00"},
    }


def test_a_token_without_an_end_is_given_without_one(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "credential", Credential(Given(name="V", value="opaque"), Redactor()))
    assert json.loads(credential(broker.path).text)["status"] == {"token": "opaque"}
    broker.close()


def test_why_there_is_no_token_reaches_the_tool(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "credential", Credential(Broken(), Redactor()))
    answer = credential(broker.path)
    assert (answer.code, answer.text, answer.stderr) == (1, "", "the forge is away (wait)\n")
    broker.close()


def test_a_client_that_leaves_does_not_matter(broker: Broker) -> None:
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(broker.path))
    assert credential(broker.path).code == 0


def test_the_socket_is_for_this_user(broker: Broker) -> None:
    assert stat.S_IMODE(broker.path.stat().st_mode) == 0o600


def test_another_user_gets_nothing_even_where_the_files_let_him(broker: Broker) -> None:
    broker.path.parent.chmod(0o755)
    broker.path.chmod(0o666)
    answer = run("-c", AS_NOBODY, str(broker.path.parent))
    assert answer.text == "-this token is for the processes of another user\n"


def test_after_the_end_there_is_no_socket(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "credential", Credential(Fresh(), Redactor()))
    broker.close()
    assert not broker.path.exists()
    answer = credential(broker.path)
    assert answer.code == 1
    assert answer.stderr.startswith("the run that holds the token does not answer: ")


def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="cannot listen at"):
        Broker(tmp_path / ("x" * 108), Credential(Fresh(), Redactor()))


def test_the_command_explains_its_use() -> None:
    answer = run("-m", "sf", "credential")
    assert (answer.code, answer.text, answer.stderr) == (2, "", "usage: sf credential --socket PATH\n")


def test_the_command_imports_nothing_that_takes_time() -> None:
    imported = run("-X", "importtime", "-m", "sf", "credential").stderr
    modules = {line.rpartition("|")[2].strip() for line in imported.splitlines()}
    assert {name for name in modules if name.split(".")[0] == "sf"} == {"sf", "sf.credential"}
    assert modules.isdisjoint({"click", "json", "kubernetes", "pydantic", "subprocess", "yaml"})
