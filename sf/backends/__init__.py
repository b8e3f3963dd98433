"""The backends that come with sf. A new one is a folder here and a line in `BUILTIN`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sf.runtime.registry import register, registered

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.runtime.backend import LifecycleBackend


def _compose() -> LifecycleBackend:
    from sf.backends.compose.backend import ComposeBackend  # noqa: PLC0415 - a run pays only for its own backend

    return ComposeBackend()


def _flux() -> LifecycleBackend:
    from sf.backends.flux.backend import FluxBackend  # noqa: PLC0415 - a run pays only for its own backend

    return FluxBackend()


BUILTIN: Final[dict[tuple[str, str], Callable[[], LifecycleBackend]]] = {
    ("docker", "compose"): _compose,
    ("gitops", "flux"): _flux,
}


def register_builtins() -> None:
    """Make them known to the runtime. Calling it again changes nothing."""
    for (mode, name), constructor in BUILTIN.items():
        if (mode, name) not in registered():
            register(mode, name, constructor)
