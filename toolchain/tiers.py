"""The tiers by name, and what they put into PATH."""

from collections.abc import Callable, Mapping
from pathlib import Path

from toolchain import browser, gitea, golang, npm, packages, pins, runners, standins
from toolchain.progress import say

BUILDERS: Mapping[str, Callable[[], Path]] = {
    "packages": lambda: packages.ensure(pins.load().packages),
    "browser": lambda: browser.ensure(pins.load().browser),
    "go": lambda: golang.ensure(pins.load().go),
    "npm": lambda: npm.ensure(pins.load().npm),
    "act": runners.ensure_act,
    "gitlab": runners.ensure_gitlab,
    "checkers": runners.ensure_checkers,
    "image": standins.ensure,
}
NAMES = tuple(BUILDERS)
EXTRA: Mapping[str, Callable[[], Path]] = {"gitea": gitea.ensure}
"""What is slow to build and needed by `make test-extra` alone."""


def ensure(name: str) -> Path:
    """Have a tier of NAMES or EXTRA in the cache and return its folder. Raises ToolchainError if that fails."""
    tier = {**BUILDERS, **EXTRA}[name]()
    say(f"{name}: {tier}")
    return tier


def program_folders() -> list[Path]:
    """Return the program folders of the tiers that are there, in the order for PATH.

    The Go tier comes first: it has kustomize exactly as Flux 2.9 uses it.
    """
    pinned = pins.load()
    folders = (
        golang.programs(golang.folder(pinned.go)),
        packages.programs(packages.folder(pinned.packages)),
    )
    return [folder for folder in folders if folder.is_dir()]
