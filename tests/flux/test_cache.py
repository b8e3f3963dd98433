"""Cold, warm, moved or damaged: the cache changes what a plan costs, never what it says."""

from __future__ import annotations

import base64
import shutil
from typing import TYPE_CHECKING

import pytest

from sf.backends.flux.backend import FluxBackend
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.models import canonical_json
from sf.runtime import InvokerType, RuntimeContext
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tools

SECRET = "correct horse battery staple"
SYNC = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: flux-system}
spec: {interval: 1m, path: ./app, prune: true, sourceRef: {kind: GitRepository, name: flux-system}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app, namespace: shop}\ndata: {color: %s}\n"
    made = Repository.init(tmp_path / "fleet")
    made.commit({"cluster/app.yaml": SYNC, "app/settings.yaml": settings % "red"})
    made.commit({"app/settings.yaml": settings % "blue"})
    return made


def planned(repository: Repository, program_path: str, cache: Path | None) -> tuple[bytes, int]:
    """The bytes of a plan and how often kustomize ran for it."""
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
        plan = backend.plan(config, context)
        return canonical_json(plan.document()), backend.builds
    finally:
        backend.cleanup(context)
        context.workspace.close()


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
