"""A private Docker Engine: its own network, process and mount namespaces, its own data, nothing left behind.

    with Engine.start("tests") as engine:
        engine.image("busybox:1.36")
        subprocess.run([...], env={**os.environ, **engine.environment})

Why namespaces. Two engines in one network namespace fight over the bridge and the iptables chains, and one
that is stopped leaves bridges, rules, routes and ip_forward=1 behind. In a network namespace of its own
(loopback only, no way out) it disturbs nobody, publishes ports where only its own namespace sees them, and
the kernel removes all of it with the last process. Process 1 of its process namespace
runs dockerd, so containerd, shims and containers cannot outlive it, however it ends.
"""

import contextlib
import os
import platform
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from toolchain import images, packages, pins, programs, slots
from toolchain.errors import ToolchainError
from toolchain.progress import say
from toolchain.slots import Slot

START_SECONDS = 60
STOP_SECONDS = 20

# What process 1 of the namespaces does before and after dockerd; $1 is containerd's state, $2 the run folder.
# containerd keeps the sockets of its shims at a fixed path of the machine: a private mount keeps them apart
# from another containerd's, and makes them go with the namespace. The machine's /sys shows the machine's
# network devices where dockerd looks for its own, and a new one lacks the control groups.
INIT = """
ip link set lo up
mkdir -p "$1"
mount -t tmpfs -o mode=0711 sf-containerd "$1"
mkdir "$2/cgroup"
mount --rbind /sys/fs/cgroup "$2/cgroup"
mount -t sysfs sysfs /sys
mount --move "$2/cgroup" /sys/fs/cgroup
trap 'kill -TERM "$daemon"' TERM
while :; do
    dockerd --config-file "$2/daemon.json" &
    daemon=$!
    wait "$daemon" || :
    while kill -0 "$daemon"; do wait "$daemon" || :; done 2>/dev/null
    [ -e "$2/again" ] || exit
    rm "$2/again"
done
"""


class Engine:
    """A running engine."""

    def __init__(self, slot: Slot, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self._slot = slot
        self._process = process
        self.pid = pid
        """The process id of process 1 of its namespaces."""
        self.socket = f"unix://{slot.socket}"
        """Where the engine answers, as a value for DOCKER_HOST."""
        self.folder = slot.run
        """Where it keeps what lives as long as it does, at a short path."""
        self.environment = slot.environment
        """PATH, DOCKER_HOST and DOCKER_CONFIG for the docker command with compose and buildx."""
        self.enter = ("nsenter", f"--net=/proc/{pid}/ns/net", "--")
        """The start of a command line that runs in the engine's network, to reach ports it publishes."""

    @classmethod
    def start(cls, name: str, *, detached: bool = False) -> Self:
        """Start an engine, with the images that an earlier one of that name had and no container.

        Ends with the calling thread, even if that is killed, unless `detached`. If an engine of that name
        runs already, another one is started beside it, which has images of its own.
        Raises ToolchainError if it cannot be started.
        """
        _require_root()
        tier = packages.ensure(pins.load().packages)
        missing = packages.missing_machine_programs()
        if missing:
            raise ToolchainError(
                f"the engine needs packages of the system: apt-get install {' '.join(missing)}"
            )
        slot, lock = slots.claim(tier, name)
        with lock:
            process = _spawn(slot, lock, detached=detached)
        try:
            engine = cls(slot, _wait_until_ready(slot, process), process)
            # What a killed engine left in its data.
            engine.sweep()
        except BaseException:
            process.kill()
            process.wait()
            slot.clear()
            raise
        return engine

    @classmethod
    def running(cls, name: str) -> list[Self]:
        """Return the living engines of that name that any process started."""
        tier = packages.folder(pins.load().packages)
        living = (slot for slot in slots.of(tier, name) if slot.pid_file.exists() and not slot.is_free())
        return [cls(slot, int(slot.pid_file.read_text())) for slot in living]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove all containers, volumes and networks, end the engine, and remove every trace but its images."""
        if not self._slot.is_free():
            # A container that ignores SIGTERM would hold the engine up for ten seconds.
            with contextlib.suppress(ToolchainError):
                self.sweep()
            self._end()
        if self._process is not None:
            self._process.wait()
        self._slot.clear()

    def _end(self) -> None:
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            if self._slot.wait_until_free(seconds):
                return
            say(f"the engine did not end within {seconds} s of {number.name}")
        raise ToolchainError(f"the engine does not end: see process {self.pid} and {self._slot.log}")

    def restart(self) -> None:
        """End the engine in order and start it again, as a person does who updates it."""
        daemon = next(pid for pid in self._children() if (pid / "comm").read_text() == "dockerd\n")
        (self.folder / "again").touch()
        os.kill(int(daemon.name), signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS + START_SECONDS
        while (self.folder / "again").exists() or not _answers(self._slot.socket):
            if time.monotonic() > deadline:
                raise ToolchainError(f"the engine does not start again: see {self._slot.log}")
            time.sleep(0.05)

    def _children(self) -> list[Path]:
        listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [Path("/proc", pid) for pid in listed]

    def docker(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run the docker command against this engine and return its stdout. Raises ToolchainError if it fails."""
        return programs.run(["docker", *arguments], env=self.environment, stdin=stdin)

    def sweep(self) -> None:
        """Remove all containers, volumes and networks; images stay."""
        containers = self.docker("ps", "--all", "--quiet").split()
        if containers:
            self.docker("rm", "--force", "--volumes", *containers)
        self.docker("volume", "prune", "--all", "--force")
        self.docker("network", "prune", "--force")

    def image(self, tag: str) -> str:
        """Have a busybox image under `tag`, made from this machine's files, and return its identifier."""
        busybox = images.busybox(self._slot.busybox, tag, platform.machine())
        if self.docker("images", "--quiet", "--no-trunc", tag).strip() != busybox.identifier:
            self.docker("load", "--quiet", stdin=busybox.content)
        return busybox.identifier

    def build(self, tag: str, dockerfile: str, files: Mapping[str, bytes] | None = None) -> str:
        """Build `dockerfile`, whose context is `files` (path → content), and return the image's identifier."""
        context = images.archive({**(files or {}), "Dockerfile": dockerfile.encode()})
        return self.docker("build", "--quiet", "--tag", tag, "-", stdin=context).strip()


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ToolchainError(
            "the private engine needs root, for its namespaces and the containers' mounts: run this with sudo"
            " or in a container that is privileged"
        )


def _spawn(slot: Slot, lock: IO[str], *, detached: bool) -> subprocess.Popen[bytes]:
    """Start dockerd in its namespaces. It inherits the lock, which so is held exactly as long as it lives."""
    slot.prepare()
    with_parent = [] if detached else ["setpriv", "--pdeathsig", "KILL"]
    # slave: what the machine mounts later is seen inside, what the engine mounts is not seen outside.
    namespaces = ["--net", "--mount", "--propagation", "slave", "--pid", "--mount-proc"]
    unshare = ["unshare", *namespaces, "--fork", "--kill-child=KILL"]
    init = ["sh", "-ec", INIT, "init", str(slots.CONTAINERD_STATE), str(slot.run)]
    with slot.log.open("wb") as log:
        return subprocess.Popen(
            [*with_parent, *unshare, *init],
            env={**os.environ, **slot.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock.fileno()],
            # A Ctrl-C in the terminal is for the caller, who then stops the engine in order.
            start_new_session=True,
        )


def _wait_until_ready(slot: Slot, process: subprocess.Popen[bytes]) -> int:
    """Wait until the engine answers and return the process id of dockerd."""
    deadline = time.monotonic() + START_SECONDS
    while not _answers(slot.socket):
        if process.poll() is not None or time.monotonic() > deadline:
            lines = slot.log.read_text(errors="replace").splitlines()
            reason = "ended" if process.poll() is not None else f"did not answer within {START_SECONDS} s"
            raise ToolchainError("\n  ".join([f"the engine {reason}; its last words:", *lines[-15:]]))
        time.sleep(0.05)
    # unshare has one child, process 1 of the new namespace.
    pid = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()
    slot.pid_file.write_text(pid)
    return int(pid)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False
