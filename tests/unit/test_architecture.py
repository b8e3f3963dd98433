"""What the import linter cannot say: who may touch the outside, and that a start is light."""

from __future__ import annotations

import ast
import subprocess  # noqa: TID251 - a fresh interpreter shows what an import brings along
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import sf

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = Path(sf.__file__).parent
ONLY_IMPORTERS: Final = {
    "subprocess": {"process.py"},
    "tempfile": {"workspace.py"},
    # The kubernetes SDK lets the errors of urllib3 through, so its one user has to know them.
    "urllib3": {"http.py", "tools/kubernetes.py"},
    "docker": {"tools/docker.py"},
    "kubernetes": {"tools/kubernetes.py"},
    "yaml": {"documents.py"},
    "click": {"cli.py"},
}


def imports(file: Path) -> Iterator[str]:
    """The top-level name of every module that `file` imports at run time, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def importers(module: str) -> set[str]:
    return {str(file.relative_to(PACKAGE)) for file in PACKAGE.rglob("*.py") if module in set(imports(file))}


@pytest.mark.parametrize("module", ONLY_IMPORTERS)
def test_each_way_to_the_outside_has_one_importer(module: str) -> None:
    assert importers(module) <= ONLY_IMPORTERS[module]


def test_only_the_command_line_reads_the_environment_and_ends_the_process() -> None:
    for file in PACKAGE.rglob("*.py"):
        name = str(file.relative_to(PACKAGE))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                used = f"{node.value.id}.{node.attr}"
                assert used not in {"os.environ", "os.getenv"} or name == "cli.py", name
                assert used not in {"sys.exit", "os._exit"} or name in {"cli.py", "__main__.py"}, name


@pytest.mark.parametrize(
    ("module", "too_heavy"),
    [
        ("sf.__main__", ["click", "json", "dataclasses", "pydantic", "yaml"]),
        ("sf.cli", ["pydantic", "yaml", "docker", "kubernetes", "urllib3"]),
        ("sf.runtime", ["pydantic", "docker", "kubernetes", "urllib3"]),
        ("sf.backends", ["docker", "kubernetes"]),
    ],
)
def test_what_is_heavy_is_imported_late(module: str, too_heavy: list[str]) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(too_heavy) & set(done.stdout.split())
