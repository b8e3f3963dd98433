"""The tiers by name, and what they put into PATH."""

from collections.abc import Callable, Mapping
from pathlib import Path

from toolchain import golang, packages, pins, runners, standins
from toolchain.progress import say

BUILDERS: Mapping[str, Callable[[], object]] = {
    "packages": lambda: packages.ensure(pins.load().packages),
    "go": lambda: golang.ensure(pins.load().go),
    "act": runners.ensure_act,
    "gitlab": runners.ensure_gitlab,
    "checkers": runners.ensure_checkers,
    "image": standins.ensure,
}
NAMES = tuple(BUILDERS)


def ensure(name: str) -> None:
    """Have a tier of NAMES in the cache. Raises ToolchainError if that fails."""
    BUILDERS[name]()
    say(f"{name}: ready")


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
