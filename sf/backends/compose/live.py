"""What runs on a machine, in one look: containers from the engine, records from the disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sf.backends.compose.ciphertext import places
from sf.backends.compose.observe import ServiceState, observe
from sf.backends.compose.record import (
    Record,
    new_salt,
    read_record,
    seal_inputs,
    seal_model,
    unpack_records,
)
from sf.backends.compose.release import edited_files, read_digests
from sf.backends.compose.stack import SCRIPT
from sf.models import Cause, Change, LiveState, Problem, Reason
from sf.tools.compose import refuse_old

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sf.backends.compose.ciphertext import Place
    from sf.backends.compose.hosts import Machine
    from sf.backends.compose.model import Model
    from sf.backends.compose.record import Sealed
    from sf.backends.compose.release import Present
    from sf.backends.compose.side import Unit
    from sf.tools.docker import Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A unit as it was seen: what it is to be (``desired``, sealed with ``salt``), and how each service does.

    ``encrypted`` is the use of each encrypted file, and ``at_rest`` where those that are mounted are to stand.
    ``due``: why the script of the stack is to be run, when it has one instead of services.
    """

    project: str
    salt: str
    desired: Mapping[str, Sealed]
    inactive: tuple[str, ...]
    encrypted: Mapping[str, str]
    at_rest: str
    record: Record | None
    states: tuple[ServiceState, ...]
    due: tuple[Reason, ...] = ()

    @property
    def places(self) -> dict[str, Place]:
        """Where the plaintext of each encrypted file goes."""
        return places(self.encrypted, self.at_rest)

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
    def moved(self) -> frozenset[str]:
        """The services whose image has to be pulled."""
        return frozenset(state.change.name for state in self.states if state.moved)

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
        if self.due:
            return self.due
        concerned: dict[Reason, list[str]] = {}
        for state in self.states:
            if state.change.change is not Change.UNCHANGED:
                for reason in state.change.reasons:
                    concerned.setdefault(replace(reason, subject=""), []).append(state.change.name)
        reasons = tuple(
            replace(reason, subject=", ".join(names), message=f"{', '.join(names)}: {reason.message}")
            for reason, names in concerned.items()
        )
        if self._is_unfinished:
            unfinished = Reason(cause=Cause.DRIFT, message="the last deployment did not end well")
            return (unfinished, *reasons)
        if self._moves:
            moved = Reason(cause=Cause.GIT, message=f"decrypted files are to stand {_STANDING[self.at_rest]}")
            return (moved, *reasons)
        return reasons

    @property
    def _moves(self) -> bool:
        """Whether plaintext stands where it is not to be."""
        return (
            self.record is not None
            and self.record.complete
            and self.record.places != places(self.record.encrypted, self.at_rest)
        )

    @property
    def _effect(self) -> Change:
        if self.due:
            return Change.CHANGE if self.record else Change.ADD
        changes = {state.change.change for state in self.states}
        wanted = [state for state in self.states if state.change.name in self.desired]
        if wanted and all(state.resting for state in wanted):
            # Compose cannot be told to bring up nothing, and would start them all.
            return Change.UNCHANGED
        if self._is_unfinished:
            return Change.CHANGE
        if changes <= {Change.UNCHANGED}:
            return Change.CHANGE if self._moves else Change.UNCHANGED
        is_new = self.record is None or self.record.removed
        return Change.ADD if changes == {Change.ADD} and is_new else Change.CHANGE

    @property
    def _is_unfinished(self) -> bool:
        return self.record is not None and not self.record.complete and not self.record.removed


_STANDING: Final = {"disk": "on the disk of the host", "tmpfs": "in the memory of the host"}


class View:
    """What one machine has: its engine and the stacks deployed below `stack_dir`, as of the last `look`.

    `at_rest`: where plaintext of files that containers mount stands, ``disk`` or ``tmpfs``.
    """

    def __init__(
        self, machine: Machine, stack_dir: Path, variables: Mapping[str, str], *, at_rest: str
    ) -> None:
        self.machine = machine
        self.stack_dir = stack_dir
        self._variables = variables
        self._at_rest = at_rest
        self._containers: dict[str, list[Container]] = {}
        self._records: dict[str, Record] = {}
        self._digests: dict[str, str] = {}
        self._edited: dict[str, tuple[str, ...]] = {}

    def look(self) -> None:
        """Read what is there. Raises `Problem` when the machine, its engine or its records cannot be read."""
        answer = self._answer("look", str(self.stack_dir))
        socket, _, archive = answer.partition(b"\n")
        self.machine.attach(socket.decode("utf-8", "surrogateescape"))
        self._containers = self.machine.engine.containers()
        stored = unpack_records(archive)
        self._records = {name: read_record(data, project=name) for name, data in sorted(stored.items())}
        self._digests = {name: hashlib.sha256(data).hexdigest() for name, data in stored.items()}
        self._edited = self._find_edited()

    def check(self) -> None:
        """Raise `Problem` when stacks cannot be deployed there."""
        self.machine.refuse_elsewhere()
        said = self._answer("check", str(self.stack_dir)).decode("utf-8", "replace").split("\n")
        missing = [line.removeprefix("missing ") for line in said if line.startswith("missing ")]
        if missing:
            raise Problem(
                f"{self.machine.name} has no program {missing[0]}", hint=f"install {', '.join(missing)} there"
            )
        if "unwritable" in said:
            raise Problem(
                f"sf may not write the deployed stacks to {self.stack_dir} on {self.machine.name}",
                hint=f"let its user have it: sudo install -d -o \"$(id -un)\" '{self.stack_dir}'",
            )
        version = next((line.removeprefix("compose ") for line in said if line.startswith("compose ")), "")
        refuse_old(version, where=f" on {self.machine.name}")

    @property
    def records(self) -> Mapping[str, Record]:
        """The record of each project that was deployed there."""
        return self._records

    @property
    def containers(self) -> Mapping[str, Sequence[Container]]:
        """The containers of each project, whatever their state."""
        return self._containers

    def edited(self, project: str) -> tuple[str, ...]:
        """The files of `project` that are no longer what sf wrote, missing ones included."""
        return self._edited.get(project, ())

    def digests(self, folder: str, names: Sequence[str]) -> dict[str, Present]:
        """What is at the paths `names` below `folder` (empty: below all projects)."""
        if not names:
            return {}
        listed = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        return read_digests(self._answer("digest", str(self.stack_dir / folder), stdin=listed), names)

    def record_digest(self, project: str) -> str:
        """The sha256 of the record of `project` as it was last seen; a dash when there was none."""
        return self._digests.get(project, "-")

    def see(self, unit: Unit, resolve: Callable[[], Model]) -> Sight:
        """How `unit` does. `resolve` is called only when the record does not tell what it is to be.

        Raises `Unreadable` when it cannot be resolved, another `Problem` when the engine does not answer.
        """
        record = self._telling(unit)
        if record:
            desired: Mapping[str, Sealed] = {
                name: service.sealed for name, service in record.services.items()
            }
            return self._sight(
                record.project, record.salt, desired, record.inactive, record.encrypted, record
            )
        model = resolve()
        record = self._records.get(model.project)
        salt = record.salt if record else new_salt()
        desired = seal_model(model, salt)
        return self._sight(model.project, salt, desired, model.inactive, model.encrypted, record)

    def see_script(self, unit: Unit) -> Sight:
        """How `unit`, which a script of its own deploys, does: what that left running cannot be told."""
        project = unit.stack.name
        record = self._records.get(project)
        due: list[Reason] = []
        if record is None:
            due.append(Reason(cause=Cause.GIT, message=f"{SCRIPT} was never run here"))
        elif not record.complete:
            due.append(Reason(cause=Cause.DRIFT, message=f"{SCRIPT} did not end well"))
        elif self._telling(unit) is None:
            due.append(Reason(cause=Cause.GIT, message="its files are not those that were deployed"))
        due += [
            Reason(cause=Cause.DRIFT, message=f"{name} was changed on the host", subject=name)
            for name in self._edited.get(project, ())
        ]
        return Sight(
            project=project,
            salt=record.salt if record else new_salt(),
            desired={},
            inactive=(),
            encrypted={},
            at_rest="",
            record=record,
            states=(),
            due=tuple(due),
        )

    def knows(self, unit: Unit) -> bool:
        """Whether `see` can do without the model of `unit`."""
        return self._telling(unit) is not None

    def _telling(self, unit: Unit) -> Record | None:
        """The record that tells what `unit` is to be, when one does."""
        record = next((one for one in self._records.values() if one.stack == unit.stack.path), None)
        told = (
            record
            and record.complete
            and record.inputs == seal_inputs(unit.folder, self._variables, record.salt)
        )
        return record if told else None

    def _find_edited(self) -> dict[str, tuple[str, ...]]:
        names = [f"{project}/{name}" for project, one in self._records.items() for name in one.managed]
        present = self.digests("", names)
        return {
            project: edited_files(
                one.managed,
                {name: present[path] for name in one.managed if (path := f"{project}/{name}") in present},
            )
            for project, one in self._records.items()
        }

    def _answer(self, *arguments: str, stdin: bytes = b"") -> bytes:
        completed = self.machine.run(*arguments, stdin=stdin)
        if completed.code:
            raise Problem(
                f"{self.machine.name}: {completed.complaint or f'a shell ended with {completed.code}'}",
                hint="give the user that sf is there access to it, or set `docker.stack_dir`",
            )
        return completed.stdout

    def _sight(  # noqa: PLR0917 - everything that is known of one unit
        self,
        project: str,
        salt: str,
        desired: Mapping[str, Sealed],
        inactive: tuple[str, ...],
        encrypted: Mapping[str, str],
        record: Record | None,
    ) -> Sight:
        return Sight(
            project=project,
            salt=salt,
            desired=desired,
            inactive=inactive,
            encrypted=encrypted,
            at_rest=self._at_rest,
            record=record,
            states=observe(
                desired,
                inactive=inactive,
                record=record,
                containers=self._containers.get(project, []),
                edited=self._edited.get(project, ()),
                engine=self.machine.engine,
            ),
        )
