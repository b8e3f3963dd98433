"""What a start costs: CPU of `sf --version` against an empty interpreter, and of plans for information.

Medians of 7 interleaved runs, children included. Exits with 1 when the ratio does not hold.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import fleets

MOST: Final = 4.0
RUNS: Final = 7
BIN: Final = Path(sys.executable).parent


def cpu(*command: str) -> float:
    """Seconds of CPU that `command` and its children take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def medians(commands: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """The median CPU of each command, all of them taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            taken[name].append(cpu(*command))
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "fleet"
        repository.mkdir()
        fleets.make(repository, 50)
        sf = str(BIN / "sf")
        found = medians(
            {
                "an empty interpreter": (sys.executable, "-c", "pass"),
                "sf --version": (sf, "--version"),
                "sf --help": (sf, "--help"),
                "sf plan, 50 Kustomizations": (sf, "-C", str(repository), "plan", "--base", "HEAD~1"),
            }
        )
    for name, seconds in found.items():
        print(f"{seconds * 1000:8.1f} ms CPU  {name}")
    ratio = found["sf --version"] / found["an empty interpreter"]
    print(f"{ratio:8.2f} times an empty interpreter for `sf --version`, at most {MOST:g}")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
