"""Who decides where credentials go: never the pull request that is looked at.

The keys of `sf.config.STEERING`, and the files that they name, count as they are in the state that a change is to
be merged into. A change to one of them is a danger that the plan tells.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from sf.ci.comparison import resolve_comparison
from sf.ci.context import EventKind
from sf.models import Finding, Location, Problem, Severity
from sf.tools.git import Git

if TYPE_CHECKING:
    from sf.config import Config
    from sf.runtime.context import RuntimeContext

CODE: Final = "credentials-steered"
CHANGES: Final = frozenset(
    {EventKind.PULL_REQUEST, EventKind.PULL_REQUEST_TARGET, EventKind.MERGE_GROUP, EventKind.WORKFLOW_RUN}
)


class Steering(NamedTuple):
    """The configuration that a run goes by, and what is to be said of the change that wanted another one."""

    config: Config
    findings: tuple[Finding, ...] = ()


def steer(config: Config, context: RuntimeContext) -> Steering:
    """`config`, of which a change that is not merged yet decides nothing that steers credentials."""
    file = os.path.normpath(context.config_file)
    if context.ci.event not in CHANGES or Path(file).is_absolute() or file.startswith(".."):
        # What is not in the repository no change to it can touch.
        return Steering(config)
    git = Git(context.launcher, context.repo_root, context.environ)
    try:
        comparison = resolve_comparison(git, context.ci, base=context.base, head=context.head)
    except Problem:
        # Whoever plans comes to the same and says it; until then nothing of the change counts.
        return Steering(config.steered_by(None))
    from sf.config import steering_differences  # noqa: PLC0415 - pydantic costs more than a short command

    before = _before(git, comparison.base_tree, file, context)
    changed = [f"`{key}`" for key in steering_differences(config, before)]
    steered = config.steered_by(before)
    changed += [name for name in steered.steering_files if _differs(git, comparison.base_tree, name, context)]
    return Steering(steered, (_finding(changed, file),) if changed else ())


def _before(git: Git, tree: str, file: str, context: RuntimeContext) -> Config | None:
    """The configuration in `tree`; None where there is none that can be used."""
    from sf.config import load_config  # noqa: PLC0415 - as above

    data = git.read_file(tree, file)
    try:
        return load_config(data, path=file, environ=context.environ) if data is not None else None
    except Problem:
        return None


def _differs(git: Git, tree: str, name: str, context: RuntimeContext) -> bool:
    """Whether the file in the working tree, which is that of the change, is another one than in `tree`."""
    try:
        return (context.repo_root / name).read_bytes() != git.read_file(tree, name)
    except OSError:
        return git.read_file(tree, name) is not None


def _finding(changed: list[str], file: str) -> Finding:
    *rest, last = changed
    names = f"{', '.join(rest)} and {last}" if rest else last
    return Finding(
        code=CODE,
        severity=Severity.DANGER,
        message=f"the change touches {names}, which decides where credentials go and what may run with them;"
        " it was planned with what was there before",
        location=Location(file),
        hint="merge it only if that is meant: from then on runs with credentials follow it",
    )
