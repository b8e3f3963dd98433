"""A run comes back from its files as it was, or not at all."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.models import (
    ActionKind,
    ActionResult,
    Cause,
    Change,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    LiveState,
    Location,
    ObjectChange,
    Outcome,
    PlannedAction,
    Problem,
    Reason,
    Record,
    Severity,
    pretty_json,
)
from sf.report import documents
from sf.report.reading import MAX_BYTES, read_record
from tests.records import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# Names of files may hold bytes that are not UTF-8, which Python reads as these surrogates.
texts = st.text(
    st.characters(codec="utf-8") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=8
)
texts_by_name = st.dictionaries(texts, texts, max_size=2)


def few(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=2).map(tuple)


locations = st.none() | st.builds(Location, texts, st.integers(0, 9), st.integers(0, 9))
reasons = few(
    st.builds(Reason, cause=st.sampled_from(Cause), message=texts, subject=texts, location=locations)
)
objects = few(
    st.builds(
        ObjectChange,
        change=st.sampled_from(Change),
        **dict.fromkeys(("kind", "name", "group", "namespace", "diff"), texts),
        reasons=reasons,
    )
)
actions = few(
    st.builds(
        PlannedAction,
        name=texts,
        description=texts,
        order=st.integers(0, 9),
        action=st.sampled_from(ActionKind),
        metadata=texts_by_name,
        change=st.sampled_from(Change),
        reasons=reasons,
        objects=objects,
        depends_on=few(texts),
        live=st.none()
        | st.builds(
            LiveState,
            effect=st.sampled_from(Change),
            reasons=reasons,
            objects=objects,
            observed=texts_by_name,
        ),
    )
)
plans = st.builds(
    LifecyclePlan,
    actions=actions,
    findings=few(
        st.builds(
            Finding,
            severity=st.sampled_from(Severity),
            location=locations,
            **dict.fromkeys(("code", "message", "subject", "hint"), texts),
        )
    ),
    unknown=few(texts),
    **dict.fromkeys(("tools", "contents", "notes"), texts_by_name),
    **dict.fromkeys(
        ("mode", "backend", "target", "repository", "commit", "base", "config_hash", "fingerprint_key"), texts
    ),
)
FULL = Record(
    mode="docker",
    backend="compose",
    dry_run=False,
    plan=LifecyclePlan(
        mode="docker",
        backend="compose",
        actions=(
            PlannedAction(
                name="host1/web",
                description="deploy",
                order=1,
                action=ActionKind.DEPLOY,
                metadata={"project": "web"},
                change=Change.CHANGE,
                reasons=(
                    Reason(cause=Cause.GIT, message="changed", subject="x", location=Location("a", 1, 2)),
                ),
                objects=(ObjectChange(change=Change.ADD, kind="service", name="db", diff="+a\n"),),
                depends_on=("host1/db",),
                live=LiveState(effect=Change.UNKNOWN, observed={"engine": "28"}),
            ),
        ),
        target="all",
        repository="forge.example/a/b",
        commit="c",
        base="b",
        config_hash="d",
        tools={"docker compose": "2.40.3"},
        contents={"docker-compose/web": "e"},
        findings=(Finding(code="f", severity=Severity.DANGER, message="m", location=Location("p", 3)),),
        unknown=("live state",),
        notes={"moved": "yes"},
        fingerprint_key="k",
    ),
    result=LifecycleResult(
        actions=(
            ActionResult(
                name="host1/web",
                success=True,
                duration=2,
                outcome=Outcome.DONE,
                objects=(ObjectChange(change=Change.ADD, kind="service", name="db"),),
            ),
        ),
        notes={"a": "b"},
    ),
    timings={"plan": 1.5, "execute": 3},
    links={"run": "https://forge.example/run/1"},
)


def save(record: Record, folder: Path) -> None:
    (folder / "result.json").write_bytes(documents.result(record))
    plan = documents.plan(record)
    if plan is None:
        (folder / "plan.json").unlink(missing_ok=True)
    else:
        (folder / "plan.json").write_bytes(plan)


def as_run(record: Record) -> Record:
    """`record` as a run would make it: its plan knows how the run was started."""
    return replace(record, plan=replace(record.plan, dry_run=record.dry_run) if record.plan else None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.mark.parametrize("state", STATES)
def test_every_state_of_a_run_comes_back(state: str, tmp_path: Path) -> None:
    save(STATES[state], tmp_path)
    assert read_record(tmp_path) == as_run(STATES[state])


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_result_without_actions_is_told_from_none(dry_run: bool, tmp_path: Path) -> None:
    plan = LifecyclePlan(mode="docker", backend="compose", dry_run=dry_run)
    result = None if dry_run else LifecycleResult()
    record = Record(mode="docker", backend="compose", dry_run=dry_run, plan=plan, result=result)
    save(record, tmp_path)
    assert read_record(tmp_path) == record


@given(plan=plans)
def test_every_plan_comes_back(folder: Path, plan: LifecyclePlan) -> None:
    record = as_run(Record(mode=plan.mode, backend=plan.backend, dry_run=True, plan=plan))
    save(record, folder)
    assert read_record(folder) == record


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to everything inside of `value`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield (*path, key)
        yield from places(item, (*path, key))


def inside(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def of_another_kind(value: Any) -> tuple[Any, ...]:
    """What is never right in the place of `value`."""
    match value:
        case bool():
            return int(value), str(value).lower(), None
        case int() | float():
            return str(value), value == 1, [value], None
        case str():
            return None, 1, [value], {}
        case list():
            return None, "x", {}
        case dict():
            return None, "x", []
        case _:
            return "x", 0, False, [], {}


def of_the_same_kind(value: Any) -> Any:
    """Something else that could have stood in the place of `value`."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case list():
            return [*value, *(value[:1] or ["x"])]
        case dict():
            return {**value, "x": "x"}
        case _:
            return "x"


def refused(folder: Path, name: str, document: Any) -> str:
    (folder / name).write_bytes(pretty_json(document))
    with pytest.raises(Problem) as caught:
        read_record(folder)
    assert name in caught.value.message
    assert caught.value.hint
    return caught.value.message


def without(document: Any, path: tuple[str | int, ...]) -> Any:
    tampered = copy.deepcopy(document)
    del inside(tampered, path[:-1])[path[-1]]
    return tampered


def with_(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    tampered = copy.deepcopy(document)
    inside(tampered, path[:-1])[path[-1]] = value
    return tampered


def test_nothing_in_a_plan_can_be_changed_or_left_out(folder: Path) -> None:
    save(FULL, folder)
    document = json.loads((folder / "plan.json").read_bytes())
    for path in places(document):
        refused(folder, "plan.json", without(document, path))
        value = inside(document, path)
        for other in (of_the_same_kind(value), *of_another_kind(value)):
            refused(folder, "plan.json", with_(document, path, other))


def test_nothing_in_a_result_can_be_of_another_kind_or_left_out(folder: Path) -> None:
    save(FULL, folder)
    document = json.loads((folder / "result.json").read_bytes())
    for path in places(document):
        for other in of_another_kind(inside(document, path)):
            refused(folder, "result.json", with_(document, path, other))
        # No digest covers a result: it may hold fewer actions, links or notes.
        is_entry = isinstance(path[-1], int) or (len(path) > 1 and path[0] in ("links", "notes", "timings"))
        if not is_entry:
            refused(folder, "result.json", without(document, path))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("verdict",), "no-changes"),
        (("change_digest",), "0" * 64),
        (("color",), "red"),
        (("actions", 0, "color"), "red"),
        (("actions", 0, "success"), False),
        (("actions", 0, "outcome"), "failed"),
        (("timings", "plan"), 10**400),
        (("failure",), {"phase": "plan"}),
        (("failure",), {"phase": "dream", "backend": "", "message": "", "hint": ""}),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(
    place: tuple[str | int, ...], value: Any, folder: Path
) -> None:
    save(FULL, folder)
    refused(folder, "result.json", with_(FULL.result_document(), place, value))


def test_a_result_belongs_to_its_plan(tmp_path: Path) -> None:
    save(FULL, tmp_path)
    (tmp_path / "plan.json").write_bytes(
        pretty_json(LifecyclePlan(mode="docker", backend="compose").document())
    )
    with pytest.raises(Problem, match="not of the same run"):
        read_record(tmp_path)


def test_a_plan_of_an_earlier_run_is_not_read(tmp_path: Path) -> None:
    save(STATES["no-plan"], tmp_path)
    (tmp_path / "plan.json").write_bytes(b"whatever")
    assert read_record(tmp_path) == STATES["no-plan"]


def test_the_place_of_a_change_is_named(tmp_path: Path) -> None:
    save(FULL, tmp_path)
    document = FULL.plan.document() if FULL.plan else {}
    document["actions"][0]["reasons"][0]["location"]["color"] = "red"
    assert "`actions[0].reasons[0].location.color`" in refused(tmp_path, "plan.json", document)
    del document["actions"][0]["reasons"][0]["location"]["color"]
    document["actions"][0]["action"] = "destroy"
    assert "`actions[0].action`" in refused(tmp_path, "plan.json", document)
    document["actions"][0]["action"] = "remove"
    assert "was changed after it was written" in refused(tmp_path, "plan.json", document)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"schema": NaN}', "NaN is no JSON value"),
        (b'{"schema": 1e999}', "a number is too large"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b"{}", "is not of the schema sf.result/v1"),
        (b'{"schema": "sf.result/v2"}', "is not of the schema sf.result/v1"),
        (b'{"schema": ["sf.result/v1"]}', "is not of the schema sf.result/v1"),
        (b'{"schema": "sf.result/v1"}', "is not what sf writes"),
        (b'{"schema": "sf.result/v1", "actions": [' + b"9" * 5000 + b"]}", "is not JSON"),
    ],
)
def test_a_file_that_is_no_result_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(Problem, match=reason) as caught:
        read_record(tmp_path)
    assert caught.value.message.startswith("result.json")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "result.json").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(Problem, match="larger than 64 MiB"):
        read_record(tmp_path)


@pytest.mark.parametrize("missing", ["plan.json", "result.json"])
def test_a_missing_file_is_named(missing: str, tmp_path: Path) -> None:
    save(FULL, tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(Problem, match=f"there is no {missing} in ") as caught:
        read_record(tmp_path)
    assert "run `sf plan` first" in caught.value.hint


def test_what_is_no_file_counts_as_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result.json")
    with pytest.raises(Problem, match=r"there is no result\.json"):
        read_record(tmp_path)
