"""What the inspecting commands print of both examples, and of a cluster in trouble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sf.console import unstyled
from sf.report.drawing import draw

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTS = Path(__file__).parent / "drawings"


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("estate", "text"),
        ("fleet.graph", "text"),
        ("fleet.graph", "mermaid"),
        ("fleet.impact", "text"),
        ("fleet.impact", "mermaid"),
        ("troubled.graph", "text"),
        ("troubled.graph", "mermaid"),
    ],
)
def test_drawing(name: str, output: str, golden: Callable[[str, bytes], None]) -> None:
    document = json.loads((DOCUMENTS / f"{name}.json").read_bytes())
    drawn = draw(document, output)
    golden(f"drawings/{name}.{'txt' if output == 'text' else 'mmd'}", unstyled(drawn).encode())
