"""A real registry in the network of an engine, on its loopback, where engines take plain HTTP."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from toolchain.engine import Engine
from toolchain.errors import ToolchainError

ADDRESS = "127.0.0.1:5000"
CONFIG = f"""\
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: %s}}}}
http: {{addr: "{ADDRESS}"}}
"""


@contextlib.contextmanager
def registry(engine: Engine, folder: Path) -> Iterator[None]:
    """Meanwhile a registry answers at `ADDRESS` of the engine's own network, with its data in `folder`.

    Ends with the calling thread. Raises ToolchainError if it does not start.
    """
    folder.mkdir(exist_ok=True)
    config = folder / "config.yml"
    config.write_text(CONFIG % folder)
    with_caller = ("setpriv", "--pdeathsig", "KILL")
    process = subprocess.Popen(
        [*with_caller, *engine.enter, "docker-registry", "serve", config],
        env={**os.environ, "PATH": engine.environment["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if not any("listening on" in line for line in process.stderr or ()):
            raise ToolchainError(f"the registry ended with exit code {process.wait()}")
        yield
    finally:
        process.kill()
        process.communicate()
