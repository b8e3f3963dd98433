"""Diagrams in Mermaid's language, which GitHub, GitLab and Gitea draw where Markdown has them.

The shape is ours, every label is foreign: it becomes a quoted text without one active character.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.report.escape import one_line
from sf.report.wording import clipped

if TYPE_CHECKING:
    from collections.abc import Iterator

# Beyond this a person no longer follows a diagram.
MOST_NODES: Final = 200
# Beyond these Mermaid refuses to draw (its defaults of maxEdges and maxTextSize).
_MOST_EDGES: Final = 500
_MOST_CHARACTERS: Final = 50_000
_LABEL_CHARACTERS: Final = 120
# Everything else in a label is spelled by its number: quotes and brackets would end it, `%%{` and backticks start
# something, and `#` begins such a spelling itself.
_ACTIVE: Final = re.compile(r"[^A-Za-z0-9 ./_-]")
_CLASSES: Final = MappingProxyType(
    {
        "suspended": "stroke-dasharray:6 4",
        "external": "stroke-width:3px",
        "missing": "stroke:#d1242f,stroke-dasharray:2 2",
        "direct": "stroke:#bf8700,stroke-width:3px",
        "dependent": "stroke:#0969da,stroke-dasharray:6 4",
        "removed": "stroke:#d1242f,stroke-width:3px",
        "add": "stroke:#1a7f37,stroke-width:3px",
        "change": "stroke:#bf8700,stroke-width:3px",
        "remove": "stroke:#d1242f,stroke-width:3px",
        "unknown": "stroke:#0969da,stroke-dasharray:2 2",
    }
)


class Flowchart:
    """A Mermaid flowchart in the making. Everything foreign goes through `node` and `group`."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._nodes = 0
        self._groups = 0
        self._edges: list[str] = []
        self._classes: dict[str, list[str]] = {}

    @property
    def is_readable(self) -> bool:
        """Whether Mermaid draws it and a person can follow it."""
        return (
            self._nodes <= MOST_NODES
            and len(self._edges) <= _MOST_EDGES
            and len(self.text()) <= _MOST_CHARACTERS
        )

    def comment(self, ours: str) -> None:
        self._lines.append(f"    %% {ours}")

    def node(self, label: str, *classes: str) -> str:
        """Add a node and return its identifier."""
        identifier = f"n{self._nodes}"
        self._nodes += 1
        self._lines.append(f'    {identifier}["{_label(label)}"]')
        for name in classes:
            self._classes.setdefault(name, []).append(identifier)
        return identifier

    @contextmanager
    def group(self, label: str) -> Iterator[str]:
        """A frame around everything added inside ``with``, which gets its identifier."""
        identifier = f"g{self._groups}"
        self._groups += 1
        self._lines.append(f'    subgraph {identifier}["{_label(label)}"]')
        yield identifier
        self._lines.append("    end")

    def edge(self, start: str, end: str, *, dotted: bool = False) -> None:
        self._edges.append(f"    {start} {'-.->' if dotted else '-->'} {end}")

    def text(self) -> str:
        styles = [f"    classDef {name} {_CLASSES[name]}" for name in self._classes]
        used = [f"    class {','.join(nodes)} {name}" for name, nodes in self._classes.items()]
        lines = ["flowchart TD", *self._lines, *self._edges, *styles, *used]
        return "".join(f"{line}\n" for line in lines)


def _label(text: str) -> str:
    shown = clipped(one_line(text), _LABEL_CHARACTERS) or "."
    return _ACTIVE.sub(lambda match: f"#{ord(match[0])};", shown)
