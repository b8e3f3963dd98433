"""How long it takes until 50 Kustomizations in 5 waves are live: sf against what is usual, and what is possible.

On one cluster, one commit after the other, each of which changes all of them:

- `sf reconcile`: the whole of it, and its phase execute alone;
- the serial order: for one after the other `flux reconcile source git` and `flux reconcile kustomization`, all
  measured, none extrapolated;
- the bare minimum: the source, and then each wave, asked with one plain `kubectl annotate` and watched until
  ready.

Neither of the others plans anything, so what is compared with them is the phase execute.

Exits with 1 when sf is not so much faster than the first, or not so close to the second, as it has to be.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import fleets

from toolchain.cluster import AUDIENCE, Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WAVES: Final = 5
WIDTH: Final = 10
RUNS: Final = 3
LEAST_FASTER: Final = 8.0
MOST_SLOWER: Final = 1.5
NAMESPACE: Final = "flux-system"
SF: Final = Path(sys.executable).parent / "sf"
ENVIRON: Final = {"PATH": os.defpath, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class Bench:
    def __init__(self, cluster: Cluster, root: Path) -> None:
        self.cluster = cluster
        self.root = root
        self.commits = 0
        self.phases: list[dict[str, float]] = []
        self.waves = fleets.make_waves(root, cluster.git_url("fleet"), WAVES, WIDTH)
        self.names = [name for wave in self.waves for name in wave]
        self.push()
        sync = root / "cluster/sync.yaml"
        self.kubectl("apply", f"--filename={sync}")
        self.wait(["flux-system", *self.names])

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl(f"--namespace={NAMESPACE}", *arguments)

    def push(self) -> str:
        self.commit = self.cluster.push(self.root, "fleet")
        return self.commit

    def change(self) -> None:
        """Commit and push another color for every app."""
        self.commits += 1
        fleets.paint(self.root, self.names, f"color-{self.commits}")
        self.push()

    def wait(self, names: Iterable[str]) -> None:
        """Until all have applied the commit, which they say once they are ready. `kubectl wait` watches."""
        revision = f"--for=jsonpath={{.status.lastAppliedRevision}}=main@sha1:{self.commit}"
        self.kubectl("wait", "--timeout=600s", revision, *(f"kustomization/{name}" for name in names))

    def annotate(self, *objects: str) -> None:
        self.kubectl("annotate", "--overwrite", *objects, f"reconcile.fluxcd.io/requestedAt={time.time()}")

    def bare(self) -> None:
        self.annotate("gitrepository/flux-system")
        self.kubectl(
            "wait",
            "--timeout=600s",
            f"--for=jsonpath={{.status.artifact.revision}}=main@sha1:{self.commit}",
            "gitrepository/flux-system",
        )
        for wave in self.waves:
            self.annotate(*(f"kustomization/{name}" for name in wave))
            self.wait(wave)

    def serial(self) -> None:
        for name in self.names:
            self.flux("source", "git", "flux-system")
            self.flux("kustomization", name)

    def flux(self, *arguments: str) -> None:
        subprocess.run(
            ["flux", "reconcile", *arguments, f"--namespace={NAMESPACE}"],
            env=self.cluster.environment,
            check=True,
            capture_output=True,
        )

    def sf(self) -> None:
        config = {
            "lifecycle": {"mode": "gitops"},
            "gitops": {
                "path": "cluster",
                "cluster": {"name": "bench", "server": self.cluster.server, "ca": self.cluster.ca},
                "oidc": {"audience": AUDIENCE},
            },
        }
        (self.root / ".stagefreight.yml").write_text(json.dumps(config))
        done = subprocess.run(
            [SF, "-C", self.root, "reconcile", "--base", "HEAD~1", "--no-diffs"],
            env={
                **ENVIRON,
                "PATH": f"{self.cluster.environment['PATH']}:{os.defpath}",
                "HOME": self.cluster.environment["HOME"],
                "STAGEFREIGHT_OIDC": self.cluster.token("bench", ["system:masters"]),
            },
            check=False,
            capture_output=True,
            text=True,
        )
        if (
            done.returncode
            or f"{len(self.names)} of {len(self.names)} at the planned commit" not in done.stdout
        ):
            sys.exit(done.stdout + done.stderr)
        self.phases.append(json.loads((self.root / "sf-out/result.json").read_text())["timings"])


def seconds(prepare: Callable[[], None], act: Callable[[], None]) -> float:
    prepare()
    started = time.monotonic()
    act()
    taken = time.monotonic() - started
    print(f"{act.__name__}: {taken:.2f} s", file=sys.stderr)
    return taken


def main() -> int:
    with Cluster.start("bench") as cluster, tempfile.TemporaryDirectory() as folder:
        cluster.kubectl(
            "create", "clusterrolebinding", "bench", "--clusterrole=cluster-admin", "--user=ci:bench"
        )
        bench = Bench(cluster, Path(folder) / "fleet")
        taken: dict[str, list[float]] = {"sf reconcile": [], "bare minimum": []}
        for _ in range(RUNS):
            taken["sf reconcile"].append(seconds(bench.change, bench.sf))
            taken["bare minimum"].append(seconds(bench.change, bench.bare))
        taken["its phase execute"] = [timings["execute"] for timings in bench.phases]
        taken["one after the other"] = [seconds(bench.change, bench.serial)]
    median = {name: statistics.median(values) for name, values in taken.items()}
    for name, values in taken.items():
        print(f"{median[name]:8.2f} s  {name}, {len(bench.names)} in {WAVES} waves ({len(values)} runs)")
    faster = median["one after the other"] / median["its phase execute"]
    slower = median["its phase execute"] / median["bare minimum"]
    print(f"{faster:8.2f} times as fast as one after the other, at least {LEAST_FASTER:g}")
    print(f"{slower:8.2f} times the bare minimum, at most {MOST_SLOWER:g}")
    return 0 if faster >= LEAST_FASTER and slower <= MOST_SLOWER else 1


if __name__ == "__main__":
    sys.exit(main())
