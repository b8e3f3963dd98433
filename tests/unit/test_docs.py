"""Documents that are made from the code stay what the code says. `make golden` writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sf.ci.neutral import VARIABLES
from sf.config import reference
from sf.models import pretty_json
from sf.report.reading import plan_schema

if TYPE_CHECKING:
    from collections.abc import Callable

# From this folder to the documents.
DOCS: Final = "../../docs"
CONFIGURATION: Final = """\
# Configuration

sf reads `.stagefreight.yml` in the root of the repository. Sections and keys that belong to other features of
StageFreight are left alone; inside the sections below an unknown key is an error that names the nearest one.
`sf config validate` names everything that is wrong, `sf config schema` prints a JSON Schema for editors.

Each key can be overridden by the environment variable beside it. Keys that hold text take its value as it is, all
others read it as YAML; an empty variable counts as not set.

"""
VARIABLES_TABLE: Final = """\
# Variables

These describe a run on a CI that sf does not know, or correct what it found out. Each one that is set and not
empty replaces one fact; trust can only be lowered.

| Variable | Meaning |
|---|---|
"""


def test_the_table_of_configuration_keys(golden: Callable[[str, bytes], None]) -> None:
    golden(f"{DOCS}/configuration.md", (CONFIGURATION + reference().rstrip() + "\n").encode())


def test_the_table_of_neutral_variables(golden: Callable[[str, bytes], None]) -> None:
    rows = "".join(f"| `{name}` | {variable.meaning} |\n" for name, variable in VARIABLES.items())
    golden(f"{DOCS}/variables.md", (VARIABLES_TABLE + rows).encode())


def test_the_schema_of_plans(golden: Callable[[str, bytes], None]) -> None:
    golden(f"{DOCS}/plan.schema.json", pretty_json(plan_schema()))


def test_every_link_between_documents_leads_somewhere() -> None:
    root = Path(__file__).parents[2]
    for file in (root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")):
        for target in file.read_text().split("](")[1:]:
            path = target.split(")")[0].split("#")[0]
            if path and "://" not in path:
                assert (file.parent / path).exists(), f"{file.name}: {path}"
