"""``report.html``: the whole run as one page that needs no network, no script for what is essential, and no more
than a browser.

The page is made of HTML (verdict, what is wrong, how it went, dependencies, a bounded list of changes) and of
JSON, from which the page's own script draws a searchable tree with every unit, object and diff. Its policy allows
exactly that style and that script, by their digests, and nothing to be loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from sf.report import wording
from sf.report.markup import EMPTY, Html, element, joined
from sf.report.page import data, graph, overview, units, waves

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sf.models import Record

# What a browser opens without a wait that is felt, and every forge takes as part of an artifact.
LIMIT: Final = 20_000_000
_SCRIPTS: Final = ("parts.js", "diff.js", "detail.js", "explorer.js", "page.js")
_PARTS: Final[Mapping[str, Callable[[Record], Html]]] = {
    "What went wrong": overview.failures,
    "Errors and dangers": overview.alarms,
    "What could not be determined": overview.unknown,
    "How it went": waves.waves,
    "What this run proved": overview.proof,
    "Dependencies": graph.graph,
    "Changes": units.units,
    "Also worth knowing": overview.advice,
}
_TITLE_LIMIT: Final = 150
# The elements around the parts that are measured.
_TAGS: Final = 200


def document(record: Record, *, limit: int = LIMIT) -> bytes:
    """The content of ``report.html``.

    `limit` is in bytes: diffs that do not fit are left out whole, by what matters least, and counted; then units.
    The frame of the page, some 60 KB and more for what is wrong, is written in any case.
    """
    parts = [(title, shown) for title, render in _PARTS.items() if (shown := render(record))]
    content = element(
        "main",
        overview.header(record),
        _contents([title for title, _ in parts]) if len(parts) > 1 else EMPTY,
        *(_part(title, shown) for title, shown in parts),
        overview.footer(record),
    )
    head, script = _head(record), element("script", Html(_code()))
    frame = len(head.encode()) + len(content.encode()) + len(script.encode()) + _TAGS
    told = Html(data.document(record, room=limit - frame))
    holder = element("script", told, type="application/json", id="data")
    page = element("html", head, element("body", content, holder, script), lang="en")
    return f"<!doctype html>\n{page}\n".encode()


def _contents(titles: Sequence[str]) -> Html:
    links = [element("li", element("a", title, href=f"#{_identifier(title)}")) for title in titles]
    return element("nav", element("ul", *links), aria_label="Contents")


def _part(title: str, content: Html) -> Html:
    identifier = _identifier(title)
    return element("section", element("h2", title, id=identifier), content, aria_labelledby=identifier)


def _identifier(title: str) -> str:
    return title.lower().replace(" ", "-")


def _head(record: Record) -> Html:
    target = record.plan.target if record.plan else ""
    title = " · ".join(filter(None, [wording.headline(record), wording.clipped(target, _TITLE_LIMIT), "sf"]))
    style, script = _source("page.css"), _code()
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Html(style)),
    )


@cache
def _code() -> str:
    # One scope of its own, so that the parts see each other and nothing else sees them.
    return joined(
        [
            Html('(function () {\n"use strict";\n'),
            *(Html(_source(name)) for name in _SCRIPTS),
            Html("})();\n"),
        ]
    )


@cache
def _source(name: str) -> str:
    return resources.files("sf.report.page").joinpath(name).read_text("utf-8")


def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
