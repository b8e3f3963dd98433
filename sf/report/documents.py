"""The documents for programs: the plan and the result, as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sf.models import pretty_json

if TYPE_CHECKING:
    from sf.models import Record


def plan(record: Record) -> bytes | None:
    """``plan.json``; None when the run ended before there was a plan."""
    return pretty_json(record.plan.document()) if record.plan else None


def result(record: Record) -> bytes:
    """``result.json``."""
    return pretty_json(record.result_document())
