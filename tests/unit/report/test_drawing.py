"""Foreign names stay names, in whichever document and format."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.console import Mark, unstyled
from sf.report.drawing import draw

# Every kind of line that a diagram of ours may have, and nothing foreign but inside of a label.
LABEL = r'"(?:[A-Za-z0-9 ./_-]|#\d+;)+"'
STATEMENT = re.compile(
    r"flowchart TD"
    r"|    %% [A-Za-z0-9 :,]+"
    rf"|    subgraph g\d+\[{LABEL}\]"
    r"|    end"
    rf"|    n\d+\[{LABEL}\]"
    r"|    [ng]\d+ (?:-->|-\.->) [ng]\d+"
    r"|    classDef [a-z]+ [a-z0-9:#, -]+"
    r"|    class n\d+(?:,n\d+)* [a-z]+"
)
HOSTILE = (
    '"]; click n0 call alert()',
    "end",
    "%%{init: {'theme': 'dark'}}%%",
    "a\n    n0 --> n1",
    "`**bold**`",
    "<img src=x onerror=alert(1)>",
    "#quot;",
    "\x1b[31mred \u202e\u2066",
    f"{Mark.RED}mark",
    "\udcff",
    "",
)
names = st.sampled_from(HOSTILE) | st.text(alphabet=st.characters(), max_size=12)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    ids: list[str | None] = [None]
    for number in range(draw(st.integers(0, 6))):
        node = {
            "namespace": draw(names),
            "name": f"{draw(names)}{number}",
            "path": draw(names),
            "source": {"kind": draw(names), "namespace": draw(names), "name": draw(names)},
            "depends_on": draw(st.lists(names, max_size=2)),
            "suspended": draw(st.booleans()),
            "external": draw(st.booleans()),
            "parent": draw(st.sampled_from(ids)),
        }
        nodes.append(node)
        ids.append(f"{node['namespace']}/{node['name']}")
    finding = {
        **{key: draw(names) for key in ("code", "message", "subject", "hint")},
        "severity": "danger",
        "location": {"path": draw(names), "line": 3, "column": 0},
    }
    return {
        "schema": "sf.graph/v1",
        "entries": [{"path": draw(names), "kustomizations": nodes}],
        "findings": [finding],
        "unknown": [draw(names)],
    }


@st.composite
def impacts(draw: st.DrawFn) -> dict[str, Any]:
    affected = draw(st.lists(names, max_size=6, unique=True))
    direct = affected[: draw(st.integers(0, len(affected)))]
    entry = {
        "path": draw(names),
        "added": direct[:1],
        "removed": [f"{name}-gone" for name in draw(st.lists(names, max_size=2))],
        "directly_affected": direct,
        "transitively_affected": affected,
        "order": [[name] for name in affected],
    }
    return {
        "schema": "sf.impact/v1",
        "base": draw(names),
        "head": draw(names),
        "compared": draw(names),
        "changed_files": draw(st.lists(names, max_size=3)),
        "entries": [entry],
        "unmapped_files": draw(st.lists(names, max_size=3)),
    }


def drawn(document: dict[str, Any], output: str, width: int = 10_000) -> str:
    return draw(document, output, width=width)


def kustomization(name: str, namespace: str = "apps", *depends_on: str, **fields: Any) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "name": name,
        "path": f"apps/{name}",
        "source": {"kind": "GitRepository", "namespace": "flux-system", "name": "fleet"},
        "depends_on": list(depends_on),
        "suspended": False,
        "external": False,
        "parent": None,
        **fields,
    }


def graph(*nodes: dict[str, Any]) -> dict[str, Any]:
    entry = {"path": "clusters/production", "kustomizations": list(nodes)}
    return {"schema": "sf.graph/v1", "entries": [entry], "findings": [], "unknown": []}


@given(graphs() | impacts())
def test_no_name_breaks_out_of_a_diagram(document: dict[str, Any]) -> None:
    diagram = drawn(document, "mermaid")
    assert [line for line in diagram.rstrip("\n").split("\n") if not STATEMENT.fullmatch(line)] == []
    opened = len(re.findall("(?m)^    subgraph", diagram))
    assert opened == len(re.findall("(?m)^    end$", diagram))


@given(graphs())
def test_a_tree_has_one_line_for_each_kustomization(document: dict[str, Any]) -> None:
    tree = drawn(document, "text").partition("\n\n")[0].rstrip("\n").split("\n")
    nodes = document["entries"][0]["kustomizations"]
    assert len(tree) == 1 + len(nodes)
    assert all(re.match("(?:│   |    )*[├└]── ", line) for line in tree[1:])


@given(graphs() | impacts())
def test_text_brings_no_control_characters_and_no_styles_of_its_own(document: dict[str, Any]) -> None:
    text = drawn(document, "text")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert f"{Mark.RED}mark" not in text
    assert unstyled(text).endswith("\n")


def test_a_diagram_has_every_node_and_edge_once() -> None:
    diagram = drawn(
        graph(
            kustomization("shop", "apps", "apps/database"),
            kustomization("database", parent="apps/shop"),
            kustomization("late", "apps", "apps/nowhere", suspended=True, external=True),
        ),
        "mermaid",
    )
    lines = [line.strip() for line in diagram.split("\n")]
    assert [line for line in lines if line.startswith("n")] == [
        'n0["apps/shop"]',
        'n1["apps/database"]',
        'n2["apps/late"]',
        'n3["apps/nowhere"]',
        "n1 --> n0",
        "n0 -.-> n1",
        "n3 --> n2",
    ]
    assert [line for line in lines if line.startswith("class ")] == [
        "class n2 suspended",
        "class n2 external",
        "class n3 missing",
    ]


def many_nodes() -> list[dict[str, Any]]:
    return [kustomization(f"k{number}", f"team-{number % 3}") for number in range(201)]


def many_edges() -> list[dict[str, Any]]:
    earlier = [f"team-0/k{number}" for number in range(40)]
    return [
        kustomization(f"k{number}", "team-0", *(name for name in earlier if name != f"team-0/k{number}"))
        for number in range(40)
    ]


def many_characters() -> list[dict[str, Any]]:
    return [kustomization("<" * 100 + str(number), "team-0") for number in range(150)]


@pytest.mark.parametrize(
    ("nodes", "labels"),
    [
        (many_nodes(), ['"team-0 #40;67#41;"', '"team-1 #40;67#41;"', '"team-2 #40;67#41;"']),
        (many_edges(), ['"team-0 #40;40#41;"']),
        (many_characters(), ['"team-0 #40;150#41;"']),
    ],
    ids=["nodes", "edges", "characters"],
)
def test_what_nobody_could_read_is_drawn_as_counts(nodes: list[dict[str, Any]], labels: list[str]) -> None:
    diagram = drawn(graph(*nodes), "mermaid")
    assert f"%% {len(nodes)} Kustomizations are too many to be drawn" in diagram
    assert re.findall(r"n\d+\[(.*)\]", diagram) == labels
    assert "-->" not in diagram


def test_the_overview_is_bounded_too() -> None:
    nodes = [kustomization("k", f"team-{number:04}") for number in range(1000)]
    diagram = drawn(graph(*nodes), "mermaid")
    assert len(re.findall(r"n\d+\[", diagram)) == 201
    assert '"800 more namespaces"' in diagram


def test_a_large_impact_is_drawn_as_counts() -> None:
    affected = [f"apps/k{number}" for number in range(300)]
    document = {
        "schema": "sf.impact/v1",
        "base": "",
        "head": "head",
        "compared": "as asked for",
        "changed_files": ["a"],
        "entries": [
            {
                "path": "clusters/production",
                "added": affected[:10],
                "removed": ["apps/old"],
                "directly_affected": affected[:100],
                "transitively_affected": affected,
                "order": [affected],
            },
            {
                "path": "clusters/staging",
                **{key: [] for key in ("added", "removed", "directly_affected", "transitively_affected")},
                "order": [],
            },
        ],
        "unmapped_files": [],
    }
    labels = re.findall(r"\[\"(.*)\"\]", drawn(document, "mermaid"))
    assert labels == ["clusters/production", "10 added", "90 directly affected", "200 dependent", "1 removed"]
    text = unstyled(drawn(document, "text"))
    assert "between nothing and head" in text
    assert "clusters/staging  not affected" in text


def test_a_long_list_of_files_is_cut_and_says_so() -> None:
    names = [f"docs/{number}.md" for number in range(25)]
    document = {
        "schema": "sf.impact/v1",
        **dict.fromkeys(("base", "head", "compared"), "x"),
        "changed_files": names,
        "entries": [],
        "unmapped_files": names,
    }
    text = unstyled(drawn(document, "text"))
    assert "25 changed files are part of no Kustomization" in text
    assert "docs/19.md\n    and 5 more files\n" in text
    assert "docs/20.md" not in text


@given(names)
def test_an_estate_has_one_line_for_each_thing(name: str) -> None:
    service = {
        "name": name,
        "image": name,
        "replicas": 2,
        "built": True,
        "files": {name: name},
        "networks": [name],
        "volumes": [name],
    }
    stack = {"host": name, "scope": name, "stack": name, "path": name, "kind": "compose", "project": name}
    document = {
        "schema": "sf.estate/v1",
        "hosts": [
            {"name": name, "local": False, "address": name, "port": 22, "user": name, "groups": ["all", name]}
        ],
        "stacks": [{**stack, "services": [service, service]}, {**stack, "kind": "script"}],
        "findings": [],
    }
    assert len(drawn(document, "text").rstrip("\n").split("\n")) == 5


def test_empty_documents_say_so() -> None:
    nothing: dict[str, Any] = {"entries": [], "findings": [], "unknown": [], "hosts": [], "stacks": []}
    assert "no cluster" in drawn({"schema": "sf.graph/v1", **nothing}, "text")
    assert "no host" in drawn({"schema": "sf.estate/v1", **nothing}, "text")


def test_hosts_say_how_they_are_reached() -> None:
    nothing = {"local": False, "address": "", "port": 0, "user": "", "groups": ["all"]}
    hosts = [
        {**nothing, "name": "here", "local": True, "socket": "/run/own.sock"},
        {**nothing, "name": "plain"},
        {
            **nothing,
            "name": "behind",
            "address": "10.0.0.7",
            "port": 2222,
            "user": "deploy",
            "key_file": "~/.ssh/id",
            "ssh_options": [["ProxyJump", "bastion"]],
        },
        {**nothing, "name": "far", "engine": "tcp://10.0.0.8:2376"},
    ]
    document = {"schema": "sf.estate/v1", "hosts": hosts, "stacks": [], "findings": []}
    assert unstyled(drawn(document, "text")).split("\n\n") == [
        "here  this machine at /run/own.sock",
        "plain  plain",
        "behind  deploy@10.0.0.7:2222, with the key ~/.ssh/id, ProxyJump bastion",
        "far  tcp://10.0.0.8:2376, to look at only\n",
    ]


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_a_tree_keeps_to_the_width_of_the_terminal(width: int) -> None:
    names = [f"application-{number}" for number in range(8)]
    nodes = [
        kustomization(name, "apps", *(f"apps/{other}" for other in names if other < name)) for name in names
    ]
    tree = unstyled(drawn({**graph(*nodes), "unknown": ["word " * 40]}, "text", width=width))
    assert max(map(len, tree.splitlines())) <= width
    last = tree.partition("could not")[0].rpartition("── ")[2].replace("│", " ").split()
    assert last == [
        "apps/application-7",
        "apps/application-7",
        "after",
        *(f"apps/{name}," for name in names[:6]),
        "apps/application-6",
    ]
