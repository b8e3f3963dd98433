"""Our substitution equals that of `flux envsubst --strict`, which links the code the controller runs.

The command reads lines, so that these texts have one each. Whole objects are compared in test_against_flux.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sf.backends.flux.substitute import Variables, expand
from sf.models import Problem
from sf.process import Launcher
from sf.redact import Redactor
from sf.tools.flux import Flux
from tests.fleets import programs

pytestmark = pytest.mark.tools

FLUX = Flux(Launcher(Redactor()), programs())
VALUES = {
    "a": "value",
    "b": "two words",
    "empty": "",
    "d": "$",
    "path": "/home/user/a.b.txt",
    "A1": "x$${a}y",
}


def theirs(text: str, values: dict[str, str]) -> str | None:
    try:
        return FLUX.envsubst(text, values)
    except Problem:
        return None


def ours(text: str, values: dict[str, str]) -> str | None:
    try:
        return expand(text, Variables(values), FLUX.envsubst)
    except Problem:
        return None


# Every operator there is, with a known, an empty and an unknown name.
OPERATORS = [
    *(
        "",
        "^",
        "^^",
        ",",
        ",,",
        ":1",
        ":1:2",
        ":-1",
        ": -1",
        ":1:-1",
        ":",
        "=x",
        "=",
        ":=x",
        ":=",
        ":-x",
        ":-",
    ),
    *(
        ":?x",
        ":+x",
        "-x",
        "?x",
        "+x",
        "#*e",
        "##*l",
        "%e",
        "%%l*",
        "/l/L",
        "//l/L",
        "/#v/V",
        "/%e/E",
        "/l/",
        "/l",
    ),
    *(
        "=${b}",
        ":=${b}-${a}",
        ":=${gone}",
        ":=${gone:=y}",
        ":=$${a}",
        ":=a$$b",
        ":=a\\\\b",
        "/\\\\//-",
        "!",
        " ",
        "[0]",
    ),
]


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator(operator: str) -> None:
    for name in ("a", "b", "empty", "gone", "path", "A1"):
        for text in (f"${{{name}{operator}}}", f"x $${{{name}{operator}}} ${{{name}{operator}}} y"):
            assert ours(text, VALUES) == theirs(text, VALUES), text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "${#a}",
            "${#gone}",
            "${#}",
            "${a",
            "${",
            "${}",
            "}",
            "$",
            "$$",
            "$$$",
            "$$$$",
            "$$$$$",
            "$a",
            "${a}}",
            "{a}",
        ),
        *(
            "$${a}",
            "$$${a}",
            "$$$${a}",
            "${${a}}",
            "${a:=",
            "${a:=x",
            "${gone:={}",
            "${gone:={}}",
            "${gone:=}}",
            "$ {a}",
        ),
        *(
            "${1}",
            "${é}",
            "${a-b}",
            "${a.b}",
            "${a b}",
            "${gone:=x$}",
            "$\\{a}",
            "\\${a}",
        ),
        *(
            "a${a}b${b}c$$d${d}e",
            "${d}{a}",
            "é${a}é",
            "${gone:=é${a}é}",
            "${a:=x${b}",
            "${a=}${empty=}",
        ),
    ],
)
def test_curious_texts(text: str) -> None:
    assert ours(text, VALUES) == theirs(text, VALUES)


names = st.sampled_from(["a", "b", "empty", "gone", "A1", "d"])
words = st.text(alphabet="xé $\\-=:{/", max_size=5)
expressions = st.deferred(
    lambda: st.builds(
        "${{{}{}{}}}".format,
        names,
        st.sampled_from(["", "", ":=", ":-", "=", ":?", ":+"]),
        st.one_of(st.just(""), words, templates),
    )
)
templates: st.SearchStrategy[str] = st.lists(
    st.one_of(words, st.sampled_from(["$$", "$", "$${a}", "}"]), expressions), max_size=4
).map("".join)


@given(st.lists(templates, min_size=1, max_size=12), st.dictionaries(names, words, max_size=6))
@settings(max_examples=150)
def test_generated_texts(texts: list[str], values: dict[str, str]) -> None:
    # Several at once where all succeed: starting the program is what takes the time.
    mark = "\n<->\n"
    single = [ours(text, values) for text in texts]
    good = [text for text, result in zip(texts, single, strict=True) if result is not None]
    whole = theirs(mark.join(good), values)
    assert whole == mark.join(result for result in single if result is not None)
    for text in [text for text, result in zip(texts, single, strict=True) if result is None][:2]:
        assert theirs(text, values) is None


def test_a_line_that_flux_would_silently_stop_at_is_a_problem() -> None:
    assert theirs("x" * 65_535 + "${a^^}", VALUES) is None
    assert theirs("x" * 65_000 + "${a^^}\nnext\n", VALUES) == "x" * 65_000 + "VALUE\nnext\n"
