"""Repositories that were made to do harm: nothing is run, fetched or read from outside, and everything ends."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.graph import Start
from sf.backends.flux.kustomization import Kustomization
from sf.backends.flux.starts import find_starts
from sf.models import Problem
from sf.process import Launcher
from sf.redact import Redactor
from sf.tools.kustomize import Kustomize
from tests.fleets import Fleet, cluster, config_map, flux_kustomization, kustomization, programs, tree_of
from tests.flux.history import json_patch
from tests.flux.oracle import write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sf.backends.flux.outline import Rendering

pytestmark = pytest.mark.tools

SECRET = "what-the-runner-must-not-tell"


class Trap:
    """Programs that note that they were run, and a web server and proxy that notes that it was asked."""

    def __init__(self, folder: Path) -> None:
        self.noted = folder / "noted"
        self._programs = folder / "programs"
        self._programs.mkdir()
        for name in ("git", "helm", "ssh", "sh", "run.sh"):
            program = self._programs / name
            program.write_text(f'#!/bin/bash\necho "$0 $*" >> {self.noted}\n')
            program.chmod(0o755)
        noted = self.noted

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with noted.open("a") as file:
                    file.write(f"{self.command} {self.path}\n")
                self.send_response(200)
                self.end_headers()
                self.wfile.write(config_map("fetched").encode())

            do_CONNECT = do_GET  # noqa: N815 - the name that the server looks for

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def environ(self) -> dict[str, str]:
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), self.url)
        path = f"{self._programs}:{programs()['PATH']}"
        return {"PATH": path, "HOME": str(self._programs), "GIT_ALLOW_PROTOCOL": "file", **proxies}

    def events(self) -> list[str]:
        return self.noted.read_text().splitlines() if self.noted.exists() else []


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    found = Trap(tmp_path)
    yield found
    found.server.shutdown()
    found.server.server_close()


def render(fleet: Fleet, files: Mapping[str, str | bytes], more: str = "") -> Rendering:
    """What ``app`` comes to, as a Kustomization with `more` in its spec."""
    from sf import documents

    graph = fleet.graph(tree_of(files))
    spec = documents.load(flux_kustomization("app", "./app", more), path="")["spec"]
    root = Kustomization(namespace="flux-system", name="app", spec=spec)
    (node,) = graph.entry(Start(path="app", root=root)).nodes.values()
    return graph.render(node)


def app(more: str, **files: str) -> dict[str, str]:
    own = {"app/kustomization.yaml": kustomization(["c.yaml"], more), "app/c.yaml": config_map("c")}
    return own | {f"app/{name}": text for name, text in files.items()}


def generator(more: str) -> str:
    return f"apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {{name: g}}\n{more}\n"


def inline(text: str) -> str:
    return "|\n" + "".join(f"    {line}\n" for line in text.splitlines())


ADDRESSES = [
    "{url}/x.yaml",
    "{url}/org/repo//path?ref=v1",
    "https://example.test/org/repo.git//path",
    "git@example.test:org/repo",
    "someone@example.test:org/repo//path",
    "git::https://example.test/org/repo",
    "github.com/org/repo",
    "ssh://git@example.test/org/repo",
    "file:///srv/repository//path",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "form",
    [
        "resources: ['{address}']",
        "components: ['{address}']",
        "crds: ['{address}']",
        "patches: [{{path: '{address}', target: {{kind: X}}}}]",
        "configMapGenerator: [{{name: x, files: ['key={address}']}}]",
        "configMapGenerator: [{{name: x, envs: ['{address}']}}]",
        "openapi: {{path: '{address}'}}",
        "replacements: [{{path: '{address}'}}]",
        "RESOURCES: ['{address}']",
        "transformers: ['{address}']",
        "generators: [g.yaml]",
        "generators:\n- {inline}",
    ],
)
def test_nothing_is_fetched(trap: Trap, tmp_path: Path, form: str, address: str) -> None:
    address = address.format(url=trap.url)
    config = generator(f"files: ['key={address}']")
    files = app(form.format(address=address, inline=inline(config)), **{"g.yaml": config})
    rendering = render(Fleet(tmp_path / "builds", trap.environ), files)
    assert trap.events() == []
    assert "fetched" not in str(rendering.objects)
    assert rendering.unknown or rendering.error


@pytest.mark.parametrize("address", [address for address in ADDRESSES if "{url}" not in address])
def test_the_program_itself_has_no_way_out(trap: Trap, tmp_path: Path, address: str) -> None:
    write(tmp_path / "build", {"app/kustomization.yaml": kustomization([f"'{address}'"])})
    with pytest.raises(Problem):
        Kustomize(Launcher(Redactor()), trap.environ).build(tmp_path / "build", "app")
    assert trap.events() == []


def test_no_plugin_is_run(trap: Trap, tmp_path: Path) -> None:
    function = (
        "apiVersion: example.test/v1\nkind: Gen\nmetadata:\n  name: x\n  annotations:\n"
        "    config.kubernetes.io/function: '{how}'\n"
    )
    fleet = Fleet(tmp_path / "builds", trap.environ)
    for how in ("exec: {path: ./run.sh}", "container: {image: busybox}", "starlark: {path: x.star}"):
        files = app(
            "generators: [g.yaml]", **{"g.yaml": function.replace("{how}", how), "run.sh": "#!/bin/sh\n"}
        )
        assert render(fleet, files).error is not None
    for kind in ("generators", "transformers", "validators"):
        legacy = "apiVersion: someteam.example.test/v1\nkind: Gen\nmetadata: {name: x}\n"
        assert render(fleet, app(f"{kind}: [g.yaml]", **{"g.yaml": legacy})).error is not None
    charts = "helmCharts: [{name: x, repo: 'https://example.test', version: '1', valuesFile: v.yaml}]"
    assert render(fleet, app(charts, **{"v.yaml": "a: b\n"})).error is not None
    assert trap.events() == []


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    file = tmp_path / "secret" / "kustomization.yaml"
    file.parent.mkdir()
    text = config_map("leak", x=SECRET)
    file.write_text(kustomization((), f"configMapGenerator: [{{name: x, literals: [a={SECRET}]}}]"))
    (file.parent / "s.yaml").write_text(text)
    (file.parent / "Component").mkdir()
    (file.parent / "Component" / "kustomization.yaml").write_text(
        kustomization((), f"configMapGenerator: [{{name: x, literals: [a={SECRET}]}}]", kind="Component")
    )
    return file.parent


@pytest.mark.parametrize("style", ["absolute", "climbing"])
@pytest.mark.parametrize(
    "form",
    [
        "resources: ['{path}/s.yaml']",
        "resources: ['{path}']",
        "Resources: ['{path}/s.yaml']",
        "components: ['{path}/Component']",
        "configMapGenerator: [{{name: x, files: ['{path}/s.yaml']}}]",
        "configMapGenerator: [{{name: x, Files: ['k={path}/s.yaml']}}]",
        "CONFIGMAPGENERATOR: [{{name: x, envs: ['{path}/s.yaml']}}]",
        "patchesStrategicMerge: ['{path}/s.yaml']",
        "generators: ['{path}/s.yaml']",
        "generators: [g.yaml]",
        "generators: [../configs]",
        "generators: [../made]",
        "generators:\n- {inline}",
        "generators:\n- {long}",
        "resources: [\n'{path}/s.yaml'\n]\n---\nresources: []",
        "resources: [c.yaml]\nresources: ['{path}/s.yaml']",
    ],
)
def test_nothing_outside_is_read(tmp_path: Path, outside: Path, form: str, style: str) -> None:
    scratch = tmp_path / "builds"
    # A build lies one folder below, and the application in a folder of it.
    path = str(outside) if style == "absolute" else f"../../../{outside.name}"
    config = generator(f"files: ['k={path}/s.yaml']")
    long = config + "".join(f"# {number}\n" for number in range(2000))
    text = form.format(path=path, inline=inline(config), long=inline(long))
    files = {"app/kustomization.yaml": text, "app/c.yaml": config_map("c"), "app/g.yaml": config}
    files["configs/g.yaml"] = config
    files["configs/kustomization.yaml"] = kustomization(["g.yaml"])
    files["made/g.yaml"] = generator("files: [k=part-one]")
    files["made/kustomization.yaml"] = kustomization(
        ["g.yaml"],
        f"patches: [{{target: {{}}, patch: '{json_patch('replace', '/files/0', f'k={path}/s.yaml')}'}}]",
    )
    rendering = render(Fleet(scratch), files)
    assert SECRET not in str(rendering)
    assert not rendering.objects
    assert rendering.error or rendering.withheld


@pytest.mark.parametrize("component", ["{outside}/Component", "../../../secret/Component"])
def test_no_component_from_outside(tmp_path: Path, outside: Path, component: str) -> None:
    name = component.format(outside=outside)
    rendering = render(Fleet(tmp_path / "builds"), app(""), f"components: ['{name}']")
    assert rendering.error is not None
    assert SECRET not in str(rendering)
    ignored = "components: ['../../../secret/Component']\nignoreMissingComponents: true"
    assert SECRET not in str(render(Fleet(tmp_path / "builds"), app(""), ignored))


def test_no_link_is_followed(tmp_path: Path, outside: Path) -> None:
    graph = Fleet(tmp_path / "builds").graph(
        tree_of(
            {"app/kustomization.yaml": kustomization(["s.yaml", "folder"])},
            links={"app/s.yaml": str(outside / "s.yaml"), "app/folder": str(outside)},
        )
    )
    root = Kustomization(namespace="x", name="app", spec={"path": "app"})
    (node,) = graph.entry(Start(path="app", root=root)).nodes.values()
    rendering = graph.render(node)
    assert rendering.error is not None
    assert SECRET not in str(rendering)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big}\ndata:\n  x: " + "a" * 50_000_000 + "\n",
        "a: " + "[" * 100_000,
        "a: &a " + "{b: " * 5000 + "1" + "}" * 5000,
        "".join(f"x{number}: &x{number} [{', '.join([f'*x{number - 1}'] * 9)}]\n" if number else "x0: &x0 [a]\n"
                for number in range(30)),
        "a: &a [*a]\n",
        "\x00\x01\x02",
        "%YAML 9.9\n---\na: b\n",
    ],
    ids=["50 MB", "deep", "deep anchor", "aliases", "an anchor in itself", "binary", "version"],
)  # fmt: skip
def test_what_is_too_much_ends(tmp_path: Path, text: str) -> None:
    started = time.monotonic()
    fleet = Fleet(tmp_path / "builds")
    for name in ("app/c.yaml", "app/kustomization.yaml"):
        rendering = render(fleet, {name: text, "app/other.yaml": config_map("other")})
        assert rendering.objects or rendering.error
    files = cluster("one") | {"clusters/one/x.yaml": f"# kustomize.toolkit.fluxcd.io/v1\n{text}"}
    graph = fleet.graph(tree_of(files))
    for start in find_starts(graph):
        assert graph.entry(start).nodes or graph.entry(start).findings
    assert time.monotonic() - started < 120


def test_ten_thousand_documents_take_kustomize_too_long(tmp_path: Path) -> None:
    text = "---\n".join(config_map(f"m{number}", x="y") for number in range(10_000))
    rendering = render(Fleet(tmp_path / "builds", timeout=3), {"app/c.yaml": text})
    assert rendering.error is not None
    assert "did not end within 3 s" in rendering.error.message


NAMES = [
    "a\nb",
    "<script>alert(1)</script>",
    "`rm -rf`",
    "::error file=x::y",
    "##vso[task.setvariable]x",
    "$(id)",
    "-rf",
    "a b",
    "é",
    "{x}",
    "'q\"",
    "*",
    "key=value",
    "a: b",
    "# no comment",
]


@pytest.mark.parametrize("name", NAMES)
def test_strange_names_of_files(tmp_path: Path, name: str) -> None:
    import json

    fleet = Fleet(tmp_path / "builds")
    # In a folder without kustomization, and named by one.
    rendering = render(fleet, {f"app/{name}/{name}.yaml": config_map("c", x="1")})
    assert rendering.error is None, rendering.error
    assert [item["metadata"]["name"] for item in rendering.objects] == ["c"]
    named = {"app/kustomization.yaml": f"resources: [{json.dumps(f'{name}.yaml')}]\n"}
    rendering = render(fleet, named | {f"app/{name}.yaml": config_map("c", x="1")})
    assert [item["metadata"]["name"] for item in rendering.objects] == ["c"], rendering.error


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    name = b"app/\xff\xfe.yaml".decode("utf-8", "surrogateescape")
    rendering = render(Fleet(tmp_path / "builds"), {name: config_map("c")})
    assert rendering.error is not None
    assert "UTF-8" in rendering.error.message


@pytest.mark.parametrize("name", NAMES)
def test_strange_names_of_kustomizations(tmp_path: Path, name: str) -> None:
    import json

    text = flux_kustomization("placeholder", "./apps/a", "dependsOn: [{name: placeholder-2}]")
    text = text.replace("placeholder", json.dumps(name)[1:-1].join('""'), 1)
    files = cluster("one") | {"clusters/one/x.yaml": text, "apps/a/c.yaml": config_map("c")}
    graph = Fleet(tmp_path / "builds").graph(tree_of(files))
    for start in find_starts(graph):
        entry = graph.entry(start)
        assert entry.nodes
