"""Repositories of compose stacks of any size, for benchmarks: spread evenly over hosts, two services each."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG: Final = """\
lifecycle: {mode: docker}
docker:
  targets: {inventory: inventory.yml}
  ssh: {known_hosts: known_hosts}
"""
STACK: Final = """\
services:
  web:
    image: busybox:1.36
    command: [sh, -c, 'sleep {seconds}; touch /tmp/ready; exec httpd -f -p 8080 -h /www']
    stop_grace_period: 0s
    init: true
    environment: {{LEVEL: "${{LEVEL}}", NAME: {name}}}
    env_file: [web.env]
    volumes: ["./html:/www:ro"]
    configs: [{{source: httpd, target: /etc/httpd.conf}}]
    labels: {{team: "{name}"}}
    healthcheck:
      test: [CMD, test, -e, /tmp/ready]
      interval: 1s
      start_period: 60s
      start_interval: 500ms
  worker:
    image: busybox:1.36
    command: [sleep, "100000"]
    init: true
    stop_grace_period: 0s
    depends_on: [web]
    deploy: {{resources: {{limits: {{memory: 64M}}}}}}
configs:
  httpd: {{file: ./httpd.conf}}
"""
_ENVIRON: Final = {
    "PATH": os.defpath,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.test",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.test",
}


def make(
    root: Path, hosts: Mapping[str, str], known_hosts: str, count: int, *, seconds: float = 0
) -> list[tuple[str, str]]:
    """A repository of `count` stacks at `root`; returns the host and the name of each.

    `hosts` are the facts of each host as YAML knows them. `seconds` is how long a stack takes to get healthy.
    """
    names = list(hosts)
    stacks = [(names[number % len(names)], f"app{number:03}") for number in range(count)]
    facts = "".join(f"    {name}: {stated}\n" for name, stated in hosts.items())
    _write(root, {".stagefreight.yml": CONFIG, "known_hosts": known_hosts})
    _write(root, {"inventory.yml": f"all:\n  hosts:\n{facts}"})
    for host, name in stacks:
        files = {
            "compose.yaml": STACK.format(name=name, seconds=seconds),
            ".env": "LEVEL=1\n",
            "web.env": f"GREETING=hello from {name}\n",
            "httpd.conf": "A:*\n",
            "html/index.html": f"<h1>{name}</h1>\n",
        }
        _write(root / "docker-compose" / host / name, files)
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root, "an estate")
    return stacks


def change(root: Path, host: str, name: str, text: str) -> None:
    """One more commit, in which one stack says `text`."""
    _write(root / "docker-compose" / host / name, {"web.env": f"GREETING={text}\n"})
    commit(root, f"{name} says {text}")


def commit(root: Path, message: str) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, env=_ENVIRON, check=True)


def _write(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
