"""Object by object: what is added, changed, removed, and what Flux does otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.changes import danger, objects
from sf.changes.diff import MOST_LINES, unified
from sf.changes.masking import Fingerprints
from sf.models import Change, Severity

NONE = Fingerprints()


def config(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop"},
        "data": data,
    }


def deployment(image: str = "app:1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "selector": {"app": "web"},
            "template": {"spec": {"containers": [{"image": image}], **spec}},
        },
    }


def codes(before: list[Any], after: list[Any], *, deletes: bool = True) -> list[tuple[str, str]]:
    return [(found.code, found.message) for found in danger.findings("u", before, after, deletes=deletes)]


def test_objects_are_matched_by_group_kind_namespace_and_name() -> None:
    before = [config("kept", a="1"), config("gone"), config("same")]
    after = [config("same"), config("kept", a="2"), config("new")]
    changes = objects.compare(before, after, NONE, deletes=True)
    assert [(change.identity, change.change) for change in changes] == [
        ("ConfigMap shop/gone", Change.REMOVE),
        ("ConfigMap shop/kept", Change.CHANGE),
        ("ConfigMap shop/new", Change.ADD),
    ]
    assert changes[1].diff.splitlines()[-2:] == ["-  a: '1'", "+  a: '2'"]


def test_another_version_of_the_same_kind_is_the_same_object() -> None:
    old = {**deployment(), "apiVersion": "apps/v1beta1"}
    (change,) = objects.compare([old], [deployment()], NONE, deletes=True)
    assert change.change is Change.CHANGE


@pytest.mark.parametrize(
    ("metadata", "deletes", "stays"),
    [
        ({}, True, False),
        ({}, False, True),
        ({"annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"}}, True, True),
        ({"labels": {"kustomize.toolkit.fluxcd.io/prune": "Disabled"}}, True, True),
    ],
)
def test_a_removal_says_whether_the_object_stays(
    metadata: dict[str, Any], deletes: bool, stays: bool
) -> None:
    item = config("gone")
    item["metadata"] |= metadata
    (change,) = objects.compare([item], [], NONE, deletes=deletes)
    assert bool(change.reasons) is stays


def test_a_long_difference_is_cut_with_a_count() -> None:
    lines = unified(None, [f"line {number}" for number in range(MOST_LINES * 2)]).splitlines()
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == f"@@ {MOST_LINES + 1} more lines differ @@"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([deployment()], [deployment("app:2")], "Deployment shop/web: image app:1 becomes app:2"),
        (
            [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}],
            [],
            "removing Namespace shop deletes everything in it",
        ),
        (
            [deployment()],
            [{**deployment(), "spec": {**deployment()["spec"], "selector": {"app": "other"}}}],
            "spec.selector of Deployment shop/web cannot be changed: the API server refuses it",
        ),
        ([deployment()], [deployment(hostNetwork=True)], "Deployment shop/web gets hostNetwork"),
        (
            [],
            [deployment(volumes=[{"name": "v", "hostPath": {"path": "/etc"}}])],
            "Deployment shop/web gets hostPath /etc",
        ),
    ],
)
def test_what_a_difference_hides_is_said(before: list[Any], after: list[Any], expected: str) -> None:
    assert f"u: {expected}" in [message for _, message in codes(before, after)]


def test_what_is_left_in_the_cluster_is_no_loss() -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    assert codes([namespace], [], deletes=False) == []


def role(*rules: tuple[list[str], list[str], list[str]]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r"},
        "rules": [
            {"apiGroups": groups, "resources": names, "verbs": verbs} for groups, names, verbs in rules
        ],
    }


def test_a_role_that_gives_more_is_a_danger_and_one_that_gives_less_is_not() -> None:
    small, large = role(([""], ["pods"], ["get"])), role(([""], ["pods"], ["get", "delete"]))
    assert codes([small], [large]) == [("rbac-widening", "u: Role r gives more rights: delete pods")]
    assert codes([large], [small]) == []
    everything = role(([""], ["*"], ["*"]))
    assert codes([everything], [large]) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["spec", "containers", "rules", "verbs", "volumes", "metadata", "labels", "name", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
OBJECTS = st.lists(
    st.builds(
        lambda kind, group, body: {**body, "kind": kind, "apiVersion": f"{group}/v1" if group else "v1"},
        st.sampled_from(["Role", "RoleBinding", "Deployment", "Secret", "Namespace", "HelmRelease", "X"]),
        st.sampled_from(["", "apps", "rbac.authorization.k8s.io", "helm.toolkit.fluxcd.io"]),
        st.dictionaries(st.sampled_from(["spec", "metadata", "data", "rules", "roleRef", "subjects"]), JSON),
    ),
    max_size=4,
)


@given(OBJECTS, OBJECTS)
def test_any_shape_of_object_is_judged_without_failing(before: list[Any], after: list[Any]) -> None:
    for found in danger.findings("u", before, after, deletes=True):
        assert found.severity in {Severity.INFO, Severity.WARNING, Severity.DANGER}
    objects.compare(before, after, NONE, deletes=True)
    assert objects.compare(after, after, NONE, deletes=True) == ()
