"""The repository, the CI that runs there, and what the configuration says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sf import session as sessions
from sf.ci.detect import detect
from sf.doctor.check import Check, failed
from sf.models import Problem
from sf.process import Launcher
from sf.runtime.steering import steer
from sf.tools.git import Git

if TYPE_CHECKING:
    from pathlib import Path

    from sf.ci.context import CIContext
    from sf.config import Config
    from sf.doctor.programs import Answer
    from sf.runtime.context import RuntimeContext
    from sf.session import Session


@dataclass(frozen=True, slots=True)
class Clone:
    """The repository around the directory, as far as it can be read."""

    git: Git
    root: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run here would go by."""

    config: Config
    context: RuntimeContext


def repository(session: Session, answer: Answer) -> tuple[Check, Clone | None]:
    """The repository around the session's directory; `answer` is that of git."""
    if not answer.works:
        return Check(
            name="repository", passed=False, detail="cannot be read without git", hint="see the check of git"
        ), None
    git = Git(Launcher(session.redactor), session.directory.resolve(), session.environ)
    try:
        root, commit, is_shallow = git.toplevel(), git.head(), git.is_shallow()
    except Problem as problem:
        return failed("repository", problem), None
    shallow = ", a shallow clone" if is_shallow else ""
    return Check(
        name="repository",
        passed=True,
        detail=f"{root} at {commit[:12]}{shallow}",
        hint="commits that are missing are fetched when they are needed" if is_shallow else "",
    ), Clone(git, root)


def description(session: Session, clone: Clone | None) -> tuple[Check, CIContext | None]:
    """Where this runs, as the CI describes it."""
    try:
        ci = detect(session.environ, git=clone.git if clone else None)
    except Problem as problem:
        return failed("ci", problem), None
    facts = [
        ci.provider.value,
        ci.event.value + (f" {ci.change_number}" if ci.change_number else ""),
        f"branch {ci.branch}" if ci.branch else "",
        f"tag {ci.tag}" if ci.tag else "",
        ci.trust.value,
        f"`sf run` {'reconciles' if sessions.reconciles(ci) else 'plans'}",
    ]
    return Check(name="ci", passed=True, detail=", ".join(filter(None, facts))), ci


def configuration(session: Session, ci: CIContext | None) -> tuple[Check, Settings | None]:
    """What the configuration says; a change that is not merged decides nothing that steers credentials."""
    if ci is None:
        return Check(
            name="configuration",
            passed=False,
            detail=f"{session.config_file} is not read without a repository and a CI that can be described",
            hint="see the checks above",
        ), None
    try:
        config, context = sessions.load(session)
    except Problem as problem:
        return failed("configuration", problem), None
    detail = f"{session.config_file}: mode {config.mode}, backend {config.backend}"
    config, context.steering = steer(config, context)
    hint = context.steering[0].message if context.steering else ""
    check = Check(name="configuration", passed=True, detail=detail, hint=hint)
    return check, Settings(config, context)
