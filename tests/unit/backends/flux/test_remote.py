"""Addresses in kustomizations: what kustomize reads in them, what may be fetched, and how they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.backends.flux.remote import GitAddress, allowed_bases, git_address, is_surely_git, refusal, shown
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import GitopsConfig, load_config
from sf.models import Problem
from sf.runtime import InvokerType, RuntimeContext

if TYPE_CHECKING:
    from pathlib import Path

SHA = "0123456789abcdef0123456789abcdef01234567"


# What NewRepoSpecFromURL of kustomize 5.8 makes of them.
@pytest.mark.parametrize(
    ("name", "url", "path", "ref"),
    [
        ("https://github.com/org/repo//a/b?ref=v1", "https://github.com/org/repo", "a/b", "v1"),
        ("github.com/org/repo/a/b?ref=v1", "https://github.com/org/repo", "a/b", "v1"),
        ("GitHub.com/org/repo", "https://github.com/org/repo", "", ""),
        ("git::https://github.com/org/repo.git//a", "https://github.com/org/repo.git", "a", ""),
        ("https://git@github.com/org/repo//a", "git@github.com:org/repo", "a", ""),
        ("ssh://git@github.com/org/repo.git/a?ref=v1", "git@github.com:org/repo.git", "/a", "v1"),
        ("git@github.com:org/repo.git//a?version=v2", "git@github.com:org/repo.git", "a", "v2"),
        ("ssh://deploy@host.test:2222/org/repo/a", "ssh://deploy@host.test:2222/org/repo", "a", ""),
        ("https://host.test/x/_git/repo/a/b?ref=v1", "https://host.test/x/_git/repo", "a/b", "v1"),
        ("https://host.test/deep/er/repo.git/a", "https://host.test/deep/er/repo.git", "/a", ""),
        ("https://host.test/org/repo/a?version=v1&ref=v2", "https://host.test/org/repo", "a", "v2"),
        ("https://host.test/org/repo?timeout=90s&submodules=0", "https://host.test/org/repo", "", ""),
        ("me@host.test:repo//a", "me@host.test:repo", "a", ""),
        ("file:///srv/repo//a?ref=v1", "file:///srv/repo", "a", "v1"),
    ],
)
def test_what_kustomize_would_clone(name: str, url: str, path: str, ref: str) -> None:
    assert git_address(name) == GitAddress(url, path.lstrip("/"), ref)


@pytest.mark.parametrize(
    "name",
    ["../base", "/srv/repo", "host.test/org/repo//a", "https://host.test/file.yaml", "https://host.test/o/r//../x",
     "https://", "ftp://host.test/org/repo", "ext::sh -c true", "a@b"],
)  # fmt: skip
def test_what_kustomize_would_not_clone(name: str) -> None:
    assert git_address(name) is None


def test_what_may_also_be_a_file() -> None:
    assert not is_surely_git("https://raw.example.test/org/repo/v1/x.yaml")
    assert not is_surely_git("https://raw.example.test/org/repo/v1/x.yaml?inline=false")
    for name in (
        "https://h.test/o/r//x",
        "https://h.test/o/r.git",
        "https://h.test/o/r?ref=x",
        "git@h.test:o/r",
    ):
        assert is_surely_git(name)


ALLOWED = [
    ("github.com/org", "https://github.com/org/repo//a?ref=v1"),
    ("github.com/org", "git@github.com:org/repo"),
    ("github.com/org/repo", "github.com/org/repo.git"),
    ("GitHub.com/org/repo.git", "ssh://git@github.com/org/repo.git"),
    ("https://github.com/org/", "github.com/org/repo"),
    ("github.com", "https://github.com:443/org/repo"),
    ("ssh://host.test:2222/org", "ssh://git@host.test:2222/org/repo"),
    ("http://127.0.0.1:8080", "http://127.0.0.1:8080/org/repo//a"),
    ("raw.example.test/org", "https://raw.example.test/org/repo/v1/x.yaml"),
    ("raw.example.test", "https://raw.example.test/x.yaml?token=abc"),
    ("github.com/org", f"https://github.com/org/repo?ref={SHA}"),
]
NOT_ALLOWED = [
    ("github.com/org", "https://github.com/organisation/repo"),
    ("github.com/org", "https://github.com/other/repo"),
    ("github.com/org", "https://github.com.example.test/org/repo"),
    ("github.com/org", "https://example.test/github.com/org/repo"),
    ("github.com/org", "http://host.test/org/repo"),
    ("127.0.0.1:8080", "http://127.0.0.1:8080/org/repo"),
    ("http://127.0.0.1:8080", "http://127.0.0.1:80/org/repo"),
    ("https://github.com/org", "git@github.com:org/repo"),
    ("host.test", "ssh://git@host.test:2222/org/repo"),
    ("github.com/org/repo", "https://github.com/org/repository"),
]
HOSTILE = [
    "file:///srv/repo//a",
    "https://github.com/org/../other/repo//a",
    "https://github.com/org/%2e%2e/other",
    "https://github.com/org/repo\\..\\x//a",
    "https://github.com/org/repo%0a//a",
    "https://github.com/org/re po//a",
    "https://github.com/org/repo\n//a",
    "ssh://-oProxyCommand=x/org/repo",
    "ssh://git@-oProxyCommand=x/org/repo",
    "git@-oProxyCommand=x:org/repo",
    "git@github.com:../repo",
    "https://github.com/org/repo?ref=--upload-pack=touch",
    "https://github.com/org/repo?ref=a:refs/heads/b",
    "https://github.com/org/repo?ref=a%20b",
    "https://user:pass@github.com/org/repo//a",
    "https://token@host.test/org/repo//a",
    "ssh://git:pass@host.test/org/repo",
    "https://host.test//org/repo",
]
EVERYTHING = ("github.com", "host.test", "ssh://host.test", "http://host.test", "https://github.com")


def bases(*names: str) -> tuple[str, ...]:
    listed = ", ".join(f"'{name}'" for name in names)
    return load_config(
        f"{{lifecycle: {{mode: gitops}}, gitops: {{remote_bases: [{listed}]}}}}".encode()
    ).gitops.remote_bases


@pytest.mark.parametrize(("base", "address"), ALLOWED)
def test_what_is_allowed(base: str, address: str) -> None:
    assert refusal(address, bases(base)) == ""
    assert refusal(address, bases("elsewhere.test", base)) == ""
    assert refusal(address, ()) == "`gitops.remote_bases` does not allow it here"


@pytest.mark.parametrize(("base", "address"), NOT_ALLOWED)
def test_what_is_not_allowed(base: str, address: str) -> None:
    assert refusal(address, bases(base)) == "`gitops.remote_bases` does not allow it here"


@pytest.mark.parametrize("address", HOSTILE)
def test_what_is_never_fetched(address: str) -> None:
    assert refusal(address, bases(*EVERYTHING)) in {
        "it is not of a form that is fetched",
        "it carries credentials",
        "its ref is not the name of one",
    }


@given(
    st.text(max_size=60), st.sampled_from(["https://github.com/", "git@github.com:", "ssh://github.com/", ""])
)
def test_an_address_that_is_allowed_leads_where_it_says(tail: str, head: str) -> None:
    address = f"{head}{tail}"
    if refusal(address, ("github.com/org",)) == "":
        git = git_address(address)
        url = git.url if git else address
        assert url.startswith(("https://github.com/org", "git@github.com:org", "ssh://github.com/org"))
        assert ".." not in url.split("/")


@pytest.mark.parametrize("trust", Trust)
def test_only_a_trusted_event_may_fetch(tmp_path: Path, trust: Trust) -> None:
    context = RuntimeContext(
        ci=CIContext(provider=Provider.GITHUB, event=EventKind.PULL_REQUEST, trust=trust),
        invoker=InvokerType.CI,
        repo_root=tmp_path,
        dry_run=True,
        environ={"TMPDIR": str(tmp_path)},
    )
    allowed = allowed_bases(GitopsConfig(remote_bases=("github.com/org",)), context)
    context.workspace.close()
    assert allowed == (("github.com/org",) if trust is Trust.TRUSTED else ())


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://github.com/org/repo//x?ref=v1", "https://github.com/org/repo//x?ref=v1"),
        ("https://user:pass@github.com/org/repo?ref=v1", "https://github.com/org/repo?ref=v1"),
        ("https://x.test/a.yaml?token=abc&ref=v1", "https://x.test/a.yaml?…&ref=v1"),
        ("https://x.test/a.yaml?abc", "https://x.test/a.yaml?…"),
        ("git@x.test:a/b", "git@x.test:a/b"),
    ],
)
def test_addresses_are_told_without_credentials(address: str, told: str) -> None:
    assert shown(address) == told


@pytest.mark.parametrize(
    "base", ["", "https://", "ftp://x.test", "https://me@x.test", "x.test/a?b", "x.test/../a", "x.test/a b",
             "/srv", "file:///srv", "ext::x", "-x", "x.test/*"]
)  # fmt: skip
def test_what_is_no_beginning_of_an_address(base: str) -> None:
    with pytest.raises(Problem, match="must be the beginning of an address like"):
        bases(base)
