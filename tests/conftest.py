"""What all tests share: the switch that renews golden files, and properties that do not depend on the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

# A busy machine is no bug.
settings.register_profile("sf", deadline=None)
settings.load_profile("sf")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is produced into the golden files; read the diff",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Compare bytes with a file beside the test, named relative to it."""

    def check(name: str, produced: bytes) -> None:
        file = request.path.parent / name
        if request.config.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(produced)
        assert produced.decode() == file.read_bytes().decode()

    return check
