"""What runs on this machine, in one look: containers from the engine, records from the disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sf.backends.compose.observe import ServiceState, observe
from sf.backends.compose.record import Record, new_salt, read_records, seal_inputs, seal_model
from sf.backends.compose.release import edited_files
from sf.models import Cause, Change, LiveState, Problem, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sf.backends.compose.model import Model
    from sf.backends.compose.record import Sealed
    from sf.backends.compose.side import Unit
    from sf.tools.docker import Container, Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A unit as it was seen: what it is to be (``desired``, sealed with ``salt``), and how each service does."""

    project: str
    salt: str
    desired: Mapping[str, Sealed]
    inactive: tuple[str, ...]
    record: Record | None
    states: tuple[ServiceState, ...]

    @property
    def live(self) -> LiveState:
        """The same, for the plan."""
        observed = {state.change.name: state.state for state in self.states if state.state}
        if self.record:
            observed["deployed commit"] = self.record.commit
        return LiveState(
            effect=self._effect,
            objects=tuple(state.change for state in self.states if state.change.reasons),
            reasons=self._reasons,
            observed=observed,
        )

    @property
    def by_hand(self) -> bool:
        """Whether all there is to do is to undo what somebody changed on the host."""
        changed = [state for state in self.states if state.change.change is not Change.UNCHANGED]
        complete = self.record is not None and self.record.complete
        return complete and bool(changed) and all(state.by_hand for state in changed)

    @property
    def builds(self) -> bool:
        """Whether an image has to be built: a service that is built from the stack is not as deployed."""
        return any(
            self.desired[state.change.name].built
            for state in self.states
            if state.change.name in self.desired
            and any(reason.cause is Cause.GIT for reason in state.change.reasons)
        )

    @property
    def _reasons(self) -> tuple[Reason, ...]:
        """What there is to do, told once for all services that it is true of."""
        concerned: dict[Reason, list[str]] = {}
        for state in self.states:
            if state.change.change is not Change.UNCHANGED:
                for reason in state.change.reasons:
                    concerned.setdefault(replace(reason, subject=""), []).append(state.change.name)
        reasons = tuple(
            replace(reason, subject=", ".join(names), message=f"{', '.join(names)}: {reason.message}")
            for reason, names in concerned.items()
        )
        if self.record and not self.record.complete:
            unfinished = Reason(cause=Cause.DRIFT, message="the last deployment did not end well")
            return (unfinished, *reasons)
        return reasons

    @property
    def _effect(self) -> Change:
        changes = {state.change.change for state in self.states}
        wanted = [state for state in self.states if state.change.name in self.desired]
        if wanted and all(state.resting for state in wanted):
            # Compose cannot be told to bring up nothing, and would start them all.
            return Change.UNCHANGED
        if self.record and not self.record.complete:
            return Change.CHANGE
        if changes <= {Change.UNCHANGED}:
            return Change.UNCHANGED
        return Change.ADD if changes == {Change.ADD} and not self.record else Change.CHANGE


class Local:
    """The engine of this machine and the stacks deployed below `stack_dir`, read when first asked for."""

    def __init__(self, engine: Engine, stack_dir: Path, variables: Mapping[str, str]) -> None:
        self.engine = engine
        self.stack_dir = stack_dir
        self._variables = variables
        self._containers: dict[str, list[Container]] = {}
        self._records: list[Record] = []

    def check_shared(self) -> None:
        """Raise `Problem` when the engine has another file system than we do."""
        if not self.engine.sees(self.stack_dir):
            raise Problem(
                f"sf runs in a container, and {self.stack_dir} in it is not the one of the machine with the"
                " engine: files that stacks mount would be missing there",
                hint=f"start the container with `--volume {self.stack_dir}:{self.stack_dir}`",
            )

    def look(self) -> None:
        """Read what is there. Raises `Problem` when the engine or the records cannot be read."""
        self.check_shared()
        self._containers = self.engine.containers()
        self._records = read_records(self.stack_dir)

    def see(self, unit: Unit, resolve: Callable[[], Model]) -> Sight:
        """How `unit` does. `resolve` is called only when the record does not tell what it is to be.

        Raises `Unreadable` when it cannot be resolved, another `Problem` when the engine does not answer.
        """
        record = next((one for one in self._records if one.stack == unit.stack.path), None)
        if (
            record
            and record.complete
            and record.inputs == seal_inputs(unit.folder, self._variables, record.salt)
        ):
            desired: Mapping[str, Sealed] = {
                name: service.sealed for name, service in record.services.items()
            }
            return self._sight(record.project, record.salt, desired, record.inactive, record)
        model = resolve()
        record = next((one for one in self._records if one.project == model.project), None)
        salt = record.salt if record else new_salt()
        return self._sight(model.project, salt, seal_model(model, salt), model.inactive, record)

    def _sight(
        self,
        project: str,
        salt: str,
        desired: Mapping[str, Sealed],
        inactive: tuple[str, ...],
        record: Record | None,
    ) -> Sight:
        edited = edited_files(self.stack_dir / project, record.managed) if record else ()
        return Sight(
            project=project,
            salt=salt,
            desired=desired,
            inactive=inactive,
            record=record,
            states=observe(
                desired,
                inactive=inactive,
                record=record,
                containers=self._containers.get(project, []),
                edited=edited,
                engine=self.engine,
            ),
        )
