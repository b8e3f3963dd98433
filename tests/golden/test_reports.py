"""Every state of a run, in every format, as a reader gets it. Renew with ``pytest --update-golden``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.console import unstyled
from sf.report import FORMATS, outputs, terminal
from tests.records import STATES

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("state", STATES)
def test_terminal(state: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"reports/{state}.txt", unstyled(terminal.render(STATES[state])).encode())


def test_terminal_with_diffs(golden: Callable[[str, bytes], None]) -> None:
    text = terminal.render(STATES["changes"], diffs=True)
    golden("reports/changes.diffs.txt", unstyled(text).encode())


@pytest.mark.parametrize("state", STATES)
def test_summary(state: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"reports/{state}.md", FORMATS["summary.md"](STATES[state]) or b"")


@pytest.mark.parametrize("name", ["plan.json", "result.json", "comment.md", "terraform.json"])
def test_documents(name: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"reports/changes.{name}", FORMATS[name](STATES["changes"]) or b"")


@pytest.mark.parametrize("state", ["changes", "plan-failed", "incomplete", "execute-failed", "hostile"])
def test_junit(state: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"reports/{state}.junit.xml", FORMATS["junit.xml"](STATES[state]) or b"")


@pytest.mark.parametrize("state", ["changes", "plan-failed", "hostile"])
def test_code_quality(state: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"reports/{state}.codequality.json", FORMATS["codequality.json"](STATES[state]) or b"")


@pytest.mark.parametrize("state", ["changes", "no-plan", "execute-failed"])
def test_outputs(state: str, golden: Callable[[str, bytes], None]) -> None:
    golden(f"reports/{state}.env", outputs.dotenv(outputs.values(STATES[state], "sf-out")))
