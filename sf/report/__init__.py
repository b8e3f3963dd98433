"""What a run has to say, in every format. Renderers are pure functions of one `Record`; `delivery` writes.

A `Record` comes here with its secrets scrubbed (`sf.report.scrubbing`): escaping and cutting would hide them from
any later search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sf.report import comment, documents, gitlab, junit, markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sf.models import Record


def _page(record: Record) -> bytes:
    from sf.report import html  # noqa: PLC0415 - a start needs no page yet

    return html.document(record)


#: File name in the output directory -> its content, or None when there is nothing to write.
FORMATS: Final[Mapping[str, Callable[[Record], bytes | None]]] = {
    "plan.json": documents.plan,
    "result.json": documents.result,
    "summary.md": markdown.document,
    "comment.md": comment.document,
    "report.html": _page,
    "junit.xml": junit.document,
    "codequality.json": gitlab.code_quality,
    "terraform.json": gitlab.terraform,
}
