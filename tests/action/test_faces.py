"""The command line, the action, the template and the documents say the same."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf import documents
from sf.cli import cli
from sf.config import reference
from sf.models import Record
from sf.report.outputs import values

if TYPE_CHECKING:
    from types import ModuleType

    import click

ROOT: Final = Path(__file__).parents[2]
# The commands that a job runs; each option of one of them is an input.
COMMANDS: Final = ("run", "plan", "reconcile", "report")
# Inputs that are no options, and why.
BEYOND: Final = {
    "command": "chooses the command",
    "token": "is read from the environment, so that no process list shows it",
    "comment": "is a key of the configuration",
    "label": "is a key of the configuration",
    "concurrency": "is a key of the configuration, of both modes",
}
# Inputs of the template that are about its jobs.
OF_JOBS: Final = {"image", "stage", "prefix", "environment", "resource-group", "audience"}
# In GitLab the job decides the command, and the token is a variable of the project.
NOT_IN_TEMPLATE: Final = {"command", "token"}
# Options that a log has no use for.
NOT_INPUTS: Final = {"diffs": "a log is read afterwards, and has all of it", "version": "", "help": ""}


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    loaded: dict[str, Any] = documents.load((ROOT / "action.yml").read_bytes(), path="action.yml")
    return loaded


@pytest.fixture(scope="module")
def template() -> tuple[dict[str, Any], dict[str, Any]]:
    name = ".gitlab-ci-template.yml"
    head, jobs = (part.value for part in documents.load_all((ROOT / name).read_bytes(), path=name))
    return head["spec"]["inputs"], jobs


@pytest.fixture(scope="module")
def entrypoint() -> ModuleType:
    spec = importlib.util.spec_from_file_location("entrypoint", ROOT / "entrypoint.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(parameter: click.Parameter) -> str:
    return next(name for name in parameter.opts if name.startswith("--")).removeprefix("--")


def options() -> dict[str, bool]:
    """The options of the commands that jobs run: whether each is a flag."""
    parameters = [*cli.params, *(option for name in COMMANDS for option in cli.commands[name].params)]
    return {
        named(one): bool(getattr(one, "is_flag", False)) for one in parameters if named(one) not in NOT_INPUTS
    }


def test_every_option_is_an_input(action: dict[str, Any]) -> None:
    assert set(action["inputs"]) == {*options(), *BEYOND}


def test_the_entrypoint_hands_on_every_input(entrypoint: ModuleType) -> None:
    flags = {name for name, is_flag in options().items() if is_flag}
    assert set(entrypoint.FLAGS) == flags
    assert {*entrypoint.GLOBAL, *entrypoint.OPTIONS} == set(options()) - flags
    assert set(entrypoint.GLOBAL) == {named(one) for one in cli.params} - set(NOT_INPUTS)
    assert {"command", "token", *(key.partition("__")[2].lower() for key in entrypoint.SETTINGS)} == set(
        BEYOND
    )
    assert {f"SF_CONFIG_{key}" for key in entrypoint.SETTINGS} < set(
        re.findall(r"`(SF_CONFIG_\w+)`", reference())
    )


def test_the_entrypoint_stays_small() -> None:
    assert len((ROOT / "entrypoint.py").read_text().splitlines()) < 60


def test_the_template_has_the_same_inputs(
    action: dict[str, Any], template: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    assert set(template[0]) == (set(action["inputs"]) - NOT_IN_TEMPLATE) | OF_JOBS


def test_the_component_is_the_template() -> None:
    """GitLab finds a component below templates/ and nowhere else, and follows no link."""
    template = (ROOT / ".gitlab-ci-template.yml").read_bytes()
    assert (ROOT / "templates/sf.yml").read_bytes() == template, (
        "copy .gitlab-ci-template.yml to templates/sf.yml"
    )


def test_every_input_of_the_template_reaches_a_job(
    template: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    inputs, jobs = template
    handed = {
        name: value if isinstance(value, str) else value["value"]
        for job in jobs.values()
        for name, value in job.get("variables", {}).items()
    }
    for name in set(inputs) - OF_JOBS:
        assert handed[f"INPUT_{name.upper().replace('-', '_')}"] == f"$[[ inputs.{name} ]]"
    for job in jobs.values():
        for line in [*job.get("script", []), *job.get("after_script", [])]:
            assert "$[[" not in line, "an input is text that a shell would read"


def test_free_text_is_not_expanded_by_gitlab(template: tuple[dict[str, Any], dict[str, Any]]) -> None:
    inputs, jobs = template
    for job in jobs.values():
        for value in job.get("variables", {}).values():
            named = re.fullmatch(
                r"\$\[\[ inputs\.([\w-]+) \]\]", value if isinstance(value, str) else value["value"]
            )
            if named and inputs[named[1]].get("type") != "boolean":
                assert isinstance(value, dict)
                assert value["expand"] is False


def test_the_outputs_are_those_of_a_run(action: dict[str, Any]) -> None:
    told = values(Record(mode="gitops", backend="flux", dry_run=True), "sf-out")
    assert list(action["outputs"]) == list(told)


def test_the_document_lists_every_input_and_output(action: dict[str, Any]) -> None:
    text = (ROOT / "docs/action.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted([*action["inputs"], *action["outputs"], *OF_JOBS])


def test_inputs_become_arguments(entrypoint: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = {
        "INPUT_COMMAND": "reconcile",
        "INPUT_DIRECTORY": "clusters/one two",
        "INPUT_CHANGE-DIGEST": "--all",
        "INPUT_OUT_DIR": "out",
        "INPUT_ONLY": "shop/web\nshop/db\n",
        "INPUT_DRY-RUN": "true",
        "INPUT_ALL": "false",
        "INPUT_LABEL": "never an argument",
    }
    for name, value in inputs.items():
        monkeypatch.setenv(name, value)
    assert entrypoint.command_line() == [
        "--directory=clusters/one two",
        "reconcile",
        "--out-dir=out",
        "--change-digest=--all",
        "--only=shop/web",
        "--only=shop/db",
        "--dry-run",
    ]
