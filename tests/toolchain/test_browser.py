"""The tier of the browser: what is refused, and that a started browser is whole, alone and gone afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from toolchain import browser, pins
from toolchain.chromium import Chromium
from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_folder_changes_with_every_pin_but_the_browser_that_the_machine_has() -> None:
    pinned = pins.load().browser
    deb = pins.Deb("fonts-dejavu-core", "3", "ff")
    others = [replace(pinned, suite="forky"), replace(pinned, fonts=(deb,))]
    assert len({browser.folder(one) for one in [pinned, *others]}) == 3
    assert browser.folder(replace(pinned, chromium="1")) == browser.folder(pinned)


def test_a_tier_that_is_not_there_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SF_TOOLCHAIN", str(tmp_path))
    with pytest.raises(ToolchainError, match="python -m toolchain ensure browser"):
        browser.present()


def test_a_machine_without_chromium_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find", lambda _program: None)
    with pytest.raises(ToolchainError, match="chromium is not installed"):
        browser.program()


@pytest.mark.browser
def test_pages_know_the_fonts_of_the_tier_and_nothing_of_each_other(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("<!doctype html><title>t</title><p>x</p>")
    with Chromium.start() as chromium:
        with chromium.page() as one, chromium.page(width=400) as other:
            one.open(file.as_uri())
            other.open(file.as_uri())
            one.evaluate("localStorage.setItem('key', 'value')")
            assert other.evaluate("localStorage.getItem('key')") is None
            assert [one.evaluate("innerWidth"), other.evaluate("innerWidth")] == [1280, 400]
            node = one.call("DOM.getDocument", depth=-1)["root"]["nodeId"]
            found = one.call("DOM.querySelector", nodeId=node, selector="p")["nodeId"]
            one.call("CSS.enable")
            fonts = one.call("CSS.getPlatformFontsForNode", nodeId=found)["fonts"]
            assert {font["familyName"] for font in fonts} == {"DejaVu Sans"}
            with pytest.raises(ToolchainError, match="ReferenceError: missing is not defined"):
                one.evaluate("missing")
            with pytest.raises(ToolchainError, match="ERR_FILE_NOT_FOUND"):
                one.open((tmp_path / "no.html").as_uri())
        assert chromium.version().startswith("Chrome/")


@pytest.mark.browser
def test_a_browser_that_ends_says_so() -> None:
    with pytest.raises(ToolchainError, match="the browser ended"), Chromium.start() as chromium:
        chromium.call("Browser.crash")
