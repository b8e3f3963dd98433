from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sf.models import (
    ActionKind,
    Cause,
    Change,
    Finding,
    LifecyclePlan,
    LiveState,
    ObjectChange,
    PlannedAction,
    Problem,
    Reason,
    Severity,
)
from sf.runtime.approval import Approval

OBJECT = ObjectChange(change=Change.CHANGE, kind="ConfigMap", name="a", diff="+a\n")
ACTION = PlannedAction(
    name="ns/a",
    description="reconcile ns/a",
    order=0,
    action=ActionKind.RECONCILE,
    change=Change.CHANGE,
    reasons=(Reason(cause=Cause.GIT, message="a file changed"),),
    objects=(OBJECT,),
    live=LiveState(effect=Change.CHANGE, observed={"revision": "1"}),
)
PLAN = LifecyclePlan(
    mode="gitops",
    backend="flux",
    actions=(ACTION,),
    target="clusters/a",
    repository="forge.example/shop/fleet",
    commit="c" * 40,
    base="b" * 40,
    config_hash="5" * 64,
    tools={"kustomize": "v5.8.1"},
    contents={"clusters/a": "1" * 40},
    fingerprint_key="k1",
)


def test_the_same_plan_is_what_was_approved() -> None:
    Approval(plan=PLAN, change_digest=PLAN.change_digest).check(replace(PLAN, dry_run=True))


@pytest.mark.parametrize(
    ("changed", "place", "hint"),
    [
        ({"mode": "docker"}, "`mode` is 'gitops' in it, and 'docker' now", "another mode"),
        ({"backend": "x"}, "`backend`", "another backend"),
        ({"repository": "forge.example/fork"}, "`repository`", "another repository"),
        ({"target": ""}, "`target` is 'clusters/a' in it, and nothing now", "another target"),
        ({"config_hash": "6" * 64}, "`config_hash`", "configuration changed"),
        ({"fingerprint_key": "k2"}, "`fingerprint_key`", "another SF_FINGERPRINT_KEY"),
        ({"commit": "d" * 40}, "`commit`", "another commit"),
        ({"base": "d" * 40}, "`base`", "compared with another commit"),
        ({"contents": {"clusters/a": "2" * 40}}, "`contents.clusters/a`", "content of the repository"),
        ({"contents": {}}, "`contents.clusters/a`", "content of the repository"),
        ({"tools": {"kustomize": "v5"}}, "`tools.kustomize`", "other versions"),
        ({"unknown": ("x",)}, "`unknown[0]` is nothing in it, and 'x' now", "change is another"),
        ({"notes": {"a": "b"}}, "`notes.a`", "change is another"),
        (
            {"findings": (Finding(code="c", severity=Severity.INFO, message="m"),)},
            "`findings[0]`",
            "change is another",
        ),
        ({"actions": ()}, "`actions[ns/a]`", "change is another"),
    ],
)
def test_every_field_that_differs_is_named(changed: dict[str, Any], place: str, hint: str) -> None:
    with pytest.raises(Problem) as refused:
        Approval(plan=PLAN).check(replace(PLAN, **changed))
    assert place in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("changed", "place", "hint"),
    [
        ({"order": 1}, "`actions[ns/a].order` is 0 in it, and 1 now", "change is another"),
        ({"action": ActionKind.REMOVE}, "`actions[ns/a].action`", "change is another"),
        ({"depends_on": ("x",)}, "`actions[ns/a].depends_on[0]`", "change is another"),
        ({"metadata": {"a": "b"}}, "`actions[ns/a].metadata.a`", "change is another"),
        (
            {"objects": (replace(OBJECT, diff="+b\n"),)},
            "`actions[ns/a].objects[a].diff`",
            "change is another",
        ),
        (
            {"live": LiveState(effect=Change.CHANGE, observed={"revision": "2"})},
            "`actions[ns/a].live.observed.revision`",
            "what is running changed",
        ),
        ({"live": None}, "`actions[ns/a].live`", "what is running changed"),
    ],
)
def test_the_unit_and_its_field_are_named(changed: dict[str, Any], place: str, hint: str) -> None:
    with pytest.raises(Problem) as refused:
        Approval(plan=PLAN).check(replace(PLAN, actions=(replace(ACTION, **changed),)))
    assert place in refused.value.message
    assert hint in refused.value.hint


def test_a_change_digest_does_not_care_for_commits_and_what_runs() -> None:
    merged = replace(PLAN, commit="d" * 40, base="e" * 40, actions=(replace(ACTION, live=None),))
    Approval(change_digest=PLAN.change_digest).check(merged)
    with pytest.raises(Problem, match="was approved"):
        Approval(change_digest=PLAN.change_digest).check(replace(PLAN, contents={}))


def test_a_long_value_is_cut() -> None:
    with pytest.raises(Problem) as refused:
        Approval(plan=PLAN).check(replace(PLAN, unknown=("x" * 1_000,)))
    assert len(refused.value.message) < 300
