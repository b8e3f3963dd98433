"""The tiers by name, and what they put into PATH."""

from pathlib import Path

from toolchain import gitea, golang, npm, packages, pins
from toolchain.progress import say

NAMES = ("packages", "go", "npm")
EXTRA = ("gitea",)
"""What is slow to build and needed by `make test-extra` alone."""


def ensure(name: str) -> Path:
    """Have a tier of NAMES or EXTRA in the cache and return its folder. Raises ToolchainError if that fails."""
    pinned = pins.load()
    match name:
        case "packages":
            tier = packages.ensure(pinned.packages)
        case "go":
            tier = golang.ensure(pinned.go)
        case "gitea":
            tier = gitea.ensure()
        case _:
            tier = npm.ensure(pinned.npm)
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
