"""Lists that stay short until somebody asks for the rest."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final

from sf.report.markup import EMPTY, Html, element, joined
from sf.report.wording import count

if TYPE_CHECKING:
    from collections.abc import Sequence

# Beyond these nobody asks for more, and plan.json has all of them.
MOST_HELD: Final = 500
_MOST_HELD_BYTES: Final = 1_000_000


def bounded(items: Sequence[Html], most: int, noun: str, kind: str) -> Html:
    """A list of class `kind` with the first `most` of the list `items`; the others wait."""
    if not items:
        return EMPTY
    shown = element("ul", *items[:most], class_=kind)
    waiting = _held(items[most:])
    return joined([shown, rest(waiting, len(waiting), len(items) - most - len(waiting), noun)])


def _held(items: Sequence[Html]) -> Sequence[Html]:
    """The first of `items`, as many as there is room for."""
    sizes = accumulate(len(item.encode()) for item in items[:MOST_HELD])
    return items[: sum(1 for size in sizes if size <= _MOST_HELD_BYTES)]


def rest(waiting: Sequence[Html], number: int, beyond: int, noun: str) -> Html:
    """What continues the element before it when it is asked for: `number` of `noun`, and `beyond` are nowhere.

    They wait in a ``<template>``, which is no part of the page before the script puts it there. Who reads without
    the script is told how many there are.
    """
    if not waiting:
        return EMPTY
    held = count(number, f"more {noun}")
    told = f"{count(number + beyond, f'more {noun}')} not shown here: see plan.json and result.json."
    left = f"{count(beyond, f'more {noun}')} left out: see plan.json and result.json." if beyond else ""
    return joined(
        [
            element("template", *waiting),
            element("p", told, class_="quiet more", data_more=f"Show {held}", data_left=left or None),
        ]
    )
