"""What a plan of a Flux repository costs, as ratios that have to hold, all of them measured in one run.

CPU of whole process trees, medians of interleaved runs (7, but one of the slow opponents). Exits with 1 when a
ratio or a count misses its target. With `--write FILE` the tables go to a Markdown file as well.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import fleets
import homes
import opponent
from measure import RUNS, Command, Cost, medians, peak_memory

from sf import documents
from sf.backends.flux import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HERE: Final = Path(__file__).parent
BIN: Final = Path(sys.executable).parent
SIZES: Final = (100, 1000, 5000)
# Of what takes a minute and more.
SLOW_RUNS: Final = 1
#: A public repository that may lie beside the checkout, with the apps to change.
FIXTURE: Final = HERE.parents[1] / "shared" / "fixtures" / "home-cluster"
FIXTURE_APPS: Final = ("cluster/apps/default/bazarr/base", "cluster/apps/observability/gatus/base")
FIXTURE_PATH: Final = "cluster/base"
MIB: Final = 1024 * 1024


@dataclass
class Report:
    """Tables in Markdown, and the targets with what was measured."""

    runs: int
    lines: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        self.lines += lines
        print(*lines, sep="\n", flush=True)

    def measured(self, title: str, commands: Mapping[str, Command]) -> dict[str, Cost]:
        """The costs of `commands`, which also become a table."""
        found = medians(commands, self.runs)
        self.say("", f"## {title}", "", "| what | CPU, s | wall, s | runs |", "|---|---:|---:|---:|")
        self.say(
            *(
                f"| {name} | {cost.cpu:.3f} | {cost.wall:.2f} | {commands[name].runs or self.runs} |"
                for name, cost in found.items()
            )
        )
        self.say("")
        return found

    def target(self, what: str, value: float, limit: float, *, at_least: bool) -> None:
        holds = value >= limit if at_least else value <= limit
        sign = "at least" if at_least else "at most"
        self.say(f"- {'holds' if holds else '**missed**'}: {what}: {value:.2f} ({sign} {limit:g})")
        if not holds:
            self.missed.append(what)


class Subject:
    """A repository whose last two commits each change one app, and the commands that look at it."""

    def __init__(
        self, root: Path, scratch: Path, path: str, apps: tuple[str, str], *, is_patched: bool = False
    ) -> None:
        """`path`: where the cluster begins. `apps`: the folders of the apps that the two commits change.
        `is_patched`: Kustomizations have patches of their own.
        """
        self.is_patched = is_patched
        self.root = root
        self.path = path
        self.apps = apps
        self._scratch = scratch / f"{root.name}-caches"
        self.before, self.after = (scratch / f"{root.name}-{side}" for side in ("before", "after"))
        for tree, commit in ((self.before, "HEAD~1"), (self.after, "HEAD")):
            self._git("worktree", "add", "--quiet", "--detach", str(tree), commit)

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", str(self.root), *arguments], check=True, capture_output=True)

    def _environ(self, cache: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        return {**kept, "SF_CACHE_DIR": str(self._scratch / cache)}

    def sf(self, *arguments: str, cache: str, before: Callable[[], None] = lambda: None) -> Command:
        command = (str(BIN / "sf"), "-C", str(self.root), *arguments)
        return Command(command, self._environ(cache), before=before)

    def cold(self) -> Command:
        """A plan of the last commit without any cache."""
        empty = partial(shutil.rmtree, self._scratch / "cold", ignore_errors=True)
        return self.sf("plan", "--base", "HEAD~1", cache="cold", before=empty)

    def warm(self) -> Command:
        """The same plan with the cache of a run before it, that planned the commit before."""
        self.restore()
        return self.sf("plan", "--base", "HEAD~1", cache="warm", before=self.restore)

    def again(self) -> Command:
        """The same plan with the cache of the same plan."""
        self.restore()
        shutil.copytree(self._scratch / "warm", self._scratch / "again", dirs_exist_ok=True)
        command = self.sf("plan", "--base", "HEAD~1", cache="again")
        subprocess.run(command.argv, env=dict(command.environ), check=True, capture_output=True)
        return command

    def restore(self) -> None:
        """The cache as the plan of the commit before left it."""
        origin, warm = self._scratch / "origin", self._scratch / "warm"
        if not origin.exists():
            command = self.sf("plan", "--base", "HEAD~2", "--head", "HEAD~1", cache="origin")
            subprocess.run(command.argv, env=dict(command.environ), check=True, capture_output=True)
        shutil.rmtree(warm, ignore_errors=True)
        shutil.copytree(origin, warm)

    def floor(self, *folders: Path) -> Command:
        command = (sys.executable, str(HERE / "floor.py"), str(self.root), "HEAD~1", "HEAD")
        return Command((*command, *map(str, folders)), self._environ("none"))

    def floor_with_builds(self) -> Command:
        """The floor of `warm`: the changed app has to be built as it was and as it is."""
        return self.floor(*(self._merged(tree) for tree in (self.before, self.after)))

    def _merged(self, tree: Path) -> Path:
        """The folder of the changed app as it is built: with the patches of its parents where those have any, and
        with our schema, without which kustomize takes four times as long.
        """
        merged = tree / "merged"
        merged.mkdir(exist_ok=True)
        plain = (
            homes.MERGED.format(folder=self.apps[1])
            if self.is_patched
            else f"resources: [../{self.apps[1]}]\n"
        )
        (merged / "kustomization.yaml").write_text(plain + documents.dump(schema.declaration()))
        return merged

    def flux_local(self, program: Path, *arguments: str) -> Command:
        command = [str(program), *arguments, "--path", str(self.after / self.path)]
        return Command(tuple(command), self._environ("none"), runs=SLOW_RUNS)

    def flux_local_diff(self, program: Path, *arguments: str) -> Command:
        return self.flux_local(program, "diff", "ks", *arguments, "--path-orig", str(self.before / self.path))

    def grep(self) -> Command:
        text = "kustomize.toolkit.fluxcd.io/v"
        return Command(("git", "-C", str(self.root), "grep", "-l", text, "HEAD"), self._environ("none"))

    def rendering_everything(self) -> Command:
        script = (
            'for folder in "$0"/*/; do kustomize build --load-restrictor LoadRestrictionsNone "$folder"; done'
        )
        command = ("bash", "-euc", script, str(self.after / "apps"))
        return Command(command, self._environ("none"), runs=SLOW_RUNS)

    def counted(self, kind: Command) -> dict[str, Any]:
        """What `counting.py` says of the run that `kind` is."""
        kind.before()
        command = [sys.executable, str(HERE / "counting.py"), str(self.root), "HEAD~1", "HEAD"]
        done = subprocess.run(command, env=dict(kind.environ), check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def against_flux_local(report: Report, subject: Subject, title: str) -> None:
    program = opponent.installed()
    namespace, name = subject.apps[1].split("/")[2:4]
    commands = {
        "sf plan, cold": subject.cold(),
        "sf plan, cache of the plan before": subject.warm(),
        "sf plan, again": subject.again(),
        "floor of a warm plan": subject.floor_with_builds(),
        "floor of a plan again": subject.floor(),
        "flux-local get ks -A": subject.flux_local(program, "get", "ks", "-A"),
        "flux-local diff ks -A": subject.flux_local_diff(program, "-A"),
        "flux-local diff ks, told which": subject.flux_local_diff(program, name, "--namespace", namespace),
    }
    found = report.measured(title, commands)
    cold, warm, again, warm_floor, again_floor, get, diff, told = (cost.cpu for cost in found.values())
    report.target("CPU of flux-local diff ks -A over a cold plan", diff / cold, 40, at_least=True)
    report.target("CPU of flux-local diff ks -A over a warm plan", diff / warm, 60, at_least=True)
    report.target("CPU of a warm plan over its floor", warm / warm_floor, 1.5, at_least=False)
    report.target("CPU of a plan again over its floor", again / again_floor, 1.5, at_least=False)
    report.say(
        f"- for information: flux-local get and diff together over a cold plan: {(get + diff) / cold:.1f}; "
        f"told which one changed, over a cold plan {told / cold:.1f}, a warm one {told / warm:.1f}, "
        f"the same again {told / again:.1f}"
    )
    shares(report, subject)


def shares(report: Report, subject: Subject) -> None:
    """Who takes the CPU."""
    report.say(
        "", "| plan | sf itself | git | kustomize | builds | objects read |", "|---|---:|---:|---:|---:|---:|"
    )
    for name, kind in (("cold", subject.cold()), ("warm", subject.warm()), ("again", subject.again())):
        counted = subject.counted(kind)
        cpu = counted["cpu"]
        whole = sum(cpu.values())
        parts = (f"{100 * cpu.get(program, 0) / whole:.0f} %" for program in ("sf", "git", "kustomize"))
        report.say(f"| {name} | {' | '.join(parts)} | {counted['builds']} | {counted['reads']} |")


def growth(report: Report, subjects: Mapping[int, Subject]) -> None:
    large = subjects[1000]
    commands: dict[str, Command] = {}
    for size, subject in subjects.items():
        commands[f"sf plan, warm, {size:,}"] = subject.warm()
        commands[f"sf plan, again, {size:,}"] = subject.again()
    commands["sf plan, cold, 1,000"] = large.cold()
    commands["floor of a warm plan, 1,000"] = large.floor_with_builds()
    commands["floor of a plan again, 1,000"] = large.floor()
    commands["git grep -l, 1,000"] = large.grep()
    commands["kustomize build of every app, 1,000"] = large.rendering_everything()
    found = report.measured("Generated fleets", commands)
    cpu = {name: cost.cpu for name, cost in found.items()}
    everything = cpu["kustomize build of every app, 1,000"]
    for kind in ("cold", "warm"):
        ratio = everything / cpu[f"sf plan, {kind}, 1,000"]
        report.target(f"CPU of rendering everything over a {kind} plan, 1,000", ratio, 30, at_least=True)
    for kind in ("warm", "again"):
        small, big = (cpu[f"sf plan, {kind}, {size}"] for size in ("100", "1,000"))
        report.target(f"CPU growth of a plan from 100 to 1,000, {kind}", big / small, 2, at_least=False)
    warm, again = (cpu[f"sf plan, {kind}, 1,000"] for kind in ("warm", "again"))
    floors = cpu["floor of a warm plan, 1,000"], cpu["floor of a plan again, 1,000"]
    report.target("CPU of a warm plan over its floor, 1,000", warm / floors[0], 1.5, at_least=False)
    report.target("CPU of a plan again over its floor, 1,000", again / floors[1], 1.5, at_least=False)
    report.say(
        f"- for information: a warm plan over `git grep -l`, 1,000: {warm / cpu['git grep -l, 1,000']:.1f}"
    )
    shares(report, large)
    counts(report, subjects)


def counts(report: Report, subjects: Mapping[int, Subject]) -> None:
    report.say("", "| Kustomizations | builds, warm | objects read, warm |", "|---:|---:|---:|")
    seen = set()
    for size, subject in subjects.items():
        counted = subject.counted(subject.warm())
        seen.add((counted["builds"], counted["reads"]))
        report.say(f"| {size:,} | {counted['builds']} | {counted['reads']} |")
    report.say("")
    report.target("different counts of builds and objects read", len(seen), 1, at_least=False)


def memory(report: Report, kinds: Mapping[str, Command]) -> None:
    report.say("", "## Memory of all processes at once", "", "| plan | MiB |", "|---|---:|")
    peaks = {name: peak_memory(kind) / MIB for name, kind in kinds.items()}
    report.say(*(f"| {name} | {peak:.0f} |" for name, peak in peaks.items()), "")
    report.target("most MiB in memory", max(peaks.values()), 300, at_least=False)


def machine() -> str:
    versions = {
        "Python": platform.python_version(),
        "git": _said("git", "--version").removeprefix("git version "),
        "kustomize": _said("kustomize", "version"),
        "flux": _said("flux", "--version").removeprefix("flux version "),
        "flux-local": opponent.version(),
    }
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    today = dt.datetime.now(tz=dt.UTC).date()
    return f"{today}, {os.cpu_count()} cores, {pages // 1024**3} GiB; {listed}."


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def home(scratch: Path) -> Subject:
    root = scratch / "home"
    homes.make(root)
    first, second = (f"cluster/apps/{namespace}/{name}/app" for namespace, name in homes.CHANGED)
    return Subject(root, scratch, homes.PATH, (first, second), is_patched=True)


def fixture(scratch: Path) -> Subject:
    """The public repository with a change of one app, and of another one."""
    root = scratch / "fixture"
    shutil.copytree(FIXTURE, root, symlinks=True)
    subprocess.run(["chmod", "-R", "u+w", str(root)], check=True)
    (root / ".stagefreight.yml").write_text(
        f"lifecycle: {{mode: gitops}}\ngitops: {{path: {FIXTURE_PATH}}}\n"
    )
    fleets.begin(root)
    for folder in FIXTURE_APPS:
        release = root / folder / "helmrelease.yaml"
        release.write_text(release.read_text().replace("interval: 1h", "interval: 2h"))
        fleets.commit(root, f"look after {folder} less often")
    return Subject(root, scratch, FIXTURE_PATH, FIXTURE_APPS, is_patched=True)


def fleet(scratch: Path, size: int) -> Subject:
    root = scratch / f"fleet-{size}"
    root.mkdir()
    fleets.make(root, size)
    return Subject(
        root, scratch, "cluster", (f"apps/{fleets.name_of(size // 3)}", f"apps/{fleets.name_of(size // 2)}")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables to this file as well")
    parser.add_argument(
        "--only", choices=("home", "fixture", "fleets"), help="measure one kind of repository"
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="how often, except of the slow opponents")
    options = parser.parse_args()
    # It would have every start of Python read and compile its sources.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    report = Report(options.runs)
    report.say(machine())
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        kinds: dict[str, Command] = {}
        if options.only in (None, "home"):
            subject = home(scratch)
            against_flux_local(report, subject, "A repository of 81 Kustomizations, generated")
            kinds["home, cold"] = subject.cold()
        if FIXTURE.is_dir() and options.only in (None, "fixture"):
            subject = fixture(scratch)
            against_flux_local(report, subject, "A public repository of 84 Flux files")
            kinds["the public one, cold"] = subject.cold()
        if options.only in (None, "fleets"):
            subjects = {size: fleet(scratch, size) for size in SIZES}
            growth(report, subjects)
            for size, subject in subjects.items():
                kinds[f"{size:,}, warm"] = subject.warm()
            kinds["1,000, cold"] = subjects[1000].cold()
        memory(report, kinds)
    report.say("", *(f"missed: {what}" for what in report.missed))
    if options.write:
        options.write.write_text("# What a plan costs\n\n" + "\n".join(report.lines).strip() + "\n")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
