"""What `sf doctor` finds: whether a run would have here what it needs.

Nothing that is missing, broken or hanging keeps the rest from being examined. Programs are only asked for their
version, in an empty home and folder, so that neither the user's nor the repository's settings are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sf.cache import cache_folder
from sf.ci.context import Provider
from sf.doctor import credentials, machine, repository
from sf.doctor.check import Check, presentable, render
from sf.doctor.programs import ENGINE, PROGRAMS, Use, ask_all, judged
from sf.tools import ansible
from sf.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sf.doctor.programs import Answer
    from sf.doctor.repository import Settings
    from sf.session import Session

__all__ = ["Check", "examine", "render"]

_OUT_DIR: Final = "sf-out"


def examine(session: Session) -> tuple[Check, ...]:
    """Look at everything once. Takes seconds, however much is broken; raises nothing that a check could say."""
    workspace = Workspace(session.environ)
    try:
        return tuple(presentable(check, session.redactor) for check in _examined(session, workspace))
    finally:
        session.hold_signals()
        workspace.close()


def _examined(session: Session, workspace: Workspace) -> Iterator[Check]:
    temporary, home = machine.temporary_files(workspace)
    answers = ask_all(session, home)
    found, clone = repository.repository(session, answers["git"])
    description, ci = repository.description(session, clone)
    configuration, settings = repository.configuration(session, ci if clone else None)
    try:
        beyond, use = _beyond(settings, answers)
    finally:
        if settings:
            settings.context.resolved.cleanup()
    yield machine.python()
    yield found
    yield description
    yield configuration
    for program in (*PROGRAMS, ENGINE):
        yield judged(program, answers[program.name], use)
    yield from beyond
    yield credentials.credentials(session.environ, use)
    yield credentials.fingerprint_key(session.environ)
    yield temporary
    if clone:
        yield machine.output_directory(clone.root / _OUT_DIR)
    if ci and (folder := cache_folder(session.environ, on_laptop=ci.provider is Provider.LOCAL)):
        yield machine.cache(folder)


def _beyond(settings: Settings | None, answers: dict[str, Answer]) -> tuple[list[Check], Use]:
    """What is beyond this machine, and what its programs are therefore used for."""
    if settings is None:
        return [], Use()
    use = Use(config=settings.config)
    if use.gitops and settings.config.gitops.cluster:
        from sf.doctor.cluster import cluster  # noqa: PLC0415 - the SDK costs more than the rest

        return [cluster(settings)], use
    if use.docker and (not use.inventory or answers[ansible.PROGRAM].works):
        from sf.doctor.hosts import hosts  # noqa: PLC0415 - as above

        check, use = hosts(settings)
        return [check], use
    return [], use
