"""HTML that cannot be broken out of: elements are ours, text and attributes are escaped where they enter.

There is one way to make `Html`, and it takes foreign text as text. What has no shape of its own (direction marks,
zero-width characters, controls) is spelled out, as in every report.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from sf.console import without_commands
from sf.report.escape import one_line, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID: Final = frozenset({"input", "meta"})


class Html(str):
    """Markup of ours, in which everything foreign is escaped."""

    __slots__ = ()


EMPTY: Final = Html()


def element(tag: str, /, *children: str, **attributes: str | int | bool | None) -> Html:
    """``<tag attributes>children</tag>``: a child that is `Html` as it is, any other one as text.

    An attribute is spelled as Python can: ``class_``, ``aria_label``. True is one without a value; None and False
    leave it out.
    """
    start = f"<{tag}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Html(start if tag in _VOID else f"{start}{joined(children)}</{tag}>")


def joined(children: Iterable[str]) -> Html:
    """`children` one after the other."""
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children))


def text(foreign: str) -> Html:
    """`foreign` as text; its line breaks stay."""
    return Html(escape(without_commands(visible(foreign))))


def name(foreign: str) -> Html:
    """A name in one line, in the type of code."""
    return element("code", one_line(foreign))


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    spelled = key.rstrip("_").replace("_", "-")
    return f" {spelled}" if value is True else f' {spelled}="{escape(one_line(str(value)))}"'
