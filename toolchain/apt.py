"""Debian packages without installing them: the machine's own mirror, but lists and pins of our own."""

import os
import platform
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import ToolchainError
from toolchain.programs import find, run
from toolchain.progress import say, step

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

ONE_LINE = re.compile(r"deb\s+(?:\[[^]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>[^#]+)")


@dataclass(frozen=True)
class Source:
    """One archive that apt is configured with, as sources.list(5) describes it."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


@dataclass(frozen=True)
class Candidate:
    """One version of a package that the archive serves, with the digest that its signed index names."""

    version: str
    sha256: str


def parse_one_line(text: str) -> Iterator[Source]:
    """Yield the binary archives of a `.list` file."""
    for line in text.splitlines():
        entry = ONE_LINE.match(line.strip())
        if entry:
            yield Source(entry["uri"], (entry["suite"],), tuple(entry["components"].split()))


def parse_deb822(text: str) -> Iterator[Source]:
    """Yield the enabled binary archives of a `.sources` file."""
    for fields in deb822_stanzas(text):
        enabled = fields.get("enabled", "yes").lower() not in {"no", "false", "0"}
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            suites, components = fields.get("suites", ""), fields.get("components", "")
            yield Source(uri, tuple(suites.split()), tuple(components.split()))


def deb822_stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs of a deb822 document as field → value, field names in lower case."""
    # A comment may stand between two lines of one field, so comments go before lines are joined.
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines)):
        unfolded = re.sub(r"\n[ \t]+", " ", paragraph)
        fields = (line.partition(":") for line in unfolded.splitlines() if ":" in line)
        stanza = {name.strip().lower(): value.strip() for name, _, value in fields}
        if stanza:
            yield stanza


def mirror(sources: Sequence[Source], codename: str) -> str:
    """Return the URI of the archive that serves the main component of the machine's own release.

    Raises ToolchainError if there is none.
    """
    for source in sources:
        if codename in source.suites and "main" in source.components:
            return source.uri
    raise ToolchainError(
        f"apt is not configured with a Debian mirror for {codename}: no source has that suite and the component"
        f" main. Looked at {len(sources)} sources; see sources.list(5)."
    )


def machine_mirror() -> str:
    """Return the Debian mirror that this machine's apt is configured with.

    Raises ToolchainError on a machine that is not Debian.
    """
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian" or find("apt-get") is None:
        system = release.get("PRETTY_NAME", "another system")
        raise ToolchainError(
            f"the packages come from Debian 12 or newer, and this is {system}:"
            " run this in a Debian container or virtual machine"
        )
    return mirror(list(machine_sources()), release.get("VERSION_CODENAME", ""))


def machine_sources() -> Iterator[Source]:
    """Yield every archive of this machine's apt configuration."""
    names = {"list": "Dir::Etc::sourcelist/f", "parts": "Dir::Etc::sourceparts/d"}
    answer = run(["apt-config", "shell", *(word for pair in names.items() for word in pair)])
    places = dict(assignment.split("=", 1) for assignment in shlex.split(answer))
    parts = Path(places["parts"])
    for path in [Path(places["list"]), *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]:
        if path.is_file():
            parse = parse_deb822 if path.suffix == ".sources" else parse_one_line
            yield from parse(path.read_text())


class PrivateApt:
    """apt with the machine's settings (proxy, certificates), but with one source and folders of its own."""

    def __init__(self, folder: Path, uri: str, suite: str) -> None:
        self._downloads = folder / "debs"
        for place in (folder / "lists/partial", folder / "cache/archives/partial", self._downloads):
            place.mkdir(parents=True)
        source = folder / "private.sources"
        source.write_text(
            f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"
        )
        settings: Mapping[str, str | Path] = {
            "Dir::Etc::sourcelist": source,
            "Dir::Etc::sourceparts": "/dev/null",
            # The machine's own pins may forbid the suite.
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            # Packages installed on the machine are no offers of the archive.
            "Dir::State::status": "/dev/null",
            "Dir::State::lists": folder / "lists",
            "Dir::Cache": folder / "cache",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            # apt's own unprivileged user cannot write below a private folder.
            "APT::Sandbox::User": "root",
        }
        self._options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def update(self) -> None:
        """Fetch the index of the suite; apt verifies its signature."""
        run(["apt-get", *self._options, "--quiet", "--error-on=any", "update"])

    def candidates(self, packages: Sequence[str]) -> dict[str, list[Candidate]]:
        """Return what the archive serves of each package, newest first; an unknown package has no entry.

        Raises ToolchainError if every package is unknown.
        """
        served: dict[str, list[Candidate]] = {}
        for stanza in deb822_stanzas(run(["apt-cache", *self._options, "show", *packages])):
            candidate = Candidate(stanza["version"], stanza["sha256"])
            served.setdefault(stanza["package"], []).append(candidate)
        return served

    def download(self, versions: Mapping[str, str]) -> list[Path]:
        """Fetch the packages, given as name → version, and return their files, which apt has verified."""
        wanted = [f"{package}={version}" for package, version in sorted(versions.items())]
        run(["apt-get", *self._options, "--quiet", "download", *wanted], cwd=self._downloads)
        return sorted(self._downloads.glob("*.deb"))


def install(packages: Sequence[str]) -> None:
    """Install packages of the machine's own release; needs root."""
    say(f"installing {' '.join(packages)} from the system's release")
    command = ["apt-get", "--quiet", "--yes", "--no-install-recommends", "install", *packages]
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    wait = ["-o", "DPkg::Lock::Timeout=300"]
    try:
        run([*command, *wait], env=environment)
    except ToolchainError:
        # A fresh machine has no package lists, an old one has lists of versions no longer served.
        run(["apt-get", "--quiet", *wait, "update"])
        run([*command, *wait], env=environment)


def missing(programs: Mapping[str, str]) -> list[str]:
    """Return the packages of `programs`, given as program → package, whose programs the machine lacks."""
    return [package for program, package in programs.items() if find(program) is None]


def ensure_programs(programs: Mapping[str, str], purpose: str) -> None:
    """Install the packages of `programs` that are missing; where we are not root say what `purpose` lacks."""
    lacking = missing(programs)
    if not lacking:
        return
    if os.geteuid() != 0:
        say(f"WARNING: {purpose} {' '.join(lacking)}: apt-get install {' '.join(lacking)}")
        return
    with step(f"installed {' '.join(lacking)}"):
        install(lacking)
