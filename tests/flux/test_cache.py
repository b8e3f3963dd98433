"""Cold, warm, moved or damaged: the cache changes what a plan costs, never what it says."""

from __future__ import annotations

import base64
import shutil
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.backend import FluxBackend
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.models import canonical_json
from sf.runtime import InvokerType, RuntimeContext
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sf.models import LifecyclePlan

pytestmark = pytest.mark.tools

SECRET = "correct horse battery staple"
SYNC = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec: {interval: 1m, path: ./app, prune: true, sourceRef: {kind: GitRepository, name: flux-system}}
"""
SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: app, namespace: shop}
data: {color: "%s"}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.init(tmp_path / "fleet")
    made.commit({"cluster/app.yaml": SYNC, "app/settings.yaml": SETTINGS % "red"})
    made.commit({"app/settings.yaml": SETTINGS % "blue"})
    return made


@contextmanager
def planning(
    repository: Repository, program_path: str, cache: Path | None
) -> Iterator[tuple[FluxBackend, LifecyclePlan]]:
    environ = {"PATH": program_path, **({"SF_CACHE_DIR": str(cache)} if cache else {})}
    context = RuntimeContext(
        ci=CIContext(provider=Provider.GITHUB, event=EventKind.UNKNOWN, trust=Trust.UNTRUSTED),
        invoker=InvokerType.API,
        repo_root=repository.root,
        dry_run=True,
        environ=environ,
        base="HEAD~1",
    )
    config = load_config(b"lifecycle: {mode: gitops}\ngitops: {path: cluster}\n")
    backend = FluxBackend()
    try:
        backend.validate(config, context)
        yield backend, backend.plan(config, context)
    finally:
        backend.cleanup(context)
        context.workspace.close()


def planned(repository: Repository, program_path: str, cache: Path | None) -> tuple[bytes, int]:
    """The bytes of a plan and how often kustomize ran for it."""
    with planning(repository, program_path, cache) as (backend, plan):
        return canonical_json(plan.document()), backend.builds


def test_a_warm_cache_saves_every_build_and_changes_no_byte(
    repository: Repository, program_path: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    without, _ = planned(repository, program_path, None)
    cold, cold_builds = planned(repository, program_path, cache)
    warm, warm_builds = planned(repository, program_path, cache)
    shutil.move(cache, tmp_path / "elsewhere")
    moved, moved_builds = planned(repository, program_path, tmp_path / "elsewhere")
    assert without == cold == warm == moved
    assert (cold_builds, warm_builds, moved_builds) == (3, 0, 0)


def test_a_warm_cache_saves_every_look_into_a_file(
    repository: Repository, program_path: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    reads = []
    for _ in range(2):
        with planning(repository, program_path, cache) as (backend, _):
            reads.append(backend.reads)
    assert reads[0] > 0
    assert reads[1] == 0


def test_what_is_known_of_files_helps_the_next_commit(
    repository: Repository, program_path: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    planned(repository, program_path, cache)
    changed = SETTINGS % "green"
    repository.commit({"app/settings.yaml": changed, "cluster/more.yaml": SYNC.replace("app", "more")})
    repository.commit({"more/settings.yaml": changed})
    warm, _ = planned(repository, program_path, cache)
    without, _ = planned(repository, program_path, None)
    assert warm == without


def test_a_secret_among_many_objects_costs_no_build_of_them_for_the_graph(
    repository: Repository, program_path: str, tmp_path: Path
) -> None:
    """The build of a secret is kept without it, and made again where a variable is taken from it."""
    encoded = base64.b64encode(b"blue").decode()
    metadata = "metadata: {name: s, namespace: flux-system}"
    secret = f"apiVersion: v1\nkind: Secret\n{metadata}\ndata: {{color: {encoded}}}\n"
    uses = (
        SYNC.replace("name: app,", "name: uses,")
        .replace("prune: true", "prune: true, postBuild: {substituteFrom: [{kind: Secret, name: s}]}")
        .replace("./app", "./uses")
    )
    repository.commit(
        {
            "cluster/uses.yaml": uses,
            "cluster/secret.yaml": secret,
            "uses/settings.yaml": SETTINGS % "${color}",
        }
    )
    repository.commit({"uses/settings.yaml": SETTINGS % "light-${color}"})
    cache = tmp_path / "cache"
    without, _ = planned(repository, program_path, None)
    cold, builds = planned(repository, program_path, cache)
    warm, again = planned(repository, program_path, cache)
    assert without == cold == warm
    assert b"light-blue" in cold
    # The one with the Secret and, on both sides, the one that takes variables from it.
    assert (builds, again) == (3, 3)
    kept = b"".join(zlib.decompress(entry.read_bytes()[32:]) for entry in cache.rglob("*.*"))
    assert encoded.encode() not in kept
    assert b"light-blue" not in kept


def test_what_only_the_cluster_knows_is_kept_as_unknown(
    repository: Repository, program_path: str, tmp_path: Path
) -> None:
    uses = SYNC.replace("prune: true", "prune: true, postBuild: {substituteFrom: [{kind: Secret, name: s}]}")
    repository.commit({"cluster/app.yaml": uses, "app/settings.yaml": SETTINGS % "${color}"})
    repository.commit({"app/settings.yaml": SETTINGS % "light-${color}"})
    cache = tmp_path / "cache"
    cold, _ = planned(repository, program_path, cache)
    assert planned(repository, program_path, cache) == (cold, 0)
    assert b"the values of color are only in the cluster" in cold


def test_a_damaged_cache_costs_builds_only(repository: Repository, program_path: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cold, builds = planned(repository, program_path, cache)
    for entry in cache.rglob("*.*"):
        entry.write_bytes(entry.read_bytes()[:-1])
    assert planned(repository, program_path, cache) == (cold, builds)


def test_nothing_secret_is_kept(repository: Repository, program_path: str, tmp_path: Path) -> None:
    encoded = base64.b64encode(SECRET.encode()).decode()
    secret = (
        f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: shop}}\ndata: {{key: {encoded}}}\n"
    )
    repository.commit({"app/secret.yaml": secret})
    cache = tmp_path / "cache"
    _, builds = planned(repository, program_path, cache)
    _, again = planned(repository, program_path, cache)
    assert builds == 3
    # The one build with a Secret in it is made anew each time.
    assert again == 1
