"""The few values that later steps and jobs decide by. Never a diff: it would not fit where these go.

GitHub, Gitea and Forgejo take them as outputs of the step, GitLab as a dotenv report, which holds at most 20
variables and 5 KB on an installation with default settings, one line each.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.models import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.models import Record

# A path with anything else cannot travel in a dotenv file, which has no quoting.
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9._/@+=-]{1,200}")
_PATHS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "plan-path": "plan.json",
        "result-path": "result.json",
        "summary-path": "summary.md",
        "comment-path": "comment.md",
        "report-path": "report.html",
    }
)


def values(record: Record, folder: str) -> dict[str, str]:
    """The outputs by name, such as ``has-changes``. `folder` is where the reports of the run are.

    What there is no value for is empty: digests and counts without a plan, the paths if `folder` has odd
    characters.
    """
    plan = record.plan
    counts = plan.counts if plan else {}
    found = {
        "verdict": record.verdict.value,
        "has-changes": _word(plan.has_changes) if plan else "",
        "digest": plan.digest if plan else "",
        "change-digest": plan.change_digest if plan else "",
    }
    found |= {change.value: str(counts.get(change, "")) for change in Change}
    found["failed"] = str(len(record.result.failed)) if record.result else ""
    known = _PLAIN_PATH.fullmatch(folder) is not None
    for name, file in _PATHS.items():
        found[name] = f"{folder}/{file}" if known and (plan or file != "plan.json") else ""
    return found


def dotenv(outputs: Mapping[str, str]) -> bytes:
    """``sf.env``: the outputs as variables, ``has-changes`` as ``SF_HAS_CHANGES``."""
    lines = [f"SF_{name.upper().replace('-', '_')}={value}\n" for name, value in outputs.items()]
    return "".join(lines).encode()


def step_outputs(outputs: Mapping[str, str], delimiter: str) -> str:
    """What is appended to ``GITHUB_OUTPUT``. `delimiter` is random, so that no value can end itself."""
    return "".join(f"{name}<<{delimiter}\n{value}\n{delimiter}\n" for name, value in outputs.items())


def _word(switch: bool) -> str:
    return "true" if switch else "false"
