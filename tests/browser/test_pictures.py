"""How the page looks in every state, in light and dark. Renew with ``make golden``, and look at what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.browser.pictures import compare, reduced
from tests.records import STATES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sf.models import Record
    from toolchain.chromium import Page

pytestmark = pytest.mark.browser

PICTURED: Final = ("nothing-changed", "changes", "incomplete", "plan-failed", "executed", "execute-failed")
# Of 2,000,000: edges of letters that another version draws by a shade, but no word.
MOST_DIFFERING: Final = 150


@pytest.mark.parametrize("picture", [f"{state}-{theme}" for state in PICTURED for theme in ("light", "dark")])
def test_picture(
    picture: str,
    page: Page,
    show: Callable[[Record], Page],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    state, theme = picture.rsplit("-", 1)
    page.media(prefers_color_scheme=theme)
    produced = show(STATES[state]).screenshot()
    golden = request.path.parent / "pictures" / f"{picture}.png"
    if request.config.getoption("--update-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(reduced(page, produced))
    found = compare(page, golden.read_bytes(), produced)
    kept = tmp_path / "produced.png"
    kept.write_bytes(produced)
    assert found.one == found.other, f"compare {golden} with {kept}"
    assert found.differing <= MOST_DIFFERING, f"{found.differing} pixels differ: compare {golden} with {kept}"


def test_a_picture_that_was_made_small_is_the_same_one(page: Page, show: Callable[[Record], Page]) -> None:
    picture = show(STATES["executed"]).screenshot()
    small = reduced(page, picture)
    assert len(small) < len(picture) / 2
    assert compare(page, picture, small).differing == 0


def test_a_word_that_is_not_there_is_seen(page: Page, show: Callable[[Record], Page]) -> None:
    picture = show(STATES["changes"]).screenshot()
    page.evaluate("document.querySelector('.label').textContent = 'Denger'")
    assert compare(page, picture, page.screenshot()).differing > MOST_DIFFERING / 10
    page.evaluate("document.querySelector('.label').style.visibility = 'hidden'")
    assert compare(page, picture, page.screenshot()).differing > MOST_DIFFERING
