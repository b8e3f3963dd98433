"""OpenSSH's client, with a configuration of our own and no other: one connection a host, shared by all that is run
there.

Host keys have to be known, nothing is asked of a person, and no setting of the user or of the machine counts,
since one could run a program or switch a check off.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sf.models import Problem
from sf.process import Completed, ProgramFailed, inherited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from sf.process import Launcher
    from sf.redact import Redactor

PROGRAM: Final = "ssh"
USUAL_ENGINE: Final = "/var/run/docker.sock"
KEYSCAN: Final = "ssh-keyscan"
KEY_VARIABLE: Final = "SSH_PRIVATE_KEY"
# Options that `ansible_ssh_common_args` may set, as ssh_config(5) spells them, each with the form of its value.
_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_JUMP: Final = (
    r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
)
ALLOWED: Final = {
    "ProxyJump": re.compile(rf"{_JUMP}(?:,{_JUMP})*"),
    "Port": _NUMBER,
    "User": re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,127}"),
    "ConnectTimeout": _NUMBER,
    "ServerAliveInterval": _NUMBER,
    "ServerAliveCountMax": _NUMBER,
}
_SHORT: Final = {"-J": "ProxyJump", "-p": "Port", "-l": "User"}
# The path of a unix socket holds 103 bytes everywhere (unix(7), and unix(4) of BSD), and ssh adds 17 of its own to
# that of a connection while it is made.
_LONGEST: Final = 80
# ssh's own exit code for everything that is not the command's.
_FAILED: Final = 255
# Seconds. The idle connection of a run that was killed ends by itself.
_IDLE: Final = 15
_CONNECT: Final = 10
_ALIVE: Final = 5
_LOST_AFTER: Final = 3
_STARTING: Final = 60.0
_ORDER: Final = 20.0
_SCAN: Final = 30.0
_SETTINGS: Final = f"""\
BatchMode yes
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictHostKeyChecking yes
GlobalKnownHostsFile none
UpdateHostKeys no
CheckHostIP no
ForwardAgent no
ForwardX11 no
PermitLocalCommand no
RequestTTY no
EscapeChar none
LogLevel ERROR
ControlMaster auto
ControlPersist {_IDLE}
StreamLocalBindUnlink yes
"""
# Python is there wherever we are, other than setsid(1).
_IN_A_SESSION: Final = "import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])"
_DEFAULTS: Final = {
    "ConnectTimeout": str(_CONNECT),
    "ServerAliveInterval": str(_ALIVE),
    "ServerAliveCountMax": str(_LOST_AFTER),
}


class Unreachable(Problem):
    """A host cannot be reached, or the connection to it was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a host is reached. ``options`` are of `ALLOWED`; 0 and empty values are left to ssh."""

    name: str
    address: str = ""
    port: int = 0
    user: str = ""
    key_file: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @property
    def jump(self) -> Route | None:
        """The last host in between, if there is one."""
        last = dict(self.options).get("ProxyJump", "").rpartition(",")[2]
        user, _, place = last.rpartition("@")
        host, port = _split_port(place)
        return Route(name=host, port=int(port or 0), user=user) if last else None

    @property
    def place(self) -> tuple[str, int]:
        """Address and port as the server's key is known by."""
        return self.address or self.name, self.port or int(dict(self.options).get("Port", 22))


def _split_port(place: str) -> tuple[str, str]:
    """Host and port of ``host:port``, ``[address]:port`` or a host alone."""
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = place.partition(":")
    return host, port


def remote_command(argv: Sequence[str]) -> str:
    """The one text that a POSIX shell on the host takes apart into exactly `argv` again.

    Raises `Problem` for what no argument can hold.
    """
    if any("\0" in argument for argument in argv):
        raise Problem("an argument for a program on a host contains a NUL byte")
    return shlex.join(argv)


def parse_options(text: str) -> tuple[tuple[str, str], ...]:
    """The options in a text such as ``-o ConnectTimeout=5 -J bastion``, sorted.

    Raises `ValueError`, in words that continue "the host has ... which", for one that is not of `ALLOWED`: many
    others run programs or switch checks off.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"cannot be split into words: {error}") from error
    options: dict[str, str] = {}
    while words:
        name, value = _next_option(words)
        known = next((key for key in ALLOWED if key.lower() == name.lower()), None)
        if known is None:
            raise ValueError(f"sets {name}, and only {', '.join(ALLOWED)} are taken over")
        if not ALLOWED[known].fullmatch(value):
            raise ValueError(f"sets {known} to a value that it cannot have")
        # ssh itself takes the first value of an option.
        options.setdefault(known, value)
    return tuple(sorted(options.items()))


def _next_option(words: list[str]) -> tuple[str, str]:
    word = words.pop(0)
    short = _SHORT.get(word[:2])
    if short:
        return short, word[2:] or (words.pop(0) if words else "")
    if not word.startswith("-o"):
        raise ValueError(f"holds {word}, which is not one of -o, {', '.join(_SHORT)}")
    setting = word[2:] or (words.pop(0) if words else "")
    name, _, value = (
        setting.replace(" ", "=", 1).partition("=") if "=" not in setting else setting.partition("=")
    )
    return name.strip(), value.strip()


def repaired_key(text: str) -> bytes:
    """A private key as ssh reads it: CI variables lose the last newline, or bring Windows ones."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines()).encode() + b"\n"


def scan(launcher: Launcher, environ: Mapping[str, str], address: str, port: int) -> str:
    """The keys that the server at `address` shows to anybody, as lines of known_hosts(5), sorted.

    Nothing proves that they are its own. Raises `Unreachable`.
    """
    completed = launcher.run(
        [KEYSCAN, "-T", str(_CONNECT), "-p", str(port), "--", address],
        timeout=_SCAN,
        environ=inherited(environ),
        accept=range(256),
    )
    lines = sorted(line for line in completed.text.splitlines() if line and not line.startswith("#"))
    if not lines:
        raise Unreachable(f"{address} port {port} shows no host key", hint="is an ssh server running there?")
    return "".join(f"{line}\n" for line in lines)


class Client:
    """The ssh client of one run. Safe to use from several threads, each for a connection of its own.

    `private` is an empty directory with a short path: sockets are in it. Raises `Problem` when it is too long.
    """

    def __init__(
        self,
        launcher: Launcher,
        environ: Mapping[str, str],
        private: Path,
        *,
        known_hosts: str,
        redactor: Redactor,
    ) -> None:
        self._launcher = launcher
        self._environ = inherited(environ)
        agent = environ.get("SSH_AUTH_SOCK")
        if agent:
            self._environ["SSH_AUTH_SOCK"] = agent
        if len(os.fsencode(private)) > _LONGEST:
            raise Problem(
                f"{private} is too long a path for sockets",
                hint="set XDG_RUNTIME_DIR to a shorter path of a private directory, or unset it",
            )
        self._private = private
        self._lock = threading.Lock()
        self._count = 0
        self._hosts = private / "known_hosts"
        _write_private(self._hosts, known_hosts.encode())
        self._key: Path | None = None
        if key := environ.get(KEY_VARIABLE, ""):
            redactor.register(key)
            self._key = private / "key"
            _write_private(self._key, repaired_key(key))

    def connection(self, route: Route) -> Connection:
        """A connection along `route`, which is made when first used."""
        with self._lock:
            self._count += 1
            number = self._count
        config = self._private / f"config{number}"
        _write_private(config, self._config(route, number).encode())
        return Connection(route, config, self._private / f"e{number}", self._run, self._log(number))

    def _config(self, route: Route, number: int) -> str:
        options = {**_DEFAULTS, **dict(route.options)}
        if jumps := options.pop("ProxyJump", ""):
            if route.jump and route.jump.name == route.name:
                raise Problem(
                    f"{route.name} is to be reached through itself",
                    hint="name another host at ProxyJump in its `ansible_ssh_common_args`",
                )
            options["ProxyCommand"] = self._way(jumps.split(","), number)
        if route.port:
            options["Port"] = str(route.port)
        if route.user:
            options["User"] = route.user
        own = [
            f"Hostname {route.address or route.name}",
            f"ControlPath {self._private / f'c{number}'}",
            *(f"{name} {value}" for name, value in sorted(options.items())),
        ]
        common = [f"UserKnownHostsFile {self._hosts}"]
        keys = [key for key in (route.key_file, str(self._key or "")) if key]
        common += [f"IdentityFile {key}" for key in keys]
        # With a key of our own no other is offered: servers count the attempts.
        common += ["IdentitiesOnly yes"] * bool(keys)
        # A jump host is reached with the common part alone.
        return "\n".join(
            [f"Host {route.name}", *own, "Host *", *common, f"ConnectTimeout {_CONNECT}", _SETTINGS]
        )

    def _way(self, jumps: Sequence[str], number: int) -> str:
        """The command that leads to the last of `jumps` and on from there, as ssh's own ProxyJump does.

        In a session of its own: it has to outlive the program that makes the connection, and all of that one's
        group ends with it. Its last words go to a file, since ssh would throw them away.
        """
        *before, last = jumps
        user, _, place = last.rpartition("@")
        host, port = _split_port(place)
        command = [
            *(sys.executable, "-I", "-S", "-c", _IN_A_SESSION, PROGRAM),
            *("-F", str(self._private / f"config{number}"), "-W", "[%h]:%p"),
            *(["-J", ",".join(before)] if before else []),
            *(["-l", user] if user else []),
            *(["-p", port] if port else []),
            *("--", host),
        ]
        quoted = shlex.join(command).replace("%", "%%").replace("%%h", "%h").replace("%%p", "%p")
        return f"{quoted} 2>{shlex.quote(str(self._log(number))).replace('%', '%%')}"

    def _log(self, number: int) -> Path:
        return self._private / f"log{number}"

    def _run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        accept: Iterable[int] = (0,),
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        return self._launcher.run(
            argv,
            timeout=timeout,
            environ=self._environ,
            stdin=stdin,
            accept=tuple(accept),
            on_line=on_line,
        )


class Connection:
    """The one connection to a host. Every method raises `Unreachable` when it cannot be had or is lost."""

    def __init__(
        self, route: Route, config: Path, engine: Path, run: Callable[..., Completed], log: Path
    ) -> None:
        """`log` is where a program in between leaves its last words."""
        self.route = route
        self._log = log
        self._config = config
        self._engine = engine
        self._launch = run
        self._opened = False
        self._forwarded = ""

    def open(self) -> bool:
        """Have the connection; True when it had to be made."""
        if self._opened and self._order("check").code == 0:
            return False
        self._opened = True
        self._engine.unlink(missing_ok=True)
        self._forwarded = USUAL_ENGINE
        # It goes to the background once the host has let us in.
        argv = self._argv("-M", "-N", "-f", "-L", f"{self._engine}:{USUAL_ENGINE}")
        self._judge(self._launch(argv, timeout=_STARTING, accept=range(256)))
        return True

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """Run `argv` on the host; its exit code is no verdict. ``argv`` of the answer is ssh's own."""
        completed = self._launch(
            self._argv(command=remote_command(argv)),
            timeout=timeout,
            stdin=stdin,
            accept=range(-64, 256),
            on_line=on_line,
        )
        if completed.code == _FAILED:
            self._judge(completed)
        return completed

    def forward(self, socket: str) -> Path:
        """A socket on this machine that leads to the unix socket at the path `socket` of the host."""
        if self._forwarded != socket:
            # What leads to another place already keeps its name.
            self._engine = self._engine.with_name(f"{self._engine.name}+")
            self._judge(self._order("forward", "-L", f"{self._engine}:{socket}"))
            self._forwarded = socket
        return self._engine

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._opened:
            self._order("exit")

    def _order(self, order: str, *options: str) -> Completed:
        """Tell the connection something; the exit code says whether there is one."""
        try:
            return self._launch(self._argv("-O", order, *options), timeout=_ORDER, accept=range(256))
        except ProgramFailed as error:
            # It hangs, as the host does.
            return Completed(
                argv=(), code=_FAILED, stdout=b"", stderr=error.message, duration=error.completed.duration
            )

    def _argv(self, *options: str, command: str = "") -> list[str]:
        words = [PROGRAM, "-F", str(self._config), *options, "--", self.route.name]
        return [*words, command] if command else words

    def _judge(self, completed: Completed) -> None:
        if completed.code:
            said = self._log.read_text(errors="replace") if self._log.exists() else ""
            jump = self.route.jump
            raise (
                explain(said, jump, via=self.route.name)
                if jump and said.strip()
                else explain(completed.stderr, self.route)
            )


def explain(stderr: str, route: Route, *, via: str = "") -> Unreachable:
    """Why ssh failed, in our words where the next step depends on it. `via`: the host that lies behind `route`."""
    address, port = route.place
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    name = f"{route.name} (on the way to {via})" if via else route.name
    keys = f"ssh-keyscan -p {port} {address}" if via else f"sf docker trust {name}"
    if "HOST IDENTIFICATION HAS CHANGED" in stderr or "has changed and you have requested" in stderr:
        return Unreachable(
            f"{name} shows another host key than the known one: it is another machine, or somebody is in between",
            hint=f"if it was set up anew, compare `{keys}` with the key on the machine itself and"
            " replace its lines in `docker.ssh.known_hosts`",
        )
    if "host key is known for" in stderr or "Host key verification failed" in stderr:
        return Unreachable(
            f"the host key of {name} ({address} port {port}) is not known",
            hint=f"compare what `{keys}` prints with the key on the machine itself, and add it to"
            " `docker.ssh.known_hosts`",
        )
    if "Permission denied" in stderr:
        return Unreachable(
            f"{name} does not let {route.user or 'this user'} in: it takes none of the keys",
            hint=f"put a private key whose public part {name} knows into the variable {KEY_VARIABLE}, an agent, or"
            " the file at `ansible_ssh_private_key_file`",
        )
    if via and "forwarding failed" in stderr:
        return Unreachable(
            f"{via} cannot be reached from {route.name}: {lines[0]}",
            hint=f"check the address of {via}, and that {route.name} passes connections on",
        )
    said = lines[-1] if lines else "the connection was lost"
    return Unreachable(
        f"{name} cannot be reached: {said}",
        hint=f"check that {address} port {port} can be reached from this machine",
    )


def _write_private(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
