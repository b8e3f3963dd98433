"""flux-local in a virtual environment of its own, outside of the checkout: it is an opponent, not a dependency."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).with_name("requirements-flux-local.txt")
_OLDEST: Final = (3, 13)


def version() -> str:
    """The pinned release."""
    lines = REQUIREMENTS.read_text().splitlines()
    return next(line for line in lines if line.startswith("flux-local==")).split("==")[1].split()[0]


def installed() -> Path:
    """The program, installed when its requirements changed. It needs Python 3.13, as its own metadata says."""
    if sys.version_info < _OLDEST:
        raise SystemExit(
            "flux-local needs Python 3.13: run this with the newest one, as `make bench-flux` does"
        )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache / "sf-bench" / f"flux-local-{key}"
    done = folder / ".done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        done.touch()
    return folder / "bin" / "flux-local"
