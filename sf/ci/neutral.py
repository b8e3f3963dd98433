"""``SF_CI_*``: the way to describe a run on a CI that sf does not know, or to correct what it found out.

Each variable that is set and not empty replaces one field, whatever the forge said. Trust is the exception: it is
decided anew from what results, and can only become less than what the forge's own description gives.
"""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.ci.trust import decide_trust
from sf.ci.values import commit_id, is_set, number, ref_name, repository_identity, web_url, word
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from enum import StrEnum

    from sf.ci.payload import Payload


class Variable(NamedTuple):
    """One ``SF_CI_*`` variable: the field of `CIContext` it sets, how its text is read, what it means."""

    field: str
    read: Callable[[str, str], Any]
    meaning: str


def _choice(kind: type[StrEnum]) -> Callable[[str, str], StrEnum]:
    def read(value: str, source: str) -> StrEnum:
        try:
            return kind(value)
        except ValueError as error:
            raise Problem(
                f"{source} is {value[:80]!r}, which is not known", hint=f"use one of: {', '.join(kind)}"
            ) from error

    return read


def _flag(value: str, source: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if value.lower() not in known:
        raise Problem(f"{source} has to be true or false, not {value[:80]!r}")
    return known[value.lower()]


def _url(value: str, source: str) -> str:
    url = web_url(value)
    if not url:
        raise Problem(f"{source} is not an http or https address: {value[:80]!r}")
    return url


def _line(value: str, source: str) -> str:
    if not word(value):
        raise Problem(f"{source} holds characters that cannot be shown: {value[:80]!r}")
    return value


def _identity(value: str, source: str) -> str:
    identity = repository_identity(value if "://" in value else f"https://{value}")
    if not identity:
        raise Problem(f"{source} is not of the form host/owner/name: {value[:80]!r}")
    return identity


VARIABLES: Final[Mapping[str, Variable]] = MappingProxyType(
    {
        "SF_CI_PROVIDER": Variable("provider", _choice(Provider), "the forge whose API is used for reports"),
        "SF_CI_EVENT": Variable("event", _choice(EventKind), "what started the run"),
        "SF_CI_TRUST": Variable("trust", _choice(Trust), "`untrusted` lowers the trust; nothing raises it"),
        "SF_CI_BRANCH": Variable("branch", ref_name, "the branch of the run; of a pull request its source"),
        "SF_CI_BASE_BRANCH": Variable("base_branch", ref_name, "the branch a pull request wants to enter"),
        "SF_CI_TAG": Variable("tag", ref_name, "the tag of the run"),
        "SF_CI_COMMIT": Variable("commit", commit_id, "the commit the run is for"),
        "SF_CI_BASE_COMMIT": Variable("base_commit", commit_id, "the commit to compare with"),
        "SF_CI_HEAD_COMMIT": Variable("head_commit", commit_id, "the last commit of a pull request's source"),
        "SF_CI_MERGE_COMMIT": Variable("merge_commit", commit_id, "the merge result, where there is one"),
        "SF_CI_DEFAULT_BRANCH": Variable("default_branch", ref_name, "the default branch"),
        "SF_CI_REPOSITORY_URL": Variable("repository_url", _url, "the web address of the repository"),
        "SF_CI_REPOSITORY": Variable("repository", _identity, "its identity, host/owner/name"),
        "SF_CI_CHANGE_NUMBER": Variable("change_number", number, "the number of the pull request"),
        "SF_CI_FORK": Variable("fork", _flag, "whether the pull request comes from another repository"),
        "SF_CI_ACTOR": Variable("actor", _line, "who started the run"),
        "SF_CI_RUN_URL": Variable("run_url", _url, "the web address of the run"),
        "SF_CI_RUN_ID": Variable("run_id", _line, "the id of the run"),
        "SF_CI_RUN_ATTEMPT": Variable("run_attempt", number, "how often this run was started, from 1"),
        "SF_CI_WORKSPACE": Variable("workspace", _line, "the path of the checkout"),
        "SF_CI_API_URL": Variable("api_url", _url, "the address of the forge's API"),
        "SF_CI_SERVER_URL": Variable("server_url", _url, "the address of the forge"),
    }
)


def recognises(environ: Mapping[str, str]) -> bool:
    """Whether some CI runs us: one of our variables is set, or ``CI``, as all CI systems do."""
    return is_set(environ, "CI") or any(environ.get(name) for name in VARIABLES)


def detect(environ: Mapping[str, str], payload: Payload) -> CIContext:  # noqa: ARG001 - an unknown CI has none
    """A run of which nothing is known but what `apply` adds. A pull request counts as one of a fork until told."""
    return CIContext(
        provider=Provider.GENERIC,
        event=EventKind.UNKNOWN,
        trust=Trust.UNTRUSTED,
        fork=environ.get("SF_CI_EVENT") == EventKind.PULL_REQUEST,
    )


def apply(context: CIContext, environ: Mapping[str, str]) -> CIContext:
    """`context` with every field replaced that a variable is given for.

    Raises a `Problem` that names the variable for a value that cannot be read, and for one that begins with
    ``SF_CI_`` and is not known.
    """
    _refuse_unknown(environ)
    given: dict[str, Any] = {
        variable.field: variable.read(environ[name], name)
        for name, variable in VARIABLES.items()
        if environ.get(name)
    }
    if not given:
        return context
    if "repository_url" in given:
        given.setdefault("repository", repository_identity(given["repository_url"]))
    told = dataclasses.replace(context, **given)
    return dataclasses.replace(told, trust=_trust(context, told, given.get("trust", Trust.TRUSTED)))


def _trust(detected: CIContext, told: CIContext, most: Trust) -> Trust:
    by_forge = Trust.TRUSTED if detected.provider is Provider.GENERIC else detected.trust
    by_facts = decide_trust(told.event, fork=told.fork, actor=told.actor)
    return Trust.UNTRUSTED if Trust.UNTRUSTED in (by_forge, by_facts, most) else Trust.TRUSTED


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    unknown = sorted(name for name in environ if name.startswith("SF_CI_") and name not in VARIABLES)
    if unknown:
        raise Problem(
            f"there is no variable {', '.join(unknown)}", hint=f"the known ones are: {', '.join(VARIABLES)}"
        )
