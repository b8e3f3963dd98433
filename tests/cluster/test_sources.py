"""What is in the artifact of a source is what the real source-controller packs."""

from __future__ import annotations

import io
import json
import tarfile
import time
import urllib.request
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.backends.flux.graph import sight_of
from sf.backends.flux.ignore import Ignored
from sf.backends.flux.tree import Blobs, Tree
from tests.fleets import Fleet
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SETTLED_SECONDS: Final = 90
REFUSAL: Final = "failed to load source ignore patterns"
FILES: Final = {
    "a.yaml": "a: 1\n",
    "b.txt": "b\n",
    "keep/x.yaml": "x: 1\n",
    "keep/y.md": "y\n",
    "docs/readme.md": "r\n",
    "docs/in/z.yaml": "z: 1\n",
    "gone/only.md": "g\n",
    "picture.png": "p\n",
    ".github/w.yml": "w: 1\n",
    ".gitignore": "nothing\n",
    "part/.sops.yaml": "s: 1\n",
    "rules.txt": "*.md\n",
    "rules/own": "/docs/\n",
}
# By name: files, symbolic links, and spec.ignore or spec.sparseCheckout.
CASES: Final[dict[str, tuple[dict[str, str], dict[str, str], str | list[str] | None]]] = {
    "defaults": ({}, {}, None),
    "a-file": ({".sourceignore": "*.md\n"}, {}, None),
    "inner-files": ({".sourceignore": "*.md\n", "docs/.sourceignore": "!readme.md\n/in\n"}, {}, None),
    "spec": ({}, {}, "/*\n!/keep\n"),
    "spec-after-file": ({"keep/.sourceignore": "*.yaml\n"}, {}, "!x.yaml\n"),
    "a-file-without-patterns": ({".sourceignore": "# none\n\n"}, {}, None),
    "a-spec-without-patterns": ({}, {}, ""),
    "a-folder-and-a-part-back": ({}, {}, "docs/\n!docs/in/z.yaml\n"),
    "git-files-back": ({".sourceignore": "!.gitignore\n"}, {}, None),
    "a-link": ({}, {".sourceignore": "rules.txt"}, None),
    "a-link-inside": ({}, {"keep/.sourceignore": "../rules.txt"}, None),
    "a-link-through-a-link": ({}, {".sourceignore": "way/own", "way": "rules"}, None),
    "a-link-to-nothing": ({}, {".sourceignore": "nowhere"}, None),
    "a-link-over-nothing": ({}, {".sourceignore": "nowhere/../rules.txt"}, None),
    "a-link-to-a-folder": ({}, {".sourceignore": "docs"}, None),
    "a-linked-folder": ({"rules/.sourceignore": "own\n"}, {"keep-too": "rules"}, None),
    "a-part": ({".sourceignore": "*.md\n"}, {}, ["keep", "./docs/in"]),
    "a-part-with-ignore-file": ({".sourceignore": "*.md\n"}, {}, ["keep", ".sourceignore"]),
    "a-circle": ({}, {".sourceignore": ".sourceignore"}, None),
    "through-a-file": ({}, {".sourceignore": "a.yaml/x"}, None),
}


def source(name: str, url: str, told: str | list[str] | None) -> dict[str, Any]:
    spec: dict[str, Any] = {"interval": "1h", "url": url, "ref": {"branch": "main"}}
    if told is not None:
        spec["ignore" if isinstance(told, str) else "sparseCheckout"] = told
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": name, "namespace": "flux-system"},
        "spec": spec,
    }


def settled(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The sources by name, once each has an artifact or is known never to get one."""
    deadline = time.monotonic() + SETTLED_SECONDS
    while True:
        output = cluster.kubectl("get", "gitrepositories", "--namespace=flux-system", "--output=json")
        found = {item["metadata"]["name"]: item for item in json.loads(output)["items"]}
        refused = refused_names(cluster)
        if all(has_artifact(item) or name in refused for name, item in found.items()):
            return found
        assert time.monotonic() < deadline, json.dumps(
            [item.get("status") for item in found.values()], indent=1
        )
        time.sleep(0.2)


def refused_names(cluster: Cluster) -> set[str]:
    """The sources whose ignore files source-controller failed to read, which no condition says."""
    lines = [line for line in cluster.log("source-controller").splitlines() if REFUSAL in line]
    return {json.loads(line)["GitRepository"]["name"] for line in lines}


def all_folders(files: Iterable[str]) -> set[str]:
    return {str(folder) for path in files for folder in PurePosixPath(path).parents} - {"."}


def has_artifact(item: dict[str, Any]) -> bool:
    return "artifact" in item.get("status", {})


def packed(item: dict[str, Any]) -> set[str]:
    """The files and folders in the artifact of a source."""
    with urllib.request.urlopen(item["status"]["artifact"]["url"], timeout=30) as answer:
        content = io.BytesIO(answer.read())
    with tarfile.open(fileobj=content) as archive:
        return set(archive.getnames()) - {"."}


def test_the_artifact_holds_what_is_not_ignored(cluster: Cluster, tmp_path: Path) -> None:
    expected: dict[str, set[str] | None] = {}
    sources = []
    for name, (files, links, told) in CASES.items():
        repository = Repository.init(tmp_path / name)
        repository.write(FILES | files)
        for link, target in links.items():
            (repository.root / link).symlink_to(target)
        commit = repository.commit()
        cluster.push(repository.root, name)
        sources.append(source(name, cluster.git_url(name), told))
        git = repository.open()
        tree = Tree(git.ls_tree(git.tree_of(commit)), Blobs(git.read_blobs))
        seen = Fleet(tmp_path / "builds").graph(tree)
        kept = seen.seen_by(sight_of(sources[-1]["spec"])).tree
        # A folder that is left out is in the archive only by the files in it that are not.
        ignored = Ignored(seen.ignore_files.contents, told if isinstance(told, str) else None)
        whole = kept.oids if isinstance(told, list) else FILES | files
        folders = {path for path in all_folders(whole) if kept.is_folder(path) and not ignored.folder(path)}
        expected[name] = None if seen.ignore_files.broken else folders | set(kept.oids)
    listed = {"apiVersion": "v1", "kind": "List", "items": sources}
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(listed).encode())

    found_by_name = settled(cluster)
    actual = {name: packed(item) if has_artifact(item) else None for name, item in found_by_name.items()}
    cluster.kubectl("delete", "gitrepositories", "--all", "--namespace=flux-system")
    assert actual == expected
    assert [name for name, names in expected.items() if names is None] == ["a-circle", "through-a-file"]
