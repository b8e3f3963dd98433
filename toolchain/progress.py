"""What the toolchain says while it works: on stderr, since stdout belongs to the commands it runs."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


def say(message: str) -> None:
    """Print one line to stderr."""
    print(f"toolchain: {message}", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what was done and how many seconds of wall time it took; silent when the step fails."""
    start = time.monotonic()
    yield
    say(f"{what} ({time.monotonic() - start:.1f} s)")
