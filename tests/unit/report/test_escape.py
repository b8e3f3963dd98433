from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sf.report.escape import code, fenced, html, one_line, prose, visible

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ZERO_WIDTH = "\u200b"
# What the forges look for in the rendered text, outside of code.
TRIGGERS = re.compile(
    r"@\w|#\d|![0-9]|[$%&~^][\w\"]|\[\[|\{[+-]|://|www\.\w|\bGH-\d|\b[A-Z]+-\d|:[\w+-]+:|##\[", re.ASCII
)
FRAGMENTS = [
    *(
        "|",
        "\\|",
        "\\\\|",
        "`",
        "``",
        "```",
        "\\`",
        "*a*",
        "__b__",
        "~~c~~",
        "<b>",
        "</code>",
        "<!--",
        "&amp;",
    ),
    *(
        "&#64;",
        "[a](b)",
        "![a](b)",
        "<https://e.example>",
        "https://e.example",
        "www.e.example",
        "m@e.example",
    ),
    *(
        "@octocat",
        "@all",
        "fixes #1",
        "closes !2",
        "GH-3",
        "$1",
        "%2",
        "~3",
        "&4",
        "^5",
        "[[x]]",
        "{+x+}",
        ":tada:",
    ),
    *(
        "::error::x",
        "##[error]x",
        "\x1b[31m",
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        "\t",
        "\x00",
        "\x85",
        "\u2028",
        "\u202e",
    ),
    *(
        "\u200b",
        "\u200f",
        "\ue003",
        "\udcff",
        "שלום",
        "日本",
        "\n# x",
        "\n- x",
        "\n> x",
        "\n1. x",
        "\n---",
        "\n===",
    ),
    *(
        "\n```\n",
        "\n~~~\n",
        "\n/merge",
        "\n| a | b |\n",
        "</details>",
        "<script>",
        "[^1]",
        "- [ ] x",
        " ",
        "a",
        "é",
        "\\",
    ),
]
hostile = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=12).map("".join)


def cells(source: str) -> list[tuple[str, set[str]]]:
    """The text and the inline token types of each cell in the body of the only table in `source`."""
    tokens = PARSER.parse(source)
    assert [token.type for token in tokens if token.level == 0] == ["table_open", "table_close"]
    inline = [token.children or [] for token in tokens if token.type == "inline"]
    return [
        ("".join(child.content for child in children), {c.type for c in children}) for children in inline[3:]
    ]


@given(hostile)
def test_code_and_prose_stay_in_their_table_cells_and_show_what_was_given(text: str) -> None:
    row = f"| a | b | c |\n| --- | --- | --- |\n| {code(text)} | own {prose(text)} | end |\n"
    (name, name_types), (sentence, sentence_types), (end, _) = cells(row)
    assert name_types <= {"code_inline", "text", "text_special"}
    assert sentence_types <= {"text", "text_special"}
    assert sentence.replace(ZERO_WIDTH, "") == f"own {one_line(text)}".rstrip()
    spelled = visible(text).replace("\n", "\\n").replace("\t", "\\t")
    assert name.replace(ZERO_WIDTH, "") == (spelled if name_types == {"code_inline"} else one_line(spelled))
    assert end == "end"


@given(hostile)
def test_prose_triggers_no_filter_of_a_forge(text: str) -> None:
    [paragraph] = [token for token in PARSER.parse(f"own {prose(text)}") if token.type == "inline"]
    assert not TRIGGERS.search("".join(child.content for child in paragraph.children or []))


@given(hostile)
def test_fenced_is_one_block_with_the_same_lines(text: str) -> None:
    tokens = PARSER.parse(f"before\n\n{fenced(text, 'diff')}\nafter\n")
    assert [token.type for token in tokens if token.level == 0 and token.nesting >= 0] == [
        "paragraph_open",
        "fence",
        "paragraph_open",
    ]
    [fence] = [token for token in tokens if token.type == "fence"]
    assert fence.info == "diff"
    assert fence.content.replace(ZERO_WIDTH, "") == visible(text).rstrip("\n") + "\n"


@given(hostile)
def test_html_brings_no_tag_and_no_blank_line(text: str) -> None:
    inside = html(text).removeprefix("<code>").removesuffix("</code>")
    assert "<" not in inside
    assert ">" not in inside
    assert "\n" not in inside


@given(hostile)
def test_everything_without_a_shape_is_spelled_out(text: str) -> None:
    assert not re.search(
        "[^\n\t\x20-\x7e\xa1-\U000dffff]|[\u200b-\u200f\u202a-\u202e\ud800-\udfff]",
        visible(text).replace("\xa0", " "),
    )


@given(hostile)
def test_nothing_reads_as_a_workflow_command(text: str) -> None:
    for shown in (f"own {prose(text)}", f"own {code(text)}", html(text), fenced(text)):
        assert not re.search(r"(?m)^\s*::|##\[", shown)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shop/web", "`shop/web`"),
        ("a`b", "``a`b``"),
        ("`a", "`` `a ``"),
        (" a", "`  a `"),
        ("a\nb", "`a\\nb`"),
        ("a|b", "a&#124;b"),
        ("user@host", "`user@host`"),
        ("", ""),
    ],
)
def test_names_are_copied_as_they_are(name: str, expected: str) -> None:
    assert code(name) == expected


@pytest.mark.parametrize(
    "sentence", ["container web-1 is unhealthy", "image shop:1.5 at 12:30, see apps/web.yaml:3"]
)
def test_ordinary_sentences_stay_untouched(sentence: str) -> None:
    assert prose(sentence) == sentence
