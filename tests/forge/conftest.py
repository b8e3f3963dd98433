"""Every forge in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.forge.fake import Fake, serving
from tests.forge.runs import BOT, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sf.report.forges.api._PAUSES", (0.0, 0.0))


@pytest.fixture(params=["github", "gitea", "gitlab"])
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    with serving(request.param) as running:
        running.accounts = {TOKEN: BOT, "alices-token": "alice"}
        yield running
