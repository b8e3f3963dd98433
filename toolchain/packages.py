"""The tier `packages`: Docker Engine and its companions, from Debian packages that are never installed."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from toolchain import apt, cache
from toolchain.errors import ToolchainError
from toolchain.pins import Deb, PackagePins
from toolchain.programs import run
from toolchain.progress import say, step

LAYOUT = "1"
"""Raise it when the content of the folder changes although no pin does."""

PROGRAM_FOLDERS = ("usr/sbin", "usr/bin")
PLUGINS = "usr/libexec/docker/cli-plugins"

CHECKS = (
    ("bin/age", "--version"),
    ("bin/busybox", "true"),
    ("bin/containerd", "--version"),
    ("bin/docker", "--version"),
    ("bin/docker-init", "--version"),
    ("bin/docker-registry", "--version"),
    ("bin/dockerd", "--version"),
    ("bin/kustomize", "version"),
    (f"root/{PLUGINS}/docker-buildx", "docker-cli-plugin-metadata"),
    (f"root/{PLUGINS}/docker-compose", "docker-cli-plugin-metadata"),
)
"""Each program that counts, with arguments that make it run and end. A package of a later suite may ask for
a newer C library than the machine has, which nothing but running the program shows."""

MACHINE_PROGRAMS = {"runc": "runc", "iptables": "iptables", "ip": "iproute2"}
"""Programs that the engine needs from the machine's own release, with their packages. runc of the unstable
suite needs a newer C library than Debian 12 has, and iptables has plugins at fixed paths."""


def folder(pins: PackagePins) -> Path:
    """Return where the tier stands once it is made."""
    parts = {deb.name: f"{deb.version} {deb.sha256}".encode() for deb in pins.debs}
    return (
        cache.home()
        / f"packages-{cache.key({**parts, 'suite': pins.suite.encode(), 'layout': LAYOUT.encode()})}"
    )


def programs(tier: Path) -> Path:
    """Return the folder of the tier that belongs in PATH."""
    return tier / "bin"


def plugins(tier: Path) -> Path:
    """Return the folder of the tier with the plugins of the docker command: compose and buildx."""
    return tier / "root" / PLUGINS


def ensure(pins: PackagePins) -> Path:
    """Have the tier in the cache, and on a machine where we are root what the engine needs beside it."""
    tier = folder(pins)
    cache.ensure(tier, lambda partial: _build(partial, pins))
    _tell_deviations(pins, json.loads((tier / "versions.json").read_text()))
    apt.ensure_programs(MACHINE_PROGRAMS, "the private engine needs root and")
    return tier


def _build(tier: Path, pins: PackagePins) -> None:
    with tempfile.TemporaryDirectory(prefix="apt-", dir=tier) as scratch:
        archive = apt.PrivateApt(Path(scratch), apt.machine_mirror(), pins.suite)
        with step(f"fetched the package index of Debian {pins.suite}"):
            archive.update()
        own_architecture = run(["dpkg", "--print-architecture"]).strip() == pins.architecture
        served = archive.candidates([deb.name for deb in pins.debs])
        versions = {
            deb.name: choose(deb, served.get(deb.name, []), check_digest=own_architecture)
            for deb in pins.debs
        }
        with step(f"fetched {len(versions)} packages"):
            files = archive.download(versions)
        with step("unpacked them"):
            for file in files:
                run(["dpkg-deb", "--extract", file, tier / "root"])
    _link_programs(tier)
    for program, argument in CHECKS:
        run([tier / program, argument])
    (tier / "versions.json").write_text(json.dumps(versions, indent=2, sort_keys=True) + "\n")


def choose(deb: Deb, candidates: list[apt.Candidate], *, check_digest: bool) -> str:
    """Return the version to fetch: the pinned one, or the newest if the archive has dropped that.

    The unstable suite keeps one version of a package, so every pin is gone some day, and its pool is the
    only place that a machine with an ordinary apt configuration can reach. A machine set up on that day
    gets the newest version, which Debian's key signs and CHECKS prove to run, and a warning with the line to
    pin; refusing would leave it with no engine at all.
    Raises ToolchainError if the archive has another file under the pinned version, or no version at all.
    """
    if not candidates:
        raise ToolchainError(
            f"Debian no longer has the package {deb.name}, which pins.toml names: find its successor"
        )
    for candidate in candidates:
        if candidate.version == deb.version:
            if check_digest and candidate.sha256 != deb.sha256:
                raise ToolchainError(
                    f"{deb.name} {deb.version} should have the sha256 {deb.sha256} (pins.toml), but the mirror's"
                    f" index says {candidate.sha256}: do not use this mirror before you know why"
                )
            return deb.version
    newest = candidates[0]
    line = f'"{deb.name}" = {{ version = "{newest.version}", sha256 = "{newest.sha256}" }}'
    say(f"{deb.name} {deb.version} is no longer served; the line for pins.toml is now\n  {line}")
    return newest.version


def _tell_deviations(pins: PackagePins, versions: Mapping[str, str]) -> None:
    for deb in pins.debs:
        if versions[deb.name] != deb.version:
            say(f"WARNING: {deb.name} is {versions[deb.name]} here, and not {deb.version} as pins.toml says")


def _link_programs(tier: Path) -> None:
    target = programs(tier)
    target.mkdir()
    for place in PROGRAM_FOLDERS:
        for program in (tier / "root" / place).iterdir():
            (target / program.name).symlink_to(Path("../root", place, program.name))


def put_applets(tier: Path, folder: Path) -> None:
    """Make `folder`, with every program of the tier's busybox.

    And flock, which Debian builds it without, other than Alpine: that one is the machine's.
    """
    busybox = programs(tier) / "busybox"
    folder.mkdir()
    for name in run([busybox, "--list"]).split():
        (folder / name).symlink_to(busybox)
    (folder / "flock").symlink_to(shutil.which("flock") or "flock")
