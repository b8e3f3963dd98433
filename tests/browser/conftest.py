"""One browser for all tests of pages. There is no way around it: without one they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.report import html
from toolchain.chromium import Chromium

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sf.models import Record
    from toolchain.chromium import Page


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    with Chromium.start() as started:
        yield started


@pytest.fixture
def page(chromium: Chromium) -> Iterator[Page]:
    with chromium.page() as empty:
        yield empty


@pytest.fixture
def show(page: Page, tmp_path: Path) -> Callable[[Record], Page]:
    """Have the page show the report of a record, opened from the disk as from an artifact."""

    def shown(record: Record) -> Page:
        file = tmp_path / "report.html"
        file.write_bytes(html.document(record))
        page.open(file.as_uri())
        return page

    return shown
