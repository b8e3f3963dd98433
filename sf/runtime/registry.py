"""Which backends there are. An unknown one is an error that lists them, never a silent fallback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.models import Phase
from sf.runtime.errors import LifecycleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.runtime.backend import LifecycleBackend

    Constructor = Callable[[], LifecycleBackend]

_constructors: dict[tuple[str, str], Constructor] = {}


def register(mode: str, name: str, constructor: Constructor) -> None:
    """Make a backend known. `constructor` is called once per run and should import what is heavy only then.

    Raises ValueError when the mode already has one of that name.
    """
    if (mode, name) in _constructors:
        raise ValueError(f"the backend {mode}/{name} is already registered")
    _constructors[mode, name] = constructor


def registered() -> tuple[tuple[str, str], ...]:
    """Every (mode, name), sorted."""
    return tuple(sorted(_constructors))


def resolve_backend(mode: str, name: str) -> LifecycleBackend:
    """A new instance of the backend.

    Raises `LifecycleError` naming what is registered.
    """
    constructor = _constructors.get((mode, name))
    if constructor is not None:
        return constructor()
    names = [known for known_mode, known in registered() if known_mode == mode]
    if names:
        raise LifecycleError(
            Phase.RESOLVE,
            "",
            f"mode {mode} has no backend {name!r}",
            hint=f"set `{mode}.backend` to one of: {', '.join(names)}",
        )
    modes = sorted({known_mode for known_mode, _ in registered()})
    raise LifecycleError(
        Phase.RESOLVE,
        "",
        f"there is no mode {mode!r}",
        hint=f"set `lifecycle.mode` to one of: {', '.join(modes) or 'none is registered'}",
    )
