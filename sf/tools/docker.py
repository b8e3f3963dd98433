"""The Docker Engine, read through its SDK over a unix socket. Nothing here changes what is running."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker import APIClient  # noqa: TID251 - this is the one importer of the SDK

DEFAULT_SOCKET: Final = Path("/var/run/docker.sock")
PROJECT_LABEL: Final = "com.docker.compose.project"
_FOLDER_LABEL: Final = "com.docker.compose.project.working_dir"
_SERVICE_LABEL: Final = "com.docker.compose.service"
_HASH_LABEL: Final = "com.docker.compose.config-hash"
_ONE_OFF_LABEL: Final = "com.docker.compose.oneoff"
_HOOK_LABEL: Final = "com.docker.compose.hook"
# Seconds for one answer; a loaded engine may need a while to list hundreds of containers.
_TIMEOUT: Final = 30
_ANY_VERSION: Final = "1.44"
# The engine mounts files of its own data directory into every container, whose paths hold the container's id.
_OWN_FILES: Final = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)\s")
# As the engine puts the time since the start (docker/go-units, HumanDuration).
_LASTING: Final = re.compile(r"Up (?!Less than a second|1 second)")
_HEALTH: Final = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of a compose project, as the engine lists it.

    ``state`` is the engine's word (running, exited, restarting, paused, created, dead); ``health`` is empty where
    nothing checks it. ``image`` is the image's id. ``lasting``: it has run for two seconds and more, by the clock
    of its engine.
    """

    id: str
    name: str
    project: str
    service: str
    state: str
    health: str
    image: str
    config_hash: str
    labels: Mapping[str, str]
    lasting: bool = False

    @property
    def folder(self) -> str:
        """Where its project was when compose made it, as a path on its machine."""
        return self.labels.get(_FOLDER_LABEL, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the engine knows of a container's life beyond the list; ``restarts`` counts its own, not a person's.

    ``restart_policy`` is one of no, on-failure, always, unless-stopped; ``error`` is what the engine
    said when it could not start the container.
    """

    exit_code: int
    restart_policy: str
    restarts: int
    error: str


def engine_socket(environ: Mapping[str, str]) -> Path:
    """The unix socket of the engine that ``docker`` would talk to here.

    Raises `Problem` when DOCKER_HOST names an engine elsewhere: what is deployed to "this machine" belongs here.
    """
    if host := environ.get("DOCKER_HOST"):
        parts = urlsplit(host)
        if parts.scheme != "unix":
            raise Problem(
                f"DOCKER_HOST is {parts.scheme}://…, and the engine of a host with `docker_local: true` is the one"
                " of the machine that sf runs on",
                hint="unset DOCKER_HOST, or set it to unix:///path/of/the/docker.sock",
            )
        return Path(parts.path)
    runtime = environ.get("XDG_RUNTIME_DIR")
    rootless = Path(runtime) / "docker.sock" if runtime else None
    return rootless if rootless and rootless.exists() and not DEFAULT_SOCKET.exists() else DEFAULT_SOCKET


class Engine:
    """One Docker Engine. Every method raises `Problem` when it does not answer.

    `host` is the name of the machine that it runs on, when that is another one.
    """

    def __init__(self, path: Path, *, host: str = "") -> None:
        self.socket = path
        self._host = host

    @cached_property
    def version(self) -> str:
        """The engine's release, such as ``28.5.2``."""
        return str(self._ask("version").get("Version", ""))

    def containers(self) -> dict[str, list[Container]]:
        """Every container of every compose project, by project, in one request. One-off and hook ones left out."""
        listed = self._ask("containers", all=True, filters={"label": PROJECT_LABEL})
        projects: dict[str, list[Container]] = {}
        for container in sorted(map(_container, listed), key=lambda one: one.name):
            if container.labels.get(_ONE_OFF_LABEL) != "True" and _HOOK_LABEL not in container.labels:
                projects.setdefault(container.project, []).append(container)
        return projects

    def volumes(self) -> dict[str, list[str]]:
        """The names of the volumes of every compose project, by project, in one request."""
        listed = self._ask("volumes", filters={"label": PROJECT_LABEL}).get("Volumes") or []
        projects: dict[str, list[str]] = {}
        for volume in sorted(listed, key=lambda one: str(one.get("Name", ""))):
            projects.setdefault(volume["Labels"][PROJECT_LABEL], []).append(str(volume["Name"]))
        return projects

    def history(self, container: str) -> History:
        """The history of one container, for the price of one request."""
        document = self._ask("inspect_container", container)
        state = document.get("State", {})
        policy = document.get("HostConfig", {}).get("RestartPolicy", {}).get("Name") or "no"
        return History(
            exit_code=int(state.get("ExitCode", 0)),
            restart_policy=policy,
            restarts=int(document.get("RestartCount", 0)),
            error=str(state.get("Error") or ""),
        )

    def image_reference(self, container: str) -> str:
        """The image of a container as it was asked for, such as ``nginx:1.29``."""
        return str(self._ask("inspect_container", container).get("Config", {}).get("Image", ""))

    def image_digests(self, image: str) -> frozenset[str]:
        """The digests under which registries gave out the image with this id; none for one that was built here."""
        named = self._ask("inspect_image", image).get("RepoDigests") or []
        return frozenset(str(name).rpartition("@")[2] for name in named)

    def registry_digest(self, reference: str) -> str:
        """The digest that the registry has for `reference` now, which the engine asks.

        Raises `Problem` also when the registry does not answer, or has no such image.
        """
        import docker.errors  # noqa: PLC0415, TID251 - the SDK takes 0.2 s to import

        try:
            client: Any = self._client
            answer = client.inspect_distribution(reference)
        except docker.errors.APIError as error:
            raise Problem(f"the registry cannot be asked: {error.explanation or error}") from error
        except _sdk_errors() as error:
            raise self._silent(error) from error
        return str(answer.get("Descriptor", {}).get("digest", ""))

    def last_order(self, container: str) -> str:
        """What the container was last told, as far as the engine remembers: start, stop, kill, or nothing.

        The engine keeps its last 256 events (every health check makes three) and none of before its own start.
        """
        events = self._ask(
            "events",
            since="0",
            until=self._now(),
            filters={"container": container, "event": ["start", "stop", "kill"]},
            decode=True,
        )
        last = ""
        for event in events:
            last = str(event.get("Action", ""))
        return last

    def last_lines(self, container: str, count: int) -> str:
        """The last `count` lines that the container printed."""
        output = self._ask("logs", container, tail=count, stdout=True, stderr=True, stream=False)
        return bytes(output).decode("utf-8", "replace")

    def sees(self, folder: Path) -> bool:
        """Whether `folder` is the same place for the engine as for us.

        It is not when we run in a container, unless the folder is mounted there from the same path of the host.
        """
        own = own_container(Path("/proc/self/mountinfo"))
        if own is None:
            return True
        import docker.errors  # noqa: PLC0415, TID251 - the SDK takes 0.2 s to import

        try:
            document = self._client.inspect_container(own)
        except docker.errors.NotFound:
            # A container of some other engine: its file system is not this one's.
            return False
        except _sdk_errors() as error:
            raise self._silent(error) from error
        return is_shared(folder, document.get("Mounts", []))

    def is_sibling(self, container: str, own: str) -> bool:
        """Whether `container` runs, and from the same image as the container `own`."""
        import docker.errors  # noqa: PLC0415, TID251 - the SDK takes 0.2 s to import

        try:
            found, ours = (self._client.inspect_container(one) for one in (container, own))
        except docker.errors.NotFound:
            return False
        except _sdk_errors() as error:
            raise self._silent(error) from error
        return bool(found["State"]["Running"]) and found["Image"] == ours["Image"]

    def close(self) -> None:
        """Let go of the connection, if there is one."""
        if "_client" in self.__dict__:
            self._client.close()
            del self.__dict__["_client"]

    @cached_property
    def _client(self) -> APIClient:
        from docker import APIClient  # noqa: PLC0415, TID251 - the SDK takes 0.2 s to import

        try:
            # The SDK leaves its socket open when it cannot connect.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket))
            return APIClient(base_url=f"unix://{self.socket}", version="auto", timeout=_TIMEOUT)
        except _sdk_errors() as error:
            raise self._silent(error) from error

    def _now(self) -> str:
        """The engine's clock as it wants to be asked, in seconds; a time in its future would make it wait."""
        time = datetime.fromisoformat(_microseconds(str(self._ask("info").get("SystemTime", ""))))
        return f"{int(time.timestamp())}.{time.microsecond:06}000"

    def _ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._client, method)(*arguments, **options)
        except _sdk_errors() as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> Problem:
        if self._host:
            return Problem(
                f"the Docker Engine of {self._host} does not answer: {_innermost(error)}",
                hint="start it, and let the user that sf logs in as use its socket",
            )
        return Problem(
            f"the Docker Engine of this machine does not answer: {_innermost(error)}",
            hint="start it, let this user use its socket, or say where that is: DOCKER_HOST=unix:///…/docker.sock",
        )


class TlsEngine(Engine):
    """An engine at a ``tcp://`` address, which asks for a certificate: the one in the folder `certificates`."""

    def __init__(self, address: str, certificates: Path, *, host: str) -> None:
        super().__init__(certificates / "key.pem", host=host)
        self._address = address
        self._certificates = certificates

    @cached_property
    def _client(self) -> APIClient:
        try:
            # Finding the version out is left to a client of its own, because the SDK's way to do it is open to
            # the environment: REQUESTS_CA_BUNDLE would replace the authority, and a proxy would stand between.
            with self._speaking(_ANY_VERSION) as first:
                version = str(first.version(api_version=False)["ApiVersion"])
            return self._speaking(version)
        except _sdk_errors() as error:
            raise self._silent(error) from error

    def _speaking(self, version: str) -> APIClient:
        from docker import APIClient  # noqa: PLC0415, TID251 - the SDK takes 0.2 s to import
        from docker.tls import TLSConfig  # noqa: PLC0415, TID251 - as above

        cert, key, authority = (str(self._certificates / name) for name in ("cert.pem", "key.pem", "ca.pem"))
        tls = TLSConfig(client_cert=(cert, key), ca_cert=authority, verify=True)
        client = APIClient(base_url=self._address, version=version, timeout=_TIMEOUT, tls=tls)
        client.trust_env = False
        return client


def certificate_folder(environ: Mapping[str, str]) -> str:
    """Where the docker command has the files for TLS."""
    return environ.get("DOCKER_CERT_PATH") or f"{environ.get('HOME', '/nonexistent')}/.docker"


def is_shared(folder: Path, mounts: list[dict[str, Any]]) -> bool:
    """Whether a container with these `mounts` (of ``docker inspect``) has the host's `folder` at its own path."""
    below = [mount for mount in mounts if folder.is_relative_to(str(mount.get("Destination", "")))]
    deepest = max(below, key=lambda mount: len(PurePosixPath(mount["Destination"]).parts), default=None)
    return deepest is not None and deepest.get("Source") == deepest["Destination"]


def _container(listed: dict[str, Any]) -> Container:
    labels = {str(name): str(value) for name, value in (listed.get("Labels") or {}).items()}
    status = str(listed.get("Status", ""))
    health = _HEALTH.search(status)
    return Container(
        id=str(listed.get("Id", "")),
        name=next(iter(listed.get("Names") or [""])).removeprefix("/"),
        project=labels.get(PROJECT_LABEL, ""),
        service=labels.get(_SERVICE_LABEL, ""),
        state=str(listed.get("State", "")),
        health=health[1] if health else "",
        image=str(listed.get("ImageID", "")),
        config_hash=labels.get(_HASH_LABEL, ""),
        labels=MappingProxyType(labels),
        lasting=_LASTING.match(status) is not None,
    )


def own_container(mountinfo: Path) -> str | None:
    """The id of the container that this process runs in; None outside of one."""
    try:
        found = _OWN_FILES.search(mountinfo.read_text())
    except OSError:
        return None
    return found[1] if found else None


def _sdk_errors() -> tuple[type[Exception], ...]:
    """What the SDK lets through: its own errors, and those of the HTTP library under it, which are OSErrors."""
    import docker.errors  # noqa: PLC0415, TID251 - the SDK takes 0.2 s to import

    return (docker.errors.DockerException, OSError)


def _innermost(error: BaseException) -> str:
    """The system's own words, which the SDK wraps in four layers of its own."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _microseconds(time: str) -> str:
    """An RFC 3339 time of the engine, cut to the microseconds that Python can hold."""
    return re.sub(r"(\.\d{6})\d+", r"\1", time)
