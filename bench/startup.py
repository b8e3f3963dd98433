"""What a start costs: CPU of `sf --version` against an empty interpreter, and of plans for information.

Medians of 7 interleaved runs, children included. Exits with 1 when the ratio does not hold.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import fleets
from measure import Command, medians

MOST: Final = 4.0
BIN: Final = Path(sys.executable).parent


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "fleet"
        repository.mkdir()
        fleets.make(repository, 50)
        sf = str(BIN / "sf")
        commands = {
            "an empty interpreter": (sys.executable, "-c", "pass"),
            "sf --version": (sf, "--version"),
            "sf --help": (sf, "--help"),
            "sf plan, 50 Kustomizations": (sf, "-C", str(repository), "plan", "--base", "HEAD~1"),
        }
        found = medians({name: Command(argv, os.environ) for name, argv in commands.items()})
    for name, cost in found.items():
        print(f"{cost.cpu * 1000:8.1f} ms CPU  {name}")
    ratio = found["sf --version"].cpu / found["an empty interpreter"].cpu
    print(f"{ratio:8.2f} times an empty interpreter for `sf --version`, at most {MOST:g}")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
