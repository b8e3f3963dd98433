"""A real registry on a loopback interface, where engines and Flux take plain HTTP."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from toolchain import packages, pins
from toolchain.engine import Engine
from toolchain.errors import ToolchainError
from toolchain.ports import Ports

ADDRESS = "127.0.0.1:5000"
CONFIG = """\
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "{address}"}}
"""


@contextlib.contextmanager
def registry(engine: Engine, folder: Path) -> Iterator[None]:
    """Meanwhile a registry answers at `ADDRESS` of the engine's own network, with its data in `folder`.

    Ends with the calling thread. Raises ToolchainError if it does not start.
    """
    with _serving(folder, ADDRESS, engine.environment["PATH"], *engine.enter):
        yield


@contextlib.contextmanager
def own_registry(folder: Path) -> Iterator[str]:
    """Meanwhile a registry answers at the address that this yields, ``127.0.0.1:PORT``, with its data in `folder`.

    Ends with the calling thread. Raises ToolchainError if it does not start.
    """
    ports = Ports(("registry",))
    address = f"127.0.0.1:{ports['registry']}"
    programs = packages.programs(packages.ensure(pins.load().packages))
    try:
        with _serving(folder, address, f"{programs}:{os.defpath}"):
            yield address
    finally:
        ports.release()


@contextlib.contextmanager
def _serving(folder: Path, address: str, path: str, *enter: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder, address=address))
    with_caller = ("setpriv", "--pdeathsig", "KILL")
    process = subprocess.Popen(
        [*with_caller, *enter, "docker-registry", "serve", config],
        env={**os.environ, "PATH": path},
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
