"""What `sf gitops inspect|impact` and `sf docker inspect` print for people: trees, and diagrams for Mermaid.

Renderers are pure functions of the documents ``sf.graph/v1``, ``sf.impact/v1`` and ``sf.estate/v1``. Their shape
is ours, the values in them are foreign: in text each becomes part of one line, in a diagram a quoted label.
"""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from sf.console import WIDTH, Mark, display_width, styled, unstyled
from sf.models import Location, Severity
from sf.report.escape import one_line
from sf.report.mermaid import MOST_NODES, Flowchart
from sf.report.terminal import wrapped
from sf.report.wording import count, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Document = Mapping[str, Any]

_MOST_FILES: Final = 20
_WIDEST_NAME: Final = 56
_SEVERITY_COLORS: Final = {
    Severity.ERROR: Mark.RED,
    Severity.DANGER: Mark.RED,
    Severity.WARNING: Mark.YELLOW,
    Severity.INFO: Mark.CYAN,
}
_SEVERITIES: Final = tuple(_SEVERITY_COLORS)


def draw(document: Document, output: str, *, width: int = WIDTH) -> str:
    """`document` in the format `output`; text in lines of `width` columns where names allow it."""
    drawing = DRAWINGS[document["schema"], output]
    return drawing(document, width)


def graph_text(document: Document, width: int) -> str:
    """``sf.graph/v1`` as one tree per cluster: who renders whom, where from, and who waits for whom."""
    sections = [list(_entry_lines(entry, width)) for entry in document["entries"]]
    if not sections:
        sections = [["there is no cluster in this repository"]]
    return _text([*sections, _unknown(document["unknown"], width), _findings(document["findings"], width)])


def graph_mermaid(document: Document, _width: int) -> str:
    """``sf.graph/v1`` as a flowchart in the direction of reconciliation; a large one as counts per namespace."""
    entries = document["entries"]
    chart = Flowchart()
    chart.comment("solid: is reconciled before, dotted: renders")
    for entry in entries:
        _draw_entry(chart, entry)
    if chart.is_readable:
        return chart.text()
    total = sum(len(entry["kustomizations"]) for entry in entries)
    chart = Flowchart()
    chart.comment(f"{total} Kustomizations are too many to be drawn: these are their namespaces")
    for entry in entries:
        _draw_namespaces(chart, entry)
    return chart.text()


def impact_text(document: Document, width: int) -> str:
    """``sf.impact/v1``: per cluster what is affected, in the order in which it reconciles."""
    base = short(one_line(document["base"])) or "nothing"
    files = count(len(document["changed_files"]), "changed file")
    head = (
        f"{files} between {base} and {short(one_line(document['head']))} ({one_line(document['compared'])})"
    )
    return _text(
        [
            wrapped(head, width),
            *(list(_impact_lines(entry)) for entry in document["entries"]),
            list(_unmapped_lines(document["unmapped_files"])),
        ]
    )


def impact_mermaid(document: Document, _width: int) -> str:
    """``sf.impact/v1`` as a flowchart of waves: what is affected and nothing else."""
    affected = [entry for entry in document["entries"] if entry["transitively_affected"] or entry["removed"]]
    chart = Flowchart()
    chart.comment("waves in the order in which they reconcile")
    for entry in affected:
        _draw_impact(chart, entry)
    if chart.is_readable:
        return chart.text()
    chart = Flowchart()
    chart.comment("too many Kustomizations are affected to be drawn: these are their numbers")
    for entry in affected:
        with chart.group(entry["path"]):
            for words, names in _impact_groups(entry):
                chart.node(f"{len(names)} {words}")
    return chart.text()


def estate_text(document: Document, width: int) -> str:
    """``sf.estate/v1`` as one tree per host: its stacks and their services."""
    stacks: dict[str, list[Document]] = {}
    for stack in document["stacks"]:
        stacks.setdefault(stack["host"], []).append(stack)
    sections = [list(_host_lines(host, stacks.get(host["name"], []))) for host in document["hosts"]]
    if not sections:
        sections = [["there is no host in this repository"]]
    return _text([*sections, _findings(document["findings"], width)])


#: (schema of a document, format) -> its renderer.
DRAWINGS: Final[Mapping[tuple[str, str], Callable[[Document, int], str]]] = MappingProxyType(
    {
        ("sf.graph/v1", "text"): graph_text,
        ("sf.graph/v1", "mermaid"): graph_mermaid,
        ("sf.impact/v1", "text"): impact_text,
        ("sf.impact/v1", "mermaid"): impact_mermaid,
        ("sf.estate/v1", "text"): estate_text,
    }
)


def _text(sections: Iterable[Sequence[str]]) -> str:
    return "\n".join("".join(f"{line}\n" for line in section) for section in sections if section)


def _heading(name: str, *facts: str) -> str:
    shown = ", ".join(filter(None, facts))
    return styled(one_line(name) or ".", Mark.BOLD) + (styled(f"  {shown}", Mark.DIM) if shown else "")


def _entry_lines(entry: Document, width: int) -> Iterator[str]:
    nodes = entry["kustomizations"]
    source = _source_of(nodes)
    heading = _heading(entry["path"], count(len(nodes), "Kustomization"), source)
    if display_width(unstyled(heading)) > width:
        yield _heading(entry["path"], count(len(nodes), "Kustomization"))
        yield styled(f"  {source}", Mark.DIM)
    else:
        yield heading
    rows = [(branch, one_line(_id(node)), node) for branch, node in _branches(nodes)]
    widest = max((display_width(branch + name) for branch, name, _ in rows), default=0)
    column = min(widest, _WIDEST_NAME, width // 2)
    for branch, name, node in rows:
        yield from _node_lines(branch, name, list(_node_facts(node, source)), column, width)


def _node_lines(
    branch: str, name: str, facts: list[tuple[str, Mark]], column: int, width: int
) -> Iterator[str]:
    """A node with what is to be said of it: beside its name as far as that fits, and below."""
    line = branch + name + " " * (column - display_width(branch + name)) + "  "
    below = branch.replace("├── ", "│   ").replace("└── ", "    ") + " " * 4
    for text, mark in facts:
        parts = [text]
        if display_width(unstyled(line) + text) > width:
            yield line.rstrip()
            line = below
            parts = wrapped(text, width - display_width(below))
        *whole, last = parts
        yield from (below + _in(part, mark) for part in whole)
        line += f"{_in(last, mark)}  "
    yield line.rstrip()


def _in(text: str, mark: Mark) -> str:
    return text if mark is Mark.PLAIN else styled(text, mark)


def _node_facts(node: Document, usual_source: str) -> Iterator[tuple[str, Mark]]:
    yield one_line(node["path"]) or ".", Mark.PLAIN
    if (source := _source(node)) != usual_source:
        yield f"from {source}", Mark.CYAN
    if node["depends_on"]:
        yield f"after {', '.join(map(one_line, node['depends_on']))}", Mark.DIM
    if node["suspended"]:
        yield "[suspended]", Mark.YELLOW
    if node["external"]:
        yield "[external]", Mark.CYAN


def _branches(nodes: Sequence[Document]) -> Iterator[tuple[str, Document]]:
    """Each of `nodes` once, behind the lines that lead to it from its parent."""
    known = set(map(_id, nodes))
    children: dict[str | None, list[Document]] = {}
    for node in nodes:
        parent = node["parent"] if node["parent"] in known else None
        children.setdefault(parent, []).append(node)
    waiting = [("", node, node is children[None][-1]) for node in reversed(children.get(None, []))]
    while waiting:
        indent, node, is_last = waiting.pop()
        yield f"{indent}{'└── ' if is_last else '├── '}", node
        below = children.get(_id(node), [])
        indent += "    " if is_last else "│   "
        waiting += [(indent, child, child is below[-1]) for child in reversed(below)]


def _id(node: Document) -> str:
    return f"{node['namespace']}/{node['name']}"


def _source(node: Document) -> str:
    source = node["source"]
    return one_line(f"{source['kind']} {source['namespace']}/{source['name']}")


def _source_of(nodes: Sequence[Document]) -> str:
    """The source that most of `nodes` have; empty when there are none."""
    return next((source for source, _ in Counter(map(_source, nodes)).most_common(1)), "")


def _impact_groups(entry: Document) -> list[tuple[str, Sequence[str]]]:
    """What happens to how many, in the words of the report."""
    added, direct = set(entry["added"]), set(entry["directly_affected"])
    groups = [
        ("added", entry["added"]),
        ("directly affected", [name for name in entry["directly_affected"] if name not in added]),
        ("dependent", [name for name in entry["transitively_affected"] if name not in direct]),
        ("removed", entry["removed"]),
    ]
    return [(words, names) for words, names in groups if names]


def _impact_lines(entry: Document) -> Iterator[str]:
    groups = _impact_groups(entry)
    totals = ", ".join(f"{len(names)} {words}" for words, names in groups)
    yield _heading(entry["path"], totals or "not affected")
    role = {name: words for words, names in groups for name in names}
    for number, wave in enumerate(entry["order"]):
        yield f"  wave {number}"
        for name in wave:
            yield _impact_line(name, role[name])
    if entry["removed"]:
        yield "  no longer there"
        for name in entry["removed"]:
            yield _impact_line(name, "removed")


def _impact_line(name: str, role: str) -> str:
    symbol, color = {
        "added": ("+", Mark.GREEN),
        "removed": ("-", Mark.RED),
        "directly affected": ("~", Mark.YELLOW),
        "dependent": (" ", Mark.CYAN),
    }[role]
    why = styled("  (dependent)", Mark.DIM) if role == "dependent" else ""
    return f"    {styled(f'{symbol} {one_line(name)}', color)}{why}"


def _unmapped_lines(names: Sequence[str]) -> Iterator[str]:
    if not names:
        return
    verb = "is" if len(names) == 1 else "are"
    yield styled(f"{count(len(names), 'changed file')} {verb} part of no Kustomization", Mark.BOLD)
    for name in names[:_MOST_FILES]:
        yield f"    {one_line(name)}"
    if len(names) > _MOST_FILES:
        yield f"    and {count(len(names) - _MOST_FILES, 'more file')}"


def _host_lines(host: Document, stacks: Sequence[Document]) -> Iterator[str]:
    # Every host is in `all`.
    groups = ", ".join(one_line(group) for group in host["groups"] if group != "all")
    yield _heading(host["name"], _address(host), f"in {groups}" if groups else "")
    for stack in stacks:
        is_last = stack is stacks[-1]
        yield f"{'└── ' if is_last else '├── '}{_stack_line(stack)}"
        services = stack.get("services", [])
        for service in services:
            indent = "    " if is_last else "│   "
            yield f"{indent}{'└── ' if service is services[-1] else '├── '}{_service_line(service)}"


def _address(host: Document) -> str:
    """How it is reached, and with what."""
    if host["local"]:
        return "this machine" + (f" at {one_line(host['socket'])}" if host.get("socket") else "")
    if host.get("engine"):
        return f"{one_line(host['engine'])}, to look at only"
    user = f"{host['user']}@" if host["user"] else ""
    port = f":{host['port']}" if host["port"] else ""
    facts = [f"with the key {host['key_file']}"] if host.get("key_file") else []
    facts += [f"{name} {value}" for name, value in host.get("ssh_options", [])]
    return ", ".join(map(one_line, [f"{user}{host['address'] or host['name']}{port}", *facts]))


def _stack_line(stack: Document) -> str:
    facts = [one_line(stack["path"])]
    if stack["project"] and stack["project"] != stack["stack"]:
        facts.append(styled(f"project {one_line(stack['project'])}", Mark.CYAN))
    if stack["scope"] != stack["host"]:
        facts.append(styled(f"by group {one_line(stack['scope'])}", Mark.DIM))
    if stack["kind"] != "compose":
        facts.append(styled(f"[{one_line(stack['kind'])}]", Mark.YELLOW))
    return "  ".join((one_line(stack["stack"]), *facts))


def _service_line(service: Document) -> str:
    facts = [one_line(str(service["image"])) if service["image"] else "", "[built]" * bool(service["built"])]
    if service["replicas"] != 1:
        facts.append(count(service["replicas"], "replica"))
    if service["files"]:
        facts.append(styled(f"with {count(len(service['files']), 'file')}", Mark.DIM))
    if service["volumes"]:
        volumes = ", ".join(map(one_line, service["volumes"]))
        facts.append(styled(f"{'volumes' if len(service['volumes']) > 1 else 'volume'} {volumes}", Mark.DIM))
    return "  ".join(filter(None, (one_line(service["name"]), *facts)))


def _unknown(sentences: Sequence[str], width: int) -> list[str]:
    if not sentences:
        return []
    head = styled("could not be determined", Mark.CYAN, Mark.BOLD)
    lines = [wrapped(sentence, width, " " * 6) for sentence in sentences]
    return [head, *(line for first, *more in lines for line in (f"    ? {first.lstrip()}", *more))]


def _findings(findings: Iterable[Document], width: int) -> list[str]:
    lines = []
    for finding in sorted(findings, key=lambda finding: _SEVERITIES.index(Severity(finding["severity"]))):
        severity = Severity(finding["severity"])
        label = styled(severity.value, _SEVERITY_COLORS[severity], Mark.BOLD)
        code = styled(f"[{one_line(finding['code'])}]", Mark.DIM)
        lines.append(" ".join(filter(None, (label, one_line(finding["subject"]), code))))
        lines += wrapped(finding["message"], width, "    ")
        if finding["location"]:
            lines.append(f"    at {one_line(str(Location(**finding['location'])))}")
        if finding["hint"]:
            lines += wrapped(f"hint: {finding['hint']}", width, "    ")
    return lines


def _draw_entry(chart: Flowchart, entry: Document) -> None:
    nodes = entry["kustomizations"]
    drawn: dict[str, str] = {}
    with chart.group(entry["path"]):
        for node in nodes:
            marks = [mark for mark in ("suspended", "external") if node[mark]]
            drawn[_id(node)] = chart.node(_id(node), *marks)
        for name in (name for node in nodes for name in node["depends_on"]):
            if name not in drawn:
                drawn[name] = chart.node(name, "missing")
    for node in nodes:
        if node["parent"] in drawn:
            chart.edge(drawn[node["parent"]], drawn[_id(node)], dotted=True)
        for name in node["depends_on"]:
            chart.edge(drawn[name], drawn[_id(node)])


def _draw_namespaces(chart: Flowchart, entry: Document) -> None:
    counts = Counter(node["namespace"] for node in entry["kustomizations"])
    with chart.group(entry["path"]):
        for namespace, number in counts.most_common(MOST_NODES):
            chart.node(f"{namespace} ({number})")
        if len(counts) > MOST_NODES:
            chart.node(f"{len(counts) - MOST_NODES} more namespaces")


def _draw_impact(chart: Flowchart, entry: Document) -> None:
    direct = set(entry["directly_affected"])
    earlier = ""
    with chart.group(entry["path"]):
        for number, wave in enumerate(entry["order"]):
            with chart.group(f"wave {number}") as group:
                for name in wave:
                    chart.node(name, "direct" if name in direct else "dependent")
            if earlier:
                chart.edge(earlier, group)
            earlier = group
        if entry["removed"]:
            with chart.group("no longer there"):
                for name in entry["removed"]:
                    chart.node(name, "removed")
