"""Flux repositories of any size, for benchmarks: one cluster, a Kustomization for every app, shared bases."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYNC: Final = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: flux-system, namespace: flux-system}
spec: {interval: 1m, url: "https://git.example.com/acme/fleet"}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: flux-system, namespace: flux-system}
spec:
  interval: 10m
  path: ./cluster
  prune: true
  sourceRef: {kind: GitRepository, name: flux-system}
"""
RELEASE: Final = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}, namespace: flux-system}}
spec:
  interval: 10m
  path: ./apps/{name}
  prune: true
  sourceRef: {{kind: GitRepository, name: flux-system}}
  {depends}
"""
APP: Final = """\
resources: [../../bases/{base}, settings.yaml]
namespace: {name}
patches:
  - target: {{kind: Deployment}}
    patch: |
      - {{op: replace, path: /spec/replicas, value: 2}}
"""
SETTINGS: Final = """\
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{color: {color}, name: {name}}}
"""
DEPLOYMENT: Final = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: "ghcr.io/example/{base}:1.0.0"}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}
"""
_BASES: Final = 10
_ENVIRON: Final = {
    "PATH": os.defpath,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.test",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.test",
}


def make(root: Path, apps: int) -> None:
    """A repository with `apps` Kustomizations at `root`; its last two commits each change the settings of one."""
    for path, text in _files(apps):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    begin(root)
    for changed in (name_of(apps // 3), name_of(apps // 2)):
        (root / f"apps/{changed}/settings.yaml").write_text(SETTINGS.format(color="blue", name=changed))
        commit(root, f"another color for {changed}")


def begin(root: Path) -> None:
    """Make a repository of the folder `root`, with one commit of all that is in it."""
    _git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, "a fleet")


def commit(root: Path, message: str) -> None:
    """Commit all that changed below `root`."""
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--message", message)


def _files(apps: int) -> Iterator[tuple[str, str]]:
    yield ".stagefreight.yml", "lifecycle: {mode: gitops}\ngitops: {path: cluster}\n"
    yield "cluster/sync.yaml", SYNC
    names = [name_of(number) for number in range(apps)]
    listed = "".join(f"  - ../releases/{name}.yaml\n" for name in names)
    yield "cluster/kustomization.yaml", f"resources:\n  - sync.yaml\n{listed}"
    for base in range(_BASES):
        yield f"bases/base-{base}/kustomization.yaml", "resources: [deployment.yaml]\n"
        yield f"bases/base-{base}/deployment.yaml", DEPLOYMENT.format(base=f"base-{base}")
    for number, name in enumerate(names):
        depends = f"dependsOn: [{{name: {names[number - 1]}}}]" if number % 10 else "wait: true"
        yield f"releases/{name}.yaml", RELEASE.format(name=name, depends=depends)
        yield f"apps/{name}/kustomization.yaml", APP.format(name=name, base=f"base-{number % _BASES}")
        yield f"apps/{name}/settings.yaml", SETTINGS.format(color="red", name=name)


def name_of(number: int) -> str:
    """The app with this number; its folder is `apps/<name>`."""
    return f"app-{number:04}"


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, env=_ENVIRON, check=True)
