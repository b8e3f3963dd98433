"""`floor.py REPOSITORY BASE HEAD [FOLDER...]`: what no plan can do without, and nothing else.

The interpreter with what a plan imports; the questions to git (where, which commits and trees, is anything not
committed, what is in the trees, the content of what is built); the version of kustomize; a build of each FOLDER.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Final

# With all that they import.
IMPORTED: Final = (
    "sf.cli",
    "sf.session",
    "sf.config",
    "sf.ci.local",
    "sf.backends.flux.backend",
    "sf.changes.danger",
)


def main() -> None:
    repository, base, head, *folders = sys.argv[1:]
    for name in IMPORTED:
        importlib.import_module(name)

    def git(*arguments: str, stdin: str = "") -> str:
        command = ["git", "-C", repository, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, input=stdin).stdout

    git("--version")
    git("config", "--list", "--name-only", "-z")
    git("rev-parse", "--absolute-git-dir", "--is-bare-repository", "--show-toplevel")
    git("for-each-ref", "--format=%(refname) %(symref)", "refs/heads/main")
    git("status", "--porcelain", "-z", "--untracked-files=normal")
    for revision in (base, head):
        commit = git("rev-parse", "--verify", f"{revision}^{{commit}}").strip()
        git("ls-tree", "-r", "-t", "-z", git("rev-parse", f"{commit}^{{tree}}").strip())
    if folders:
        git("cat-file", "--batch", stdin=f"{head}:.stagefreight.yml\n")
    subprocess.run(["kustomize", "version"], check=True, capture_output=True)
    for folder in folders:
        command = ["kustomize", "build", "--load-restrictor", "LoadRestrictionsNone", folder]
        subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
