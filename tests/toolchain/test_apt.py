import pytest

from toolchain import apt, packages, pins
from toolchain.errors import ToolchainError

ONE_LINE = """
# deb http://commented.example/debian trixie main
deb-src http://source.example/debian trixie main
deb [arch=amd64 signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example/linux/debian trixie stable
deb http://security.example/debian-security trixie-security main # with a comment
deb [ signed-by=/k.gpg ] http://mirror.example/debian/ trixie main contrib  # non-free
"""

DEB822 = """\
# A comment before the first stanza
Types: deb
URIs: https://vendor.example/linux/debian
Suites: trixie
Components: stable

Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: trixie
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main

Types: deb deb-src
# a comment inside a stanza
uris: http://mirror.example/debian/
  http://second.example/debian
Suites: trixie
# a comment inside a field
 trixie-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEXEHOdhYJKwYBBAHaRw8BAQdA
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_one_line_sources() -> None:
    assert list(apt.parse_one_line(ONE_LINE)) == [
        apt.Source("https://vendor.example/linux/debian", ("trixie",), ("stable",)),
        apt.Source("http://security.example/debian-security", ("trixie-security",), ("main",)),
        apt.Source("http://mirror.example/debian/", ("trixie",), ("main", "contrib")),
    ]


def test_deb822_sources() -> None:
    suites, components = ("trixie", "trixie-updates"), ("main", "contrib")
    assert list(apt.parse_deb822(DEB822)) == [
        apt.Source("https://vendor.example/linux/debian", ("trixie",), ("stable",)),
        apt.Source("http://mirror.example/debian/", suites, components),
        apt.Source("http://second.example/debian", suites, components),
    ]


@pytest.mark.parametrize("sources", [apt.parse_one_line(ONE_LINE), apt.parse_deb822(DEB822)])
def test_the_mirror_is_the_one_of_the_release_itself(sources: list[apt.Source]) -> None:
    assert apt.mirror(list(sources), "trixie") == "http://mirror.example/debian/"


def test_no_mirror_for_the_release_is_an_error_that_names_it() -> None:
    with pytest.raises(ToolchainError, match="mirror for forky"):
        apt.mirror(list(apt.parse_deb822(DEB822)), "forky")


PIN = pins.Deb("docker.io", "28.5.2-5", "aa")
SERVED = [apt.Candidate("29.0.0-1", "bb"), apt.Candidate("28.5.2-5", "aa")]


def test_the_pinned_version_is_taken_while_it_is_served() -> None:
    assert packages.choose(PIN, SERVED, check_digest=True) == "28.5.2-5"


def test_a_version_no_longer_served_gives_way_to_the_newest_with_the_line_to_pin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert packages.choose(PIN, SERVED[:1], check_digest=True) == "29.0.0-1"
    said = capsys.readouterr().err
    assert "docker.io 28.5.2-5 is no longer served" in said
    assert '"docker.io" = { version = "29.0.0-1", sha256 = "bb" }' in said


def test_another_file_under_the_pinned_version_is_refused_where_the_pin_has_its_digest() -> None:
    changed = [apt.Candidate("28.5.2-5", "cc")]
    with pytest.raises(ToolchainError, match="should have the sha256 aa"):
        packages.choose(PIN, changed, check_digest=True)
    assert packages.choose(PIN, changed, check_digest=False) == "28.5.2-5"


def test_a_package_that_is_gone_is_an_error_that_names_it() -> None:
    with pytest.raises(ToolchainError, match=r"no longer has the package docker\.io"):
        packages.choose(PIN, [], check_digest=True)
