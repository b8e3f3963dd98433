from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sf.backends.compose.targets import context_inventory
from sf.models import Problem
from sf.tools.contexts import Context, read_contexts

KEYS = ("ca.pem", "cert.pem", "key.pem")


def store(root: Path, name: str, endpoint: dict[str, Any], keys: tuple[str, ...] = ()) -> None:
    """A context as the docker command keeps it."""
    number = hashlib.sha256(name.encode()).hexdigest()
    meta = root / "contexts/meta" / number
    meta.mkdir(parents=True)
    document = {"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (meta / "meta.json").write_text(json.dumps(document))
    for key in keys:
        file = root / "contexts/tls" / number / "docker" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_contexts_stand_in_the_store_beside_the_default_one(tmp_path: Path) -> None:
    store(tmp_path, "far", {"Host": "tcp://10.0.0.1:2376", "SkipTLSVerify": False}, KEYS)
    store(tmp_path, "half", {"Host": "tcp://10.0.0.1:2376"}, KEYS[:2])
    store(tmp_path, "unchecked", {"Host": "tcp://10.0.0.1:2376", "SkipTLSVerify": True}, KEYS)
    contexts = read_contexts({"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": "unix:///run/own.sock"})
    assert contexts["default"] == Context(name="default", address="unix:///run/own.sock")
    folder = Path(contexts["far"].certificates)
    assert all((folder / key).exists() for key in KEYS)
    assert (contexts["half"].certificates, contexts["unchecked"].certificates) == ("", "")


def test_without_a_store_there_is_the_default_context(tmp_path: Path) -> None:
    assert list(read_contexts({"HOME": str(tmp_path)})) == ["default"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Name": "a", "Endpoints": []}', '{"Name": "a"}'])
def test_a_context_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    meta = tmp_path / "contexts/meta/abc"
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(text)
    with pytest.raises(Problem, match="the docker context in abc cannot be read"):
        read_contexts({"DOCKER_CONFIG": str(tmp_path)})


def test_contexts_become_hosts_by_the_form_of_their_address() -> None:
    contexts = [
        Context(name="here", address="unix:///run/docker.sock"),
        Context(name="shell", address="ssh://deploy@web.example.com:2222"),
        Context(name="plain", address="ssh://web.example.com"),
        Context(name="far", address="tcp://[2001:db8::1]", certificates="/keys"),
    ]
    hosts = context_inventory({one.name: one for one in contexts}).hosts
    assert (hosts["here"].local, hosts["here"].socket) == (True, "/run/docker.sock")
    shell = hosts["shell"]
    assert (shell.local, shell.address, shell.port, shell.user) == (False, "web.example.com", 2222, "deploy")
    assert (hosts["plain"].port, hosts["plain"].user) == (0, "")
    assert (hosts["far"].engine, hosts["far"].certificates) == ("tcp://[2001:db8::1]:2376", "/keys")
    assert [name for name, host in hosts.items() if host.reading_only] == ["far"]


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (Context(name="a", address="tcp://10.0.0.1:2375"), "without TLS"),
        (Context(name="a", address="npipe:////./pipe/docker_engine"), "which is not unix:///path"),
        (Context(name="a", address="http://10.0.0.1"), "which is not unix:///path"),
        (Context(name="a", address=""), "leads to nowhere"),
        (Context(name="a", address="ssh://-oProxyCommand=x"), "which is not unix:///path"),
        (Context(name="a", address="ssh://web/elsewhere"), "which is not unix:///path"),
        (Context(name="-oX", address="ssh://web"), "could be taken for an option"),
    ],
)
def test_a_context_that_cannot_be_used_is_no_host_and_says_why(context: Context, said: str) -> None:
    inventory = context_inventory({context.name: context})
    assert inventory.hosts == {}
    with pytest.raises(Problem, match=said):
        inventory.scope(context.name)
    with pytest.raises(Problem, match=said):
        inventory.select([], [context.name])
