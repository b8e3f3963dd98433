"""Which lists of Kubernetes have no order, and how two states of an object are brought into one order.

Source: api/openapi-spec/swagger.json of Kubernetes 1.36, ``x-kubernetes-list-map-keys`` and
``x-kubernetes-patch-merge-key``; lists of type ``set`` are keyed by the entry itself. Kinds of other groups are
not in it, so their lists keep their order.

Three lists that have such keys are left out because their order means something: init containers run one after
the other, an environment variable may refer to those before it, and of two host aliases the first one counts.

Where the order means nothing to Kubernetes it is stored nevertheless: server-side apply keeps the order that it
is given. See `sf.changes.objects` for what that does to pods.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sf.changes.manifest import mapping, text
from sf.models import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sf.changes.manifest import Identity


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a value: its fields, or how the entries of a list are told apart.

    ``keys`` of a list name the fields that identify an entry; an empty name is the entry itself.
    """

    fields: Mapping[str, Shape] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    items: Shape | None = None


def _keyed(*keys: str, **fields: Shape) -> Shape:
    return Shape(keys=keys, items=Shape(fields))


def _ordered(**fields: Shape) -> Shape:
    return Shape(items=Shape(fields))


_SET: Final = Shape(keys=("",))
_DEFAULTS: Final = {"protocol": "TCP"}
_CONTAINER: Final = {
    "ports": _keyed("containerPort", "protocol"),
    "volumeDevices": _keyed("devicePath"),
    "volumeMounts": _keyed("mountPath"),
    "resources": Shape({"claims": _keyed("name")}),
}
_POD: Final = Shape(
    {
        "containers": _keyed("name", **_CONTAINER),
        "initContainers": _ordered(**_CONTAINER),
        "ephemeralContainers": _keyed("name", **_CONTAINER),
        "imagePullSecrets": _keyed("name"),
        "resourceClaims": _keyed("name"),
        "schedulingGates": _keyed("name"),
        "topologySpreadConstraints": _keyed("topologyKey", "whenUnsatisfiable"),
        "volumes": _keyed("name"),
    }
)
_METADATA: Final = Shape({"finalizers": _SET, "ownerReferences": _keyed("uid")})
_WEBHOOKS: Final = {"webhooks": _keyed("name", matchConditions=_keyed("name"))}
_FLOW_RULE: Final = {
    "resourceRules": _ordered(apiGroups=_SET, namespaces=_SET, resources=_SET, verbs=_SET),
    "nonResourceRules": _ordered(nonResourceURLs=_SET, verbs=_SET),
}
_KINDS: Final[Mapping[tuple[str, str], Mapping[str, Shape]]] = {
    ("", "Service"): {"spec": Shape({"ports": _keyed("port", "protocol")})},
    ("", "ServiceAccount"): {"secrets": _keyed("name")},
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): {
        "spec": Shape({"validationActions": _SET})
    },
    ("discovery.k8s.io", "EndpointSlice"): {"endpoints": _ordered(addresses=_SET)},
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): {"spec": Shape({"rules": _ordered(**_FLOW_RULE)})},
    ("storage.k8s.io", "CSIDriver"): {"spec": Shape({"volumeLifecycleModes": _SET})},
}


def aligned(
    identity: Identity, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Both states, with lists that have no order in the order of the newer one."""
    shape = _shape(identity)
    return _in_order_of(after, before, shape), after


def _shape(identity: Identity) -> Shape:
    fields = {"metadata": _METADATA, **_KINDS.get(identity.group_kind, {})}
    if identity.pod_spec:
        first, *rest = identity.pod_spec
        pod = _POD
        for name in reversed(rest):
            pod = Shape({name: pod})
        fields[first] = pod
    return Shape(fields)


def _in_order_of(model: Any, value: Any, shape: Shape | None) -> Any:
    """`value` with the order of `model` wherever order has no meaning."""
    if shape is None:
        return value
    if isinstance(value, dict):
        example = mapping(model)
        return {
            name: _in_order_of(example.get(name), item, shape.fields.get(name))
            for name, item in value.items()
        }
    if isinstance(value, list):
        return _list_in_order_of(model if isinstance(model, list) else [], value, shape)
    return value


def _list_in_order_of(model: Sequence[Any], value: Sequence[Any], shape: Shape) -> list[Any]:
    own, wanted = _identified(value, shape), _identified(model, shape)
    if own is None or wanted is None:
        return [
            _in_order_of(model[index] if index < len(model) else None, item, shape.items)
            for index, item in enumerate(value)
        ]
    ranks = {key: rank for rank, key in enumerate(wanted)}
    placed, rank = [], -1
    for key, item in own.items():
        # What only this side has stays behind the entry it stood behind.
        rank = ranks.get(key, rank)
        placed.append((rank, _in_order_of(wanted.get(key), item, shape.items)))
    return [item for _, item in sorted(placed, key=lambda entry: entry[0])]


def _identified(value: Sequence[Any], shape: Shape) -> dict[Any, Any] | None:
    """The entries by their keys; None where the list is ordered, a key is missing or two entries share one."""
    found = {_key(item, shape.keys): item for item in value}
    return found if shape.keys and None not in found and len(found) == len(value) else None


def _key(item: Any, names: Sequence[str]) -> tuple[Any, ...] | None:
    if names == ("",):
        return (canonical_json(item),) if isinstance(item, str) else None
    values = tuple(text(mapping(item).get(name)) or _DEFAULTS.get(name, "") for name in names)
    return values if all(values) else None
