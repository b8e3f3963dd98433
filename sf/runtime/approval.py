"""What a reviewer approved, held against what this run would do.

Nothing is ever taken from what was approved: the run makes its own plan, compares, and executes its own or
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.models import LifecyclePlan

_AGAIN: Final = "run `sf plan` again and have its plan approved"
_LONGEST_VALUE: Final = 120
# What is said about a difference in a field of the plan; the first one in this order is told.
_HINTS: Final[Mapping[str, str]] = {
    "mode": "it was made for another mode",
    "backend": "it was made for another backend",
    "repository": "it was made for another repository",
    "target": "it was made for another target",
    "config_hash": f"the configuration changed since; {_AGAIN}",
    "fingerprint_key": "it was made with another SF_FINGERPRINT_KEY, so that secrets cannot be compared",
    "commit": f"it was made for another commit; {_AGAIN}",
    "base": f"it was compared with another commit; {_AGAIN}",
    "contents": f"the content of the repository changed since; {_AGAIN}",
    "tools": f"it was made with other versions of the tools; {_AGAIN}",
}
# Derived from the rest: where they differ, something before them did.
_DERIVED: Final = frozenset({"digest", "change_digest", "counts", "verdict"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A whole plan, the digest of a change (sha256, hex), or both."""

    plan: LifecyclePlan | None = None
    change_digest: str = ""

    def check(self, plan: LifecyclePlan) -> None:
        """Raise `Problem` naming the first field in which `plan`, of this run, is not what was approved."""
        if self.plan:
            _require_equal(self.plan.document(), plan.document())
        if self.change_digest and self.change_digest != plan.change_digest:
            raise Problem(
                f"the change digest of this run is {plan.change_digest}, and {self.change_digest} was approved",
                hint=f"the change is not the one that was reviewed; {_AGAIN}",
            )


def _require_equal(approved: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    names = [*_HINTS, *(name for name in own if name not in _HINTS and name not in _DERIVED)]
    for name in names:
        place, there, here = next(_differences(approved[name], own[name], name), ("", None, None))
        if place:
            live = ".live" in place
            stale = (
                f"what is running changed since; {_AGAIN}" if live else f"the change is another one; {_AGAIN}"
            )
            raise Problem(
                f"the approved plan is not the plan of this run: `{place}` is {_shown(there)} in it,"
                f" and {_shown(here)} now",
                hint=_HINTS.get(name, stale),
            )


def _differences(one: Any, other: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Every place where two JSON values differ, with both values. Units go by their names."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            yield from _differences(one.get(name), other.get(name), f"{place}.{name}")
    elif isinstance(one, list) and isinstance(other, list):
        for number in range(max(len(one), len(other))):
            there, here = (values[number] if number < len(values) else None for values in (one, other))
            yield from _differences(there, here, f"{place}[{_name(there, here) or number}]")
    elif one != other or type(one) is not type(other):
        yield place, one, other


def _name(*values: Any) -> str:
    names = {value.get("name") for value in values if isinstance(value, dict)}
    return str(names.pop()) if len(names) == 1 and None not in names else ""


def _shown(value: Any) -> str:
    if value in (None, "", [], {}):
        return "nothing"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
