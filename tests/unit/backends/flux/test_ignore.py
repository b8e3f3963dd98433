"""What is ignored equals what fluxcd/pkg/sourceignore ignores, which the program `sourceignore` asks."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sf.backends.flux.graph import Start
from sf.backends.flux.ignore import IGNORE_FILE, Ignored, ignore_files
from sf.models import Problem, Severity
from sf.process import Launcher
from sf.redact import Redactor
from tests.fleets import (
    URL,
    Fleet,
    cluster,
    config_map,
    flux_kustomization,
    kustomization,
    manifest,
    programs,
    tree_of,
)
from toolchain import tiers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sf.backends.flux.graph import Entry


@dataclass(frozen=True, slots=True)
class Kept:
    """The files and folders of a tree that are left."""

    files: list[str]
    folders: list[str]


def folders_of(files: Sequence[str]) -> list[str]:
    parts = [path.split("/") for path in files]
    return sorted({"/".join(some[:end]) for some in parts for end in range(1, len(some))})


def kept(files: Sequence[str], ignores: Mapping[str, str], spec_ignore: str | None) -> Kept:
    ignored = Ignored(ignores, spec_ignore)
    return Kept(
        [path for path in files if not ignored(path)],
        [path for path in folders_of(files) if not ignored.folder(path)],
    )


def kept_by_flux(files: Sequence[str], ignores: Mapping[str, str], spec_ignore: str | None) -> Kept:
    program = shutil.which("sourceignore", path=os.pathsep.join(map(str, tiers.program_folders())))
    if program is None:
        pytest.fail("the toolchain lacks the program sourceignore: run `make toolchain`")
    question = {
        "ignore_files": {f"{folder}/{IGNORE_FILE}".lstrip("/"): text for folder, text in ignores.items()},
        "spec_ignore": spec_ignore,
        "files": files,
        "folders": folders_of(files),
    }
    answer = Launcher(Redactor()).run(
        [program], environ=programs(), timeout=60, stdin=json.dumps(question).encode()
    )
    said = json.loads(answer.text)
    return Kept(said["files"], said["folders"])


FILES = [
    ".git",
    ".gitattributes",
    ".github/workflows/ci.yaml",
    ".sops.yaml",
    "README.md",
    "a/b",
    "a/b/c",
    "a/x/b/y/c",
    "archive/old/app.yaml",
    "build/build",
    "deploy/app.yaml",
    "deploy/docs/guide.md",
    "deploy/logo.png",
    "kube/.sops.yaml",
    "kube/app/app.yaml",
    "kube/kube/app.yaml",
    "tmp",
    "tmp/#file",
    "x/y/z/x/q",
]
CASES: dict[str, tuple[dict[str, str], str | None]] = {
    "nothing": ({}, None),
    "an empty spec": ({}, ""),
    "only comments": ({"": "# nothing\n\n   \n"}, "# nothing\n"),
    "any pattern replaces the defaults": ({}, "nowhere"),
    "a malformed pattern replaces them too": ({}, "["),
    "a file deep down replaces them everywhere": ({"kube/app": "nowhere"}, None),
    "git's own files can be taken back": ({}, "!.gitattributes"),
    "allow-list": ({}, "/*\n!/kube"),
    "allow-list of a folder": ({}, "/*\n!/kube/\n"),
    "allow-list with exceptions": ({}, "# all\n/*\n!/deploy\n/deploy/**/*.md\n/deploy/*.png\n"),
    "a part of an ignored folder": ({}, "/deploy\n!/deploy/docs/guide.md"),
    "a name wherever it is": ({}, "kube\n!app.yaml"),
    "folders only": ({}, "build/\ntmp/\na/b/"),
    "the spec has the last word": ({"": "deploy", "kube": "*"}, "!/deploy\n!kube"),
    "inner files have it over outer ones": ({"": "*.yaml", "kube": "!app.yaml", "kube/kube": "*"}, None),
    "patterns hold inside their folder": ({"kube": "/app\ntmp"}, None),
    "an ignored folder may speak for itself": ({"": "/kube", "kube": "!app"}, None),
    "stars between": ({}, "a/**/c"),
    "stars at the end": ({}, "a/**"),
    "stars alone": ({}, "**"),
    "stars and a slash": ({}, "**/"),
    "a slash and stars": ({}, "/**"),
    "the first place behind stars counts": ({}, "**/x/q"),
    "stars in a part": ({}, "a/b**"),
    "slashes too many": ({}, "a//b\n**//build\n//tmp//"),
    "one slash": ({}, "/"),
    "escapes": ({}, "\\#file\n\\!x\nkube\\/app"),
    "spaces at the end": ({}, "tmp  \nbuild\\ \n"),
    "windows line ends": ({}, "/archive\r\n!/archive/old\r\ntmp\r"),
    "classes": ({}, "[a-c]\n[^a-z]*\n[]a]"),
    "a byte order mark": ({}, "\ufeff/deploy"),
    "the longest line": ({}, f"/deploy\n{'a' * 65535}\n/kube"),
    "a line too long ends the list": ({}, f"/deploy\n{'a' * 65536}\n/kube"),
    "only a line too long": ({}, "a" * 65536),
}


def test_by_default_pictures_and_the_files_of_ci_are_ignored() -> None:
    ignored = Ignored({})
    assert [path for path in FILES if ignored(path)] == [
        *(".gitattributes", ".github/workflows/ci.yaml", ".sops.yaml", "deploy/logo.png", "kube/.sops.yaml")
    ]


def test_an_allow_list_takes_the_place_of_the_defaults() -> None:
    assert kept(FILES, {}, "/*\n!/kube").files == [
        "kube/.sops.yaml",
        "kube/app/app.yaml",
        "kube/kube/app.yaml",
    ]


@pytest.mark.tools
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tricky_cases_as_flux_sees_them(case: tuple[dict[str, str], str | None]) -> None:
    assert kept(FILES, *case) == kept_by_flux(FILES, *case)


NAMES = st.sampled_from(
    ["a", "b", "ab", "a.yaml", "x.md", ".git", "[a]", "*", "\\", "#x", "!x", " s", "\u00e9"]
)
PIECES = st.sampled_from(
    [*"ab*?-x! #\u00e9", "**", "[ab]", "[^a]", "[a-", "[", "]", "\\", "\\*", ".md", "[!-z]", "[]a]", "[\\]]"]
)
PART = st.one_of(st.just("**"), NAMES, st.lists(PIECES, max_size=3).map("".join))
PATTERN = st.builds(
    lambda start, parts, end: start + "/".join(parts) + end,
    st.sampled_from(["", "!", "/", "!/"]),
    st.lists(PART, min_size=1, max_size=4),
    st.sampled_from(["", "/", " ", "\r", "\\ "]),
)
PATTERNS = st.lists(PATTERN, max_size=4).map("\n".join)
# No tree of git has a part called .git; patterns may.
STORED = NAMES.filter(lambda name: name != ".git")
TREES = st.lists(
    st.lists(STORED, min_size=1, max_size=4).map("/".join), min_size=1, max_size=30, unique=True
).map(sorted)


@pytest.mark.tools
@settings(max_examples=150)
@given(st.data(), TREES, st.none() | PATTERNS)
def test_any_patterns_as_flux_sees_them(
    data: st.DataObject, files: list[str], spec_ignore: str | None
) -> None:
    ignores = data.draw(
        st.dictionaries(st.sampled_from(["", *folders_of(files)]), PATTERNS, max_size=3), label="ignore files"
    )
    assert kept(files, ignores, spec_ignore) == kept_by_flux(files, ignores, spec_ignore)


def test_hostile_patterns_take_no_time() -> None:
    ignored = Ignored({}, f"{'*a' * 40}b\n{'**/a/' * 40}b")
    assert not ignored("/".join(["a" * 200] * 20))


def test_paths_may_be_deep() -> None:
    assert Ignored({}, "**/last")("a/" * 5000 + "last")


def test_ignore_files_are_found_in_every_folder() -> None:
    tree = tree_of({".sourceignore": "x", "a/b/.sourceignore": b"\xff", "a/c.sourceignore": "z"})
    assert ignore_files(tree).contents == {"": "x", "a/b": "\udcff"}


@pytest.mark.parametrize(
    ("link", "contents"),
    [
        ("rules.txt", {"": "*.md"}),
        ("rules/own", {"": "/docs/"}),
        ("./rules/../rules.txt", {"": "*.md"}),
        ("other/own", {"": "/docs/"}),
        ("chain", {"": "*.md"}),
        ("rules", {}),
        ("nowhere", {}),
        ("nowhere/../rules.txt", {}),
    ],
)
def test_an_ignore_file_that_is_a_link_is_followed(link: str, contents: dict[str, str]) -> None:
    files = {"rules.txt": "*.md", "rules/own": "/docs/"}
    tree = tree_of(
        files, {".sourceignore": link, "other": "rules", "chain": "chain-2", "chain-2": "rules.txt"}
    )
    assert ignore_files(tree) == (contents, (), ())


def test_the_patterns_of_a_link_hold_where_it_lies() -> None:
    tree = tree_of({"rules.txt": "*.md"}, {"a/.sourceignore": "../rules.txt", "b": "a"})
    assert ignore_files(tree) == ({"a": "*.md"}, (), ())


@pytest.mark.parametrize(
    ("link", "why"),
    [
        (".sourceignore", "the symbolic link .sourceignore leads in a circle"),
        ("rules.txt/x", "the symbolic link .sourceignore leads through rules.txt, which is no folder"),
    ],
)
@pytest.mark.tools
def test_an_ignore_file_that_cannot_be_opened_is_an_error(tmp_path: Path, link: str, why: str) -> None:
    tree = tree_of(cluster("one") | {"rules.txt": "*.md"}, {".sourceignore": link})
    assert ignore_files(tree) == ({}, (why,), ())
    (finding,) = Fleet(tmp_path).graph(tree).entry(Start(path=HERE)).findings
    assert (finding.code, finding.severity) == ("broken-ignore", Severity.ERROR)
    assert finding.message == f"{why}; Flux makes no artifact of the repository"


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("/etc/hostname", "the symbolic link .sourceignore leads out of the repository"),
        ("../x", "the symbolic link .sourceignore leads out of the repository"),
        (".git/HEAD", "the symbolic link .sourceignore leads to git's own files"),
    ],
)
@pytest.mark.tools
def test_an_ignore_file_from_elsewhere_is_unknown(tmp_path: Path, link: str, why: str) -> None:
    tree = tree_of(cluster("one"), {".sourceignore": link})
    assert ignore_files(tree) == ({}, (), (why,))
    entry = Fleet(tmp_path).graph(tree).entry(Start(path=HERE))
    assert entry.unknown == [f"{why}: what it makes Flux leave out is not known"]


HERE = "clusters/one"
APP = flux_kustomization("app", "./apps/a")
FLEET = cluster("one") | {
    f"{HERE}/app.yaml": APP,
    "apps/a/kept.yaml": config_map("kept"),
    "apps/a/left-out.yaml": config_map("left-out"),
    "docs/page.yaml": config_map("page"),
}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def with_spec(more: str) -> dict[str, str]:
    """The fleet with `more` in the spec of its source, as a patch, which is how a bootstrapped one is changed."""
    head = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: flux-system}"
    patch = f"{head}\nspec: {more}"
    listed = kustomization(
        ["gotk-sync.yaml"], f"patches: [{{patch: {json.dumps(patch)}, target: {{kind: GitRepository}}}}]"
    )
    return FLEET | {f"{HERE}/flux-system/kustomization.yaml": listed}


def files(entry: Entry, node: str = "flux-system/app") -> set[str]:
    closure = entry.nodes[node].closure
    assert closure is not None
    return set(closure.files)


@pytest.mark.tools
def test_a_sourceignore_file_hides_files_from_builds(fleet: Fleet) -> None:
    entry = fleet.entry(FLEET | {"apps/.sourceignore": "left-*"}, HERE)
    assert files(entry) == {"apps/a/kept.yaml"}


@pytest.mark.tools
def test_spec_ignore_of_the_clusters_own_source_hides_files_from_builds(fleet: Fleet) -> None:
    graph = fleet.graph(tree_of(with_spec('{ignore: "/*\\n!/clusters\\n!/apps\\nleft-out.yaml"}')))
    entry = graph.entry(Start(path=HERE))
    assert files(entry) == {"apps/a/kept.yaml"}
    (rendering,) = graph.render_all([entry.nodes["flux-system/app"]])
    assert [item["metadata"]["name"] for item in rendering.objects] == ["kept"]


@pytest.mark.tools
def test_without_ignored_files_nothing_is_built_twice(fleet: Fleet) -> None:
    fleet.entry(FLEET, HERE)
    plain = fleet.renderer.builds
    fleet.entry(FLEET | {"docs/.sourceignore": "page.yaml"}, HERE)
    assert fleet.renderer.builds == plain


@pytest.mark.tools
def test_an_ignored_file_that_is_named_fails_the_build(fleet: Fleet) -> None:
    named = {"apps/a/kustomization.yaml": kustomization(["kept.yaml", "left-out.yaml"])}
    graph = fleet.graph(tree_of(FLEET | named | {".sourceignore": "left-out.yaml"}))
    node = graph.entry(Start(path=HERE)).nodes["flux-system/app"]
    (rendering,) = graph.render_all([node])
    assert rendering.error is not None
    assert "left-out.yaml" in rendering.error.message


@pytest.mark.tools
def test_an_ignored_folder_is_no_path(fleet: Fleet) -> None:
    entry = fleet.entry(FLEET | {".sourceignore": "/apps"}, HERE)
    (finding,) = entry.findings
    assert finding.code == "missing-path"
    assert finding.message == (
        "flux-system/app: spec.path apps/a is ignored by GitRepository flux-system/flux-system"
    )


@pytest.mark.tools
def test_a_folder_whose_files_are_ignored_is_built_empty(fleet: Fleet) -> None:
    entry = fleet.entry(FLEET | {"apps/a/.sourceignore": "*"}, HERE)
    assert files(entry) == set()
    assert not entry.findings


@pytest.mark.tools
@pytest.mark.parametrize("files", [FLEET | {".sourceignore": "clusters"}, with_spec("{ignore: clusters}")])
def test_a_cluster_that_is_ignored_is_an_error(fleet: Fleet, files: dict[str, str]) -> None:
    with pytest.raises(Problem, match="the folder 'clusters/one' is in this commit, but Flux leaves it out"):
        fleet.entry(files, HERE)


@pytest.mark.tools
@pytest.mark.parametrize(
    ("sparse", "seen"),
    [
        # The ignore file at the root is not checked out either.
        ("[clusters/one, apps/a]", {"apps/a/kept.yaml", "apps/a/left-out.yaml"}),
        ("[./clusters, ./apps/a/kept]", {"apps/a/kept.yaml"}),
        ("[clusters, apps]", {"apps/a/kept.yaml", "apps/a/left-out.yaml"}),
    ],
)
def test_a_sparse_checkout_has_only_what_begins_like_it(fleet: Fleet, sparse: str, seen: set[str]) -> None:
    hiding = {".sourceignore": "left-out.yaml", "apps/a/.sourceignore": "left-out.yaml"}
    shown = with_spec(f"{{sparseCheckout: {sparse}}}")
    assert files(fleet.entry(shown | {".sourceignore": "left-out.yaml"}, HERE)) == seen
    assert files(fleet.entry(with_spec("{sparseCheckout: [clusters, apps]}") | hiding, HERE)) == {
        "apps/a/kept.yaml"
    }


@pytest.mark.tools
def test_a_cluster_that_hides_itself_is_a_finding(fleet: Fleet) -> None:
    entry = fleet.entry(with_spec("{ignore: /clusters/one/flux-system/}"), HERE)
    assert list(entry.nodes) == ["flux-system/app"]
    (finding,) = entry.findings
    assert (finding.code, finding.subject) == ("self-ignored", "flux-system/flux-system")


@pytest.mark.tools
def test_another_source_of_this_repository_has_patterns_of_its_own(fleet: Fleet) -> None:
    source = manifest(
        f"""
        apiVersion: source.toolkit.fluxcd.io/v1
        kind: GitRepository
        metadata: {{name: apps, namespace: flux-system}}
        spec: {{interval: 1m, url: {URL}, ignore: "/*\\n!/apps/a/kept.yaml"}}
        """
    )
    own = APP.replace("name: flux-system}", "name: apps}")
    assert own != APP
    entry = fleet.entry(FLEET | {f"{HERE}/app.yaml": f"{source}---\n{own}"}, HERE)
    assert files(entry) == {"apps/a/kept.yaml"}
    assert f"{HERE}/app.yaml" in files(entry, "flux-system/flux-system")


@pytest.mark.tools
def test_included_content_is_unknown(fleet: Fleet) -> None:
    spec = "{include: [{repository: {name: shared}, toPath: vendor/shared}]}"
    node = flux_kustomization("shared", "./vendor/shared/base")
    entry = fleet.entry(with_spec(spec) | {f"{HERE}/shared.yaml": node}, HERE)
    assert not entry.findings
    assert entry.nodes["flux-system/shared"].external
    (sentence,) = entry.unknown
    assert sentence.startswith(
        "GitRepository flux-system/flux-system has content of another source at vendor/shared"
    )
