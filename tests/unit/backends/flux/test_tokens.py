"""Which token is taken, when it is renewed, and what is said when there is none."""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sf import documents
from sf.backends.flux.kubeconfig import Plugin
from sf.backends.flux.tokens import Credential, Given, Printed, Token, choose, read_token
from sf.config import load_config
from sf.http import Http
from sf.models import Problem
from sf.process import Launcher
from sf.redact import MASK, Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sf.backends.flux.tokens import Source
    from sf.config import GitopsConfig

FORGE = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://forge.test/?a=b",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret",
}


def gitops(**oidc: str) -> GitopsConfig:
    section = {"cluster": {"name": "home-lab", "server": "https://a"}, "oidc": oidc}
    return load_config(documents.dump({"lifecycle": {"mode": "gitops"}, "gitops": section}).encode()).gitops


def jwt(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


def test_places_are_asked_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-pod")
    environ = {"STAGEFREIGHT_OIDC": "1", **FORGE, "SF_ID_TOKEN": "2", "HOME_LAB_TOKEN": "3"}
    found = []
    for gone in ("", "STAGEFREIGHT_OIDC", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SF_ID_TOKEN", "HOME_LAB_TOKEN"):
        environ.pop(gone, None)
        source = choose(gitops(audience="x"), environ, lambda: Http(Redactor()), mount=tmp_path)
        found.append(source.name)
    assert found == [
        "STAGEFREIGHT_OIDC",
        "requested from the forge for the audience x",
        "SF_ID_TOKEN",
        "HOME_LAB_TOKEN",
        "the service account of this pod",
    ]


@pytest.mark.parametrize(
    ("oidc", "environ", "because"),
    [
        ({}, FORGE, "none is requested from the forge without `gitops.oidc.audience`"),
        ({"audience": "x"}, {}, "the forge offers none (ACTIONS_ID_TOKEN_REQUEST_URL is not set)"),
        ({}, {"HOME_LAB_TOKEN": ""}, "none is requested"),
    ],
)
def test_without_a_token_every_place_is_named(
    tmp_path: Path, oidc: dict[str, str], environ: Mapping[str, str], because: str
) -> None:
    with pytest.raises(Problem, match=re.escape(because)) as caught:
        choose(gitops(**oidc), environ, lambda: Http(Redactor()), mount=tmp_path)
    assert "STAGEFREIGHT_OIDC, SF_ID_TOKEN and HOME_LAB_TOKEN are not set" in caught.value.message


def test_the_variable_of_gitlab_has_the_name_that_the_job_gives_it(tmp_path: Path) -> None:
    source = choose(gitops(variable="MINE"), {"MINE": "t"}, lambda: Http(Redactor()), mount=tmp_path)
    assert (source.name, source.fetch().value) == ("MINE", "t")


@pytest.mark.parametrize("text", ["", " \n", "a b", "a\nb", "a\x00b", "tökén"])
def test_what_cannot_be_a_token_is_refused(text: str) -> None:
    with pytest.raises(Problem, match="what V holds is not a token"):
        read_token(text, "V")


@pytest.mark.parametrize("text", ["opaque", "a.b.c", "a.e30.c", "a.W10.c", "k8s-aws-v1.aHR0cHM"])
def test_a_token_that_says_nothing_of_its_end_has_none(text: str) -> None:
    token = read_token(f" {text}\n", "V")
    assert (token.value, token.expires, token.renewal, token.claims) == (text, None, None, {})


@pytest.mark.parametrize(("life", "early"), [(3600, 60), (300, 60), (240, 60), (200, 50), (4, 1)])
def test_a_token_is_renewed_early(life: int, early: int) -> None:
    assert read_token(jwt(iat=1000, exp=1000 + life), "V").renewal == 1000 + life - early


class Spring:
    """A source whose tokens live for 100 s, until it dries up."""

    name = "spring"
    renews = True
    file = None

    def __init__(self) -> None:
        self.now = 0.0
        self.fetched = 0
        self.is_dry = False

    def fetch(self) -> Token:
        if self.is_dry:
            raise Problem("the spring is dry")
        self.fetched += 1
        return Token(value=f"token-{self.fetched}", issued=self.now, expires=self.now + 100)


def test_a_token_is_kept_until_it_is_time_for_the_next() -> None:
    spring = Spring()
    credential = Credential(spring, Redactor(), clock=lambda: spring.now)
    values = []
    for spring.now in (0, 74, 75, 149, 150):
        values.append(credential.token().value)
    assert values == ["token-1", "token-1", "token-2", "token-2", "token-3"]


def test_a_forge_that_is_away_does_not_matter_while_the_token_lives() -> None:
    spring = Spring()
    credential = Credential(spring, Redactor(), clock=lambda: spring.now)
    credential.token()
    spring.is_dry, spring.now = True, 99
    assert credential.token().value == "token-1"
    spring.now = 100
    with pytest.raises(Problem, match="the spring is dry"):
        credential.token()


def test_a_token_that_cannot_be_renewed_ends() -> None:
    credential = Credential(Given(name="V", value=jwt(iat=0, exp=100)), Redactor(), clock=lambda: 130)
    with pytest.raises(Problem, match=r"the token \(V\) expired 30 s ago") as caught:
        credential.token()
    assert "cannot be renewed" in caught.value.hint


def test_every_token_is_redacted() -> None:
    redactor, spring = Redactor(), Spring()
    Credential(spring, redactor, clock=lambda: spring.now).token()
    assert redactor.scrub("it is token-1!") == f"it is {MASK}!"


def printed(output: str) -> Source:
    return Printed(
        launcher=Launcher(Redactor()),
        plugin=Plugin(command=(sys.executable, "-c", f"print({output!r})"), environ={}, api_version="v1"),
        environ={},
    )


def test_the_end_that_a_program_prints_counts() -> None:
    status = {"token": "opaque", "expirationTimestamp": "1970-01-01T00:10:00Z"}
    assert printed(json.dumps({"status": status})).fetch().expires == 600


@pytest.mark.parametrize("output", ["", "[]", "{}", '{"status": {"clientCertificateData": "x"}}'])
def test_a_program_that_prints_no_token(output: str) -> None:
    with pytest.raises(Problem, match="prints no ExecCredential with a token"):
        printed(output).fetch()
