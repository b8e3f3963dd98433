"""An estate of compose stacks: what a plan costs, and how long it takes until many stacks run.

Planning, 150 stacks on 20 hosts: CPU of `sf plan`, children included, with an empty cache and with a full one,
against the usual order, one stack after the other: `docker ps`, `docker inspect`, `docker compose config`. The
usual order may talk to the engines directly, sf goes through ssh. Nothing was deployed by sf, so that its records
spare it nothing. And a count: of an estate that was planned before, one changed stack is resolved, no other.

Executing, 20 stacks on 4 hosts that take a while to get healthy: from `sf reconcile` to its end, against
`docker compose up --wait` for one after the other.

Twenty hosts are four servers with engines under five names each. Exits with 1 when a ratio does not hold.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import stacks

from toolchain.hosts import Hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from toolchain.hosts import Host

PLANNED: Final = 150
NAMES: Final = 20
SERVERS: Final = ("one", "two", "three", "four")
# A turn of the usual order takes half a minute of CPU.
RUNS: Final = 3
COLD: Final = 3.0
WARM: Final = 10.0
EXECUTED: Final = 20
# How long a stack takes to get healthy: what a small web service takes to start.
SECONDS: Final = 10.0
FASTER: Final = 3.0
SF: Final = str(Path(sys.executable).parent / "sf")
IMAGE: Final = "busybox:1.36"


class Bench:
    """The hosts, and the environments of the two who are compared."""

    def __init__(self, hosts: Hosts, folder: Path) -> None:
        self.hosts = list(hosts)
        self.folder = folder
        plugins = json.loads(
            Path(self.hosts[0].engine.environment["DOCKER_CONFIG"], "config.json").read_text()
        )
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}:{self.hosts[0].engine.environment['PATH']}",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "DOCKER_CONFIG": self._configured(plugins),
            "SSH_PRIVATE_KEY": hosts.key.read_text(),
        }

    def server(self, name: str) -> Host:
        """The server behind the host `name` of the inventory."""
        return self.hosts[int(name.removeprefix("h")) % len(self.hosts)]

    def repository(self, count: int, names: int, seconds: float = 0) -> tuple[Path, list[tuple[str, str]]]:
        root = self.folder / f"estate-{count}"
        root.mkdir()
        facts = {}
        for number in range(names):
            server = self.server(f"h{number}")
            facts[f"h{number}"] = (
                f"{{ansible_host: {server.address}, ansible_port: {server.port}, ansible_user: {server.user}}}"
            )
        known = "".join(host.known_hosts for host in self.hosts)
        return root, stacks.make(root, facts, known, count, seconds=seconds)

    def sf(self, root: Path, *arguments: str, cache: Path, **environ: str) -> None:
        subprocess.run(
            [SF, "-C", str(root), *arguments],
            env={**self.environ, "SF_CACHE_DIR": str(cache), **environ},
            capture_output=True,
            check=True,
        )

    def docker(self, name: str, *arguments: str, cwd: Path | None = None) -> str:
        environ = {**self.environ, "DOCKER_HOST": self.server(name).engine.socket}
        return subprocess.run(
            ["docker", *arguments], env=environ, cwd=cwd, capture_output=True, text=True, check=True
        ).stdout

    def counting(self) -> tuple[dict[str, str], Path]:
        """An environment in which every start of compose leaves a line in the file that is returned, too."""
        plugin = Path(
            json.loads(Path(self.environ["DOCKER_CONFIG"], "config.json").read_text())["cliPluginsExtraDirs"][
                0
            ]
        )
        folder = self.folder / "counting"
        folder.mkdir()
        calls = folder / "calls"
        calls.touch()
        program = folder / "docker-compose"
        program.write_text(f'#!/bin/sh\necho "$*" >>{calls}\nexec {plugin}/docker-compose "$@"\n')
        program.chmod(0o755)
        return {"DOCKER_CONFIG": self._configured({"cliPluginsExtraDirs": [str(folder)]})}, calls

    def _configured(self, settings: Mapping[str, object]) -> str:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        (folder / "config.json").write_text(json.dumps(settings))
        return str(folder)


def cpu(do: Callable[[], object]) -> float:
    """Seconds of CPU that the programs take which `do` starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    do()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wall(do: Callable[[], object]) -> float:
    started = time.monotonic()
    do()
    return time.monotonic() - started


def planning(bench: Bench) -> bool:
    root, estate = bench.repository(PLANNED, NAMES)
    for host, name in estate:
        labels = {"project": name, "service": "web", "oneoff": "False", "config-hash": "0"}
        options = [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        bench.docker(host, "create", *options, IMAGE, "sleep", "1000")
    stacks.change(root, *estate[0], "servus")

    def usual() -> None:
        for host, name in estate:
            label = f"--filter=label=com.docker.compose.project={name}"
            bench.docker(host, "inspect", *bench.docker(host, "ps", "--all", "--quiet", label).split())
            folder = root / "docker-compose" / host / name
            bench.docker(host, "compose", "config", "--format", "json", cwd=folder)

    kept = bench.folder / "kept"
    plan = ("plan", "--base", "HEAD~1")
    bench.sf(root, *plan, cache=kept)
    taken: dict[str, list[float]] = {}
    for turn in range(RUNS):
        cold = bench.folder / f"cold-{turn}"
        for what, do in {
            "the usual order": usual,
            "sf plan, empty cache": lambda cache=cold: bench.sf(root, *plan, cache=cache),
            "sf plan, full cache": lambda: bench.sf(root, *plan, cache=kept),
        }.items():
            taken.setdefault(what, []).append(cpu(do))
    usual_cpu, cold_cpu, warm_cpu = (statistics.median(times) for times in taken.values())
    print(f"planning {PLANNED} stacks on {NAMES} hosts, {RUNS} turns:")
    for what, times in taken.items():
        print(f"{statistics.median(times):8.2f} s CPU  {what}")
    stacks.change(root, *estate[1], "griaß di")
    environ, calls = bench.counting()
    bench.sf(root, *plan, cache=kept, **environ)
    resolved = [line for line in calls.read_text().splitlines() if line.endswith("config --format json")]
    print(f"{len(resolved):8}    models made for one changed stack, at most 1")
    return all(
        (
            holds(usual_cpu / cold_cpu, COLD, "less with an empty cache"),
            holds(usual_cpu / warm_cpu, WARM, "less with a full cache"),
            len(resolved) == 1,
        )
    )


def executing(bench: Bench) -> bool:
    root, estate = bench.repository(EXECUTED, len(SERVERS), SECONDS)

    def usual() -> None:
        for host, name in estate:
            folder = root / "docker-compose" / host / name
            bench.docker(host, "compose", "up", "--detach", "--wait", cwd=folder)

    one_by_one = wall(usual)
    for host in bench.hosts:
        host.sweep()
    with_sf = wall(lambda: bench.sf(root, "reconcile", cache=bench.folder / "kept"))
    for host, name in estate:
        label = f"--filter=label=com.docker.compose.project={name}"
        running = bench.docker(host, "ps", "--quiet", label, "--filter=status=running").split()
        if len(running) != 2:
            raise SystemExit(f"{name} does not run on {host}")
    print(f"executing {EXECUTED} stacks on {len(SERVERS)} hosts, {SECONDS:g} s each until healthy:")
    print(f"{one_by_one:8.1f} s wall  one after the other")
    print(f"{with_sf:8.1f} s wall  sf reconcile")
    return holds(one_by_one / with_sf, FASTER, "faster")


def holds(ratio: float, least: float, what: str) -> bool:
    print(f"{ratio:8.2f} times {what}, at least {least:g}")
    return ratio >= least


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, Hosts.start(SERVERS) as hosts:
        for host in hosts:
            host.engine.image(IMAGE)
        bench = Bench(hosts, Path(folder))
        held = [planning(bench)]
        for host in hosts:
            host.sweep()
        held.append(executing(bench))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
