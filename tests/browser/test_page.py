"""The page as its readers use it: with and without script, with keys only, on paper, and full of hostile text."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from sf.models import (
    ActionKind,
    ActionResult,
    Change,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    ObjectChange,
    PlannedAction,
    Record,
    Severity,
)
from sf.report import html
from tests.records import STATES
from toolchain import browser

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from toolchain.chromium import Page

    Show = Callable[[Record], Page]

pytestmark = pytest.mark.browser

ROWS = "li, tr, details, dt, figure, [role=treeitem]"
BARRIERS = "(found) => found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)])"
DIFF = """\
@@ -3,6 +3,7 @@
   replicas: 2
-  image: registry.example/web:1.4.2
+  image: registry.example/web:1.5.0
   ports:
-    - 8080
-    - 8081
+    - 9090
   env:
+    LEVEL: debug
+    <b>not bold</b>: "&amp;"
"""


def record(*actions: PlannedAction, **fields: Any) -> Record:
    plan = LifecyclePlan(mode="gitops", backend="flux", actions=actions, **fields)
    return Record(mode="gitops", backend="flux", dry_run=True, plan=plan)


def unit(name: str, objects: int, diff: str = DIFF) -> PlannedAction:
    return PlannedAction(
        name=name,
        description="",
        order=0,
        action=ActionKind.RECONCILE,
        change=Change.CHANGE,
        objects=tuple(
            ObjectChange(
                change=Change.CHANGE,
                group="apps",
                kind="Deployment",
                namespace=name,
                name=f"web-{at}",
                diff=diff,
            )
            for at in range(objects)
        ),
    )


LARGE = record(
    *(unit(f"team-{at:03}", 50) for at in range(100)),
    findings=tuple(
        Finding(code="x", severity=Severity.DANGER, message="m", subject=f"team-{at:03}") for at in range(90)
    ),
    unknown=tuple(f"sentence {at}" for at in range(90)),
)


RAN = dataclasses.replace(
    LARGE,
    dry_run=False,
    result=LifecycleResult(
        actions=tuple(
            ActionResult(
                name=f"team-{at:03}", success=at % 2 == 0, duration=at, message="m", stderr="s", command="c"
            )
            for at in range(100)
        )
    ),
)


def count(page: Page, selector: str) -> int:
    return int(page.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))


def text(page: Page, selector: str) -> str:
    return str(page.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))


def click(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")


def focused(page: Page) -> str:
    told = str(page.evaluate("document.activeElement.innerText || document.activeElement.id"))
    return " ".join(told.split())


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_no_barrier(state: str, theme: str, page: Page, show: Show) -> None:
    # axe-core writes to the page as the page's own policy forbids everybody to.
    page.call("Page.setBypassCSP", enabled=True)
    page.media(prefers_color_scheme=theme, prefers_reduced_motion="reduce")
    show(STATES[state])
    page.evaluate(browser.axe() + "\n;undefined")
    assert page.evaluate(f"axe.run().then({BARRIERS})") == []
    assert page.evaluate("axe.run().then((answer) => answer.passes.length)") > 15


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_barrier_in_what_is_opened(width: int, page: Page, show: Show) -> None:
    page.call("Page.setBypassCSP", enabled=True)
    page.resize(width, 900)
    show(RAN)
    page.evaluate(browser.axe() + "\n;undefined")
    click(page, "[data-more] button")
    page.press("n")
    assert page.evaluate(f"axe.run().then({BARRIERS})") == []
    page.press("s", "?")
    assert page.evaluate(f"axe.run().then({BARRIERS})") == []


@pytest.mark.parametrize("state", STATES)
def test_the_browser_has_nothing_to_complain_about_and_loads_nothing(
    state: str, page: Page, show: Show
) -> None:
    page.call("Network.enable")
    show(STATES[state])
    assert page.complaints() == []
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_the_policy_refuses_every_script_and_style_but_ours(page: Page, show: Show) -> None:
    show(STATES["changes"])
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('style'), {textContent: 'h1 {color: red}'}))"
    )
    with pytest.raises(Exception, match="TrustedScript"):
        page.evaluate("Object.assign(document.createElement('script'), {textContent: 'window.ran = true'})")
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")
    page.evaluate("fetch('https://forge.example/').catch(() => null)")
    assert page.evaluate("window.ran === undefined")
    assert len([told for told in page.complaints() if "Content Security Policy" in told]) >= 3


@pytest.mark.parametrize("opened", [LARGE, RAN], ids=["planned", "executed"])
def test_five_thousand_objects_open_with_few_rows(opened: Record, page: Page, show: Show) -> None:
    show(opened)
    assert text(page, "[role=status]") == "100 units, 5,000 objects"
    assert count(page, "[role=treeitem]") == 80
    assert count(page, ROWS) <= 300
    assert count(page, "*") <= 2_000
    assert text(page, ".rows button") == "Show 20 more of 20"
    click(page, ".rows button")
    assert count(page, "[role=treeitem]") == 100
    click(page, "[role=treeitem]")
    assert count(page, "[role=treeitem]") == 150


def test_what_a_list_holds_back_is_shown_on_demand(page: Page, show: Show) -> None:
    show(LARGE)
    dangers = "[aria-labelledby=errors-and-dangers] li"
    assert count(page, dangers) == 15
    assert text(page, "[data-more] button") == "Show 75 more findings"
    click(page, "[data-more] button")
    assert count(page, dangers) == 90


def test_search_finds_objects_of_closed_units(page: Page, show: Show) -> None:
    show(LARGE)
    page.evaluate("document.querySelector('#search').focus()")
    page.call("Input.insertText", text="team-042 web-7")
    assert text(page, "[role=status]") == "1 unit, 1 object"
    shown = "~ change team-042 danger 50 objects ~ change apps/Deployment team-042/web-7"
    assert " ".join(text(page, "[role=tree]").split()) == shown
    page.call("Input.insertText", text=" nowhere")
    assert text(page, "[role=status]") == "Nothing matches"


def test_every_step_with_keys_alone(page: Page, show: Show) -> None:
    show(record(unit("shop", 2), unit("wiki", 1)))
    page.press("/")
    assert focused(page) == "search"
    page.press("ArrowDown")
    assert "shop" in focused(page)
    page.press("ArrowRight")
    assert count(page, "[role=treeitem]") == 4
    page.press("ArrowDown")
    assert "shop/web-0" in focused(page)
    assert text(page, ".detail h3").endswith("apps/Deployment shop/web-0")
    page.press("End")
    assert "wiki" in focused(page)
    page.press("Home", "ArrowDown", "ArrowLeft")
    assert focused(page).startswith("~ change shop")
    page.press("ArrowLeft")
    assert count(page, "[role=treeitem]") == 2
    page.press("n")
    assert "shop/web-0" in focused(page)
    page.press("n", "n")
    assert "wiki/web-0" in focused(page)
    page.press("p")
    assert "shop/web-1" in focused(page)
    page.press("Enter")
    assert page.evaluate("document.activeElement.className") == "detail"


def test_keys_can_be_told_and_switched_off(page: Page, show: Show) -> None:
    show(record(unit("shop", 1)))
    page.press("?")
    assert page.evaluate("document.querySelector('dialog').open")
    click(page, "dialog input")
    page.press("Escape")
    assert not page.evaluate("document.querySelector('dialog').open")
    page.press("/")
    assert focused(page) != "search"


def test_the_contents_lead_to_every_part(page: Page, show: Show) -> None:
    show(STATES["execute-failed"])
    targets = page.evaluate("[...document.querySelectorAll('nav a')].map((link) => link.hash.slice(1))")
    assert targets == ["what-went-wrong", "how-it-went", "dependencies", "changes"]
    assert targets == page.evaluate("[...document.querySelectorAll('section > h2')].map((title) => title.id)")


def test_light_and_dark_can_be_chosen_and_stay_so(page: Page, show: Show) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.media(prefers_color_scheme="light")
    show(STATES["changes"])
    light = page.evaluate(ground)
    page.press("t")
    dark = page.evaluate(ground)
    assert dark != light
    show(STATES["changes"])
    assert page.evaluate(ground) == dark
    page.media(kind="print")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 2560])
@pytest.mark.parametrize("state", ["changes", "execute-failed", "hostile"])
def test_no_width_has_to_be_scrolled_sideways(state: str, width: int, page: Page, show: Show) -> None:
    page.resize(width, 900)
    show(STATES[state])
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_name_that_is_dangerous_leads_to_its_object(page: Page, show: Show) -> None:
    show(STATES["changes"])
    click(page, ".card .link")
    assert "legacy/data" in focused(page)
    assert text(page, ".detail h3").endswith("PersistentVolumeClaim legacy/data")


def columns(page: Page, selector: str) -> list[str]:
    rows = "[...document.querySelectorAll('.detail table.diff tbody tr')]"
    cells = f"{rows}.map((row) => row.querySelector('{selector}')).filter((cell) => cell)"
    texts: list[str] = page.evaluate(f"{cells}.map((cell) => cell.textContent)")
    return texts


def test_a_diff_side_by_side_has_both_texts_whole(page: Page, show: Show) -> None:
    show(record(unit("shop", 1)))
    page.press("n")
    lines = DIFF.splitlines()[1:]
    before = [line[1:] for line in lines if line[0] != "+"]
    after = [line[1:] for line in lines if line[0] != "-"]
    assert [cell for cell in columns(page, "td:nth-child(3)") if cell] == before
    assert [cell for cell in columns(page, "td:nth-child(6)") if cell] == after
    assert [cell for cell in columns(page, "td.number:nth-child(4)") if cell] == [
        str(at) for at in range(3, 10)
    ]
    marked = "[...document.querySelectorAll('.detail table.diff {}')].map((part) => part.textContent)"
    assert page.evaluate(marked.format("del"))[:2] == ["4", "2"]
    assert page.evaluate(marked.format("ins"))[:2] == ["5", "0"]


def test_a_diff_unified_is_the_diff(page: Page, show: Show) -> None:
    show(record(unit("shop", 1)))
    page.press("n", "s")
    signs = [sign.replace("\N{MINUS SIGN}", "-") or " " for sign in columns(page, "td.sign")]
    texts = columns(page, "td:nth-child(4)")
    assert [sign + line for sign, line in zip(signs, texts, strict=True)] == DIFF.splitlines()[1:]


def test_a_diff_of_many_lines_is_drawn_as_far_as_it_is_read(page: Page, show: Show) -> None:
    diff = "@@ -0,0 +1,5000 @@\n" + "".join(f"+line {at}\n" for at in range(5_000))
    show(record(unit("shop", 1, diff)))
    page.press("n")
    assert count(page, ".detail tbody tr") == 400
    click(page, ".detail > button")
    assert count(page, ".detail tbody tr") == 5_001


def test_without_script_the_essentials_are_there(page: Page, show: Show) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    show(STATES["changes"])
    told = text(page, "main")
    for part in (
        "1\nto add",
        "the volume claim is removed",
        "flux-system/shop",
        "2 unchanged units",
    ):
        assert part in told
    assert "web:1.5.0" in page.evaluate("document.querySelector('main').textContent")
    assert count(page, "button, [role=tree]") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('#plain')).display") == "grid"


@pytest.mark.parametrize("opened", [LARGE, RAN], ids=["planned", "executed"])
def test_without_script_a_large_page_says_what_it_does_not_show(
    opened: Record, page: Page, show: Show
) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    show(opened)
    told = text(page, "main")
    assert "70 more units and 4,970 more objects not shown here: see plan.json" in told
    assert "75 more findings not shown here" in told
    assert count(page, ROWS) <= 300


def test_paper_has_everything_unfolded_and_no_controls(page: Page, show: Show) -> None:
    show(STATES["changes"])
    assert page.pdf().startswith(b"%PDF")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.media(kind="print")
    told = text(page, "main")
    assert "web:1.5.0" in told
    assert "name: search" in told
    controls = "[...document.querySelectorAll('button:not(.link), input')]"
    assert page.evaluate(f"{controls}.filter((control) => control.checkVisibility()).length") == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert count(page, "#plain") == 0
    assert count(page, "[role=tree]") == 1


def test_hostile_text_is_text_wherever_it_is_shown(page: Page, show: Show) -> None:
    page.call("Network.enable")
    show(STATES["hostile"])
    page.press("n", "s", "s")
    click(page, "[role=treeitem]")
    assert page.complaints() == []
    assert (
        page.evaluate("document.querySelectorAll('img, iframe, object, form, [onerror], [style]').length")
        == 0
    )
    assert page.evaluate("document.querySelectorAll('[href]:not(nav a)').length") == 0
    walker = "document.createTreeWalker(document.documentElement, NodeFilter.SHOW_COMMENT).nextNode()"
    assert page.evaluate(f"{walker} === null")
    assert "<img src=x onerror=alert(1)>" in text(page, ".detail")
    assert "</details>" in text(page, ".detail")


def test_a_diff_that_there_was_no_room_for_is_said_to_be_left_out(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    large = record(unit("shop", 1, "+x\n" * 100_000))
    file.write_bytes(html.document(large, limit=300_000))
    page.open(file.as_uri())
    page.press("n")
    assert text(page, ".detail").endswith(
        "The diff was left out, so that this page stays small: see plan.json."
    )
