"""The YAML rules, stated as tables.

What a scalar, a mapping or a separator means was taken from running ``kustomize build`` (kyaml 0.21.1) and
Kubernetes' YAML reader (apimachinery 0.36.4) on the same texts.
"""

from __future__ import annotations

import subprocess  # noqa: TID251 - a fresh interpreter shows what an import costs
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf import documents
from sf.models import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

SCALARS: list[tuple[str, Any]] = [
    # what PyYAML's own rules would break
    ("=", "="),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("n", "n"),
    ("yes", "yes"),
    ("NO", "NO"),
    ("12:30:45", "12:30:45"),
    ("1:30", "1:30"),
    ("<<", "<<"),
    # booleans and null
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("tRue", "tRue"),
    ("false", False),
    ("FALSE", False),
    ("", None),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("NULL", None),
    ("nUll", "nUll"),
    # integers
    ("0", 0),
    ("-0", 0),
    ("+1", 1),
    ("-1", -1),
    ("+", "+"),
    ("00", 0),
    ("017", 15),
    ("0777", 511),
    ("0o17", 15),
    ("0O17", 15),
    ("-0o17", -15),
    ("0o8", "0o8"),
    ("0x1F", 31),
    ("0X1f", 31),
    ("+0x1", 1),
    ("0x", "0x"),
    ("0b11", 3),
    ("0B11", 3),
    ("0b2", "0b2"),
    ("1_000", 1000),
    ("1_", 1),
    ("_1", "_1"),
    ("0x_1", 1),
    ("9223372036854775807", 9223372036854775807),
    ("-9223372036854775808", -9223372036854775808),
    ("18446744073709551615", 18446744073709551615),
    ("18446744073709551616", 18446744073709551616.0),
    ("0xFFFFFFFFFFFFFFFFF", "0xFFFFFFFFFFFFFFFFF"),
    # floats
    ("1.5", 1.5),
    ("5.0", 5),
    ("08", 8),
    ("1.", 1),
    (".5", 0.5),
    ("-.5", -0.5),
    (".5_0", 0.5),
    ("._5", "._5"),
    (".", "."),
    ("1e3", 1000),
    ("1E+3", 1000),
    ("1e", "1e"),
    ("1e21", 1e21),
    ("1e400", "1e400"),
    (".5e999", ".5e999"),
    ("1_0.5", 10.5),
    ("1.2.3", "1.2.3"),
    ("0x1p4", "0x1p4"),
    ("NaN", "NaN"),
    ("Inf", "Inf"),
    # points in time: text, as Go writes it into JSON
    ("2001-01-01", "2001-01-01T00:00:00Z"),
    ("2001-1-1", "2001-01-01T00:00:00Z"),
    ("2001-02-30", "2001-02-30"),
    ("2001-04-31", "2001-04-31"),
    ("2001-13-01", "2001-13-01"),
    ("2000-02-29", "2000-02-29T00:00:00Z"),
    ("2001-12-14 21:59:43", "2001-12-14T21:59:43Z"),
    ("2001-01-01T01:02:03", "2001-01-01T01:02:03"),
    ("2001-01-01t1:2:3Z", "2001-01-01T01:02:03Z"),
    ("2001-01-01T25:00:00Z", "2001-01-01T25:00:00Z"),
    ("2001-01-01T01:02:03+00:00", "2001-01-01T01:02:03Z"),
    ("2001-01-01T01:02:03,50Z", "2001-01-01T01:02:03.5Z"),
    ("2001-01-01T1:2:3.1234567890123+02:00", "2001-01-01T01:02:03.123456789+02:00"),
    # quotes and tags
    ("'on'", "on"),
    ('"1"', "1"),
    ("! 1", 1),
    ("!!str 1", "1"),
    ("!!str null", "null"),
    ("!!str", ""),
    ('!!int "1"', 1),
    ("!!int 0o17", 15),
    ("!!float 1", 1),
    ('!!float "1.5"', 1.5),
    ('!!bool "true"', True),
    ("!!null ''", None),
    ("!!timestamp 2001-01-01", "2001-01-01T00:00:00Z"),
    ("!!binary aGVsbG8=", "hello"),
    ("!!binary /w==", "\ufffd"),
    ("!vault abc", "abc"),
    ("!foo 1", "1"),
    ("!foo {a: 1}", {"a": 1}),
    ("!reference [a, b]", ["a", "b"]),
    ("!!set {a: null}", {"a": None}),
    ("!!python/name:os.system x", "x"),
    ("!!map [1]", [1]),
    ("1 # comment", 1),
    ("x#y", "x#y"),
]

MAPPINGS: list[tuple[str, Any]] = [
    # keys are text, as written
    ("1: a\n", {"1": "a"}),
    ("true: b\non: c\n", {"true": "b", "on": "c"}),
    ("1.5: b\n0x1F: c\n017: d\n", {"1.5": "b", "0x1F": "c", "017": "d"}),
    (".inf: c\n2001-01-01: b\n", {".inf": "c", "2001-01-01": "b"}),
    ("1: a\n0x1: b\n", {"1": "a", "0x1": "b"}),
    ("'': x\n", {"": "x"}),
    ("? a\n: b\n", {"a": "b"}),
    ("!!binary aGVsbG8=: x\n", {"hello": "x"}),
    # anchors and merge keys
    ("a: &a [1]\nb: *a\n", {"a": [1], "b": [1]}),
    ("&k a: 1\nb: *k\n", {"a": 1, "b": "a"}),
    ("a: &x 1\nb: &x 2\nc: *x\n", {"a": 1, "b": 2, "c": 2}),
    (
        "a: &x {k: on}\nb: [*x, &x [y], ! 1]\nc: *x\n",
        {"a": {"k": "on"}, "b": [{"k": "on"}, ["y"], 1], "c": ["y"]},
    ),
    ("x: &x {a: 1, b: 2}\nm:\n  <<: *x\n  b: 3\n", {"x": {"a": 1, "b": 2}, "m": {"a": 1, "b": 3}}),
    ("m:\n  a: 5\n  <<: {a: 1}\n", {"m": {"a": 5}}),
    ("m:\n  <<: [{a: 1}, {a: 2, c: 3}]\n", {"m": {"a": 1, "c": 3}}),
    (
        "x: &x {a: 1}\nm: &m {<<: *x, b: 2}\nz: {<<: *m}\n",
        {"x": {"a": 1}, "m": {"a": 1, "b": 2}, "z": {"a": 1, "b": 2}},
    ),
    ("m:\n  !!merge <<: {a: 1}\n", {"m": {"a": 1}}),
    ("- <<\n- <<: {a: 1}\n", ["<<", {"a": 1}]),
    # layout
    ("a:\t1\n", {"a": 1}),
    ("\ufeffa: 1\n", {"a": 1}),
    ("a: 1\r\nb: |\r\n  x\r\n  y\r\n", {"a": 1, "b": "x\ny\n"}),
    ("a: |\n  x\n  ---\n  y\n", {"a": "x\n---\ny\n"}),
    ("a: |+\n  x\n\n", {"a": "x\n\n"}),
    ("a: >\n  x\n  y\n\n  z\n", {"a": "x y\nz\n"}),
    ("a: 1\n...\n", {"a": 1}),
    ("a:\n- b\n", {"a": ["b"]}),
    ("a: [b: 1]\n", {"a": [{"b": 1}]}),
    ("a: http://x:80/y\n", {"a": "http://x:80/y"}),
    ("a: \U0001f600\n", {"a": "\U0001f600"}),
    ('{"a": {"x":1}}', {"a": {"x": 1}}),
    ("", None),
    ("---\n", None),
    ("# nothing\n", None),
    ("# c\n---\na: 1\n", {"a": 1}),
    ("---\n---\n\n---\na: 1\n---\n", {"a": 1}),
]

STREAMS: list[tuple[str, list[tuple[Any, int]]]] = [
    ("a: 1\n---\nb: 2\n", [({"a": 1}, 1), ({"b": 2}, 3)]),
    ("---\na: 1\n---\nb: 2\n", [({"a": 1}, 2), ({"b": 2}, 4)]),
    ("a: 1\n--- # c\nb: 2\n", [({"a": 1}, 1), ({"b": 2}, 3)]),
    ("a: 1\n---#x\nb: 2\n", [({"a": 1}, 1), ({"b": 2}, 3)]),
    ("a: 1\n---  \n\n# c\n\nb: 2\n", [({"a": 1}, 1), ({"b": 2}, 6)]),
    ("# c\n---\na: 1\n", [({"a": 1}, 3)]),
    ("a: 1\n---\n# c\n---\nb: 2\n", [({"a": 1}, 1), ({"b": 2}, 5)]),
    ("a: |\n  x\n  ---\n  y\n", [({"a": "x\n---\ny\n"}, 1)]),
    ("a: |\n---\nb: 1\n", [({"a": ""}, 1), ({"b": 1}, 3)]),
    ("a: 1\r\n---\r\nb: 2\r\n", [({"a": 1}, 1), ({"b": 2}, 3)]),
    ("a: 1\n...\n---\nb: 2\n", [({"a": 1}, 1), ({"b": 2}, 4)]),
    ("a: 1\n---\n\ufeffb: 2\n", [({"a": 1}, 1), ({"b": 2}, 3)]),
    ("a: 1\n---", [({"a": 1}, 1)]),
    ("null\n---\n~\n", [(None, 1), (None, 3)]),
    ("", []),
    ("---\n---\n", []),
]


def deep_aliases(count: int) -> str:
    return "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, count))


def bomb(entry: str, layer: Callable[[str], str]) -> str:
    lines = [f"a0: &a0 {entry}\n"]
    lines += [f"a{i}: &a{i} {layer(', '.join([f'*a{i - 1}'] * 10))}\n" for i in range(1, 30)]
    return "".join(lines)


TOO_DEEP = "lists and mappings are nested more than 200 deep"
EXPANDS = "f.yaml:1:1: the aliases of this document expand to more than 400,000 values"
INVALID = "this is not valid YAML"
OPEN_LIST = "did not find expected ',' or ']' while parsing a flow sequence"
OPEN_QUOTE = "found unexpected end of stream while scanning a quoted scalar"
QUOTE = "quote a value that starts with this character"
INDENT = "check the indentation, or quote a value that contains `: `"
CLOSE = "close the bracket or separate the entries with a comma"
START = "start every document with a line `---` and leave out `%` directives"
TAG = "correct the value or remove the tag"

PROBLEMS: list[tuple[str, str | bytes, str, str]] = [
    # syntax
    (
        "mapping in a value",
        "a: b: c\n",
        "f.yaml:1:5: this is not valid YAML: mapping values are not allowed in this context",
        INDENT,
    ),
    (
        "open bracket",
        "a:\n  b: [1\nc: 2\n",
        f"f.yaml:3:2: {INVALID}: {OPEN_LIST} that starts at line 2",
        CLOSE,
    ),
    (
        "open quote",
        "a: 'x\n",
        f"f.yaml:2:1: {INVALID}: {OPEN_QUOTE} that starts at line 1",
        "close the quote",
    ),
    (
        "tab",
        "a:\n\tb: 1\n",
        "f.yaml:2:1: this is not valid YAML: found character that cannot start any token",
        "indent with spaces, YAML allows no tab here",
    ),
    (
        "reserved character",
        "a: %b\n",
        "f.yaml:1:4: this is not valid YAML: found character that cannot start any token",
        QUOTE,
    ),
    (
        "no colon",
        "a: 1\nb\nc: 2\n",
        f"f.yaml:3:1: {INVALID}: could not find expected ':' while scanning a simple key that starts at line 2",
        "a line before this one lacks its `:`, or a quote or bracket is not closed",
    ),
    (
        "undefined alias",
        "a: *nope\n",
        "f.yaml:1:4: this is not valid YAML: found undefined alias",
        "define the anchor (`&name`) in the same document, above this line",
    ),
    (
        "undefined alias beside a redefined anchor",
        "a: &x 1\nb: &x [*y]\n",
        "f.yaml:2:8: this is not valid YAML: found undefined alias",
        "define the anchor (`&name`) in the same document, above this line",
    ),
    (
        "directive",
        "%YAML 1.2\n---\na: 1\n",
        "f.yaml:2:1: this is not valid YAML: did not find expected <document start>",
        START,
    ),
    (
        "text after the end",
        "a: 1\n...\nb: 2\n",
        "f.yaml:3:1: this is not valid YAML: did not find expected <document start>",
        START,
    ),
    (
        "second object",
        '{"a": 1}\n{"b": 2}\n',
        "f.yaml:2:1: this is not valid YAML: did not find expected <document start>",
        START,
    ),
    (
        "separator between old line ends",
        "a: 1\r---\rb: 2\n",
        "f.yaml:2:1: this is not valid YAML: but found another document",
        "start every document with a line `---` that ends like the lines around it",
    ),
    (
        "separator between old line ends beside a redefined anchor",
        "a: &x 1\rb: &x 2\r---\rb: 2\n",
        "f.yaml:3:1: this is not valid YAML: but found another document",
        "start every document with a line `---` that ends like the lines around it",
    ),
    (
        "control character",
        "a: 1\nb: x\x01\n",
        "f.yaml:2:5: the control character U+0001 is not allowed in YAML",
        "remove it, or write it as an escape in double quotes",
    ),
    # documents
    (
        "second document",
        "a: 1\n---\n\nb: 1\n",
        "f.yaml:4: a second YAML document starts here, and this file may hold only one",
        "move it to a file of its own, or remove the `---` line above it",
    ),
    (
        "text behind a separator",
        "a: 1\n--- b: 2\nc: 3\n",
        "f.yaml:2: `--- b: 2` does not separate documents: only a comment may follow `---`",
        "put the text on the next line",
    ),
    # values
    (
        "duplicate key",
        "a: 1\nb: 2\na: 3\n",
        "f.yaml:3:1: the key `a` is already defined at line 1",
        "keep one of the two lines",
    ),
    (
        "duplicate key of two spellings",
        "m:\n  1: a\n  '1': b\n",
        "f.yaml:3:3: the key `1` is already defined at line 2",
        "keep one of the two lines",
    ),
    (
        "duplicate merge key",
        "m:\n  <<: {a: 1}\n  <<: {b: 1}\n",
        "f.yaml:3:3: the key `<<` is already defined at line 2",
        "keep one of the two lines",
    ),
    (
        "merge of a scalar",
        "m:\n  <<: 1\n",
        "f.yaml:2:7: the merge key `<<` takes a mapping or a list of mappings",
        "name anchors of mappings, as in `<<: *defaults`",
    ),
    (
        "merge of a nested list",
        "m:\n  <<: [[{a: 1}]]\n",
        "f.yaml:2:8: the merge key `<<` takes a mapping or a list of mappings",
        "name anchors of mappings, as in `<<: *defaults`",
    ),
    (
        "null as a key",
        "~: 1\n",
        "f.yaml:1:1: a key of a mapping has to be text here, not null, a list or a mapping",
        "quote the key",
    ),
    (
        "list as a key",
        "? [a]\n: 1\n",
        "f.yaml:1:3: a key of a mapping has to be text here, not null, a list or a mapping",
        "quote the key",
    ),
    (
        "infinity",
        "a: -.inf\n",
        "f.yaml:1:4: `-.inf` is a number that Kubernetes cannot store",
        "quote it if it is meant as text",
    ),
    (
        "not a number",
        "a: .nan\n",
        "f.yaml:1:4: `.nan` is a number that Kubernetes cannot store",
        "quote it if it is meant as text",
    ),
    ("wrong null", "a: !!null x\n", "f.yaml:1:4: `x` is tagged `!!null`, which it is not", TAG),
    ("wrong boolean", "a: !!bool yes\n", "f.yaml:1:4: `yes` is tagged `!!bool`, which it is not", TAG),
    ("wrong integer", "a: !!int 1.0\n", "f.yaml:1:4: `1.0` is tagged `!!int`, which it is not", TAG),
    ("wrong float", "a: !!float x\n", "f.yaml:1:4: `x` is tagged `!!float`, which it is not", TAG),
    ("wrong date", "a: !!timestamp x\n", "f.yaml:1:4: `x` is tagged `!!timestamp`, which it is not", TAG),
    ("wrong base64", "a: !!binary '*'\n", "f.yaml:1:4: a value is tagged `!!binary` and is not base64", TAG),
    # bounds
    ("deep lists", "a: " + "[" * 100_000, f"f.yaml:1:202: {TOO_DEEP}", "nest fewer levels"),
    ("deep mappings", "{a: " * 100_000, f"f.yaml:1:797: {TOO_DEEP}", "nest fewer levels"),
    ("deep blocks", "- " * 100_000, f"f.yaml:1:399: {TOO_DEEP}", "nest fewer levels"),
    ("deep aliases", deep_aliases(5000), f"f.yaml:1:1: {TOO_DEEP}", "nest fewer aliases"),
    (
        "deep lists beside a redefined anchor",
        "a: &x 1\nb: &x " + "[" * 300,
        f"f.yaml:2:205: {TOO_DEEP}",
        "nest fewer levels",
    ),
    (
        "anchor loop",
        "a: &a {b: {c: *a}}\n",
        "f.yaml:1:4: an anchor contains itself",
        "an alias (`*name`) cannot stand inside the value it names",
    ),
    (
        "anchor loop of merge keys",
        "a: &a {<<: {<<: *a}}\n",
        "f.yaml:1:4: an anchor contains itself",
        "an alias (`*name`) cannot stand inside the value it names",
    ),
    (
        "bomb of lists",
        bomb("[x, x]", lambda aliases: f"[{aliases}]"),
        EXPANDS,
        "write the values out, or nest fewer aliases",
    ),
    (
        "bomb of merge keys",
        bomb("{k: 1}", lambda aliases: f"{{<<: [{aliases}]}}"),
        EXPANDS,
        "write the values out, or nest fewer aliases",
    ),
    # files
    ("UTF-16", "a: 1".encode("utf-16"), "f.yaml: this file is UTF-16", "save it as UTF-8"),
    ("binary", b"\x7fELF\0\0", "f.yaml: this is a binary file, not YAML", "name a text file"),
    (
        "Latin-1",
        b"a: 1\nb: caf\xe9\n",
        "f.yaml:2:7: this file is not UTF-8: byte 0xE9 cannot be decoded",
        "save it as UTF-8",
    ),
    (
        "lone surrogate",
        "a: \udc80\n",
        "f.yaml:1:4: this file is not UTF-8: byte 0xED cannot be decoded",
        "save it as UTF-8",
    ),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_means_what_kubernetes_reads(text: str, value: Any) -> None:
    loaded = documents.load(f"v: {text}\n", path="f.yaml")
    assert loaded == {"v": value}
    assert type(loaded["v"]) is type(value)


@pytest.mark.parametrize(("text", "value"), MAPPINGS)
def test_a_document_means_what_kubernetes_reads(text: str, value: Any) -> None:
    assert documents.load(text, path="f.yaml") == value
    assert documents.load(text.encode(), path="f.yaml") == value


@pytest.mark.parametrize(("text", "expected"), STREAMS)
def test_a_stream_is_split_as_kubernetes_splits_it(text: str, expected: list[tuple[Any, int]]) -> None:
    found = documents.load_all(text, path="f.yaml")
    assert [(document.value, document.line) for document in found] == expected
    assert all(document.error is None and document.path == "f.yaml" for document in found)


def test_a_malformed_document_does_not_hide_the_others() -> None:
    text = "a: 1\n---\nb: [\n---\n--- c\n---\nd: 'x\n---\ne: 5\n"
    found = documents.load_all(text, path="f.yaml")
    assert [(document.value, document.line, str(document.error or "")) for document in found] == [
        ({"a": 1}, 1, ""),
        (None, 3, "f.yaml:4:1: this is not valid YAML: did not find expected node content"),
        (None, 5, "f.yaml:5: `--- c` does not separate documents: only a comment may follow `---`"),
        (None, 7, f"f.yaml:8:1: {INVALID}: {OPEN_QUOTE} that starts at line 7"),
        ({"e": 5}, 9, ""),
    ]


@pytest.mark.parametrize(
    ("data", "text", "hint"), [case[1:] for case in PROBLEMS], ids=[case[0] for case in PROBLEMS]
)
def test_bad_input_is_explained_at_once(data: str | bytes, text: str, hint: str) -> None:
    started = time.process_time()
    with pytest.raises(Problem) as caught:
        documents.load(data, path="f.yaml")
    assert (str(caught.value), caught.value.hint) == (text, hint)
    assert time.process_time() - started < 2


def test_a_file_over_the_limit_is_not_read() -> None:
    with pytest.raises(Problem) as caught:
        documents.load(b"a: 1" + b" " * 1000, path="f.yaml", max_bytes=1000)
    assert str(caught.value) == "f.yaml: this file is larger than 1,000 bytes, which is the most that is read"
    assert caught.value.hint == "split the file"


def test_the_number_of_values_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_NODES", 100)
    with pytest.raises(Problem, match=r"^f\.yaml:1:4: this document has more than 100 values$"):
        documents.load(f"a: [{'x, ' * 200}]", path="f.yaml")


def test_nesting_up_to_the_bound_is_fine() -> None:
    for text in ("[" * 199 + "]" * 199, "a: &x 1\nb: &x " + "[" * 197 + "]" * 197):
        assert documents.dump(documents.load(text, path="f.yaml"))


def test_aliases_share_no_object() -> None:
    value = documents.load("a: &a {b: []}\nc: *a\nd: {<<: *a}\n", path="f.yaml")
    value["a"]["b"].append(1)
    assert value == {"a": {"b": [1]}, "c": {"b": []}, "d": {"b": []}}


FILE = """\
# comment
metadata:
  name: app
  labels:
spec:
  - a: 1
    b: {c: 2, 3: x}
  - &base
    image: x
  - <<: *base
    tag: y
---
second: |
  text
"""


@pytest.mark.parametrize(
    ("keys", "value_at", "key_at"),
    [
        ((), (2, 0), (2, 0)),
        (("metadata",), (3, 3), (2, 1)),
        (("metadata", "name"), (3, 9), (3, 3)),
        (("metadata", "labels"), (4, 3), (4, 3)),
        (("metadata", "labels", "x", "y"), (4, 3), (4, 3)),
        (("metadata", "missing"), (3, 3), (2, 1)),
        (("missing",), (2, 0), (2, 0)),
        (("spec", 0, "b", "c"), (7, 12), (7, 9)),
        (("spec", 0, "b", "3"), (7, 18), (7, 15)),
        (("spec", 1), (8, 5), (8, 5)),
        (("spec", 2, "tag"), (11, 10), (11, 5)),
        (("spec", 2, "image"), (9, 12), (9, 5)),
        (("spec", 7), (6, 3), (5, 1)),
        (("spec", "a"), (6, 3), (5, 1)),
    ],
)
def test_locate(keys: tuple[str | int, ...], value_at: tuple[int, int], key_at: tuple[int, int]) -> None:
    assert documents.locate(FILE, keys, path="f.yaml") == Location("f.yaml", *value_at)
    assert documents.locate(FILE, keys, path="f.yaml", key=True) == Location("f.yaml", *key_at)


def test_locate_counts_documents_and_lines_of_the_whole_file() -> None:
    assert documents.locate(FILE, ("second",), path="f.yaml", document=1) == Location("f.yaml", 13, 9)
    assert documents.locate("---\n# x\n---\na: 1\n", ("a",), path="f.yaml") == Location("f.yaml", 4, 4)


@pytest.mark.parametrize(
    ("data", "line"),
    [("a: [", 1), ("# c\n\na: &a [*a]\n", 3), (b"\0", 0), ("", 0), ("a: &a {<<: {<<: *a}}", 1)],
)
def test_locate_never_fails(data: str | bytes, line: int) -> None:
    assert documents.locate(data, ("a", "b"), path="f.yaml") == Location("f.yaml", line)


def test_dump_is_readable() -> None:
    value = {
        "z": "first",
        "a": ["x", {"b": 1, "c": []}, {}],
        "script": "#!/bin/sh\nexit 0\n",
        "unfinished": "a\nb",
        "long": "word " * 60 + "end",
        "none": None,
        "yes": True,
        "half": 0.5,
        "accents": "café",
    }
    assert documents.dump(value) == (
        "z: first\n"
        "a:\n"
        "- x\n"
        "- b: 1\n"
        "  c: []\n"
        "- {}\n"
        "script: |\n"
        "  #!/bin/sh\n"
        "  exit 0\n"
        "unfinished: |-\n"
        "  a\n"
        "  b\n"
        f"long: {'word ' * 60}end\n"
        "none: null\n"
        "'yes': true\n"
        "half: 0.5\n"
        "accents: café\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "~",
        "null",
        "True",
        "yes",
        "No",
        "ON",
        "off",
        "y",
        "N",
        "=",
        "<<",
        "1",
        "-1",
        "+1.5",
        "0x1F",
        "0o17",
        "017",
        "1_000",
        "1e3",
        "12:30:45",
        "2001-01-01",
        "2001-01-01 01:02:03",
        ".inf",
        "-.INF",
        ".NaN",
        "1.2.3",
        "0b11",
    ],
)
def test_dump_quotes_what_some_reader_would_not_take_for_text(text: str) -> None:
    assert documents.dump([text]) == f"- '{text}'\n"


@pytest.mark.parametrize("text", ["10Gi", "100m", "10.5Mi", "nginx:1.25", "v1", "a b", "x=y", "onward", "e3"])
def test_dump_quotes_nothing_else(text: str) -> None:
    assert documents.dump([text]) == f"- {text}\n"


def test_dump_writes_no_aliases() -> None:
    shared = {"a": ["x"]}
    assert documents.dump({"one": shared, "two": shared}) == "one:\n  a:\n  - x\ntwo:\n  a:\n  - x\n"


@pytest.mark.parametrize(
    "value", [{1, 2}, b"x", object(), float("nan"), float("inf"), {"a": {"b": Location("x")}}]
)
def test_dump_refuses_what_json_cannot_say(value: object) -> None:
    with pytest.raises(TypeError, match=r"^not a value that JSON can say: .* has no JSON form$"):
        documents.dump(value)


def test_dump_all() -> None:
    text = documents.dump_all([{"a": 1}, "text", None, [1]])
    assert text == "---\na: 1\n---\ntext\n---\nnull\n---\n- 1\n"
    assert [document.value for document in documents.load_all(text, path="f")] == [
        {"a": 1},
        "text",
        None,
        [1],
    ]


texts = st.text(st.characters(codec="utf-8"))
yaml_like = st.text(st.sampled_from("ab01.-+:_ \n\t'\"#&*!|>[]{},?%@`~=<xoTZ\r\ufeff\x85\u2028"), max_size=40)
json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | yaml_like,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(texts | yaml_like, children, max_size=4)
    ),
    max_leaves=12,
)


@given(json_like)
def test_what_is_dumped_is_loaded_again(value: Any) -> None:
    assert documents.load(documents.dump(value), path="f.yaml") == value


@given(st.lists(json_like, max_size=4))
def test_what_is_dumped_as_a_stream_is_loaded_again(values: list[Any]) -> None:
    found = documents.load_all(documents.dump_all(values), path="f.yaml")
    assert [document.value for document in found] == values


@given(
    st.binary(max_size=200) | yaml_like.map(str.encode) | st.lists(yaml_like).map("\n".join).map(str.encode)
)
def test_arbitrary_bytes_are_read_or_explained(data: bytes) -> None:
    try:
        found = documents.load_all(data, path="f.yaml")
    except Problem:
        found = []
    for index, document in enumerate(found):
        assert document.error is None or document.error.location is not None
        assert documents.locate(data, ("a", 0), path="f.yaml", document=index).line >= document.line


def test_reading_yaml_does_not_load_the_configuration_models() -> None:
    script = "import sys, sf.documents; print('pydantic' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("On", True),
        ("n", False),
        ("OFF", False),
        ("'yes'", "yes"),
        ("yEs", "yEs"),
        ("~", None),
        ("0123", 83),
        ("1e3", 1000),
        ("12:30:45", "12:30:45"),
        ("2001-01-01", "2001-01-01"),
        ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"),
        ("18446744073709551615", 18446744073709551615.0),
        ("=", "="),
    ],
)
def test_yaml_1_1_makes_other_values(text: str, value: object) -> None:
    assert documents.load_yaml11(f"a: {text}", path="x") == {"a": value}


def test_yaml_1_1_takes_the_last_of_equal_keys_and_the_first_document() -> None:
    assert documents.load_yaml11("a: 1\na: 2\n---\nb: 3\n", path="x") == {"a": 2}
    assert documents.load_yaml11("on: 1\n'on': 2\n1.50: 3\n", path="x") == {"true": 1, "on": 2, "1.5": 3}
    assert documents.load_yaml11("# nothing\n", path="x") is None


def test_yaml_1_1_keeps_every_bound() -> None:
    for text in ("a: [", "&a [*a]", "[" * 1000, "a: .inf", "\0"):
        with pytest.raises(Problem):
            documents.load_yaml11(text, path="x")


@pytest.mark.parametrize("text", ["&a [*a]", "x: &x {y: *x}"])
def test_aliases_without_end_have_a_class_of_their_own(text: str) -> None:
    with pytest.raises(documents.EndlessAliases):
        documents.load(text, path="x")
