"""Remote bases from real servers: what sf builds of them is what kustomize builds of them."""

from __future__ import annotations

import contextlib
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from sf import documents
from sf.backends.flux.fetch import Means, Remotes
from sf.backends.flux.graph import Start
from sf.backends.flux.inspection import graph_document
from sf.backends.flux.kustomization import Kustomization
from sf.cache import Cache
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.http import Http
from sf.process import Launcher, ProgramFailed
from sf.redact import Redactor
from sf.runtime import InvokerType, RuntimeContext
from tests.fleets import Fleet, cluster, config_map, flux_kustomization, kustomization, programs, tree_of
from tests.flux.oracle import comparable, parts, write
from tests.repositories import Repository
from toolchain.githttp import GitServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sf.backends.flux.outline import Rendering

pytestmark = pytest.mark.tools

LIBRARY = {
    "base/kustomization.yaml": kustomization(["../common", "own.yaml"], "namePrefix: lib-"),
    "base/own.yaml": config_map("own", a="1"),
    "common/kustomization.yaml": kustomization(["c.yaml"]),
    "common/c.yaml": config_map("common", b="2"),
    "part/kustomization.yaml": kustomization((), "commonAnnotations: {part: of-it}", kind="Component"),
    "climbing/kustomization.yaml": kustomization(["../common/c.yaml"]),
    "apps/app.yaml": flux_kustomization("from-afar", "./local"),
    "apps/kustomization.yaml": kustomization(["app.yaml"]),
    "plain/p.yaml": config_map("plain"),
}


class Web:
    """A web server with some pages, which counts what it is asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(self.path)
                if target := web.redirects.get(self.path):
                    self.send_response(302)
                    self.send_header("Location", target)
                    self.end_headers()
                    return
                page = web.pages.get(self.path)
                self.send_response(200 if page is not None else 404)
                self.end_headers()
                self.wfile.write(page or b"<html>nothing</html>")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class Place:
    """A git server with a repository, a web server, and runs of sf that may use both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = Repository.init(folder / "library")
        self.first = self.library.commit(LIBRARY)
        self.library.git("tag", "--annotate", "--message=one", "v1")
        self.git = GitServer(folder / "served")
        self.web = Web()
        self.url = f"{self.git.url}/org/library.git"
        self.served = self.serve("library", self.library)
        self._runs = 0

    def serve(self, name: str, repository: Repository) -> Repository:
        bare = self.folder / "served" / "org" / f"{name}.git"
        bare.parent.mkdir(parents=True, exist_ok=True)
        repository.git("clone", "--quiet", "--bare", str(repository.root), str(bare))
        # As the well-known forges have it.
        served = Repository(bare)
        served.git("config", "uploadpack.allowAnySHA1InWant", "true")
        return served

    def publish(self, files: Mapping[str, str]) -> str:
        commit = self.library.commit(files)
        self.library.git("push", "--quiet", "--force", str(self.served.root), "main", "--tags")
        return commit

    def run(
        self, bases: tuple[str, ...] | None = None, *, cache: Path | None = None, limit: int = 2**28
    ) -> Fleet:
        """A new run; `bases` are what it may fetch, by default everything that is served here."""
        self._runs += 1
        scratch = self.folder / f"run-{self._runs}"
        fleet = Fleet(scratch)
        redactor = Redactor()
        means = Means(
            launcher=Launcher(redactor),
            http=lambda: Http(redactor),
            environ=programs(),
            scratch=scratch / "bases",
            cache=Cache(cache),
            timeout=60,
        )
        allowed = (self.git.url, self.web.url) if bases is None else bases
        fleet.remotes = Remotes(allowed, fleet.names, means, limit)
        return fleet


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path / "place")
    yield found
    found.git.stop()
    found.web.server.shutdown()
    found.web.server.server_close()


def node_of(fleet: Fleet, files: Mapping[str, str]) -> Kustomization:
    spec = documents.load(flux_kustomization("app", "./app"), path="")["spec"]
    root = Kustomization(namespace="flux-system", name="app", spec=spec)
    entry = fleet.graph(tree_of(files)).entry(Start(path="app", root=root))
    return entry.nodes["flux-system/app"]


def rendered(fleet: Fleet, files: Mapping[str, str]) -> Rendering:
    graph = fleet.graph(tree_of(files))
    return graph.render(node_of(fleet, files))


def app(more: str, **files: str) -> dict[str, str]:
    return {"app/kustomization.yaml": kustomization(["c.yaml"], more), "app/c.yaml": config_map("c")} | {
        f"app/{name}": text for name, text in files.items()
    }


def by_kustomize(tmp_path: Path, files: Mapping[str, str]) -> tuple[dict[str, object], ...]:
    """What the program itself makes of it, with git and the network at hand."""
    write(tmp_path / "plain", files)
    environ = programs() | {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    done = Launcher(Redactor()).run(
        ["kustomize", "build", "--load-restrictor=LoadRestrictionsNone", str(tmp_path / "plain/app")],
        environ=environ, timeout=120,
    )  # fmt: skip
    return tuple(documents.load(text, path="") for text in parts(done.text))


FORMS = [
    "resources: [c.yaml, '{url}//base']",
    "resources: [c.yaml, '{url}/base?ref=main']",
    "resources: [c.yaml, '{url}//base?ref=v1&timeout=20s']",
    "resources: [c.yaml, '{url}//base?ref={first}']",
    "resources: [c.yaml, '{url}//base?version=refs/heads/main']",
    "resources: [c.yaml, '{short}//base']",
    "resources: [c.yaml, '{short}/base']",
    "bases: ['{url}//base']",
    "resources: [c.yaml, '{url}//base', '{url}//common?ref=v1']\nnameSuffix: -x",
    "components: ['{url}//part']",
    "resources: [c.yaml, '{web}/file.yaml']",
    "resources: [c.yaml, '{web}/org/repo/file.yaml']",
    "resources: [c.yaml, '{web}/moved']",
    "resources: [c.yaml, '{web}/query.yaml?a=b']",
    "patches: [{{path: '{web}/patch.yaml', target: {{kind: ConfigMap}}}}]",
    "patchesStrategicMerge: ['{web}/merge.yaml']",
    "configMapGenerator: [{{name: g, files: ['{web}/file.txt', 'k={web}/file.txt'], envs: ['{web}/e.env']}}]",
    "configMapGenerator: [{{name: g, files: ['{web}/file.txt'], literals: ['file={web}/file.txt']}}]",
    "commonAnnotations: {{path: '{web}/file.yaml'}}\nresources: [c.yaml, '{web}/file.yaml']",
    "transformers: ['{web}/labels.yaml']",
    "replacements: [{{path: '{web}/replacement.yaml'}}]",
]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_fetched_is_built_as_kustomize_builds_it(place: Place, tmp_path: Path, form: str) -> None:
    text = config_map("fetched", z="9")
    place.web.pages = {
        "/file.yaml": text.encode(),
        "/org/repo/file.yaml": text.encode(),
        "/query.yaml?a=b": text.encode(),
        "/patch.yaml": b'[{"op": "add", "path": "/metadata/labels", "value": {"p": "q"}}]',
        "/merge.yaml": config_map("c", merged="yes").encode(),
        "/file.txt": b"content\n",
        "/e.env": b"A=1\n",
        "/labels.yaml": b"apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: l}\nlabels: {x: z}\n"
        b"fieldSpecs: [{path: metadata/labels, create: true}]\n",
        "/replacement.yaml": b"source: {kind: ConfigMap, name: c, fieldPath: metadata.name}\n"
        b"targets: [{select: {name: c}, fieldPaths: [metadata.annotations.n], options: {create: true}}]\n",
    }
    place.web.redirects = {"/moved": "/file.yaml"}
    short = place.url.removesuffix(".git")
    place.library.git(
        "clone", "--quiet", "--bare", str(place.library.root), f"{place.folder}/served/org/library"
    )
    more = form.format(url=place.url, short=short, first=place.first, web=place.web.url)
    files = app(more)
    if "resources:" in more:
        files["app/kustomization.yaml"] = kustomization((), more)
    rendering = rendered(place.run(), files)
    assert (rendering.error, rendering.unknown) == (None, ())
    assert comparable(rendering.objects) == comparable(by_kustomize(tmp_path, files))


def test_a_file_has_to_lie_below_the_folder_that_names_it(place: Place, tmp_path: Path) -> None:
    files = app(f"components: ['{place.url}//climbing']")
    with pytest.raises(ProgramFailed, match="security; file"):
        by_kustomize(tmp_path, app(f"bases: ['{place.url}//climbing']"))
    rendering = rendered(place.run(), files)
    assert rendering.error is not None
    assert "leads out of the source" in rendering.error.message


def test_a_folder_without_a_kustomization_fails_as_with_kustomize(place: Place, tmp_path: Path) -> None:
    files = app(f"bases: ['{place.url}//plain']")
    with pytest.raises(ProgramFailed, match=r"unable to find one of 'kustomization\.yaml'"):
        by_kustomize(tmp_path, files)
    rendering = rendered(place.run(), files)
    assert rendering.error is not None
    assert "unable to find one of 'kustomization.yaml'" in rendering.error.message
    assert str(place.folder) not in rendering.error.message


def test_bases_of_bases(place: Place, tmp_path: Path) -> None:
    other = Repository.init(place.folder / "other")
    other.commit({"kustomization.yaml": kustomization([f"{place.url}//base?ref=v1"], "namePrefix: other-")})
    place.serve("other", other)
    files = app(f"bases: ['{place.git.url}/org/other.git']")
    rendering = rendered(place.run(), files)
    assert comparable(rendering.objects) == comparable(by_kustomize(tmp_path, files))
    assert {item["metadata"]["name"] for item in rendering.objects} >= {"other-lib-own", "other-lib-common"}
    allowed = (f"{place.git.url}/org/other",)
    rendering = rendered(place.run(allowed), files)
    (sentence,) = rendering.unknown
    assert sentence == (
        f"needs {place.url}//base?ref=v1, named in {place.git.url}/org/other.git@{other.head}/kustomization.yaml:"
        " `gitops.remote_bases` does not allow it here"
    )
    assert [item["metadata"]["name"] for item in rendering.objects] == ["c"]


def test_a_base_that_leads_back_to_itself_ends(place: Place) -> None:
    place.publish({"round/kustomization.yaml": kustomization([f"{place.url}//round"])})
    rendering = rendered(place.run(), app(f"bases: ['{place.url}//round']"))
    assert [sentence for sentence in rendering.unknown if sentence.endswith("it leads back to itself")]


def test_kustomizations_come_from_afar(place: Place) -> None:
    files = {
        "app/kustomization.yaml": kustomization([f"{place.url}//apps"]),
        "local/c.yaml": config_map("here"),
    }
    spec = documents.load(flux_kustomization("app", "./app"), path="")["spec"]
    root = Kustomization(namespace="flux-system", name="app", spec=spec)
    entry = place.run().graph(tree_of(files)).entry(Start(path="app", root=root))
    assert sorted(entry.nodes) == ["flux-system/app", "flux-system/from-afar"]
    entry = place.run(()).graph(tree_of(files)).entry(Start(path="app", root=root))
    assert sorted(entry.nodes) == ["flux-system/app"]
    (sentence,) = entry.unknown
    assert sentence == (
        f"flux-system/app: needs {place.url}//apps, named in app/kustomization.yaml:"
        " `gitops.remote_bases` does not allow it here"
    )


def test_a_ref_that_moves_changes_the_closure_and_one_that_does_not_does_not(place: Place) -> None:
    moving, fixed = app(f"bases: ['{place.url}//base?ref=main']"), app(f"bases: ['{place.url}//base?ref=v1']")
    before = [node_of(place.run(), files).fingerprint for files in (moving, fixed)]
    assert before == [node_of(place.run(), files).fingerprint for files in (moving, fixed)]
    place.publish({"base/own.yaml": config_map("own", a="2")})
    after = [node_of(place.run(), files).fingerprint for files in (moving, fixed)]
    assert (before[0] == after[0], before[1] == after[1]) == (False, True)


def test_both_sides_of_a_comparison_see_the_same_commit(place: Place) -> None:
    fleet = place.run()
    files = app(f"bases: ['{place.url}//base?ref=main']")
    before = node_of(fleet, files).fingerprint
    place.publish({"base/own.yaml": config_map("own", a="2")})
    assert node_of(fleet, files).fingerprint == before


def test_a_file_that_changes_on_the_web_changes_the_closure(place: Place) -> None:
    files = app(f"patchesStrategicMerge: ['{place.web.url}/merge.yaml']")
    place.web.pages = {"/merge.yaml": config_map("c", a="1").encode()}
    before = node_of(place.run(), files).fingerprint
    place.web.pages = {"/merge.yaml": config_map("c", a="2").encode()}
    assert node_of(place.run(), files).fingerprint != before


def test_each_address_is_fetched_once_a_run(place: Place) -> None:
    place.web.pages = {"/file.yaml": config_map("fetched").encode()}
    fleet = place.run()
    assert fleet.remotes is not None
    text = (
        f"resources: [c.yaml, '{place.url}//base?ref=main', '{place.url}//common?ref=main', '{{}}/file.yaml']"
    )
    files = app("") | {"app/kustomization.yaml": kustomization((), text.format(place.web.url))}
    for extra in ("1", "2"):
        rendered(fleet, files | {"app/c.yaml": config_map("c", x=extra)})
    assert place.web.asked == ["/file.yaml"]
    # The file, what the ref means, and the commit.
    assert fleet.remotes.transfers == 3


@pytest.mark.parametrize(("ref", "transfers"), [("v1", 1), ("main", 1), ("{first}", 0)])
def test_a_commit_is_kept_between_runs(place: Place, tmp_path: Path, ref: str, transfers: int) -> None:
    files = app(f"bases: ['{place.url}//base?ref={ref.format(first=place.first)}']")
    cold, warm = place.run(cache=tmp_path / "cache"), place.run(cache=tmp_path / "cache")
    assert warm.remotes is not None
    assert rendered(cold, files) == rendered(warm, files)
    assert warm.remotes.transfers == transfers


def test_a_damaged_cache_is_no_matter(place: Place, tmp_path: Path) -> None:
    files = app(f"bases: ['{place.url}//base?ref=v1']")
    cold = rendered(place.run(cache=tmp_path / "cache"), files)
    for entry in (tmp_path / "cache").glob("??/*"):
        entry.write_bytes(b"damaged")
    assert rendered(place.run(cache=tmp_path / "cache"), files) == cold


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("{url}//base?ref=v9", "it could not be fetched: couldn't find remote ref v9"),
        ("{url}//nothing", "there is no folder nothing in {short}"),
        ("{git}/org/none.git", "it could not be fetched: repository '{git}/org/none.git/' not found"),
        ("{web}/gone.yaml", "the server answers 404"),
        ("{web}/away.yaml", "it could not be fetched: the server sends to an address that is not https"),
        ("{web}/inside.yaml", "it could not be fetched: the server sends to an address that is not https"),
        ("{web}/round.yaml", "it could not be fetched: the server sends from address to address"),
        ("https://me:geheim@host.test/org/repo//x", "it carries credentials"),
        ("file:///etc//x", "it is not of a form that is fetched"),
    ],
)
def test_what_cannot_be_fetched_is_left_out_and_named(place: Place, address: str, why: str) -> None:
    place.web.redirects = {
        "/away.yaml": "http://127.0.0.1:1/x.yaml",
        "/inside.yaml": "file:///etc/passwd",
        "/round.yaml": "/round.yaml",
    }
    names = {"url": place.url, "git": place.git.url, "web": place.web.url, "short": place.first[:12]}
    address = address.format(**names)
    rendering = rendered(place.run((place.git.url, place.web.url, "host.test")), app(f"bases: ['{address}']"))
    told = address.replace("me:geheim@", "")
    assert rendering.unknown == (f"needs {told}, named in app/kustomization.yaml: {why.format(**names)}",)
    assert [item["metadata"]["name"] for item in rendering.objects] == ["c"]
    assert "geheim" not in str(rendering)


def test_a_repository_that_is_too_large_is_not_fetched(place: Place) -> None:
    place.publish({"base/noise": random.Random(1).randbytes(3_000_000).hex()})
    files = app(f"bases: ['{place.url}//base']")
    (sentence,) = rendered(place.run(limit=1024**2), files).unknown
    assert sentence.endswith(
        "named in app/kustomization.yaml: it could not be fetched: it is larger than 1 MiB"
    )
    assert rendered(place.run(), files).unknown == ()


def test_links_and_submodules_of_a_base_are_unknown(place: Place) -> None:
    for name in ("linked", "with-module"):
        (place.library.root / name).mkdir()
    (place.library.root / "linked/kustomization.yaml").write_text(kustomization(["l.yaml"]))
    (place.library.root / "linked/l.yaml").symlink_to("../common/c.yaml")
    (place.library.root / "with-module/kustomization.yaml").write_text(kustomization(["module/x"]))
    place.library.git("update-index", "--add", "--cacheinfo", f"160000,{place.first},with-module/module")
    place.library.git("add", "linked", "with-module/kustomization.yaml")
    place.library.git("commit", "--quiet", "--message=odd")
    place.library.git("push", "--quiet", str(place.served.root), "main")
    for name, why in (
        ("linked", "it has a symbolic link at linked/l.yaml, which is not followed here"),
        ("with-module", "it has a submodule at with-module/module, which is not fetched here"),
    ):
        (sentence,) = rendered(place.run(), app(f"bases: ['{place.url}//{name}']")).unknown
        assert sentence.endswith(why)


@pytest.mark.parametrize(("trust", "fetched"), [(Trust.TRUSTED, True), (Trust.UNTRUSTED, False)])
def test_a_whole_run_fetches_only_when_the_event_is_trusted(
    place: Place, tmp_path: Path, trust: Trust, fetched: bool
) -> None:
    files = cluster("one") | {
        "clusters/one/kustomization.yaml": kustomization(["flux-system", f"{place.url}//apps?ref=v1"]),
        "local/c.yaml": config_map("here"),
    }
    repository = Repository.init(tmp_path / "fleet")
    repository.commit(files)
    config = load_config(
        f"{{lifecycle: {{mode: gitops}}, gitops: {{remote_bases: ['{place.git.url}/org']}}}}".encode()
    )
    context = RuntimeContext(
        ci=CIContext(provider=Provider.GITHUB, event=EventKind.PULL_REQUEST, trust=trust),
        invoker=InvokerType.CI,
        repo_root=repository.root,
        dry_run=True,
        environ={**programs(), "TMPDIR": str(tmp_path)},
    )
    with contextlib.closing(context.workspace):
        document = graph_document(config, context)
    (entry,) = document["entries"]
    names = [node["name"] for node in entry["kustomizations"]]
    assert names == (["flux-system", "from-afar"] if fetched else ["flux-system"])
    assert (document["unknown"] == []) == fetched
