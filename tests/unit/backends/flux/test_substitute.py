from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.backends.flux.substitute import Beyond, Variables, expand
from sf.models import Problem

VALUES = {"a": "value", "b": "two words", "empty": "", "_x1": "$y ${a}"}


def no_fallback(text: str, _: object) -> str:
    raise AssertionError(f"asked for help with {text!r}")


def expanded(text: str, **more: object) -> str:
    return expand(text, Variables(dict(VALUES), **more), no_fallback)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${a}", "value"),
        ("x${a}y${b}z", "xvalueytwo wordsz"),
        ("${_x1}", "$y ${a}"),
        ("${empty}", ""),
        ("${empty:=d}", "d"),
        ("${nothing:=}", ""),
        ("${nothing:=d}", "d"),
        ("${nothing=d}", "d"),
        ("${nothing:-d e}", "d e"),
        ("${nothing:?d}", "d"),
        ("${nothing:+d}", "d"),
        ("${a:+d}", "value"),
        ("${a:=d}", "value"),
        ("${nothing:=x${a}y}z", "xvalueyz"),
        ("${nothing:=${other:=${a}}}", "value"),
        ("${nothing:=a$$b}", "a$$b"),
        ("${nothing:=a$}", "a$"),
        ("${nothing:==d}", "=d"),
        ("$", "$"),
        ("$a", "$a"),
        ("$$", "$"),
        ("$$$", "$$"),
        ("$$$$", "$$"),
        ("$${a}", "${a}"),
        ("$$${a}", "$value"),
        ("$${a:=${b}}", "${a:=two words}"),
        ("a } b", "a } b"),
    ],
)
def test_the_plain_forms(text: str, result: str) -> None:
    assert expanded(text) == result


@pytest.mark.parametrize("text", ["${nothing}", "x ${nothing} y", "${a:=${nothing}}"])
def test_a_name_without_value_is_a_problem_that_says_what_to_do(text: str) -> None:
    with pytest.raises(Problem, match="the variable 'nothing' is not set") as caught:
        expanded(text)
    assert "`${nothing:=value}`" in caught.value.hint
    assert "`$${nothing}`" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["${a^^}", "${#a}", "${a/x/y}", "${a:1}", "${a", "${", "${}", "${é}", "${a:=x"]
)
def test_whatever_is_beyond_them_goes_to_the_program_with_the_rest_of_its_line(text: str) -> None:
    seen = []

    def fallback(line: str, values: object) -> str:
        seen.append((line, values))
        return "answer"

    whole = f"${{a}}\nbefore ${{a}} {text} after"
    assert expand(whole, Variables(dict(VALUES)), fallback) == "value\nbefore value answer"
    assert seen == [(f"{text} after", VALUES)]


def test_the_next_line_is_resolved_here_again() -> None:
    assert expand("${a^^} ${b}\n${a}", Variables(dict(VALUES)), lambda *_: "answer") == "answer\nvalue"


@pytest.mark.parametrize("text", ["${a/x\n/}", "${a:\n1}", "${a#\n}", "${a%\n}"])
def test_what_goes_on_in_another_line_is_left_open(text: str) -> None:
    with pytest.raises(Beyond, match="goes on in another line"):
        expanded(text)


@pytest.mark.parametrize("more", [{"open": True}, {"hidden": frozenset({"secret"})}])
def test_it_does_not_while_values_are_lacking(more: dict[str, object]) -> None:
    with pytest.raises(Beyond, match="cannot be resolved here"):
        expanded("${a^^}", **more)


def test_what_only_the_cluster_knows_stays_as_it_is() -> None:
    variables = Variables(dict(VALUES), open=True)
    text = "${a} ${gone} ${gone:=d} ${empty}"
    assert expand(text, variables, no_fallback) == "value ${gone} d "
    assert variables.undefined == {"gone"}


def test_an_encrypted_value_hides_defaults_and_values_of_earlier_sources() -> None:
    variables = Variables({**VALUES, "secret": "old"}, hidden=frozenset({"secret"}))
    text = "${secret} ${secret:=d} ${nothing:=${secret}}"
    assert expand(text, variables, no_fallback) == "${secret} ${secret:=d} ${secret}"
    assert variables.undefined == {"secret"}
    with pytest.raises(Problem, match="'gone' is not set"):
        expand("${gone}", variables, no_fallback)


@pytest.mark.parametrize("name", ["1a", "a-b", "a.b", "", "é", "a\n"])
def test_a_name_that_flux_refuses(name: str) -> None:
    with pytest.raises(Problem, match="is not valid"):
        Variables({name: "x"})
    with pytest.raises(Problem, match="is not valid"):
        Variables({}, hidden=frozenset({name}))


def test_everything_that_decides_the_outcome_is_in_the_identity() -> None:
    variants = [
        Variables({}),
        Variables({"a": "1"}),
        Variables({"a": "2"}),
        Variables({}, open=True),
        Variables({}, hidden=frozenset({"a"})),
        Variables({}, hidden=frozenset({"a"}), origin="x"),
    ]
    identities = [variant.identity for variant in variants]
    assert all(identities.count(identity) == 1 for identity in identities)


def test_endless_nesting_ends() -> None:
    text = "${nothing:=" * 100_000 + "}" * 100_000
    assert expand(text, Variables({}), lambda *_: "from flux") == "from flux"


@given(st.text(alphabet="a b$\n{}:=", max_size=30).filter(lambda text: "${" not in text and "$$" not in text))
def test_text_without_expressions_is_left_alone(text: str) -> None:
    assert expanded(text) == text


@given(st.text(max_size=30))
def test_what_a_value_contains_is_not_expanded_again(value: str) -> None:
    assert expand("<${x}>", Variables({"x": value}), no_fallback) == f"<{value}>"
