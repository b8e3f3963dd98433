"""What a killed run left behind: its directories, and the container it ran in if that still lives.

A runner that gives up on a step kills the `docker run` in front of the container, not the container. So a run
tells its container's id to the step after the job (``GITHUB_STATE``, which arrives there as ``STATE_*``).
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sf.models import Phase, Problem
from sf.process import Launcher, inherited
from sf.runtime.errors import LifecycleError
from sf.tools.docker import Engine, engine_socket, own_container
from sf.workspace import Workspace, append_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.redact import Redactor

_STATE: Final = "sf_container"
_CONTAINER_ID: Final = re.compile("[0-9a-f]{64}")
# A run that is told to stop needs up to 7 s for it (see sf.process); then the engine kills it.
_STOP_SECONDS: Final = 10
_MOUNTINFO: Final = Path("/proc/self/mountinfo")


def remember(environ: Mapping[str, str]) -> None:
    """Tell the step after the job which container this run lives in, where there is such a step."""
    state, container = environ.get("GITHUB_STATE"), own_container(_MOUNTINFO)
    if state and container:
        # Without it that step finds less to clean up, which is no reason to fail.
        with contextlib.suppress(OSError):
            append_text(Path(state), f"{_STATE}={container}\n")


def clean(environ: Mapping[str, str], redactor: Redactor) -> Iterator[str]:
    """Remove all of it; yields one line for each thing that is gone. Repeating it finds nothing more.

    Raises `LifecycleError` of phase cleanup when the container of the run before cannot be stopped.
    """
    for path in Workspace(environ).sweep():
        yield f"removed {path}"
    container = environ.get(f"STATE_{_STATE}", "")
    if _CONTAINER_ID.fullmatch(container):
        try:
            yield from _stop(container, environ, redactor)
        except Problem as problem:
            raise LifecycleError(Phase.CLEANUP, "", problem.message, problem) from problem


def _stop(container: str, environ: Mapping[str, str], redactor: Redactor) -> Iterator[str]:
    socket, own = engine_socket(environ), own_container(_MOUNTINFO)
    if own in (None, container) or not socket.exists():
        return
    engine = Engine(socket)
    try:
        # The state is a file that other programs of the job could write: only another of ourselves is stopped.
        if not engine.is_sibling(container, own):
            return
    finally:
        engine.close()
    Launcher(redactor).run(
        ["docker", "stop", f"--timeout={_STOP_SECONDS}", container],
        environ={**inherited(environ), "DOCKER_HOST": f"unix://{socket}"},
        timeout=_STOP_SECONDS + 20,
    )
    yield f"stopped {container[:12]}, the container of a run that was killed"
