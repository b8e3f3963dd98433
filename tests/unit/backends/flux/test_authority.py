"""Which certificates the API server is checked against, and which are refused at once."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import pytest

from sf import documents
from sf.backends.flux.authority import find_authority
from sf.config import ClusterConfig, load_config
from sf.models import Problem
from toolchain.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

EXPIRED: Final = """\
-----BEGIN CERTIFICATE-----
MIIBaDCCAQ+gAwIBAgIBATAKBggqhkjOPQQDAjAcMRowGAYDVQQDDBFzZiB0ZXN0
IGF1dGhvcml0eTAeFw0yMDAxMDEwMDAwMDBaFw0yMTAxMDIwMDAwMDBaMBwxGjAY
BgNVBAMMEXNmIHRlc3QgYXV0aG9yaXR5MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAEMzUEStZ+evRpSjLAyKATxckYaun3jGK2BnDLWuaKGBzAYrRvNzSNxaDmJYx6
ex2geL7hUTju41ojxKr1s4ab9KNCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8B
Af8EBAMCAgQwHQYDVR0OBBYEFMl0wJf+y1o+MHvNAI07qoCBXgQyMAoGCCqGSM49
BAMCA0cAMEQCIEY1S6LgifMxjcMemtKIm9Qgo0YSkJ3iLLIjVZeTUzyLAiBWgVWa
FkgWrYnrCC6aQ5fM5h6edsoDkrD6W9+jjXP6cQ==
-----END CERTIFICATE-----
"""


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> str:
    return Authority.create(tmp_path_factory.mktemp("pki")).pem


def cluster(ca: str = "") -> ClusterConfig:
    section = {"cluster": {"name": "home-lab", "server": "https://a", "ca": ca}}
    config = load_config(documents.dump({"lifecycle": {"mode": "gitops"}, "gitops": section}).encode())
    assert config.gitops.cluster is not None
    return config.gitops.cluster


def encoded(text: str) -> str:
    return base64.encodebytes(text.encode()).decode()


def test_the_job_comes_before_the_configuration_and_the_pod(pem: str, tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    file.write_text(pem)
    environ = {"HOME_LAB_CA_FILE": str(file), "HOME_LAB_CA_B64": encoded(pem)}
    found = find_authority(cluster(pem), environ, file)
    assert found is not None
    assert (found.pem, found.origin) == (pem, "HOME_LAB_CA_FILE")
    origins = [
        find_authority(cluster(pem), {"HOME_LAB_CA_B64": encoded(pem)}, file),
        find_authority(cluster(pem), {}, file),
        find_authority(cluster(), {}, file),
        find_authority(cluster(), {}, tmp_path / "none"),
        find_authority(cluster(), {}),
    ]
    assert [found.origin if found else "" for found in origins] == [
        "HOME_LAB_CA_B64",
        "`gitops.cluster.ca`",
        "the service account of this pod",
        "",
        "",
    ]


@pytest.mark.parametrize("text", ["x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "é"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(Problem, match=r"in `gitops.cluster.ca` is not a list of PEM certificates"):
        find_authority(cluster(text), {})


def test_a_key_is_no_certificate(pem: str) -> None:
    key = pem.replace("CERTIFICATE", "PRIVATE KEY")
    with pytest.raises(Problem, match="in HOME_LAB_CA_B64 is not a list of PEM"):
        find_authority(cluster(), {"HOME_LAB_CA_B64": encoded(key)})


@pytest.mark.parametrize("value", ["!", "abc", "/w=="])
def test_what_is_not_base64_of_text_is_refused(value: str) -> None:
    with pytest.raises(Problem, match="HOME_LAB_CA_B64 is not a text file in base64"):
        find_authority(cluster(), {"HOME_LAB_CA_B64": value})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"of HOME_LAB_CA_FILE cannot be read: .*No such file"):
        find_authority(cluster(), {"HOME_LAB_CA_FILE": str(tmp_path / "none")})


def test_an_authority_that_has_expired(pem: str) -> None:
    with pytest.raises(Problem, match=r"in `gitops.cluster.ca` expired on 2021-01-02"):
        find_authority(cluster(EXPIRED), {})
    # The old one of two may stay in the list after the new one was added.
    assert find_authority(cluster(EXPIRED + pem), {}) is not None
