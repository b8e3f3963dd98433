"""The tiers by name, and what they put into PATH."""

from pathlib import Path

from toolchain import browser, gitea, golang, npm, packages, pins
from toolchain.progress import say

NAMES = ("packages", "browser", "go", "npm")
EXTRA = ("gitea",)
"""What is slow to build and needed by `make test-extra` alone."""


def ensure(name: str) -> Path:
    """Have a tier of NAMES or EXTRA in the cache and return its folder. Raises ToolchainError if that fails."""
    pinned = pins.load()
    made = {
        "packages": lambda: packages.ensure(pinned.packages),
        "browser": lambda: browser.ensure(pinned.browser),
        "go": lambda: golang.ensure(pinned.go),
        "npm": lambda: npm.ensure(pinned.npm),
        "gitea": gitea.ensure,
    }
    tier = made[name]()
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
