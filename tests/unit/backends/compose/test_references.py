from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sf.backends.compose.references import check_references
from sf.models import Problem

if TYPE_CHECKING:
    from tests.unit.backends.compose.conftest import MakeTree


@pytest.mark.parametrize(
    "text",
    [
        "include: [../x.yaml]",
        "include: ../x.yaml",
        "include: [{path: [a.yaml, ../x.yaml]}]",
        "include: [{path: a.yaml, env_file: ../x.env}]",
        "include: [{path: a.yaml, project_directory: ..}]",
        "include: ['https://example.com/x.yaml']",
        "include: ['git@example.com:x/y.git']",
        "include: ['oci://example.com/x']",
        "include: ['${X}/a.yaml']",
        "services: {a: {extends: {file: /x.yaml, service: b}}}",
        "services: {a: {env_file: ../x.env}}",
        "services: {a: {env_file: [{path: a.env}, {path: ~/x.env}]}}",
        "services: {a: {env_file: [a/../../x.env]}}",
        "services: {a: {label_file: [/x]}}",
        "x-hidden: [{deep: {env_file: /x}}]",
        "services: {}\n---\nservices: {a: {env_file: /x}}",
        "services: {a: !reset {env_file: /x}}",
    ],
)
def test_what_would_be_read_elsewhere_is_refused_with_its_place(make_tree: MakeTree, text: str) -> None:
    folder = make_tree({"s/compose.yaml": text, "s/a.yaml": "services: {}"}).folder("s")
    with pytest.raises(Problem, match=r"leads out|is an address|holds a variable") as caught:
        check_references(folder, ["compose.yaml"])
    assert caught.value.location is not None
    assert caught.value.location.path == "s/compose.yaml"


def test_included_and_extended_files_are_followed_below_their_own_folder(make_tree: MakeTree) -> None:
    folder = make_tree(
        {
            "s/compose.yaml": "include: [parts/a.yaml]\nservices: {x: {extends: {file: b.yaml, service: y}}}",
            "s/b.yaml": "services: {y: {extends: {service: z}, env_file: [b.env]}}",
            "s/parts/a.yaml": "include: [../b.yaml, deep/c.yaml]",
            "s/parts/deep/c.yaml": "include: [../../compose.yaml]",
        }
    ).folder("s")
    assert check_references(folder, ["compose.yaml"]).models == {
        "compose.yaml",
        "b.yaml",
        "parts/a.yaml",
        "parts/deep/c.yaml",
    }


def test_a_reference_out_of_an_included_file_is_refused_there(make_tree: MakeTree) -> None:
    folder = make_tree(
        {"s/compose.yaml": "include: [parts/a.yaml]", "s/parts/a.yaml": "include: [../../x.yaml]"}
    ).folder("s")
    with pytest.raises(Problem) as caught:
        check_references(folder, ["compose.yaml"])
    assert str(caught.value.location) == "s/parts/a.yaml:1:10"


def test_values_that_only_look_like_references_are_left_alone(make_tree: MakeTree) -> None:
    text = "services: {a: {image: '/x', volumes: ['../x:/y'], command: [include, ../x], labels: {a: /x}}}"
    folder = make_tree({"s/compose.yaml": text}).folder("s")
    assert check_references(folder, ["compose.yaml"]).models == {"compose.yaml"}
