"""What a job waits for: from the start of the container to the plan of the example; and the size of the image.

Wall figures are of the machine they are measured on. What has to hold is a ratio of CPU: the plan in the container
against the same plan outside of it. Medians of 7 interleaved runs. Exits with 1 when the ratio does not hold.
"""

from __future__ import annotations

import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from toolchain import image, programs, standins, tiers
from toolchain.engine import Engine

MOST: Final = 1.5
RUNS: Final = 7
ROOT: Final = Path(__file__).parents[1]
TAG: Final = "sf:bench"
PLAN: Final = ("sf", "plan", "--base", "main", "--no-diffs")
# Prints the seconds of CPU that the arguments take, children included.
METER: Final = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""


def taken(command: tuple[str, ...], environment: dict[str, str], cwd: Path) -> tuple[float, float]:
    """Seconds of wall clock, and of CPU as METER says."""
    started = time.monotonic()
    done = subprocess.run(command, env=environment, cwd=cwd, check=True, capture_output=True, text=True)
    return time.monotonic() - started, float(done.stdout)


def medians(engine: Engine, repository: Path) -> dict[str, tuple[float, float]]:
    path = f"{Path(sys.executable).parent}:{programs.search_path(*tiers.program_folders())}"
    outside = {**os.environ, "PATH": path, "CI": "true"}
    start = ("docker", "run", "--rm", "--env", "CI=true", "--volume", f"{repository}:/work")
    inside = (*start, "--entrypoint", "/opt/sf/bin/python", TAG, "-c", METER)
    commands = {
        "an empty container": ((*inside, "true"), engine.environment),
        "sf --version in it": ((*inside, "sf", "--version"), engine.environment),
        "the plan in it": ((*inside, *PLAN), engine.environment),
        "the plan outside": ((sys.executable, "-c", METER, *PLAN), outside),
    }
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, (command, environment) in commands.items():
            runs[name].append(taken(command, {**os.environ, **environment}, repository))
    return {name: (*map(statistics.median, zip(*values, strict=True)),) for name, values in runs.items()}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, Engine.start("action") as engine:
        standins.build(engine, TAG)
        repository = Path(folder, "fleet")
        subprocess.run([ROOT / "examples/make-repository.sh", repository, "fleet"], check=True)
        found = medians(engine, repository)
        for size, layer in image.layers(TAG, engine.environment):
            print(f"{size / 1e6:8.1f} MB  {layer}")
        saved = subprocess.run(
            ["docker", "save", TAG], env={**os.environ, **engine.environment}, check=True, capture_output=True
        )
        print(f"{len(gzip.compress(saved.stdout, 6)) / 1e6:8.1f} MB  in all, compressed")
    for name, (wall, cpu) in found.items():
        print(f"{wall:8.2f} s wall {cpu:6.2f} s CPU  {name}")
    ratio = found["the plan in it"][1] / found["the plan outside"][1]
    print(f"{ratio:8.2f} times the CPU outside for the plan in the container, at most {MOST:g}")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
