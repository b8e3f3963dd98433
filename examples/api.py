"""Use sf from a program: plan the repository in the current folder and print one line for every unit.

    python examples/api.py [BASE]

Nothing is printed by sf itself, and no global state is touched: the caller hands over the environment and decides
what to do with the events, the plan and the error.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sf.backends import register_builtins
from sf.ci.detect import detect
from sf.config import load_config
from sf.process import Launcher
from sf.redact import Redactor
from sf.runtime import InvokerType, LifecycleError, RuntimeContext, run_lifecycle
from sf.tools.git import Git


def main(base: str | None) -> int:
    register_builtins()
    environ = dict(os.environ)
    root = Path.cwd()
    git = Git(Launcher(Redactor()), root, environ)
    context = RuntimeContext(
        ci=detect(environ, git=git),
        invoker=InvokerType.API,
        repo_root=root,
        dry_run=True,
        environ=environ,
        base=base,
    )
    config = load_config((root / ".stagefreight.yml").read_bytes())
    try:
        run_lifecycle(config, context)
    except LifecycleError as error:
        sys.stderr.write(f"{error}\n{error.hint}\n")
    for action in context.plan.actions if context.plan else ():
        reasons = ", ".join(reason.subject or reason.message for reason in action.all_reasons)
        sys.stdout.write(f"{action.effect.value:<10} {action.name}: {reasons}\n")
    return 0 if context.plan else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
