"""Where in a forge's interface a repository is, from variables that are checked before they become an address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sf.models import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = re.compile(r"(?!\.\.?/)[A-Za-z0-9._-]{1,100}/(?!\.\.?$)[A-Za-z0-9._-]{1,100}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


def name_of(environ: Mapping[str, str], variable: str) -> str:
    """``owner/name`` as `variable` has it. Raises `Problem` if it is anything else."""
    name = environ.get(variable, "")
    if not _NAME.fullmatch(name):
        raise Problem(f"this is not the name of a repository: {name[:80]!r}", location=Location(variable))
    return name


def project_of(environ: Mapping[str, str], *variables: str) -> str:
    """The number of a project in the first of `variables` that is set. Raises `Problem` if it is none."""
    number = next(filter(None, map(environ.get, variables)), "")
    if not _NUMBER.fullmatch(number):
        raise Problem(
            f"this is not the number of a project: {number[:80]!r}", location=Location(variables[-1])
        )
    return number
