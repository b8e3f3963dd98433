"""Every forge in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.forge.description import github
from tests.forge.fake import Fake, serving
from tests.forge.runs import BOT, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sf.report.forges.api._PAUSES", (0.0, 0.0))


@pytest.fixture(params=["github", pytest.param("described", marks=pytest.mark.tools), "gitea", "gitlab"])
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    """Each forge; GitHub also with its own description held against everything that is said."""
    described = request.param == "described"
    with serving("github" if described else request.param) as running:
        running.accounts = {TOKEN: BOT, "alices-token": "alice"}
        running.description = github() if described else None
        yield running
        assert running.violations == []
