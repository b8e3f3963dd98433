"""What is taken from a kubeconfig of the user's, and what is refused."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from sf.backends.flux.kubeconfig import Login, Plugin, read_login, write_kubeconfig
from sf.config import KubeconfigConfig
from sf.models import Problem

if TYPE_CHECKING:
    from pathlib import Path

EXEC = {"apiVersion": "v1", "command": "aws", "args": ["token"], "env": [{"name": "A", "value": "b"}]}


def kubeconfig(name: str = "one", cluster: dict[str, Any] | None = None, **user: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443/", **(cluster or {})}}],
        "users": [{"name": name, "user": user or {"token": f"token-of-{name}"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def read(folder: Path, document: Any, **settings: str) -> Login:
    """The login that the file `kubeconfig` in the user's home gives."""
    (folder / "kubeconfig").write_text(json.dumps(document))
    chosen = KubeconfigConfig(**{"path": "~/kubeconfig"} | settings)
    return read_login(chosen, {"HOME": str(folder)}, folder)


def test_the_current_context_is_taken(tmp_path: Path) -> None:
    login = read(tmp_path, kubeconfig(cluster={"tls-server-name": "inside"}))
    assert login == Login(
        context="one", server="https://one:6443", tls_server_name="inside", token="token-of-one"
    )


def test_kubectl_and_sf_look_in_the_same_places(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text(json.dumps(kubeconfig("home")))
    for name in ("one", "two"):
        (tmp_path / name).write_text(json.dumps(kubeconfig(name)))
    home = {"HOME": str(tmp_path)}
    listed = {**home, "KUBECONFIG": f"{tmp_path}/one:{tmp_path}/two:"}
    assert read_login(KubeconfigConfig(context="home"), home, tmp_path).server == "https://home:6443"
    assert read_login(KubeconfigConfig(context="two"), listed, tmp_path).server == "https://two:6443"
    with pytest.raises(Problem, match="has no context 'home'") as caught:
        read_login(KubeconfigConfig(context="home"), listed, tmp_path)
    assert caught.value.hint == "there is one, two"


def test_files_that_it_names_are_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-a-file")
    assert read(tmp_path, kubeconfig(tokenFile="token")).token == "of-a-file"
    (tmp_path / "client.crt").write_text("certificate")
    key = base64.b64encode(b"key").decode()
    user: dict[str, Any] = {"client-certificate": "client.crt", "client-key-data": key}
    login = read(tmp_path, kubeconfig(**user))
    assert (login.token, login.certificate, login.key) == ("", "certificate", "key")


def test_a_variable_may_name_a_program_but_no_file(tmp_path: Path) -> None:
    def from_variable(**user: Any) -> Login:
        text = base64.b64encode(json.dumps(kubeconfig(**user)).encode()).decode()
        return read_login(KubeconfigConfig(variable="MINE"), {"MINE": text}, tmp_path)

    plugin = Plugin(command=("aws", "token"), environ={"A": "b"}, api_version="v1")
    assert from_variable(exec=EXEC).plugin == plugin
    with pytest.raises(Problem, match="MINE names the file /etc/shadow"):
        from_variable(tokenFile="/etc/shadow")


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"exec": EXEC}, "names the program aws, and a kubeconfig in the repository may not"),
        ({"tokenFile": "/proc/self/environ"}, "names the file /proc/self/environ"),
        ({"client-certificate": "../../x"}, r"names the file \.\./\.\./x"),
    ],
)
def test_the_repository_may_name_neither_program_nor_file(
    tmp_path: Path, user: dict[str, Any], message: str
) -> None:
    with pytest.raises(Problem, match=message):
        read(tmp_path, kubeconfig(**user), path="kubeconfig")


def test_a_link_does_not_lead_out_of_the_repository(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "kubeconfig").symlink_to(tmp_path / "mine")
    (tmp_path / "mine").write_text(json.dumps(kubeconfig()))
    with pytest.raises(Problem, match="a link that leads out of the repository"):
        read_login(KubeconfigConfig(path="kubeconfig"), {}, repository)


@pytest.mark.parametrize(
    ("cluster", "user", "key"),
    [
        ({"insecure-skip-tls-verify": True}, {}, "insecure-skip-tls-verify"),
        ({"proxy-url": "http://a"}, {}, "proxy-url"),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({}, {"username": "a", "password": "b"}, "username"),
        ({}, {"token": "t", "as": "root"}, "as"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], key: str
) -> None:
    with pytest.raises(Problem, match=f"sets `{key}`, which sf refuses"):
        read(tmp_path, kubeconfig(cluster=cluster, **user))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "is not a kubeconfig"),
        ({}, "has no current context"),
        ({"current-context": "x", "contexts": 5}, "has no context 'x'"),
        (kubeconfig() | {"clusters": [None, {"name": "one"}]}, "has no cluster 'one'"),
        (kubeconfig() | {"users": []}, "has no user 'one'"),
        (kubeconfig(cluster={"server": "http://a"}), "has no server with an https:// address"),
        (kubeconfig(cluster={"certificate-authority-data": "eA=="}), "is not a list of PEM certificates"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(Problem, match=message):
        read(tmp_path, document)


def test_a_place_that_is_empty_is_told(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="none cannot be read"):
        read_login(KubeconfigConfig(path="/none"), {}, tmp_path)
    with pytest.raises(Problem, match="MINE is not set"):
        read_login(KubeconfigConfig(variable="MINE"), {}, tmp_path)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    written = write_kubeconfig("https://a", {"token": "t"}, ca=None, tls_server_name="inside")
    (tmp_path / "kubeconfig").write_bytes(written)
    login = read_login(KubeconfigConfig(path="~/kubeconfig"), {"HOME": str(tmp_path)}, tmp_path)
    assert (login.server, login.token, login.tls_server_name) == ("https://a", "t", "inside")
