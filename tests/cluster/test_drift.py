"""Objects compared with those of a real API server: each kind of difference, and what cannot be compared."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.backends.flux.drift import find_drift
from sf.backends.flux.kustomization import Kustomization
from sf.backends.flux.outline import Rendering
from sf.backends.flux.ownership import MANAGER
from sf.changes.masking import Fingerprints
from sf.models import Change, Problem
from sf.tools.kubernetes import Api, Endpoint, User

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sf.backends.flux.drift import Drift
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

USER: Final = User(name="ci:main", groups=())
NODE: Final = Kustomization(namespace="flux-system", name="apps", spec={})
FINGERPRINTS: Final = Fingerprints("a key for the fingerprints of the tests")
OWNER: Final = {
    "kustomize.toolkit.fluxcd.io/name": "apps",
    "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
}
ENCRYPTED: Final = "ENC[AES256_GCM,data:aa==,iv:bb==,tag:cc==,type:str]"


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[Api]:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "tests-admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "ci:admins"}],
    }
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(binding).encode())
    token = cluster.token("main", ["admins"])
    api = Api(Endpoint(server=cluster.server, ca=cluster.ca), lambda: token)
    yield api
    api.close()


def item(
    kind: str, name: str, *, version: str = "v1", settings: Mapping[str, str] | None = None, **rest: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "default"}
    if settings:
        metadata["annotations"] = {
            f"kustomize.toolkit.fluxcd.io/{key}": value for key, value in settings.items()
        }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def applied(cluster: Cluster, *items: dict[str, Any]) -> None:
    """Have them in the cluster as Flux applies them."""
    for one in items:
        labelled = {**one, "metadata": {**one["metadata"], "labels": OWNER}}
        cluster.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            f"--field-manager={MANAGER}",
            "--filename=-",
            stdin=json.dumps(labelled).encode(),
        )


def drift(api: Api, *items: dict[str, Any], node: Kustomization = NODE, **rendering: Any) -> Drift:
    return find_drift(api, USER, [(node, Rendering(objects=items, **rendering))], FINGERPRINTS)[node.id]


def test_what_is_as_it_was_applied_is_not_drift(cluster: Cluster, api: Api) -> None:
    ours = [
        item("ConfigMap", "same", data={"a": "1"}),
        item("Secret", "same", stringData={"password": "hunter2-hunter2"}, type="Opaque"),
        item("ServiceAccount", "same"),
    ]
    applied(cluster, *ours)
    found = drift(api, *ours)
    assert (found.objects, found.unknown) == ((), ())


def test_a_secret_is_shown_by_its_fingerprint(cluster: Cluster, api: Api) -> None:
    ours = item("Secret", "changed", stringData={"password": "hunter2-hunter2"}, type="Opaque")
    applied(cluster, ours)
    patch = json.dumps({"stringData": {"password": "letmein-letmein"}})
    cluster.kubectl("patch", "secret/changed", f"--patch={patch}")
    [change] = drift(api, ours).objects
    assert (change.identity, change.change) == ("Secret default/changed", Change.CHANGE)
    assert change.diff.count("password: hmac-sha256:") == 2
    secrets = [
        "hunter2",
        "letmein",
        *(base64.b64encode(text).decode() for text in (b"hunter2-hunter2", b"letmein-letmein")),
    ]
    assert not any(secret in change.diff for secret in secrets)


def test_what_flux_is_told_to_leave_alone_is_left_alone(cluster: Cluster, api: Api) -> None:
    before = [
        item("ConfigMap", "ignored", settings={"ssa": "Ignore"}, data={"a": "1"}),
        item("ConfigMap", "disabled", settings={"reconcile": "disabled"}, data={"a": "1"}),
        item("ConfigMap", "once", settings={"ssa": "IfNotPresent"}, data={"a": "1"}),
        item("ConfigMap", "merged", settings={"ssa": "Merge"}, data={"a": "1"}),
    ]
    applied(cluster, *before)
    for one in before:
        cluster.kubectl("patch", f"configmap/{one['metadata']['name']}", '--patch={"data": {"by": "hand"}}')
    assert drift(api, *before).objects == ()
    cluster.kubectl("patch", "configmap/merged", '--patch={"data": {"a": "2"}}')
    [change] = drift(api, *before).objects
    assert change.name == "merged"
    assert "by: hand" not in "".join(line for line in change.diff.splitlines() if line.startswith("-"))


def test_what_is_not_there(api: Api) -> None:
    found = drift(
        api, item("ConfigMap", "absent"), item("Gadget", "absent", version="nothing.example.test/v1")
    )
    assert [(one.change, one.reasons[0].message) for one in found.objects] == [
        (Change.ADD, "it is missing in the cluster"),
        (Change.ADD, "the cluster does not know its kind"),
    ]
    assert found.unknown == ()


def test_a_secret_that_is_missing_is_shown_without_its_values(api: Api) -> None:
    [change] = drift(api, item("Secret", "absent", stringData={"password": "hunter2-hunter2"})).objects
    assert "+  password: hmac-sha256:" in change.diff
    assert "hunter2" not in change.diff
    assert base64.b64encode(b"hunter2-hunter2").decode() not in change.diff


def test_what_the_repository_holds_encrypted_is_unknown(cluster: Cluster, api: Api) -> None:
    applied(
        cluster,
        item("Secret", "sealed", stringData={"a": "b"}),
        item("Secret", "made", stringData={"a": "b"}),
    )
    sealed = item("Secret", "sealed", data={"a": ENCRYPTED}, sops={"mac": ENCRYPTED})
    of_a_file = base64.b64encode(f'{{"a": "{ENCRYPTED}"}}'.encode()).decode()
    found = drift(api, sealed, item("Secret", "made", data={"a": of_a_file}))
    assert found.objects == ()
    assert found.unknown == (
        "drift of Secret default/sealed, Secret default/made is not known: it is encrypted in the repository",
    )


def test_what_the_api_server_refuses_is_unknown_with_its_words(cluster: Cluster, api: Api) -> None:
    selector = {"matchLabels": {"app": "web"}}
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "example.test/web"}]},
    }
    web = item("Deployment", "web", version="apps/v1", spec={"selector": selector, "template": template})
    applied(cluster, web)
    other = {"selector": {"matchLabels": {"app": "other"}}, "template": template}
    [sentence] = drift(
        api, {**web, "spec": other}, item("Secret", "bad", data={"a": "hunter2 hunter2"})
    ).unknown[:1]
    assert sentence.startswith("drift of apps/Deployment default/web is not known: the API server refuses")
    assert "`selector` does not match" in sentence or "field is immutable" in sentence
    applied(cluster, item("Secret", "bad", data={"a": "Yg=="}))
    [sentence] = drift(api, item("Secret", "bad", data={"a": "hunter2 hunter2"})).unknown
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("spec", "rendering", "why"),
    [
        ({"kubeConfig": {"secretRef": {"name": "x"}}}, {}, "they are in another cluster (spec.kubeConfig)"),
        ({"ignore": [{"paths": ["/spec/replicas"]}]}, {}, "it ignores some of their fields (spec.ignore)"),
        (
            {},
            {"unknown": ("the values of X are only in the cluster",)},
            "the values of X are only in the cluster",
        ),
        ({}, {"error": Problem("no such file")}, "the build fails: no such file"),
    ],
)
def test_a_rendering_that_is_not_what_flux_applied(
    api: Api, spec: dict[str, Any], rendering: dict[str, Any], why: str
) -> None:
    node = Kustomization(namespace="flux-system", name="apps", spec=spec)
    found = drift(api, item("ConfigMap", "absent"), node=node, **rendering)
    assert found.objects == ()
    assert found.unknown == (f"its objects are not compared with those in the cluster: {why}",)


def test_two_requests_for_each_object_and_one_for_each_version(cluster: Cluster, api: Api) -> None:
    ours = [item("ConfigMap", f"many-{number}", data={"a": "1"}) for number in range(40)]
    applied(cluster, ours[0])
    before = api.calls
    drift(api, *ours)
    # One for the version, one for each object, and the second for the only one that is there.
    assert api.calls - before == 1 + len(ours) + 1
