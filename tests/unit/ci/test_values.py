from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.ci.context import EventKind, Trust
from sf.ci.trust import decide_trust
from sf.ci.values import commit_id, repository_address, repository_identity, web_url
from sf.models import Problem

WORDS = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=12)
HOSTS = st.lists(st.from_regex(r"[a-zA-Z][a-zA-Z0-9]{0,8}", fullmatch=True), min_size=2, max_size=3).map(
    ".".join
)
SECRETS = st.text(string.ascii_letters + string.digits + "%_-", min_size=1, max_size=20)
SPELLINGS = st.sampled_from(
    [
        "https://{host}/{path}",
        "https://{host}/{path}.git",
        "https://{host}/{path}/",
        "https://{user}:{secret}@{host}/{path}.git",
        "https://{secret}@{host}:8443/{path}",
        "http://{host}:3000/{path}.git",
        "ssh://git@{host}/{path}.git",
        "ssh://git@{host}:2222/{path}",
        "git+ssh://git@{host}/{path}.git",
        "git@{host}:{path}.git",
        "{user}@{host}:/{path}.git",
        "{host}:{path}",
    ]
)


@given(
    host=HOSTS,
    names=st.lists(WORDS, min_size=2, max_size=4),
    user=WORDS,
    secret=SECRETS,
    spelling=SPELLINGS,
)
def test_one_repository_has_one_identity(
    host: str, names: list[str], user: str, secret: str, spelling: str
) -> None:
    path = "/".join(names)
    remote = spelling.format(host=host, path=path, user=user, secret=secret)
    expected = f"{host}/{path}".lower()
    assert repository_identity(remote) == expected
    assert repository_identity(f"https://{expected}") == expected
    address = repository_address(remote)
    assert repository_identity(address) == expected
    assert "@" not in address


@given(st.text())
def test_any_text_has_an_identity_or_none(text: str) -> None:
    identity = repository_identity(text)
    assert identity == "" or "/" in identity
    web_url(text)


@pytest.mark.parametrize(
    "remote",
    [
        "",
        "/srv/git/fleet.git",
        "../fleet",
        "./a:b/c",
        "file:///srv/git/fleet.git",
        "ext::sh -c true",
        "https://",
        "https://host",
        "https://[broken/a/b",
        "C:\\fleet\\x y",
    ],
)
def test_what_is_on_no_host_has_no_identity(remote: str) -> None:
    assert repository_identity(remote) == ""
    assert repository_address(remote) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://github.com/a/b/", "https://github.com/a/b"),
        ("https://user:token@host:8443/a?x=1#y", "https://host:8443/a?x=1#y"),
        ("http://host", "http://host"),
        ("javascript:alert(1)", ""),
        ("https://host/a b", ""),
        ("https://host/\n", ""),
        ('https://host/"onclick="', ""),
        ("https:///a", ""),
        ("//host/a", ""),
        ("https://[broken/a", ""),
    ],
)
def test_web_addresses(value: str, expected: str) -> None:
    assert web_url(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ""),
        ("0" * 40, ""),
        ("0" * 64, ""),
        ("A" * 40, "a" * 40),
        ("b" * 64, "b" * 64),
        (f" {'c' * 40}\n", "c" * 40),
    ],
)
def test_commit_ids(value: str, expected: str) -> None:
    assert commit_id(value, "X") == expected


@pytest.mark.parametrize("value", ["HEAD", "a" * 39, "a" * 41, "g" * 40, "-" * 40, "a" * 40 + "..main"])
def test_what_is_no_commit_id_is_a_problem(value: str) -> None:
    with pytest.raises(Problem, match="X is not a commit id"):
        commit_id(value, "X")


@pytest.mark.parametrize("event", EventKind)
@pytest.mark.parametrize("fork", [False, True])
@pytest.mark.parametrize("actor", ["ada", "dependabot[bot]"])
def test_trust(event: EventKind, fork: bool, actor: str) -> None:
    trusted = not fork and event.value in {
        "push",
        "tag",
        "schedule",
        "manual",
        "merge_group",
        *(["pull_request"] if actor == "ada" else []),
    }
    expected = Trust.TRUSTED if trusted else Trust.UNTRUSTED
    assert decide_trust(event, fork=fork, actor=actor) is expected
