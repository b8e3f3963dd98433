"""Foreign text in Markdown: shown as it is, and never anything else than shown.

Names, messages and diffs come from repositories, tools and forges, and a report speaks with the identity of the
bot that posts it. One spelling of each has to hold in three renderers (cmark-gfm on GitHub, comrak on GitLab,
goldmark on Gitea and Forgejo), and in the filters that these forges run over the rendered page to find mentions,
issue numbers and links. There are five places for foreign text, and one function for each:

`code`    names: a code span. No forge looks for mentions, references or links in one, and what is copied from it
          is what was meant, byte by byte.
`prose`   sentences: active characters become entities, which are text to every parser, in table cells too, where
          the meaning of a backslash differs. Entities alone do not stop the filters, because those see the
          rendered text: a zero-width space keeps ``@name``, ``#1``, ``!1`` and ``https://`` from being taken
          for something. It is invisible; who needs the exact characters finds them in plan.json.
`fenced`  diffs and tool output: a code block with a fence longer than any run of backticks inside.
`html`    names inside ``<summary>``, where Markdown is not parsed.
`title`   the title of an issue, where Markdown is not parsed either, but the filters run.

All but `fenced` return one line. The caller begins that line with a word of its own: foreign text in front could
be a heading, a list, or a quick action such as ``/merge``, which GitLab obeys at the start of a line.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final

from sf.console import Mark, printable, without_commands

# What has no shape of its own lets one name pass for another: soft hyphens, joiners, direction marks, fillers,
# tags, line separators, the private planes. The console's marks would become styles if the report were printed.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028\u2029\u2060-\u206f\u3164\ufe00-\ufe0d"
    "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U0010ffff" + "".join(Mark) + "]"
)
_ENTITIES: Final = {ord(active): f"&#{ord(active)};" for active in "\\`*_~[]{}|@#$^!%"} | {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
}
_ZERO_WIDTH: Final = "\u200b"
# Where a filter would start to read: a sigil before anything (@user #1 !1 $1 %1 ~label &1 ^alert [wiki] {+diff+}),
# the scheme of a link, an emoji's short name, a ticket such as GH-1, and www.
_TRIGGER: Final = re.compile(
    r"[@#!$%~&^\[{](?=\S)|:(?=//|[\w+-]+:)|(?<![A-Za-z0-9_])[A-Z][A-Z0-9_]*-(?=\d)|(?i:www)(?=\.)"
)
_BACKTICKS: Final = re.compile("`+")
_SHORTEST_FENCE: Final = 3


def visible(text: str) -> str:
    r"""`text` with everything that has no shape spelled out, such as ``\u200b``; newlines and tabs stay."""
    return _INVISIBLE.sub(_spelled, printable(text))


def one_line(text: str) -> str:
    """`text` as `visible`, in one line: each run of white space is one blank."""
    return " ".join(visible(text).split())


def code(text: str) -> str:
    r"""A name as a code span; a newline in it is spelled ``\n``.

    A name with a pipe is spelled as `prose`: in a table the three parsers read ``\\|`` inside a code span in
    three ways.
    """
    name = visible(text).replace("\n", "\\n").replace("\t", "\\t")
    if "|" in name or not name.strip():
        return prose(name)
    edge = " " if name[0] in "` " or name[-1] in "` " else ""
    ticks = "`" * (_longest_run(name) + 1)
    return f"{ticks}{edge}{without_commands(name)}{edge}{ticks}"


def prose(text: str) -> str:
    """A sentence as text that no parser and no filter takes for anything else."""
    guarded = _TRIGGER.sub(lambda match: match[0] + _ZERO_WIDTH, one_line(text))
    return guarded.translate(_ENTITIES).replace(_ZERO_WIDTH, "&#8203;")


def fenced(text: str, language: str = "") -> str:
    """`text` as a code block, ending in a newline. `language` is ours."""
    body = without_commands(visible(text)).rstrip("\n")
    fence = "`" * max(_SHORTEST_FENCE, _longest_run(body) + 1)
    return f"{fence}{language}\n{body}\n{fence}\n"


def html(text: str) -> str:
    """A name as ``<code>`` for use inside an HTML block."""
    return f"<code>{escape(without_commands(one_line(text)))}</code>"


def title(text: str) -> str:
    """`text` as the title of an issue: the characters themselves, none of which a filter takes for a sigil."""
    return _TRIGGER.sub(lambda match: match[0] + _ZERO_WIDTH, one_line(text))


def _longest_run(text: str) -> int:
    return max((len(run) for run in _BACKTICKS.findall(text)), default=0)


def _spelled(match: re.Match[str]) -> str:
    code_point = ord(match[0])
    return f"\\u{code_point:04x}" if code_point < 0x10000 else f"\\U{code_point:08x}"
