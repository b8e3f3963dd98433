"""The places of engines on the machine, and who holds them."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from toolchain import cache, packages, programs
from toolchain.errors import ToolchainError

SLOTS = 16
"""How many engines of one name may run at a time."""

RUN = Path("/run")
"""Where the run folders are: short, since the path of a unix socket holds 107 bytes at most."""

CONTAINERD_STATE = Path("/run/containerd")
"""Where containerd keeps the sockets of its shims, whatever its settings."""

# The benchmark range of RFC 2544: no address of a real network is shadowed by it.
BRIDGE = "198.18.0.1/24"
POOL = {"base": "198.19.0.0/16", "size": 24}


class Slot:
    """The places of one engine: its data, which stay, and its run folder, which lives as long as it does."""

    def __init__(self, tier: Path, data: Path) -> None:
        self._bin = packages.programs(tier)
        self._plugins = packages.plugins(tier)
        self.data = data
        self.lock = data.with_name(f"{data.name}.lock")
        # There may be several cache folders, but there is one /run.
        self._name = f"sf-{data.name}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:8]}"
        self.run = RUN / self._name
        self.log = self.run / "dockerd.log"
        self.socket = self.run / "docker.sock"
        self.pid_file = self.run / "dockerd-on-machine.pid"
        self.busybox = self._bin / "busybox"
        self.environment = {
            "PATH": programs.search_path(self._bin),
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(self.run / "client"),
        }

    def prepare(self) -> None:
        """Make the folders and settings of a start, in place of what a killed engine left. Needs the lock."""
        self._clear()
        (self.run / "client").mkdir(parents=True)
        self.data.mkdir(parents=True, exist_ok=True)
        client = {"cliPluginsExtraDirs": [str(self._plugins)]}
        (self.run / "client/config.json").write_text(json.dumps(client))
        (self.run / "daemon.json").write_text(json.dumps(self._daemon(), indent=2))

    def _daemon(self) -> dict[str, object]:
        return {
            "bip": BRIDGE,
            "cgroup-parent": f"/{self._name}",
            "data-root": str(self.data),
            "default-address-pools": [POOL],
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "exec-root": str(self.run / "x"),
            "group": "root",
            "hosts": [f"unix://{self.socket}"],
            "log-level": "warn",
            "pidfile": str(self.run / "dockerd.pid"),
        }

    def try_lock(self) -> IO[str] | None:
        """Return the locked lock file, or None if a living engine holds it."""
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = self.lock.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def is_free(self) -> bool:
        """Say whether no living engine holds the slot."""
        lock = self.try_lock()
        if lock is not None:
            lock.close()
        return lock is not None

    def wait_until_free(self, seconds: float) -> bool:
        """Wait until the last process of the engine is gone; say whether that was in time."""
        deadline = time.monotonic() + seconds
        while not self.is_free():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def clear(self) -> None:
        """Remove the run folder and the empty control groups, unless another engine has taken the slot."""
        lock = self.try_lock()
        if lock is not None:
            with lock:
                self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        # One hierarchy with control groups v2, one a controller with v1.
        for pattern in (self._name, f"*/{self._name}"):
            for group in Path("/sys/fs/cgroup").glob(pattern):
                _remove_control_group(group)
        # Only if it is empty: another containerd of the machine may use it.
        with contextlib.suppress(OSError):
            CONTAINERD_STATE.rmdir()


def _remove_control_group(folder: Path) -> None:
    for path, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(path).rmdir()


def of(tier: Path, name: str) -> Iterator[Slot]:
    """Yield the slots for engines of that name."""
    # With the tier's key: an engine never meets the data of another version.
    folder = cache.home() / "engines" / tier.name
    for number in range(1, SLOTS + 1):
        yield Slot(tier, folder / (name if number == 1 else f"{name}-{number}"))


def claim(tier: Path, name: str) -> tuple[Slot, IO[str]]:
    """Return the first slot that no living engine holds, and its locked lock file.

    Raises ToolchainError if there is none.
    """
    for slot in of(tier, name):
        lock = slot.try_lock()
        if lock is not None:
            return slot, lock
    raise ToolchainError(f"{SLOTS} engines named {name} are running already: end what started them")
