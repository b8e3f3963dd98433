from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.backends.compose.stack import Kind, compose_files, find_stacks
from sf.models import Problem

if TYPE_CHECKING:
    from tests.unit.backends.compose.conftest import MakeTree


def test_stacks_are_folders_two_below_with_a_compose_file_or_a_script(make_tree: MakeTree) -> None:
    tree = make_tree(
        {
            "iac/host/a/compose.yaml": "",
            "iac/host/b/docker-compose.yml": "",
            "iac/host/c/deploy.sh": "",
            "iac/host/d/notes.txt": "",
            "iac/host/e/deep/compose.yaml": "",
            "iac/compose.yaml": "",
            "other/host/f/compose.yaml": "",
        }
    )
    assert [(stack.path, stack.scope, stack.name, stack.kind) for stack in find_stacks(tree, "iac")] == [
        ("iac/host/a", "host", "a", Kind.COMPOSE),
        ("iac/host/b", "host", "b", Kind.COMPOSE),
        ("iac/host/c", "host", "c", Kind.SCRIPT),
    ]


def test_the_root_can_be_the_folder_of_stacks(make_tree: MakeTree) -> None:
    tree = make_tree({"host/a/compose.yaml": ""})
    assert [stack.path for stack in find_stacks(tree, ".")] == ["host/a"]


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        (["docker-compose.yaml"], ["docker-compose.yaml"]),
        (["docker-compose.yml", "compose.yml"], ["compose.yml"]),
        (["compose.yaml", "compose.override.yaml"], ["compose.yaml", "compose.override.yaml"]),
        (["compose.yaml", "docker-compose.override.yml"], ["compose.yaml", "docker-compose.override.yml"]),
    ],
)
def test_files_are_chosen_as_compose_does(make_tree: MakeTree, present: list[str], chosen: list[str]) -> None:
    folder = make_tree({f"s/{name}": "" for name in present}).folder("s")
    assert list(compose_files(folder)) == chosen


@pytest.mark.parametrize(
    "line", ["COMPOSE_FILE=compose.yaml:prod.yaml", "export COMPOSE_FILE='compose.yaml:./prod.yaml'"]
)
def test_compose_file_in_the_env_file_names_them(make_tree: MakeTree, line: str) -> None:
    folder = make_tree({"s/compose.yaml": "", "s/prod.yaml": "", "s/.env": f"A=b\n{line}\n"}).folder("s")
    assert compose_files(folder) == ("compose.yaml", "prod.yaml")


@pytest.mark.parametrize("value", ["../x.yaml", "/etc/passwd", "$WHERE", "https://example.com/c.yaml", "-"])
def test_compose_file_names_only_files_of_the_folder(make_tree: MakeTree, value: str) -> None:
    folder = make_tree({"s/compose.yaml": "", "s/.env": f"COMPOSE_FILE={value}\n"}).folder("s")
    with pytest.raises(Problem, match="COMPOSE_FILE names"):
        compose_files(folder)


def test_another_separator_is_refused(make_tree: MakeTree) -> None:
    text = "COMPOSE_PATH_SEPARATOR=;\nCOMPOSE_FILE=compose.yaml;b.yaml\n"
    folder = make_tree({"s/compose.yaml": "", "s/.env": text}).folder("s")
    with pytest.raises(Problem, match="COMPOSE_PATH_SEPARATOR"):
        compose_files(folder)
