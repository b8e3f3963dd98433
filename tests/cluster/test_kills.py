"""Signals at named points of a run that executes, and what other programs could see of it meanwhile."""

from __future__ import annotations

import shutil
import threading
import time
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import TYPE_CHECKING, Final

import pytest

from sf import documents
from tests.cli.command import BARE_PATH, Command, document
from tests.cluster.flux import Fleet, deployment
from tests.cluster.forge import SECRET, TokenEndpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cli.command import Running
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

# A runner of GitHub kills 10 s after its first signal.
SOON: Final = 9.0
SLEEP: Final = shutil.which("sleep")


class Killed:
    """A fleet and a command to reconcile it with, that is stopped at some point."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.fleet = Fleet(cluster, folder)
        self.fleet.begin(
            self.fleet.app("web", wait=True, timeout="5m"),
            {".stagefreight.yml": documents.dump(self.fleet.settings())},
        )
        (folder / "command").mkdir()
        path = f"{cluster.environment['PATH']}:{BARE_PATH}"
        self.command = Command(
            folder / "command", path, STAGEFREIGHT_OIDC=cluster.token(self.fleet.user, seconds=3600)
        )

    def change(self, *files: Mapping[str, str]) -> str:
        commit = self.fleet.commit(*files)
        self.fleet.push()
        return commit

    def start(self, **environ: str) -> Running:
        return self.command.start("reconcile", "--base", "HEAD~1", cwd=self.fleet.repository.root, **environ)

    def hanging(self, program: str, pattern: str) -> str:
        """A PATH on which `program` hangs when its arguments match `pattern`, and says so by a file."""
        shutil.rmtree(self.command.root / "fakes", ignore_errors=True)
        real = shutil.which(program, path=self.command.environ["PATH"])
        script = f'case "$*" in {pattern}) : >{self.reached}; exec {SLEEP} 300;; esac\nexec {real} "$@"'
        return self.command.path_with(program, script)

    @property
    def reached(self) -> Path:
        return self.command.root / "reached"

    def stop(self, running: Running, signum: Signals) -> None:
        """Signal the run: it ends, and nothing of it is left, be it after the next start."""
        running.send(signum)
        ended, seconds = running.ended()
        assert seconds < SOON
        patience = time.monotonic() + SOON
        while list(self.command.children()):
            assert time.monotonic() < patience, list(self.command.children())
            time.sleep(0.01)
        if signum is SIGKILL:
            assert ended.code == -SIGKILL
        else:
            assert ended.code == 128 + signum, ended
            self.command.left_nothing()

    def converges(self, commit: str) -> None:
        ended = self.command("reconcile", "--base", "HEAD~1", cwd=self.fleet.repository.root)
        assert ended.code == 0, ended
        assert self.fleet.is_live("web", commit)


@pytest.fixture(scope="module")
def killed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    return Killed(cluster, tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize("signum", [SIGINT, SIGTERM, SIGKILL])
@pytest.mark.parametrize(
    ("phase", "program", "pattern"),
    [
        ("validate", "kustomize", "version"),
        # The builds that find the Kustomizations, and with those in the cache the one of what changed.
        ("prepare", "kustomize", "build*"),
        ("plan", "kustomize", "build*"),
        ("execute", "kubectl", "*annotate*gitrepositories*"),
        ("execute", "kubectl", "*annotate*kustomizations*"),
    ],
)
def test_at_a_program(killed: Killed, signum: Signals, *, phase: str, program: str, pattern: str) -> None:
    shutil.rmtree(killed.command.home / ".cache", ignore_errors=True)
    if phase == "plan":
        killed.command("plan", "--base", "HEAD", cwd=killed.fleet.repository.root)
    commit = killed.change(killed.fleet.content("web", f"{signum.name} {phase} {pattern}"))
    killed.reached.unlink(missing_ok=True)
    running = killed.start(PATH=killed.hanging(program, pattern))
    running.wait_for(killed.reached.exists)
    killed.stop(running, signum)
    if signum is not SIGKILL:
        failure = document(killed.fleet.repository.root, "result.json")["failure"]
        assert (failure["phase"], failure["message"]) == (phase, "the run was interrupted")
    killed.converges(commit)


@pytest.mark.parametrize("signum", [SIGINT, SIGTERM, SIGKILL])
def test_while_waiting_for_health(killed: Killed, signum: Signals) -> None:
    name = signum.name.lower()
    commit = killed.change({f"apps/web/{name}.yaml": deployment(name)})
    running = killed.start()
    running.wait_for(lambda: running.says("Running health checks"))
    killed.stop(running, signum)
    if signum is not SIGKILL:
        [action] = document(killed.fleet.repository.root, "result.json")["actions"]
        assert (action["outcome"], action["message"]) == (
            "interrupted",
            "the run was stopped; Flux goes on by itself",
        )
    killed.fleet.make_ready(name)
    killed.converges(commit)


def test_no_program_of_a_run_sees_a_secret(killed: Killed) -> None:
    commit = killed.change(killed.fleet.content("web", "unseen"))
    killed.fleet.grant("main")
    seen: dict[str, set[str]] = {}
    over = threading.Event()

    def look(own: int) -> None:
        started = next(arguments for pid, _, arguments in killed.command.children() if pid == own)
        while not over.is_set():
            for pid, environ, arguments in killed.command.children():
                # Between fork and exec a child is still the run itself.
                if pid != own and arguments != started:
                    text = "\0".join([*arguments, *environ, *environ.values()])
                    seen.setdefault(arguments[0].rpartition("/")[2], set()).add(text)

    with TokenEndpoint(killed.fleet.cluster, delay=0.3) as forge:
        oidc = {"SF_CONFIG_GITOPS__OIDC__AUDIENCE": killed.fleet.cluster.audience}
        running = killed.start(STAGEFREIGHT_OIDC="", **oidc, **forge.environ)
        watcher = threading.Thread(target=look, args=(running.process.pid,))
        watcher.start()
        try:
            ended, _ = running.ended()
        finally:
            over.set()
            watcher.join()
        assert ended.code == 0, ended
        # The one asks for a token, and the other is asked by it.
        assert {"kubectl", "python"} <= seen.keys()
        for text in set().union(*seen.values()):
            assert SECRET not in text
            assert not any(token in text for token in forge.issued)
    assert killed.fleet.is_live("web", commit)
