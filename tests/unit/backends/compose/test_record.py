from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sf.backends.compose.model import Service
from sf.backends.compose.record import (
    Deployed,
    Record,
    new_salt,
    read_record,
    record_document,
    seal,
    seal_inputs,
    unpack_records,
)
from sf.backends.compose.release import pack
from sf.models import Problem

if TYPE_CHECKING:
    from tests.unit.backends.compose.conftest import MakeTree

SALT = "ab" * 32
SERVICE = Service(
    name="web",
    fields={("environment", "TOKEN"): "swordfish", ("image",): "busybox"},
    files={"html/a": "1"},
    inline={"config c": "swordfish"},
    built=True,
)


def record(**changed: object) -> Record:
    about = {
        "repository": "git.example.com/a/b",
        "host": "bench",
        "stack": "iac/bench/web",
        "project": "web",
        "commit": "c" * 40,
        "salt": SALT,
        "inputs": "i",
        "complete": True,
        "managed": {"compose.yaml": "d"},
        "services": {"web": Deployed(sealed=seal(SERVICE, SALT), config_hash="h", image="sha256:1")},
        "inactive": ("debug",),
        "files": ("compose.yaml",),
    }
    return Record(**{**about, **changed})  # type: ignore[arg-type]


def test_what_is_written_is_what_is_read() -> None:
    assert read_record(record_document(record()), project="web") == record()


def test_no_value_of_the_model_is_in_a_record() -> None:
    text = record_document(record()).decode()
    assert "swordfish" not in text
    assert "busybox" not in text


def test_the_same_value_is_sealed_differently_in_another_record() -> None:
    assert seal(SERVICE, SALT).fields != seal(SERVICE, new_salt()).fields
    assert seal(SERVICE, SALT) == seal(SERVICE, SALT)


def test_records_come_by_project() -> None:
    stored = pack({f"{name}/.sf/record.json": (name.encode(), 0o600) for name in ("web", "db")})
    assert unpack_records(stored) == {"web": b"web", "db": b"db"}
    assert unpack_records(b"") == {}
    with pytest.raises(Problem, match="did not arrive whole"):
        unpack_records(b"no tar at all")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"schema": "sf.deployment/v9"}), "\xff"])
def test_a_damaged_record_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(Problem, match="the deployment record of web is damaged"):
        read_record(text.encode("latin-1"), project="web")


def test_inputs_are_the_files_and_the_variables(make_tree: MakeTree) -> None:
    folder = make_tree({"s/compose.yaml": "a"}).folder("s")
    other = make_tree({"s/compose.yaml": "b"}).folder("s")
    sealed = [
        seal_inputs(folder, {"A": "1"}, SALT),
        seal_inputs(folder, {"A": "2"}, SALT),
        seal_inputs(other, {"A": "1"}, SALT),
    ]
    assert len(set(sealed)) == 3


def test_content_is_what_the_container_reads_beside_its_configuration() -> None:
    def content(**changed: object) -> str:
        about = {"name": "a", "fields": {}, "files": {}, "inline": {}, **changed}
        return seal(Service(**about), SALT).content  # type: ignore[arg-type]

    assert content() == content(fields={("image",): "b"}) == ""
    assert len({content(files={"a": "1"}), content(files={"a": "2"}), content(inline={"a": "1"}), ""}) == 4


def test_a_generation_makes_another_label_only_where_there_is_content() -> None:
    sealed = seal(SERVICE, SALT)
    assert Deployed(sealed=sealed, generation=1).content_label != Deployed(sealed=sealed).content_label
    plain = seal(Service(name="a", fields={}, files={}, inline={}), SALT)
    assert Deployed(sealed=plain, generation=1).content_label == ""


@pytest.mark.parametrize("name", ["../elsewhere", "/etc/passwd", "a/../../b", "two\nlines"])
def test_a_record_that_names_files_out_of_its_folder_is_damaged(name: str) -> None:
    document = json.loads(record_document(record()))
    document["managed"] = {name: "0" * 64}
    with pytest.raises(Problem, match="the deployment record of shop is damaged"):
        read_record(json.dumps(document).encode(), project="shop")


def test_what_was_taken_down_has_files_and_nothing_to_go_back_to() -> None:
    left = record().taken_down()
    assert left.managed == record().managed
    assert (left.removed, left.complete, left.services, left.inputs, left.commit) == (True, False, {}, "", "")
    assert read_record(record_document(left), project="shop") == left
