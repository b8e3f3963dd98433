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
_DEFAULT_END: Final = re.compile(r"\}|\$\{")
_NAME: Final = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")


class Beyond(Problem):
    """An expression needs more than is known here: Flux's own code, or values from the cluster."""


@dataclass(slots=True)
class Variables:
    """What substitution knows.

    ``open``: sources that cannot be read here may define more names; where an expression has a default, the
    default is shown. ``origin`` stands for the content of encrypted sources. ``undefined`` collects the names that
    only the cluster can resolve.
    """

    values: dict[str, str]
    open: bool = False
    origin: str = ""
    undefined: set[str] = field(default_factory=set)

    @property
    def identity(self) -> list[Any]:
        """What decides the outcome of a substitution, as JSON values."""
        return [self.values, self.open, self.origin]

    def __post_init__(self) -> None:
        for name in self.values:
            if not _NAME.fullmatch(name):
                raise Problem(f"the variable name {name!r} is not valid; Flux refuses to build with it")

    def value(self, name: str, default: str | None) -> str | None:
        """What ``${name}`` or ``${name:=default}`` stands for; None when only the cluster knows.

        A name without value and default is a `Problem`, as it is for Flux 2.9 unless told otherwise
        (StrictPostBuildSubstitutions).
        """
        known = self.values.get(name)
        if known or (known is not None and default is None):
            return known
        if default is None and self.open:
            self.undefined.add(name)
            return None
        if default is None:
            raise Problem(
                f"the variable {name!r} is not set",
                hint=f"define it in postBuild.substitute, give it a default (`${{{name}:=value}}`), or write "
                f"`$${{{name}}}` for a literal `${{{name}}}`",
            )
        return default


def expand(text: str, variables: Variables, fallback: Fallback) -> str:
    """`text` with every expression replaced; one that only the cluster can resolve stays as it is.

    `fallback` expands text with expressions beyond the plain forms. Raises `Problem`.
    """
    if "$" not in text:
        return text
    try:
        return _Expansion(text, variables).whole()
    except Beyond:
        if variables.open:
            raise
        return fallback(text, variables.values)


class _Expansion:
    """One pass over one text."""

    def __init__(self, text: str, variables: Variables) -> None:
        self._text = text
        self._variables = variables
        self._position = 0

    def whole(self) -> str:
        parts = []
        while (start := _DOLLAR.search(self._text, self._position)) is not None:
            parts.append(self._text[self._position : start.start()])
            self._position = start.end()
            # `$$` is a dollar sign; what follows it is text.
            parts.append("$" if start[0] == "$$" else self._expression(start.start()))
        parts.append(self._text[self._position :])
        return "".join(parts)

    def _expression(self, start: int) -> str:
        """The value of the expression that begins at `start`; the position is behind its ``${``."""
        head = _HEAD.match(self._text, self._position)
        if head is None:
            raise Beyond(f"the expression {self._text[start : start + 40]!r} cannot be resolved here")
        self._position = head.end()
        name, operator = head.groups()
        default = None if operator == "}" else self._default(start)
        resolved = self._variables.value(name, default)
        return self._text[start : self._position] if resolved is None else resolved

    def _default(self, start: int) -> str:
        """The text up to the closing brace, with the expressions in it replaced, used or not, as Flux does."""
        parts = []
        while (end := _DEFAULT_END.search(self._text, self._position)) is not None:
            parts.append(self._text[self._position : end.start()])
            self._position = end.end()
            if end[0] == "}":
                return "".join(parts)
            parts.append(self._expression(end.start()))
        raise Beyond(f"the expression {self._text[start : start + 40]!r} is not closed")
