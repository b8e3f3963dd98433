"""Object by object: what is added, changed, removed, and what Flux does otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.changes import danger, objects
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


def test_what_flux_is_told_not_to_apply_says_so_and_has_no_findings() -> None:
    old, new = deployment(), deployment("app:2")
    new["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}
    (change,) = objects.compare([old], [new], NONE, deletes=True)
    assert [reason.message for reason in change.reasons] == [
        "is not applied: kustomize.toolkit.fluxcd.io/reconcile is disabled"
    ]
    assert codes([old], [new]) == []


def test_leaving_an_object_alone_does_not_keep_it_from_being_deleted() -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    claim["metadata"] = {"name": "data", "labels": {"kustomize.toolkit.fluxcd.io/ssa": "Ignore"}}
    (change,) = objects.compare([claim], [], NONE, deletes=True)
    assert [reason.message for reason in change.reasons] == [
        "is deleted unless the object in the cluster itself says kustomize.toolkit.fluxcd.io/ssa is Ignore"
    ]
    assert [code for code, _ in codes([claim], [])] == ["data-loss"]


def test_of_duplicates_the_last_counts_and_they_are_named() -> None:
    after = [config("a", x="1"), config("b"), config("a", x="2")]
    assert objects.duplicates(after) == ("ConfigMap shop/a",)
    assert objects.compare([config("a", x="2"), config("b")], after, NONE, deletes=True) == ()


def service(*ports: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": port} for port in ports]},
    }


@given(
    st.lists(st.integers(1, 65535), unique=True, max_size=8).flatmap(
        lambda ports: st.tuples(st.just(ports), st.permutations(ports))
    )
)
def test_an_order_without_meaning_is_no_change(ports: tuple[list[int], list[int]]) -> None:
    assert objects.compare([service(*ports[0])], [service(*ports[1])], NONE, deletes=True) == ()


def test_another_order_in_a_pod_template_still_replaces_its_pods() -> None:
    volumes = [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}}]
    old, new = deployment(volumes=volumes), deployment(volumes=volumes[::-1])
    (change,) = objects.compare([old], [new], NONE, deletes=True)
    assert change.diff == ""
    assert [reason.message for reason in change.reasons] == [
        "only the order of entries differs, and still its pods are replaced"
    ]


@pytest.mark.parametrize("field", ["env", "command"])
def test_an_order_with_meaning_is_a_difference(field: str) -> None:
    first, second = {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}
    old, new = (
        deployment(initContainers=[{"name": "c", field: listed}])
        for listed in ([first, second], [second, first])
    )
    (change,) = objects.compare([old], [new], NONE, deletes=True)
    assert change.diff != ""


def test_init_containers_run_one_after_the_other() -> None:
    steps = [{"name": "migrate"}, {"name": "seed"}]
    old, new = deployment(initContainers=steps), deployment(initContainers=steps[::-1])
    (change,) = objects.compare([old], [new], NONE, deletes=True)
    assert change.diff != ""


def test_lists_of_unknown_kinds_are_compared_in_order() -> None:
    old, new = ({**service(*ports), "apiVersion": "example.org/v1"} for ports in ((1, 2), (2, 1)))
    assert len(objects.compare([old], [new], NONE, deletes=True)) == 1


def test_true_is_not_one() -> None:
    old, new = ({**config("a"), "immutable": value} for value in (True, 1))
    assert len(objects.compare([old], [new], NONE, deletes=True)) == 1


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


def thing(api: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": "x"}, **fields}


def claim(size: str) -> dict[str, Any]:
    return thing("v1", "PersistentVolumeClaim", spec={"resources": {"requests": {"storage": size}}})


FLUX = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "f", "labels": {"app.kubernetes.io/part-of": "flux"}},
}
HELM, RBAC = "helm.toolkit.fluxcd.io/v2", "rbac.authorization.k8s.io/v1"
ADMIN = {"kind": "ClusterRole", "name": "cluster-admin"}
BOB = {"kind": "User", "name": "bob"}
FROZEN = thing("v1", "ConfigMap", immutable=True, data={"a": "1"})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([claim("20Gi")], [claim("10240Mi")], "immutable-field"),
        ([claim("20Gi")], [claim("21474836480")], None),
        ([claim("10Gi")], [claim("20Gi")], None),
        ([FROZEN], [{**FROZEN, "data": {"a": "2"}}], "immutable-field"),
        ([FROZEN], [{**FROZEN, "metadata": {"name": "x", "labels": {"a": "b"}}}], None),
        ([thing("v1", "Service", spec={})], [thing("v1", "Service", spec={"clusterIP": "10.0.0.1"})], None),
        (
            [thing("v1", "Service", spec={"clusterIP": "10.0.0.2"})],
            [thing("v1", "Service", spec={"clusterIP": "10.0.0.1"})],
            "immutable-field",
        ),
        (
            [thing("apps/v1", "StatefulSet", spec={})],
            [thing("apps/v1", "StatefulSet", spec={"volumeClaimTemplates": [{}]})],
            "immutable-field",
        ),
        ([FLUX], [], "flux-component"),
        ([FLUX], [{**FLUX, "spec": {}}], "flux-component"),
        ([thing(HELM, "HelmRelease")], [], "data-loss"),
        ([thing(HELM, "HelmRelease")], [thing(HELM, "HelmRelease", spec={"values": {}})], "helm-release"),
        (
            [thing(HELM, "HelmRelease", spec={})],
            [thing(HELM, "HelmRelease", spec={"suspend": True})],
            "suspension",
        ),
        ([deployment()], [{**deployment(), "spec": {**deployment()["spec"], "replicas": 0}}], "no-replicas"),
        (
            [thing(RBAC, "RoleBinding", roleRef=ADMIN, subjects=[])],
            [thing(RBAC, "RoleBinding", roleRef=ADMIN, subjects=[BOB])],
            "rbac-widening",
        ),
        (
            [thing(RBAC, "ClusterRole", rules=[])],
            [thing(RBAC, "ClusterRole", rules=[], aggregationRule={"clusterRoleSelectors": []})],
            "rbac-widening",
        ),
    ],
)
def test_facts_and_what_looks_like_them(before: list[Any], after: list[Any], expected: str | None) -> None:
    found = [code for code, _ in codes(before, after)]
    assert expected in found if expected else found == []


def test_the_subject_of_a_finding_is_the_identity_of_its_change() -> None:
    before, after = [deployment()], [deployment("app:2")]
    (change,) = objects.compare(before, after, NONE, deletes=True)
    (found,) = danger.findings("u", before, after, deletes=True)
    assert found.subject == change.identity == "apps/Deployment shop/web"


def test_an_object_that_asks_for_force_is_replaced() -> None:
    old, new = (deployment() for _ in range(2))
    new["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/force": "enabled"}
    new["spec"]["selector"] = {"app": "other"}
    assert codes([old], [new]) == [
        (
            "immutable-field",
            (
                "u: spec.selector of Deployment shop/web cannot be changed, "
                "so Flux deletes the object and makes a new one"
            ),
        )
    ]


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


@pytest.mark.parametrize(
    ("known", "wanted", "is_more"),
    [
        (([""], ["pods"], ["*"]), ([""], ["pods"], ["get"]), False),
        ((["*"], ["*"], ["get"]), (["apps"], ["deployments"], ["get"]), False),
        (([""], ["*/log"], ["get"]), ([""], ["pods/log"], ["get"]), False),
        (([""], ["pods"], ["get"]), ([""], ["pods/log"], ["get"]), True),
        (([""], ["pods"], ["get"]), (["apps"], ["pods"], ["get"]), True),
        (([""], ["pods"], ["get"]), ([""], ["pods"], ["*"]), True),
    ],
)
def test_wildcards_cover_what_they_name(known: Any, wanted: Any, is_more: bool) -> None:
    assert bool(codes([role(known)], [role(known, wanted)])) is is_more


def test_a_role_that_is_limited_to_names_gains_when_the_limit_goes() -> None:
    limited = role(([""], ["secrets"], ["get"]))
    limited["rules"][0]["resourceNames"] = ["one"]
    assert codes([limited], [role(([""], ["secrets"], ["get"]))]) == [
        ("rbac-widening", "u: Role r gives more rights: get secrets")
    ]


def test_a_rule_of_many_combinations_is_one_phrase() -> None:
    many = [f"x{number}" for number in range(100)]
    assert codes([], [role((many, many, many))]) == [
        (
            "rbac-widening",
            "u: Role r gives more rights: a rule of 1,000,000 combinations of verbs and resources",
        )
    ]


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
