"""Reads pins.toml into values; every mistake in it is told by the name of its key."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import ToolchainError

FILE = Path(__file__).with_name("pins.toml")


@dataclass(frozen=True)
class Deb:
    """One pinned Debian package."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class PackagePins:
    """The Debian packages of the tier `packages`."""

    suite: str
    architecture: str
    debs: tuple[Deb, ...]


@dataclass(frozen=True)
class GoProgram:
    """One program of the Go module, and the variables (full name → value) that the linker sets in it."""

    name: str
    package: str
    variables: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class GoPins:
    """What the tier `go` builds; the versions of all but flux2 stand in go/go.mod."""

    programs: tuple[GoProgram, ...]
    definitions: tuple[str, ...]
    flux2: str
    flux2_sum: str


@dataclass(frozen=True)
class NpmPackage:
    """Files of a package of the npm registry. `integrity` is that of its archive, as npm writes it."""

    name: str
    version: str
    integrity: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Pins:
    """All of pins.toml."""

    packages: PackagePins
    go: GoPins
    npm: tuple[NpmPackage, ...]


class _Table:
    """A TOML table that remembers where it stands, so that a wrong value can be named."""

    def __init__(self, content: Any, place: str = "") -> None:
        if not isinstance(content, dict):
            raise ToolchainError(f"{FILE.name}: {place} must be a table")
        self._content: dict[str, Any] = content
        self._place = place

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def table(self, name: str) -> "_Table":
        return _Table(self._content.get(name, {}), f"{self._place}.{name}".lstrip("."))

    def text(self, name: str) -> str:
        value = self._content.get(name)
        if not isinstance(value, str) or not value:
            raise ToolchainError(f"{FILE.name}: {self._place}.{name} must be a text that is not empty")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._content.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ToolchainError(f"{FILE.name}: {self._place}.{name} must be a list of texts")
        return tuple(value)


def parse(text: str) -> Pins:
    """Read the text of a pins file. Raises ToolchainError naming the key that is missing or wrong."""
    try:
        root = _Table(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ToolchainError(f"{FILE.name}: {error}") from error
    packages, go, npm = (root.table(name) for name in ("packages", "go", "npm"))
    return Pins(
        PackagePins(
            packages.text("suite"),
            packages.text("architecture"),
            tuple(_deb(name, packages.table("debs").table(name)) for name in packages.table("debs")),
        ),
        GoPins(
            tuple(_program(name, go.table("programs").table(name)) for name in go.table("programs")),
            go.texts("definitions"),
            f"{go.table('flux2').text('module')}@{go.table('flux2').text('version')}",
            go.table("flux2").text("sum"),
        ),
        tuple(_npm(name, npm.table(name)) for name in npm),
    )


def _deb(name: str, table: _Table) -> Deb:
    return Deb(name, table.text("version"), table.text("sha256"))


def _program(name: str, table: _Table) -> GoProgram:
    variables = table.table("variables")
    return GoProgram(name, table.text("package"), tuple((key, variables.text(key)) for key in variables))


def _npm(name: str, table: _Table) -> NpmPackage:
    return NpmPackage(name, table.text("version"), table.text("integrity"), table.texts("files"))


def load() -> Pins:
    """Read the project's own pins."""
    return parse(FILE.read_text())
