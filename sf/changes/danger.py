"""Facts that a difference hides: what is lost, what will be refused, what gains power."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sf.changes.objects import key
from sf.models import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# What is gone for good when its object is deleted.
_PRECIOUS: Final = {
    ("", "Namespace"): "deletes everything in it",
    ("", "PersistentVolumeClaim"): "may delete the data of its volume",
    ("", "PersistentVolume"): "may delete the data of the volume",
    ("apps", "StatefulSet"): "stops it; its volumes are kept only if its retention policy says so",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "deletes every object of that kind",
}
# Fields the API server refuses to change (Kubernetes API reference, validation of each kind).
_IMMUTABLE: Final[dict[tuple[str, str], tuple[tuple[str, ...], ...]]] = {
    ("apps", "Deployment"): (("spec", "selector"),),
    ("apps", "DaemonSet"): (("spec", "selector"),),
    ("apps", "StatefulSet"): (
        ("spec", "selector"),
        ("spec", "serviceName"),
        ("spec", "volumeClaimTemplates"),
        ("spec", "podManagementPolicy"),
    ),
    ("batch", "Job"): (("spec", "selector"), ("spec", "template"), ("spec", "completionMode")),
    ("rbac.authorization.k8s.io", "RoleBinding"): (("roleRef",),),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (("roleRef",),),
    ("storage.k8s.io", "StorageClass"): (
        ("provisioner",),
        ("parameters",),
        ("reclaimPolicy",),
        ("volumeBindingMode",),
    ),
    ("", "PersistentVolumeClaim"): (
        ("spec", "storageClassName"),
        ("spec", "accessModes"),
        ("spec", "volumeName"),
        ("spec", "volumeMode"),
    ),
    ("", "Service"): (("spec", "clusterIP"),),
}
_FLUX_LABEL: Final = "app.kubernetes.io/part-of"
_SUSPENDABLE: Final = frozenset(
    {"kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io", "source.toolkit.fluxcd.io"}
)


def findings(
    subject: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], *, deletes: bool
) -> tuple[Finding, ...]:
    """What a reviewer should know about the change of the unit `subject` from `before` to `after`.

    `deletes` says whether Flux deletes what is removed.
    """
    old = {key(item): item for item in before}
    new = {key(item): item for item in after}
    found: list[Finding] = []
    for identity in sorted(old.keys() | new.keys()):
        mine, other = old.get(identity), new.get(identity)
        if mine != other:
            found += _Judge(subject, identity, mine, other).findings(deletes=deletes)
    return tuple(found)


class _Judge:
    """Looks at one object that changes."""

    def __init__(
        self,
        subject: str,
        identity: tuple[str, str, str, str],
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any] | None,
    ) -> None:
        self._unit = subject
        self._group, self._kind, namespace, name = identity
        self._name = f"{namespace}/{name}" if namespace else name
        self._old = old
        self._new = new

    def findings(self, *, deletes: bool) -> Iterator[Finding]:
        if self._new is None:
            if deletes:
                yield from self._lost()
            return
        if self._old is not None:
            yield from self._refused()
            yield from self._suspension()
            yield from self._images()
            yield from self._helm()
        yield from self._power()
        yield from self._flux()

    def _lost(self) -> Iterator[Finding]:
        consequence = _PRECIOUS.get((self._group, self._kind))
        if consequence:
            yield self._finding(
                "data-loss", Severity.DANGER, f"removing {self._kind} {self._name} {consequence}"
            )

    def _refused(self) -> Iterator[Finding]:
        for path in _IMMUTABLE.get((self._group, self._kind), ()):
            old, new = _at(self._old, path), _at(self._new, path)
            if old is not None and new is not None and old != new:
                yield self._finding(
                    "immutable-field",
                    Severity.DANGER,
                    f"{'.'.join(path)} of {self._kind} {self._name} cannot be changed: the API server refuses it",
                    hint="delete the object first, or set `force: true` on the Kustomization to have it replaced",
                )
        if self._kind in {"Secret", "ConfigMap"} and _at(self._old, ("immutable",)) is True:
            yield self._finding(
                "immutable-field",
                Severity.DANGER,
                f"{self._kind} {self._name} is immutable and cannot be changed",
            )

    def _suspension(self) -> Iterator[Finding]:
        if self._group not in _SUSPENDABLE:
            return
        was, is_ = (_at(side, ("spec", "suspend")) is True for side in (self._old, self._new))
        if was != is_:
            what = (
                "is suspended: it will not be rolled out any more"
                if is_
                else "is resumed: what waited rolls out"
            )
            yield self._finding("suspension", Severity.WARNING, f"{self._kind} {self._name} {what}")

    def _images(self) -> Iterator[Finding]:
        old, new = set(_images_in(self._old)), set(_images_in(self._new))
        if old != new and (old - new or new - old):
            gone, come = ", ".join(sorted(old - new)) or "nothing", ", ".join(sorted(new - old)) or "nothing"
            yield self._finding(
                "image-change", Severity.INFO, f"{self._kind} {self._name}: image {gone} becomes {come}"
            )

    def _helm(self) -> Iterator[Finding]:
        if (self._group, self._kind) == ("helm.toolkit.fluxcd.io", "HelmRelease"):
            yield self._finding(
                "helm-release",
                Severity.INFO,
                f"HelmRelease {self._name} changes; what its chart makes of that is not rendered",
            )

    def _power(self) -> Iterator[Finding]:
        if self._group == "rbac.authorization.k8s.io":
            for what in _gained(self._kind, self._old, self._new):
                yield self._finding(
                    "rbac-widening", Severity.DANGER, f"{self._kind} {self._name} gives more rights: {what}"
                )
        old = set(_privileges(self._old))
        for what in sorted(set(_privileges(self._new)) - old):
            yield self._finding("privileged", Severity.DANGER, f"{self._kind} {self._name} gets {what}")

    def _flux(self) -> Iterator[Finding]:
        labels = _at(self._new, ("metadata", "labels"))
        if self._old is not None and isinstance(labels, dict) and labels.get(_FLUX_LABEL) == "flux":
            yield self._finding(
                "flux-component", Severity.DANGER, f"{self._kind} {self._name} is a part of Flux itself"
            )

    def _finding(self, code: str, severity: Severity, message: str, hint: str = "") -> Finding:
        kind = f"{self._group}/{self._kind}" if self._group else self._kind
        return Finding(
            code=code,
            severity=severity,
            message=f"{self._unit}: {message}",
            subject=f"{kind} {self._name}",
            hint=hint,
        )


def _at(value: Any, path: Sequence[str]) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside `value`, itself included."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _pod_specs(item: Any) -> Iterator[dict[str, Any]]:
    return (
        found
        for found in _mappings(item)
        if isinstance(found.get("containers"), list) or isinstance(found.get("initContainers"), list)
    )


def _containers(item: Any) -> Iterator[dict[str, Any]]:
    for spec in _pod_specs(item):
        for field in ("initContainers", "containers", "ephemeralContainers"):
            listed = spec.get(field)
            yield from (one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()


def _images_in(item: Any) -> Iterator[str]:
    return (str(container["image"]) for container in _containers(item) if container.get("image"))


def _privileges(item: Any) -> Iterator[str]:
    """What of `item` reaches beyond its own pod."""
    for spec in _pod_specs(item):
        yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field) is True)
        volumes = spec.get("volumes")
        for volume in volumes if isinstance(volumes, list) else ():
            if isinstance(volume, dict) and isinstance(volume.get("hostPath"), dict):
                yield f"hostPath {volume['hostPath'].get('path')}"
    for container in _containers(item):
        context = container.get("securityContext")
        if not isinstance(context, dict):
            continue
        yield from (
            field for field in ("privileged", "allowPrivilegeEscalation") if context.get(field) is True
        )
        added = _at(context, ("capabilities", "add"))
        yield from (f"capability {name}" for name in added) if isinstance(added, list) else ()


def _gained(kind: str, old: Any, new: Any) -> Iterator[str]:
    """What a role or binding allows that it did not before."""
    if kind.endswith("Binding"):
        before = {str(subject) for subject in _list(old, "subjects")}
        for subject in _list(new, "subjects"):
            if str(subject) not in before and isinstance(subject, dict):
                role = _at(new, ("roleRef", "name"))
                yield f"{subject.get('kind')} {subject.get('name')} gets {role}"
        return
    before_rules = set(_grants(old))
    for verb, resource in sorted(set(_grants(new)) - before_rules):
        if not _covered(verb, resource, before_rules):
            yield f"{verb} {resource}"


def _grants(role: Any) -> Iterator[tuple[str, str]]:
    for rule in _list(role, "rules"):
        if not isinstance(rule, dict):
            continue
        resources = [str(resource) for resource in _list(rule, "resources") + _list(rule, "nonResourceURLs")]
        groups = [str(group) for group in _list(rule, "apiGroups")] or [""]
        for verb in _list(rule, "verbs"):
            for resource in resources:
                yield from ((str(verb), f"{resource}.{group}" if group else resource) for group in groups)


def _covered(verb: str, resource: str, grants: set[tuple[str, str]]) -> bool:
    """Whether one of `grants` has a wildcard that already allowed it."""
    group = resource.partition(".")[2]
    wildcards = {resource, "*", f"*.{group}", "*.*"}
    return any((known, name) in grants for known in (verb, "*") for name in wildcards)


def _list(value: Any, field: str) -> list[Any]:
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
