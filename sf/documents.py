"""The only reader and writer of YAML, with the rules by which Flux reads a repository.

PyYAML alone follows YAML 1.1: it turns ``on`` into a boolean and ``12:30:45`` into a number, and fails at a bare
``=``. The scalar rules here are those of kustomize's YAML library, because kustomize's output is what Flux
applies. Where ``kubectl apply`` reads a file otherwise (``on``, ``yes``, ``n`` as booleans, a date as it is
written, ``0x1F`` as a key as ``31``), kustomize wins. Tags it does not know are ignored, as both of them do.
Numbers come out as the Kubernetes API stores them: ``5.0`` is the integer 5.

Values hold only what JSON can say, mapping keys are strings, and no two places share an object. Size, nesting
and alias expansion are checked before a value exists, so no text can exhaust the stack or the memory through it.
"""

from __future__ import annotations

import base64
import binascii
import calendar
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

import yaml  # noqa: TID251 - this is the one module that reads and writes YAML

from sf.models import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 200
MAX_NODES: Final = 4_000_000
FREE_EXPANSION: Final = 400_000
"""Nodes a document may have after its aliases are expanded, whatever it had before. Go's reader starts to
refuse at the same figure."""

_TAG: Final = "tag:yaml.org,2002:"
_STR: Final = _TAG + "str"
_PLAIN: Final = _TAG + "plain"
_MERGE: Final = _TAG + "merge"
_COLLECTION: Final = _TAG + "collection"
_TYPED: Final = {_TAG + name: name for name in ("null", "bool", "int", "float", "timestamp")}

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# What only YAML 1.1 takes for booleans.
_OLD_WORDS: Final[dict[str, bool | None]] = {
    **_WORDS,
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_FIRST_OF_NO_STRING: Final = frozenset("0123456789+-.~nNtTfF")
_FIRST_OF_NO_OLD_STRING: Final = _FIRST_OF_NO_STRING | frozenset("yYoO")
_INTEGER: Final = re.compile(r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_DOTTED_FLOAT: Final = re.compile(r"\.[0-9](?:_?[0-9])*(?:[eE][-+]?[0-9](?:_?[0-9])*)?")
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt](?=.*(?:Z|[-+][0-9]{2}:[0-9]{2})\Z)| +(?!.*(?:Z|[-+][0-9]{2}:[0-9]{2})\Z))"
    r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,]([0-9]+))?(Z|[-+][0-9]{2}:[0-9]{2})?)?"
)

_SEPARATOR: Final = re.compile(r"^---(.*)$", re.MULTILINE)
_CONTENT: Final = re.compile(r"^[ \t\r]*[^ \t\r\n#]", re.MULTILINE)
_UNACCEPTABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff"
)

_TOO_DEEP: Final = f"lists and mappings are nested more than {MAX_DEPTH} deep"
_HINTS: Final = (
    ("mapping values are not allowed", "check the indentation, or quote a value that contains `: `"),
    (
        "could not find expected ':'",
        "a line before this one lacks its `:`, or a quote or bracket is not closed",
    ),
    ("did not find expected ',' or", "close the bracket or separate the entries with a comma"),
    ("unexpected end of stream", "close the quote"),
    ("did not find expected key", "check the indentation of this line"),
    ("undefined alias", "define the anchor (`&name`) in the same document, above this line"),
    ("another document", "start every document with a line `---` that ends like the lines around it"),
    ("<document start>", "start every document with a line `---` and leave out `%` directives"),
)


class EndlessAliases(Problem):
    """The aliases of a document stand for themselves, or for more than anybody wants to write down."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a stream. ``line`` (from 1) is its first line with content.

    ``value`` is `None` when ``error`` is set; the other documents of the stream are not affected.
    """

    value: Any
    path: str
    line: int
    error: Problem | None = None


def load(data: bytes | str, *, path: str, max_bytes: int = MAX_BYTES) -> Any:
    """The value of the one document in `data`; `None` when it is empty or only comments.

    Raises `Problem` for more than one document, for what is not YAML and for what exceeds a bound.
    """
    chunks = list(_split(_text(data, path, max_bytes), path))
    value = chunks[0].value() if chunks else None
    if len(chunks) > 1:
        raise chunks[1].fault or Problem(
            "a second YAML document starts here, and this file may hold only one",
            hint="move it to a file of its own, or remove the `---` line above it",
            location=Location(path, chunks[1].line),
        )
    return value


def load_yaml11(data: bytes | str, *, path: str, max_bytes: int = MAX_BYTES) -> Any:
    """The value of the first document in `data` by YAML 1.1, as sigs.k8s.io/yaml makes JSON of it.

    Flux reads kustomization files and substituted objects this way: ``on`` and ``yes`` are booleans, a date is
    text, the last of equal keys counts, further documents do not. Raises `Problem` as `load` does.
    """
    chunk = next(_split(_text(data, path, max_bytes), path), None)
    return replace(chunk, old=True).value() if chunk else None


def load_all(data: bytes | str, *, path: str, max_bytes: int = MAX_BYTES) -> list[Document]:
    """Every document of `data` that is not empty, split at ``---`` lines as Kubernetes does.

    A document that cannot be read has its ``error`` set. Raises `Problem` only for what concerns the file as a
    whole: its size or its encoding.
    """
    return [chunk.document() for chunk in _split(_text(data, path, max_bytes), path)]


def locate(
    data: bytes | str, keys: Sequence[str | int], *, path: str, document: int = 0, key: bool = False
) -> Location:
    """Where the value at `keys` stands, or with `key` its own key; else the nearest parent that exists.

    `document` counts as `load_all` does. Never raises: what cannot be parsed is located as far as it can be.
    """
    try:
        chunk = list(_split(_text(data, path, MAX_BYTES), path))[document]
    except (Problem, IndexError):
        return Location(path)
    try:
        node = chunk.nodes()
    except Problem:
        return Location(path, chunk.line)
    place = None
    for step in keys:
        found = _child(node, step)
        if found is None:
            break
        place, node = found
    if place is None or node is None:
        return Location(path, chunk.line)
    is_nothing = isinstance(node, yaml.ScalarNode) and node.start_mark.index == node.end_mark.index
    return chunk.location((place if key or is_nothing else node).start_mark)


def dump(value: Any) -> str:
    """`value` (what JSON can say; integers of 64 bits) as one YAML document in block style.

    Keys keep their order. Strings of several lines become literal blocks; a string that any reader of YAML 1.1
    or 1.2 would take for something else is quoted. Raises `TypeError` for any other type of value.
    """
    try:
        text: str = yaml.dump(
            value,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=-1,
            default_flow_style=False,
        )
    except yaml.YAMLError as error:
        raise TypeError(f"not a value that JSON can say: {error}") from None
    return text[: -len("...\n")] if text.endswith("\n...\n") else text


def dump_all(values: Iterable[Any]) -> str:
    """Every value as `dump` writes it, each after a ``---`` line."""
    return "".join(f"---\n{dump(value)}" for value in values)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The text of one document. ``first_line`` is where the text starts in the file, ``line`` its content.

    ``old``: read by the rules of YAML 1.1, see `load_yaml11`.
    """

    text: str
    path: str
    first_line: int
    line: int
    fault: Problem | None = None
    old: bool = False

    def document(self) -> Document:
        try:
            return Document(self.value(), self.path, self.line)
        except Problem as problem:
            return Document(None, self.path, self.line, problem)

    def value(self) -> Any:
        node = self.nodes()
        return None if node is None else self._value(node)

    def nodes(self) -> yaml.Node | None:
        """The parsed text: a tree, or where it has aliases a graph without cycles and of bounded expansion."""
        node = self._compose()
        if node is not None and "&" in self.text and "*" in self.text:
            self._bound_aliases(node)
        return node

    def _compose(self) -> yaml.Node | None:
        if self.fault:
            raise self.fault
        try:
            try:
                return _Loader(self.text, old=self.old).get_single_node()
            except yaml.composer.ComposerError as error:
                if "duplicate anchor" not in str(error.context):
                    raise
                return _RedefiningLoader(self.text, old=self.old).get_single_node()
        except yaml.MarkedYAMLError as error:
            raise self._syntax_problem(error) from None
        except yaml.reader.ReaderError:
            raise self._character_problem() from None
        except _TooLarge as error:
            raise Problem(str(error), hint=error.hint, location=self.location(error.mark)) from None

    def location(self, mark: yaml.Mark) -> Location:
        return Location(self.path, self.first_line + mark.line, mark.column + 1)

    def _value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.tag == _STR else self._scalar(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        return [self._value(item) for item in node.value]

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merge: yaml.Node | None = None
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                if merge is not None:
                    self._refuse_duplicate("<<", node, key_node)
                merge = value_node
                continue
            key = self._key(key_node)
            if key in values and not self.old:
                self._refuse_duplicate(key, node, key_node)
            values[key] = self._value(value_node)
        if merge is not None:
            for source in self._merged(merge):
                for key, value in self._mapping(source).items():
                    values.setdefault(key, value)
        return values

    def _merged(self, node: yaml.Node) -> list[yaml.MappingNode]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                raise Problem(
                    "the merge key `<<` takes a mapping or a list of mappings",
                    hint="name anchors of mappings, as in `<<: *defaults`",
                    location=self.location(source.start_mark),
                )
        return list(sources)

    def _key(self, node: yaml.Node) -> str:
        if isinstance(node, yaml.ScalarNode):
            if node.tag == _TAG + "binary":
                return self._binary(node)
            if not (node.tag == _PLAIN and _WORDS.get(node.value, False) is None):
                return _old_key(node.value) if self.old and node.tag == _PLAIN else str(node.value)
        raise Problem(
            "a key of a mapping has to be text here, not null, a list or a mapping",
            hint="quote the key",
            location=self.location(node.start_mark),
        )

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if node.tag == _TAG + "binary":
            return self._binary(node)
        wanted = _TYPED.get(node.tag)
        if node.tag != _PLAIN and wanted is None:
            return text
        if _NOT_FINITE.fullmatch(text):
            raise Problem(
                f"`{text}` is a number that Kubernetes cannot store",
                hint="quote it if it is meant as text",
                location=self.location(node.start_mark),
            )
        value = _old_plain(text) if self.old else _plain(text)
        if wanted is not None and not _is_a(wanted, text, value):
            raise Problem(
                f"`{_short(text)}` is tagged `!!{wanted}`, which it is not",
                hint="correct the value or remove the tag",
                location=self.location(node.start_mark),
            )
        return value

    def _binary(self, node: yaml.ScalarNode) -> str:
        try:
            return base64.b64decode("".join(node.value.split()), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise Problem(
                "a value is tagged `!!binary` and is not base64",
                hint="correct the value or remove the tag",
                location=self.location(node.start_mark),
            ) from None

    def _bound_aliases(self, root: yaml.Node) -> None:
        """Raise `Problem` where anchors contain themselves or expand to too much or too deep a value."""
        measured: dict[int, tuple[int, int]] = {}  # id of a collection: nodes and depth once expanded
        ancestors: set[int] = set()
        stack = [root]
        while stack:
            node = stack[-1]
            children = _children(node)
            if id(node) in ancestors:
                sizes = [measured.get(id(child), (1, 1)) for child in children]
                measured[id(node)] = 1 + sum(size for size, _ in sizes), 1 + max(depth for _, depth in sizes)
                ancestors.remove(id(node))
                stack.pop()
            elif id(node) in measured or not children:
                stack.pop()
            else:
                ancestors.add(id(node))
                for child in children:
                    if id(child) in ancestors:
                        raise EndlessAliases(
                            "an anchor contains itself",
                            hint="an alias (`*name`) cannot stand inside the value it names",
                            location=self.location(child.start_mark),
                        )
                    if id(child) not in measured:
                        stack.append(child)
        expanded, depth = measured.get(id(root), (1, 1))
        if depth > MAX_DEPTH:
            raise Problem(_TOO_DEEP, hint="nest fewer aliases", location=self.location(root.start_mark))
        limit = max(FREE_EXPANSION, 2 * len(self.text))
        if expanded > limit:
            raise EndlessAliases(
                f"the aliases of this document expand to more than {limit:,} values",
                hint="write the values out, or nest fewer aliases",
                location=self.location(root.start_mark),
            )

    def _refuse_duplicate(self, key: str, mapping: yaml.MappingNode, second: yaml.Node) -> NoReturn:
        first = next(node for node, _ in mapping.value if node.value == key)
        raise Problem(
            f"the key `{_short(key)}` is already defined at line {self.location(first.start_mark).line}",
            hint="keep one of the two lines",
            location=self.location(second.start_mark),
        )

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> Problem:
        reason = error.problem or "cannot be parsed"
        began, ended = error.context_mark, error.problem_mark
        if began and ended and began.line != ended.line and str(error.context).startswith("while"):
            reason += f" {error.context} that starts at line {self.location(began).line}"
        hint = next((hint for part, hint in _HINTS if part in reason), "")
        location = Location(self.path, self.line)
        if error.problem_mark:
            location = self.location(error.problem_mark)
            if self._character(error.problem_mark) == "\t":
                hint = "indent with spaces, YAML allows no tab here"
            elif "cannot start any token" in reason:
                hint = "quote a value that starts with this character"
        return Problem(f"this is not valid YAML: {reason}", hint=hint, location=location)

    def _character(self, mark: yaml.Mark) -> str:
        """The character at `mark`. Marks count lines as YAML does, so the line is looked up by its number."""
        lines = self.text.split("\n", mark.line + 1)
        return lines[mark.line][mark.column : mark.column + 1] if mark.line < len(lines) else ""

    def _character_problem(self) -> Problem:
        found = _UNACCEPTABLE.search(self.text)
        if found is None:
            return Problem("this is not valid YAML", location=Location(self.path, self.line))
        line, column = _position(self.text, found.start())
        return Problem(
            f"the control character U+{ord(found[0]):04X} is not allowed in YAML",
            hint="remove it, or write it as an escape in double quotes",
            location=Location(self.path, self.first_line + line - 1, column),
        )


class _TooLarge(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, message: str, hint: str, mark: yaml.Mark) -> None:
        super().__init__(message)
        self.hint = hint
        self.mark = mark


class _Loader(yaml.CSafeLoader):
    """libyaml's parser without PyYAML's YAML 1.1 resolvers. Its three hooks are called for every node.

    libyaml's composer recurses in C without a limit, so depth is counted while it descends.
    """

    def __init__(self, text: str, *, old: bool) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0
        self._first_of_no_string = _FIRST_OF_NO_OLD_STRING if old else _FIRST_OF_NO_STRING

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:  # noqa: ARG002 - PyYAML's hook
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise _TooLarge(_TOO_DEEP, "nest fewer levels", current_node.start_mark)
        if self._nodes > MAX_NODES:
            raise _TooLarge(
                f"this document has more than {MAX_NODES:,} values", "split the file", current_node.start_mark
            )

    def ascend_resolver(self) -> None:
        self._depth -= 1

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is not yaml.ScalarNode:
            return _COLLECTION
        if not implicit[0]:
            return _STR
        if not value or value[0] in self._first_of_no_string:
            return _PLAIN
        return _MERGE if value == "<<" else _STR


class _RedefiningLoader(_Loader):
    """Composes what the C composer refuses: an anchor that is defined again, which YAML allows.

    An alias means the last definition above it. Much slower, and only used where it is needed.
    """

    def __init__(self, text: str, *, old: bool) -> None:
        super().__init__(text, old=old)
        self._anchors: dict[str, yaml.Node] = {}

    def get_single_node(self) -> yaml.Node:
        while not isinstance(self.get_event(), yaml.DocumentStartEvent):
            pass
        root = self._node(None)
        self.get_event()
        after: Any = self.get_event()
        if not isinstance(after, yaml.StreamEndEvent):
            raise yaml.MarkedYAMLError(problem="but found another document", problem_mark=after.start_mark)
        return root

    def _node(self, parent: yaml.Node | None) -> yaml.Node:
        event: Any = self.get_event()
        if isinstance(event, yaml.AliasEvent):
            return self._named(event)
        self.descend_resolver(parent, None)
        node = self._new(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        if isinstance(node, yaml.SequenceNode):
            node.value.extend(self._entries(node, yaml.SequenceEndEvent))
        elif isinstance(node, yaml.MappingNode):
            entries = self._entries(node, yaml.MappingEndEvent)
            node.value.extend(zip(entries, entries, strict=True))
        self.ascend_resolver()
        return node

    def _named(self, event: Any) -> yaml.Node:
        if event.anchor not in self._anchors:
            raise yaml.MarkedYAMLError(problem="found undefined alias", problem_mark=event.start_mark)
        return self._anchors[event.anchor]

    def _new(self, event: Any) -> yaml.Node:
        if isinstance(event, yaml.ScalarEvent):
            tag = event.tag
            if tag is None or tag == "!":
                tag = self.resolve(yaml.ScalarNode, event.value, event.implicit)
            return yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark)  # type: ignore[arg-type]
        if isinstance(event, yaml.SequenceStartEvent):
            return yaml.SequenceNode(_COLLECTION, [], event.start_mark, event.end_mark)  # type: ignore[arg-type]
        return yaml.MappingNode(_COLLECTION, [], event.start_mark, event.end_mark)

    def _entries(self, node: yaml.Node, end: type[yaml.Event]) -> Iterator[yaml.Node]:
        while not self.check_event(end):
            yield self._node(node)
        self.get_event()


class _Dumper(yaml.CSafeDumper):
    yaml_representers: ClassVar[dict[Any, Any]] = {}  # none of the dates, sets and bytes PyYAML would write
    yaml_multi_representers: ClassVar[dict[Any, Any]] = {}

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's hook
        return True


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.Node:
    style = None
    if _NEEDS_ESCAPES.search(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    elif text.lower() in _AMBIGUOUS_WORDS or _AMBIGUOUS.fullmatch(text):
        style = "'"
    return dumper.represent_scalar(_STR, text, style)


def _represent_float(dumper: yaml.CSafeDumper, number: float) -> yaml.Node:
    if not math.isfinite(number):
        raise yaml.YAMLError(f"{number} has no JSON form")
    return dumper.represent_scalar(_TAG + "float", repr(number))


def _refuse_type(_: yaml.CSafeDumper, value: object) -> NoReturn:
    raise yaml.YAMLError(f"{type(value).__name__} has no JSON form")


_AMBIGUOUS_WORDS: Final = frozenset(
    (
        "~",
        "null",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "=",
        "<<",
        ".inf",
        "-.inf",
        "+.inf",
        ".nan",
    )
)
_AMBIGUOUS: Final = re.compile(r"[-+.0-9][-+.:_0-9a-fA-FxXoOtTzZ ]*")
_NEEDS_ESCAPES: Final = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)

_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(float, _represent_float)
_Dumper.add_representer(bool, _Dumper.represent_bool)
_Dumper.add_representer(int, _Dumper.represent_int)
_Dumper.add_representer(type(None), _Dumper.represent_none)
_Dumper.add_representer(dict, _Dumper.represent_dict)
_Dumper.add_representer(list, _Dumper.represent_list)
_Dumper.add_representer(tuple, _Dumper.represent_list)
_Dumper.add_multi_representer(object, _refuse_type)


def _size(count: int) -> str:
    """A number of bytes in the largest unit that it is a multiple of."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count:,} bytes"


def _text(data: bytes | str, path: str, max_bytes: int) -> str:
    """`data` as text without byte order mark. Raises `Problem` for what is too large or is not UTF-8 text."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > max_bytes:
        raise Problem(
            f"this file is larger than {_size(max_bytes)}, which is the most that is read",
            hint="split the file",
            location=Location(path),
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Problem("this file is UTF-16", hint="save it as UTF-8", location=Location(path))
    if b"\0" in raw:
        raise Problem("this is a binary file, not YAML", hint="name a text file", location=Location(path))
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, column = _position(raw[: error.start].decode(), error.start)
        raise Problem(
            f"this file is not UTF-8: byte 0x{raw[error.start]:02X} cannot be decoded",
            hint="save it as UTF-8",
            location=Location(path, line, column),
        ) from None


def _split(text: str, path: str) -> Iterator[_Chunk]:
    """The parts of `text` between ``---`` lines that are not blank.

    Like Kubernetes' reader it looks at line starts only, so a ``---`` there also ends an open quote or block.
    """
    start, line, fault = 0, 1, None
    for separator in (*_SEPARATOR.finditer(text), None):
        end = separator.start() if separator else len(text)
        part = text[start:end]
        if part.startswith("\n\ufeff"):
            part = f"\n{part[2:]}"
        content = _CONTENT.search(part)
        if content is not None or fault is not None:
            blank = content.start() if content is not None and fault is None else 0
            yield _Chunk(part, path, line, line + part.count("\n", 0, blank), fault)
        if separator is None:
            return
        line += text.count("\n", start, end)
        start, fault = separator.end(), None
        rest = separator[1].strip()
        if rest and not rest.startswith("#"):
            fault = Problem(
                f"`{_short(separator[0].rstrip())}` does not separate documents: only a comment may follow `---`",
                hint="put the text on the next line",
                location=Location(path, line),
            )


def _plain(text: str) -> Any:
    """The value of an unquoted scalar. Booleans, null and numbers as JSON has them, everything else a string."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    if text[0] == ".":
        return _finite(text.replace("_", ""), text) if _DOTTED_FLOAT.fullmatch(text) else text
    date = _TIMESTAMP.fullmatch(text)
    if date and (written := _rfc3339(date)):
        return written
    digits = text.replace("_", "")
    integer = _INTEGER.fullmatch(digits)
    if integer and (value := _integer(integer)) is not None:
        return value
    return _finite(digits, text) if _FLOAT.fullmatch(digits) else text


def _old_plain(text: str) -> Any:
    """As `_plain`, by YAML 1.1. A date stays as it is written."""
    if text in _OLD_WORDS:
        return _OLD_WORDS[text]
    value = text if _TIMESTAMP.fullmatch(text) else _plain(text)
    # The reader knows 64 bits without sign, what is behind it does not.
    return float(value) if isinstance(value, int) and value >= 1 << 63 else value


def _old_key(text: str) -> str:
    """A key as the text that Go makes of its value."""
    value = _old_plain(text)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _integer(match: re.Match[str]) -> int | None:
    """The number `match` stands for, or None where it does not fit into 64 bits."""
    sign, *digits = match.groups()
    value = next(int(text, base) for text, base in zip(digits, (16, 2, 8, 10), strict=True) if text)
    if sign == "-":
        return -value if value <= 1 << 63 else None
    return value if value < 1 << (63 if sign else 64) else None


def _finite(digits: str, text: str) -> Any:
    """`digits` as a number; `text` where a double cannot hold it. Whole numbers of 64 bits are integers."""
    value = float(digits)
    if math.isinf(value):
        return text
    return int(value) if value.is_integer() and abs(value) < 1 << 63 else value


def _rfc3339(match: re.Match[str]) -> str | None:
    """The point in time as Go writes it into JSON, or None where the calendar has no such day or hour."""
    year, month, day = (int(match[group]) for group in (1, 2, 3))
    hour, minute, second = (int(match[group] or 0) for group in (4, 5, 6))
    if not 1 <= month <= 12 or not 1 <= day <= _days(year, month):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = (match[7] or "")[:9].rstrip("0")
    zone = match[8] or "Z"
    return (
        f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        f"{'.' + fraction if fraction else ''}{'Z' if zone[1:] == '00:00' else zone}"
    )


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if calendar.isleap(year) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _is_a(wanted: str, text: str, value: Any) -> bool:
    """Whether `text`, read as `value`, may carry the tag ``!!wanted``."""
    match wanted:
        case "null":
            return value is None
        case "bool":
            return isinstance(value, bool)
        case "int":
            is_integer = _INTEGER.fullmatch(text.replace("_", ""))
            return isinstance(value, int) and not isinstance(value, bool) and is_integer is not None
        case "float":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case _:
            date = _TIMESTAMP.fullmatch(text)
            return date is not None and _rfc3339(date) is not None


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The nodes of the key and of the value at `step` below `node`; in a list both are the entry."""
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return node.value[step], node.value[step]
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE and key.value == step:
            return key, value
    for key, value in node.value:
        if key.tag == _MERGE:
            sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for source in sources:
                if found := _child(source, step):
                    return found
    return None


def _position(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at `offset`; offsets past the end count as the end."""
    before = text[:offset]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
