"""Taking over a stack that another repository deployed: its record on the host gets this repository's name."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sf.backends.compose.record import FILE, record_document
from sf.backends.compose.release import pack
from sf.backends.compose.removal import Operation
from sf.backends.compose.run import Run
from sf.backends.compose.side import is_script
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sf.backends.compose.live import View
    from sf.backends.compose.record import Record
    from sf.backends.compose.side import Side, Unit
    from sf.config import Config
    from sf.runtime.context import RuntimeContext

_MARGIN: Final = 60.0


def adopt(config: Config, context: RuntimeContext, names: Sequence[str]) -> dict[str, list[str]]:
    """Make the records of the stacks `names` (``host/stack``) say that they are ours.

    Returns ``lines`` that say what was written. Nothing that runs is touched. Raises `Problem` for a name that is
    no stack of the repository, for one that was never deployed, and when a record could not be written.
    """
    run = Run(config, context)
    try:
        return {"lines": list(_adopt_all(run, config, context, names))}
    finally:
        run.close()


def _adopt_all(run: Run, config: Config, context: RuntimeContext, names: Sequence[str]) -> Iterator[str]:
    run.check_programs()
    commit, side = run.read_commit(context.head or "HEAD")
    if not run.repository:
        raise Problem(
            "this repository has no name to adopt under: it has no remote", hint="git remote add origin URL"
        )
    units = [_unit(side, name) for name in dict.fromkeys(names)]
    views = run.reach(list({unit.host.name: unit.host for unit in units}.values()))
    for unit in units:
        view = views[unit.host.name]
        record = view.see(unit, partial(run.resolver.resolve, unit.folder)).record
        if record is None:
            raise Problem(
                f"{unit.name} has no deployment record on {unit.host.name}, so there is nothing to adopt",
                hint="`sf reconcile` deploys it; what compose already runs under its name is then taken over",
            )
        adopted = replace(record, repository=run.repository, host=unit.host.name, stack=unit.stack.path)
        if adopted == record:
            yield f"{unit.name}: deployed from this repository already"
            continue
        _write(adopted, view, owner=run.owner(commit), lock=int(config.deadlines.lock))
        yield f"{unit.name}: {view.stack_dir / record.project / FILE} on {unit.host.name}"
        yield from (f"  {line}" for line in _changes(record, adopted))


def _unit(side: Side, name: str) -> Unit:
    unit = side.units.get(name)
    if unit is None or is_script(unit):
        raise Problem(
            f"{name} is no compose stack of this repository",
            hint="name it as plans do, as HOST/STACK; `sf docker inspect` lists them",
        )
    return unit


def _changes(before: Record, after: Record) -> list[str]:
    return [
        f"{name}: {getattr(before, name) or 'nothing'} becomes {getattr(after, name)}"
        for name in ("repository", "host", "stack")
        if getattr(before, name) != getattr(after, name)
    ]


def _write(record: Record, view: View, *, owner: str, lock: int) -> None:
    operation = Operation(view.machine.name, lock, lambda _line: None)
    completed = view.machine.run(
        *("record", str(view.stack_dir), record.project, operation.token, owner),
        *(view.record_digest(record.project), str(lock)),
        stdin=pack({"record.json": (record_document(record), 0o600)}),
        timeout=lock + _MARGIN,
        on_line=operation.hear,
    )
    if operation.refusal:
        raise Problem(operation.refusal)
    if operation.done is None:
        raise Problem(
            f"{view.machine.name}: {completed.complaint or f'its shell ended with {completed.code}'}",
            hint="nothing was written; run it again",
        )
