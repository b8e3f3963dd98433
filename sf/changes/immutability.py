"""Which changes of built-in objects the API server refuses.

Source: the ``Validate…Update`` functions in pkg/apis/*/validation of Kubernetes 1.36, where not said otherwise by
the name of the kind, and of apiextensions-apiserver 0.36 for definitions of custom resources. Tests ask a real API
server about every field.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sf.changes.manifest import at, same, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sf.changes.manifest import Identity

_RBAC: Final = "rbac.authorization.k8s.io"
_ALWAYS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("apiextensions.k8s.io", "CustomResourceDefinition"): ("spec.scope", "spec.names.kind", "spec.group"),
    ("apps", "DaemonSet"): ("spec.selector",),
    ("apps", "Deployment"): ("spec.selector",),
    ("apps", "ReplicaSet"): ("spec.selector",),
    ("apps", "StatefulSet"): ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"),
    ("batch", "Job"): (
        *("spec.podFailurePolicy", "spec.successPolicy"),
        *("spec.backoffLimitPerIndex", "spec.managedBy"),
    ),
    ("discovery.k8s.io", "EndpointSlice"): ("addressType",),
    (_RBAC, "ClusterRoleBinding"): ("roleRef",),
    (_RBAC, "RoleBinding"): ("roleRef",),
    ("resource.k8s.io", "ResourceClaim"): ("spec",),
    ("resource.k8s.io", "ResourceClaimTemplate"): ("spec",),
    ("storage.k8s.io", "StorageClass"): ("provisioner", "parameters"),
    ("storage.k8s.io", "VolumeAttributesClass"): ("driverName", "parameters"),
    ("", "PersistentVolumeClaim"): ("spec.accessModes", "spec.selector", "spec.dataSource"),
    ("networking.k8s.io", "IngressClass"): ("spec.controller",),
    ("node.k8s.io", "RuntimeClass"): ("handler",),
    ("scheduling.k8s.io", "PriorityClass"): ("value",),
}
"""Fields that stay as the manifest had them, or did not have them."""
_ONCE_SET: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "StatefulSet"): ("spec.podManagementPolicy",),
    ("batch", "Job"): ("spec.selector", "spec.completionMode"),
    ("", "PersistentVolume"): (
        *("spec.volumeMode", "spec.csi", "spec.nfs", "spec.hostPath", "spec.local", "spec.iscsi", "spec.fc"),
    ),
    ("", "PersistentVolumeClaim"): (
        *("spec.storageClassName", "spec.volumeMode", "spec.volumeName", "spec.dataSourceRef"),
    ),
    ("", "Secret"): ("type",),
    ("", "Service"): ("spec.clusterIP",),
    ("scheduling.k8s.io", "PriorityClass"): ("preemptionPolicy",),
    ("storage.k8s.io", "CSIDriver"): ("spec.attachRequired", "spec.volumeLifecycleModes"),
    ("storage.k8s.io", "StorageClass"): ("reclaimPolicy", "volumeBindingMode"),
}
"""Fields that the API server fills in itself: where a manifest has none, what it has now may be the same."""
_FROZEN: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "ConfigMap"): ("data", "binaryData", "immutable"),
    ("", "Secret"): ("data", "stringData", "immutable"),
}
"""Fields of objects that say ``immutable: true``."""

# What may change in the template of a Job that is suspended (validatePodTemplateUpdate).
_SCHEDULING: Final = frozenset({"nodeSelector", "tolerations", "schedulingGates", "affinity"})

_QUANTITY: Final = re.compile(r"([0-9]{1,30}(?:\.[0-9]{0,30})?)([eE][0-9]{1,2}|[KMGTPE]i|[kMGTPE]?)")
_SUFFIXES: Final = {
    "": Decimal(1),
    "k": Decimal(1000),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


def refused_fields(own: Identity, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """The fields that differ and may not, such as ``spec.selector``."""
    key = own.group_kind
    for field in _ALWAYS.get(key, ()):
        if not same(*_both(field, before, after)):
            yield field
    for field in _ONCE_SET.get(key, ()):
        old, new = _both(field, before, after)
        if old is not None and new is not None and not same(old, new):
            yield field
    if before.get("immutable") is True:
        for field in _FROZEN.get(key, ()):
            if not same(before.get(field), after.get(field)):
                yield field
    if rule := _RULES.get(key):
        yield from rule(before, after)


def _both(field: str, before: Any, after: Any) -> tuple[Any, Any]:
    path = field.split(".")
    return at(before, *path), at(after, *path)


def _shrunk(before: Any, after: Any) -> Iterator[str]:
    field = "spec.resources.requests.storage"
    old, new = (_bytes(value) for value in _both(field, before, after))
    if old is not None and new is not None and new < old:
        yield field


def _other_balancer(before: Any, after: Any) -> Iterator[str]:
    """The class of a load balancer stays as long as the Service is one (validateLoadBalancerClassField)."""
    field = "spec.loadBalancerClass"
    if _both("spec.type", before, after) == ("LoadBalancer", "LoadBalancer"):
        old, new = _both(field, before, after)
        if old is not None and old != new:
            yield field


def _other_job(before: Any, after: Any) -> Iterator[str]:
    """How many pods have to succeed stays, but in an indexed Job where as many run at once (validateCompletions).

    ``parallelism`` may always change. Where neither is set, the API server sets both to 1 (SetDefaults_Job).
    """
    old, new = _both("spec.completions", before, after)
    stored = 1 if old is None and at(before, "spec", "parallelism") is None else old
    if at(after, "spec", "completionMode") == "Indexed":
        is_refused = new not in {stored, at(after, "spec", "parallelism")}
    else:
        is_refused = new not in ({stored, None} if old is None else {old})
    if is_refused:
        yield "spec.completions"
    templates = _both("spec.template", before, after)
    if at(before, "spec", "suspend") is True:
        templates = _unscheduled(templates[0]), _unscheduled(templates[1])
    if not same(*templates):
        yield "spec.template"


def _unscheduled(template: Any) -> Any:
    spec = at(template, "spec")
    if not isinstance(spec, dict):
        return template
    return {"spec": {name: value for name, value in spec.items() if name not in _SCHEDULING}}


def _bytes(quantity: Any) -> Decimal | None:
    """What a quantity of Kubernetes stands for; None for what is none."""
    match = _QUANTITY.fullmatch(text(quantity))
    if match is None:
        return None
    number, suffix = match.groups()
    if suffix[:1] in {"e", "E"} and suffix[1:].isdecimal():
        return Decimal(number) * Decimal(10) ** int(suffix[1:])
    return Decimal(number) * _SUFFIXES[suffix]


_RULES: Final[Mapping[tuple[str, str], Callable[[Any, Any], Iterator[str]]]] = {
    ("", "PersistentVolumeClaim"): _shrunk,
    ("", "Service"): _other_balancer,
    ("batch", "Job"): _other_job,
}
"""What is more than a field that stays."""
