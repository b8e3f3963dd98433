"""`counting.py REPOSITORY BASE HEAD`: one plan in this process, and what it took, as one line of JSON.

Builds and objects read, and the CPU of each program and of this one (`sf`), in seconds.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from sf.backends.flux.backend import FluxBackend
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.runtime import InvokerType, RuntimeContext

if TYPE_CHECKING:
    from collections.abc import Callable

SPENT: defaultdict[str, float] = defaultdict(float)


def watched(
    wait: Callable[..., tuple[int, int, resource.struct_rusage]],
) -> Callable[[int, int], tuple[int, int]]:
    """`os.waitpid` that notes what the program has taken whose end it sees."""

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            name = "another"
        ended, status, usage = wait(pid, options)
        if ended:
            SPENT[name] += usage.ru_utime + usage.ru_stime
        return ended, status

    return waitpid


def main() -> None:
    repository, base, head = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    os.waitpid = watched(os.wait4)
    context = RuntimeContext(
        ci=CIContext(provider=Provider.LOCAL, event=EventKind.MANUAL, trust=Trust.TRUSTED),
        invoker=InvokerType.API,
        repo_root=repository,
        dry_run=True,
        environ=dict(os.environ),
        base=base,
        head=head,
    )
    config = load_config((repository / ".stagefreight.yml").read_bytes())
    backend = FluxBackend()
    try:
        backend.validate(config, context)
        backend.plan(config, context)
    finally:
        backend.cleanup(context)
        context.workspace.close()
    own = resource.getrusage(resource.RUSAGE_SELF)
    SPENT["sf"] = own.ru_utime + own.ru_stime
    print(json.dumps({"builds": backend.builds, "reads": backend.reads, "cpu": SPENT}))


if __name__ == "__main__":
    main()
