"""The tier `browser`: the machine's Chromium, and fonts that are the same everywhere."""

import tempfile
from pathlib import Path

from toolchain import apt, cache, npm, packages, pins
from toolchain.errors import ToolchainError
from toolchain.pins import BrowserPins
from toolchain.programs import find, run
from toolchain.progress import say, step

LAYOUT = "2"
"""Raise it when the content of the folder changes although no pin does."""

MACHINE_PROGRAMS = {"chromium": "chromium"}
"""Chromium, with its package. It is installed, and not unpacked, because it needs some hundred libraries, all of
them of the machine's own release."""

FONTS = "fonts/usr/share/fonts"


def folder(pinned: BrowserPins) -> Path:
    """Return where the tier stands once it is made."""
    parts = {deb.name: f"{deb.version} {deb.sha256}".encode() for deb in pinned.fonts}
    parts |= {"suite": pinned.suite.encode(), "layout": LAYOUT.encode()}
    return cache.home() / f"browser-{cache.key(parts)}"


def ensure(pinned: BrowserPins) -> Path:
    """Have the tier in the cache, and Chromium on the machine, which is installed where we are root."""
    apt.ensure_programs(MACHINE_PROGRAMS, "tests of pages need")
    tier = folder(pinned)
    cache.ensure(tier, lambda partial: _build(partial, pinned))
    version = run([program(), "--version"])
    if f" {pinned.chromium}." not in version:
        say(f"WARNING: this is {version.strip()}, and the pictures of tests are made with {pinned.chromium}")
    return tier


def present() -> Path:
    """Return the folder of the tier. Raises ToolchainError if it was not made."""
    tier = folder(pins.load().browser)
    if not tier.is_dir():
        raise ToolchainError("the browser is not there yet: python -m toolchain ensure browser")
    return tier


def program() -> str:
    """Return the path of Chromium. Raises ToolchainError if it is not installed."""
    found = find("chromium")
    if found is None:
        raise ToolchainError("chromium is not installed: apt-get install chromium")
    return found


def axe() -> str:
    """Return the source of axe-core, which looks for barriers in a page."""
    return (npm.ensure(pins.load().npm) / "axe-core/axe.min.js").read_text()


def font_settings(tier: Path, cached: Path) -> str:
    """Return the settings of fontconfig under which only the fonts of the tier exist."""
    families = {"sans-serif": "DejaVu Sans", "system-ui": "DejaVu Sans", "monospace": "DejaVu Sans Mono"}
    aliases = "".join(
        f"<alias binding='same'><family>{name}</family><prefer><family>{font}</family></prefer></alias>"
        for name, font in families.items()
    )
    return (
        "<?xml version='1.0'?><!DOCTYPE fontconfig SYSTEM 'fonts.dtd'><fontconfig>"
        f"<dir>{tier / FONTS}</dir><cachedir>{cached}</cachedir>{aliases}</fontconfig>"
    )


def _build(tier: Path, pinned: BrowserPins) -> None:
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=tier) as scratch:
        _fetch_fonts(tier, pinned, Path(scratch))


def _fetch_fonts(tier: Path, pinned: BrowserPins, scratch: Path) -> None:
    archive = apt.PrivateApt(scratch, apt.machine_mirror(), pinned.suite)
    with step(f"fetched the package index of Debian {pinned.suite}"):
        archive.update()
    served = archive.candidates([deb.name for deb in pinned.fonts])
    versions = {
        deb.name: packages.choose(deb, served.get(deb.name, []), check_digest=True) for deb in pinned.fonts
    }
    for file in archive.download(versions):
        run(["dpkg-deb", "--extract", file, tier / "fonts"])
