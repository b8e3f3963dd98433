"""Hosts that are reached over ssh: each with an engine, a server, a home and an /opt of its own.

    with Hosts.start(["alpha", "beta"]) as hosts:
        hosts["alpha"].engine.docker("ps")
        subprocess.run(["ssh", "-i", hosts.key, "-p", str(hosts["alpha"].port), "root@127.0.0.1", "docker ps"])

A host is a private engine with a server beside it: the server runs in the engine's mount and process namespaces
and in the machine's network, on loopback. So it needs no route and no device, and ends with the engine. The files
of the machine are the host's too, but for /opt, /run and the home, which are its own.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from toolchain import cache, packages, pins, programs, sshd
from toolchain.engine import Engine
from toolchain.errors import ToolchainError
from toolchain.ports import Ports

START_SECONDS = 20
USER = "root"
OTHER_USER = "deploy"
"""One who may use the engine, and nothing else that is root's."""
STACKS = Path("/opt/stagefreight/stacks")
"""Where sf puts stacks by default."""
SIZE = 64 * 1024 * 1024
"""How many bytes /opt of a host holds."""

# $1 is the run folder. /run is private, so that the server and the engine's usual socket have a place in it.
# $3 is the folder of the programs, and $4 the closed one above it, if any, that others than root cannot pass.
SETUP = """
if [ -n "$4" ]; then
    mkdir "$1/programs"
    mount --rbind "$3" "$1/programs"
    mount -t tmpfs -o mode=0755 sf-host-home "$4"
    mkdir -p "$3"
    mount --move "$1/programs" "$3"
fi
name=${1##*/} new=$1/run
mkdir -p "$new" "$1/home/.docker"
mount -t tmpfs -o mode=0755 sf-host-run "$new"
mkdir "$new/sshd" "$new/containerd" "$new/$name"
ln -s "$1/docker.sock" "$new/docker.sock"
mount --bind /run/containerd "$new/containerd"
mount --bind "$1" "$new/$name"
mount --bind "$1/passwd" /etc/passwd
mount -t tmpfs -o mode=0755,size=$2 sf-host-opt /opt
mount --no-mtab --move "$new" /run
"""
ENTRIES = """\
root:x:0:0:root:{home}:/bin/sh
deploy:x:65531:0:deploy:{home}:/bin/sh
sshd:x:65532:65534::/run/sshd:/bin/false
"""
CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
PasswordAuthentication no
UsePAM no
UseDNS no
MaxStartups 100
SetEnv PATH={path}
"""


class Host:
    """One host. Its server runs until `stop`; its engine as long as the hosts do."""

    def __init__(self, name: str, engine: Engine, port: int, root: Path) -> None:
        self.name = name
        self.engine = engine
        self.address = "127.0.0.1"
        self.port = port
        self.user = USER
        self.files = Path(f"/proc/{engine.pid}/root")
        """The host's own view of the disk."""
        self.stacks = self.files / STACKS.relative_to("/")
        """The deployed stacks, as this machine sees them."""
        self._folder = engine.folder / "ssh"
        self._root = root
        self._server: subprocess.Popen[bytes] | None = None
        self._namespace = Path(f"/proc/{engine.pid}/ns/pid").readlink()

    @property
    def known_hosts(self) -> str:
        """What a client has to know now, as a line of its list of known hosts."""
        kind, key, *_ = (self._folder / "host_key.pub").read_text().split()
        return f"[{self.address}]:{self.port} {kind} {key}\n"

    def prepare(self, authorized: str) -> None:
        """Make the host's own places and let whoever holds `authorized` (a public key) in."""
        self._folder.mkdir()
        (self._folder / "authorized_keys").write_text(authorized)
        home = self.engine.folder / "home"
        others = [
            line
            for line in Path("/etc/passwd").read_text().splitlines()
            if not line.startswith(("root:", "sshd:", "deploy:"))
        ]
        entries = ENTRIES.format(home=home)
        (self.engine.folder / "passwd").write_text(entries + "".join(f"{line}\n" for line in others))
        path = self.engine.environment["PATH"]
        config = CONFIG.format(port=self.port, folder=self._folder, path=path)
        (self._folder / "config").write_text(config + sshd.settings(self._root))
        arguments = (self.engine.folder, SIZE, cache.home(), _closed_above(cache.home()))
        programs.run([*self._enter(), "sh", "-ec", SETUP, "setup", *map(str, arguments)])
        client = self.engine.folder / "client/config.json"
        (home / ".docker/config.json").write_text(client.read_text())
        self.change_host_key()

    def start(self) -> None:
        """Start the server and wait until it answers. It ends with the calling thread.

        Raises ToolchainError when it does not within START_SECONDS.
        """
        log = self._folder / "log"
        with log.open("ab") as file:
            self._server = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", *self._enter()),
                    *(self._root / "usr/sbin/sshd", "-D", "-e", "-f", self._folder / "config"),
                ],
                env={"PATH": programs.search_path(), **sshd.environment(self._root)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise ToolchainError(f"the server of {self.name} does not run: {log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server and every connection: nobody listens any more. What commands began goes on."""
        self._signal(signal.SIGKILL)
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def cut(self) -> None:
        """Cut every connection. The server takes new ones."""
        self._signal(signal.SIGKILL, but_listener=True)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile the server takes connections and says nothing, and open ones hang."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)
            if self._server is not None:
                # nsenter stops itself when what it started is stopped.
                self._server.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Meanwhile nobody listens."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def change_host_key(self) -> None:
        """Give the host another key. A server that runs is started again with it."""
        key = self._folder / "host_key"
        key.unlink(missing_ok=True)
        programs.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", key])
        if self._server is not None:
            self.stop()
            self.start()

    @contextlib.contextmanager
    def on_busybox(self) -> Iterator[None]:
        """Meanwhile whoever logs in has busybox and docker, and no other program."""
        folder = self.engine.folder / "applets"
        if not folder.exists():
            packages.put_applets(packages.ensure(pins.load().packages), folder)
            docker = shutil.which("docker", path=self.engine.environment["PATH"])
            (folder / "docker").symlink_to(docker or "missing")
        usual = {
            place: place.read_text() for place in (self.engine.folder / "passwd", self._folder / "config")
        }
        for place, text in usual.items():
            shell = re.sub(r"(?m)^(root:.*:)/bin/sh$", rf"\g<1>{folder}/sh", text)
            place.write_text(re.sub(r"(?m)^SetEnv PATH=.*", f"SetEnv PATH={folder}", shell))
        with self.stopped():
            pass
        try:
            yield
        finally:
            for place, text in usual.items():
                place.write_text(text)
            with self.stopped():
                pass

    @contextlib.contextmanager
    def disk_full(self) -> Iterator[None]:
        """Meanwhile /opt has no room for another byte."""
        filler = self.files / "opt/filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        try:
            yield
        finally:
            filler.unlink()

    def sweep(self) -> None:
        """Remove all containers, volumes, networks and stacks, and cut every connection."""
        self.cut()
        self.engine.sweep()
        programs.run([*self._enter(), "find", "/opt", "-mindepth", "1", "-delete"])

    def run(self, script: str) -> str:
        """Run a shell script on the host, with no ssh between, and return what it prints."""
        return programs.run([*self._enter(), "sh", "-c", script], env=self.engine.environment)

    def _enter(self) -> tuple[str, ...]:
        return ("nsenter", f"--mount=/proc/{self.engine.pid}/ns/mnt", f"--pid=/proc/{self.engine.pid}/ns/pid")

    def _signal(self, number: signal.Signals, *, but_listener: bool = False) -> None:
        for pid in self._servers():
            if but_listener and "listener" in Path(f"/proc/{pid}/cmdline").read_text():
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _servers(self) -> Iterator[int]:
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if (
                    process.name.isdecimal()
                    and (process / "comm").read_text().startswith("sshd")
                    and (process / "ns/pid").readlink() == self._namespace
                ):
                    yield int(process.name)

    def _answers(self) -> bool:
        with socket.socket() as connection, contextlib.suppress(OSError):
            connection.settimeout(1)
            connection.connect((self.address, self.port))
            return connection.recv(4) == b"SSH-"
        return False


def _closed_above(folder: Path) -> Path | str:
    """The first folder on the way to `folder` that only its owner can pass; empty when there is none."""
    ways = [way for way in reversed(folder.parents) if not way.stat().st_mode & stat.S_IXOTH]
    return ways[0] if ways else ""


class Hosts:
    """Hosts by name. They end with the thread that started them."""

    def __init__(self, stack: contextlib.ExitStack, hosts: dict[str, Host], key: Path) -> None:
        self._stack = stack
        self._hosts = hosts
        self.key = key
        """The private key that every host lets in."""

    @classmethod
    def start(cls, names: Sequence[str]) -> Self:
        """Start hosts of these names, with the images that earlier ones of the same name had.

        Raises ToolchainError when one cannot be started.
        """
        root = sshd.ensure()
        with contextlib.ExitStack() as stack:
            ports = Ports(tuple(names))
            stack.callback(ports.release)
            hosts: dict[str, Host] = {}
            key = Path()
            for name in names:
                engine = stack.enter_context(Engine.start(f"host-{name}"))
                if not hosts:
                    key = engine.folder / "key"
                    programs.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sf", "-f", key])
                hosts[name] = host = Host(name, engine, ports[name], root)
                host.prepare(key.with_suffix(".pub").read_text())
                host.start()
                stack.callback(host.stop)
            return cls(stack.pop_all(), hosts, key)

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all of them and remove every trace but their images."""
        self._stack.close()
