"""What is said to be refused is what a real API server refuses, field by field."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf.changes.immutability import refused_fields
from sf.changes.manifest import identity
from toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

POD: Final = {"containers": [{"name": "c", "image": "busybox:1.36"}]}
LABELLED: Final = {"metadata": {"labels": {"app": "x"}}, "spec": POD}
SELECTOR: Final = {"matchLabels": {"app": "x"}}
JOB: Final = {"metadata": {}, "spec": {**POD, "restartPolicy": "Never"}}
CLAIM: Final = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUME: Final = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a"}}
GONE: Final = object()
# api version, kind, the rest of the manifest.
OBJECTS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "deployment": ("apps/v1", "Deployment", {"spec": {"selector": SELECTOR, "template": LABELLED}}),
    "daemonset": ("apps/v1", "DaemonSet", {"spec": {"selector": SELECTOR, "template": LABELLED}}),
    "replicaset": ("apps/v1", "ReplicaSet", {"spec": {"selector": SELECTOR, "template": LABELLED}}),
    "statefulset": (
        "apps/v1",
        "StatefulSet",
        {
            "spec": {
                "selector": SELECTOR,
                "serviceName": "a",
                "template": LABELLED,
                "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": CLAIM}],
            }
        },
    ),
    "job": ("batch/v1", "Job", {"spec": {"template": JOB}}),
    "job-counted": ("batch/v1", "Job", {"spec": {"template": JOB, "completions": 3, "parallelism": 2}}),
    "job-parallel": ("batch/v1", "Job", {"spec": {"template": JOB, "parallelism": 2}}),
    "job-suspended": ("batch/v1", "Job", {"spec": {"template": JOB, "suspend": True}}),
    "job-indexed": (
        "batch/v1",
        "Job",
        {
            "spec": {
                "template": JOB,
                "completions": 3,
                "parallelism": 3,
                "completionMode": "Indexed",
                "backoffLimitPerIndex": 1,
            }
        },
    ),
    "service": ("v1", "Service", {"spec": {"ports": [{"port": 80}], "clusterIP": ""}}),
    "balancer": (
        "v1",
        "Service",
        {"spec": {"type": "LoadBalancer", "loadBalancerClass": "a.test/b", "ports": [{"port": 80}]}},
    ),
    "claim": ("v1", "PersistentVolumeClaim", {"spec": {**CLAIM, "storageClassName": "a"}}),
    "volume": ("v1", "PersistentVolume", {"spec": VOLUME}),
    "config": ("v1", "ConfigMap", {"data": {"a": "1"}, "immutable": True}),
    "secret": ("v1", "Secret", {"stringData": {"a": "1"}, "type": "Opaque"}),
    "binding": (
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"}},
    ),
    "class": ("storage.k8s.io/v1", "StorageClass", {"provisioner": "a.test/b", "parameters": {"a": "1"}}),
    "attributes": (
        "storage.k8s.io/v1",
        "VolumeAttributesClass",
        {"driverName": "a.test", "parameters": {"a": "1"}},
    ),
    "driver": ("storage.k8s.io/v1", "CSIDriver", {"spec": {"attachRequired": True}}),
    "ingress": ("networking.k8s.io/v1", "IngressClass", {"spec": {"controller": "a.test/b"}}),
    "runtime": ("node.k8s.io/v1", "RuntimeClass", {"handler": "a"}),
    "priority": ("scheduling.k8s.io/v1", "PriorityClass", {"value": 5}),
    "slice": ("discovery.k8s.io/v1", "EndpointSlice", {"addressType": "IPv4", "endpoints": []}),
}
# object, the path that changes, its new value.
CHANGES: Final[list[tuple[str, str, Any]]] = [
    ("deployment", "spec.selector.matchLabels.app", "x"),
    ("deployment", "spec.selector.matchLabels.more", "y"),
    ("deployment", "spec.replicas", 3),
    ("daemonset", "spec.selector.matchLabels.more", "y"),
    ("replicaset", "spec.selector.matchLabels.more", "y"),
    ("statefulset", "spec.serviceName", "b"),
    ("statefulset", "spec.podManagementPolicy", "Parallel"),
    ("statefulset", "spec.volumeClaimTemplates", []),
    ("statefulset", "spec.replicas", 3),
    ("statefulset", "spec.minReadySeconds", 3),
    ("job", "spec.completions", 1),
    ("job", "spec.completions", 2),
    ("job", "spec.parallelism", 2),
    ("job", "spec.template.spec.containers", [{"name": "c", "image": "busybox:1.37"}]),
    ("job", "spec.template.spec.nodeSelector", {"a": "b"}),
    ("job", "spec.backoffLimit", 3),
    ("job", "spec.backoffLimitPerIndex", 3),
    ("job", "spec.ttlSecondsAfterFinished", 3),
    ("job-counted", "spec.completions", 4),
    ("job-counted", "spec.completions", GONE),
    ("job-counted", "spec.parallelism", 1),
    ("job-parallel", "spec.completions", 2),
    ("job-parallel", "spec.parallelism", 3),
    ("job-suspended", "spec.template.spec.nodeSelector", {"a": "b"}),
    ("job-suspended", "spec.template.spec.containers", [{"name": "c", "image": "busybox:1.37"}]),
    ("job-suspended", "spec.suspend", False),
    ("job-indexed", "spec.completions", 2),
    ("job-indexed", "spec", {"completions": 2, "parallelism": 2}),
    ("job-indexed", "spec.backoffLimitPerIndex", 2),
    ("service", "spec.clusterIP", "10.0.0.99"),
    ("service", "spec.clusterIP", GONE),
    ("balancer", "spec.loadBalancerClass", "a.test/c"),
    ("balancer", "spec.loadBalancerClass", GONE),
    ("balancer", "spec.type", "LoadBalancer"),
    ("claim", "spec.storageClassName", "b"),
    ("claim", "spec.accessModes", ["ReadWriteMany"]),
    ("claim", "spec.volumeMode", "Block"),
    ("claim", "spec.selector", {"matchLabels": {"a": "b"}}),
    ("claim", "spec.dataSource", {"kind": "PersistentVolumeClaim", "name": "b"}),
    ("volume", "spec.hostPath.path", "/b"),
    ("volume", "spec.volumeMode", "Block"),
    ("volume", "spec.capacity.storage", "2Gi"),
    ("config", "data.a", "2"),
    ("config", "metadata.labels", {"a": "b"}),
    ("secret", "type", "a.test/b"),
    ("secret", "stringData.a", "2"),
    ("binding", "roleRef.name", "b"),
    ("binding", "subjects", []),
    ("class", "provisioner", "a.test/c"),
    ("class", "parameters.a", "2"),
    ("class", "reclaimPolicy", "Retain"),
    ("class", "volumeBindingMode", "WaitForFirstConsumer"),
    ("class", "allowVolumeExpansion", True),
    ("attributes", "driverName", "b.test"),
    ("attributes", "parameters.a", "2"),
    ("driver", "spec.attachRequired", False),
    ("driver", "spec.podInfoOnMount", True),
    ("ingress", "spec.controller", "a.test/c"),
    ("runtime", "handler", "b"),
    ("priority", "value", 6),
    ("priority", "description", "a"),
    ("slice", "addressType", "IPv6"),
    ("slice", "ports", [{"port": 80}]),
]
# These say what the API server has filled in by itself, which nobody sees in the repository: nothing is said.
UNSEEN: Final = [
    ("statefulset", "spec.podManagementPolicy"),
    ("claim", "spec.volumeMode"),
    ("volume", "spec.volumeMode"),
    ("class", "reclaimPolicy"),
    ("class", "volumeBindingMode"),
]


def manifest(name: str, number: int) -> dict[str, Any]:
    api, kind, rest = OBJECTS[name]
    own = {"apiVersion": api, "kind": kind, "metadata": {"name": f"{name}-{number}", "namespace": "default"}}
    item = copy.deepcopy({**rest, **own})
    if name == "service":
        item["spec"]["clusterIP"] = f"10.0.0.{100 + number}"
    return item


def changed(item: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    after = copy.deepcopy(item)
    *parents, last = path.split(".")
    inner = after
    for step in parents:
        inner = inner.setdefault(step, {})
    if value is GONE:
        del inner[last]
    elif isinstance(value, dict) and isinstance(inner.get(last), dict):
        inner[last] = {**inner[last], **value}
    else:
        inner[last] = value
    return after


def refused(cluster: Cluster, items: list[dict[str, Any]]) -> set[str]:
    """The names of the objects that the API server refuses, applied as Flux does it: server-side and by force."""
    for item in items:
        item["metadata"].setdefault("labels", {})["applied"] = "twice"
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
    with pytest.raises(ToolchainError, match="failed with 1"):
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=listed)
    kinds = ",".join(sorted({item["kind"].lower() for item in items}))
    found = cluster.kubectl("get", kinds, "--selector=applied=twice", "--output=name").split()
    return {item["metadata"]["name"] for item in items} - {name.partition("/")[2] for name in found}


def test_every_field(cluster: Cluster) -> None:
    before = [manifest(name, number) for number, (name, _, _) in enumerate(CHANGES)]
    listed = {"apiVersion": "v1", "kind": "List", "items": before}
    cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(listed).encode())
    after = [changed(item, path, value) for item, (_, path, value) in zip(before, CHANGES, strict=True)]
    said = {
        new["metadata"]["name"]: list(refused_fields(identity(old), old, new))
        for old, new in zip(before, after, strict=True)
    }
    unseen = {
        item["metadata"]["name"] for item, change in zip(before, CHANGES, strict=True) if change[:2] in UNSEEN
    }
    assert {name for name, fields in said.items() if fields} | unseen == refused(cluster, after)
    assert not [name for name in unseen if said[name]]
