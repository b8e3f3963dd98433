"""Post-build substitution as kustomize-controller does it (fluxcd/pkg/envsubst).

The forms that repositories use are expanded here; an expression beyond them (``${x^^}``, ``${x/a/b}``, nested
ones) is handed to `flux envsubst`, which links the very code the controller runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Fallback = Callable[[str, Mapping[str, str]], str]

_DOLLAR: Final = re.compile(r"\$\$|\$\{")
# Every operator with a default means the same there: the value, or the default when the value is empty.
_HEAD: Final = re.compile(r"([A-Za-z0-9_]+)(\}|:[-=?+]|=)")
# The begin of what may hold a line break: a part, a pattern or a default.
_CONTINUES: Final = re.compile(r"\$\{\w+[:=/#%]")
_DEFAULT_END: Final = re.compile(r"\}|\$\{")
# Defaults inside defaults.
_DEEPEST: Final = 50
_NAME: Final = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")


class Beyond(Problem):
    """An expression needs more than is known here: Flux's own code, or values from the cluster."""


@dataclass(slots=True)
class Variables:
    """What substitution knows.

    ``open``: sources that cannot be read here may define more names; where an expression has a default, the
    default is shown. ``hidden`` are the names whose values are encrypted, ``origin`` stands for what they are.
    ``secret``: a Secret that can be read is among the sources of ``values``.
    ``undefined`` collects the names that only the cluster can resolve.
    """

    values: dict[str, str]
    open: bool = False
    hidden: frozenset[str] = frozenset()
    origin: str = ""
    secret: bool = False
    undefined: set[str] = field(default_factory=set)

    @property
    def identity(self) -> list[Any]:
        """What decides the outcome of a substitution, as JSON values."""
        return [self.values, self.open, sorted(self.hidden), self.origin]

    def __post_init__(self) -> None:
        for name in (*self.values, *self.hidden):
            if not _NAME.fullmatch(name):
                raise Problem(f"the variable name {name!r} is not valid; Flux refuses to build with it")

    def value(self, name: str, default: str | None) -> str | None:
        """What ``${name}`` or ``${name:=default}`` stands for; None when only the cluster knows.

        A name without value and default is a `Problem`, as it is for Flux 2.9 unless told otherwise
        (StrictPostBuildSubstitutions).
        """
        known = self.values.get(name)
        if name in self.hidden or (known is None and default is None and self.open):
            self.undefined.add(name)
            return None
        if known or (known is not None and default is None):
            return known
        if default is None:
            raise Problem(
                f"the variable {name!r} is not set",
                hint=f"define it in postBuild.substitute, give it a default (`${{{name}:=value}}`), or write "
                f"`$${{{name}}}` for a literal `${{{name}}}`",
            )
        return default


def expand(text: str, variables: Variables, fallback: Fallback) -> str:
    """`text` with every expression replaced; one that only the cluster can resolve stays as it is.

    `fallback` expands one line with expressions beyond the plain forms. Raises `Problem`.
    """
    return _Expansion(text, variables, fallback).whole() if "$" in text else text


class _Expansion:
    """One pass over one text."""

    def __init__(self, text: str, variables: Variables, fallback: Fallback) -> None:
        self._text = text
        self._variables = variables
        self._fallback = fallback
        self._position = 0

    def whole(self) -> str:
        parts = []
        while (start := _DOLLAR.search(self._text, self._position)) is not None:
            parts.append(self._text[self._position : start.start()])
            self._position = start.end()
            # `$$` is a dollar sign; what follows it is text.
            parts.append("$" if start[0] == "$$" else self._resolved(start.start()))
        parts.append(self._text[self._position :])
        return "".join(parts)

    def _resolved(self, start: int) -> str:
        try:
            return self._expression(start, 0)
        except Beyond:
            if self._variables.open or self._variables.hidden:
                raise
            return self._rest_of_line(start)

    def _rest_of_line(self, start: int) -> str:
        """Everything from `start` to the end of the line. Where the expression ends, is for Flux to say."""
        end = self._text.find("\n", start)
        line = self._text[start : end if end != -1 else None]
        if "}" not in line and "}" in self._text[start:] and _CONTINUES.match(line):
            raise Beyond(
                f"the expression {line[:40]!r} goes on in another line, which cannot be resolved here"
            )
        self._position = start + len(line)
        return self._fallback(line, self._variables.values)

    def _expression(self, start: int, depth: int) -> str:
        """The value of the expression that begins at `start`; the position is behind its ``${``."""
        head = _HEAD.match(self._text, self._position)
        if head is None or depth > _DEEPEST:
            raise Beyond(f"the expression {self._text[start : start + 40]!r} cannot be resolved here")
        self._position = head.end()
        name, operator = head.groups()
        default = None if operator == "}" else self._default(start, depth)
        resolved = self._variables.value(name, default)
        return self._text[start : self._position] if resolved is None else resolved

    def _default(self, start: int, depth: int) -> str:
        """The text up to the closing brace, with the expressions in it replaced, used or not, as Flux does."""
        parts = []
        while (end := _DEFAULT_END.search(self._text, self._position)) is not None:
            parts.append(self._text[self._position : end.start()])
            self._position = end.end()
            if end[0] == "}":
                return "".join(parts)
            parts.append(self._expression(end.start(), depth + 1))
        raise Beyond(f"the expression {self._text[start : start + 40]!r} is not closed")
