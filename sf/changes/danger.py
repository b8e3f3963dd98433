"""Facts that a difference hides: what is lost, what will be refused, what gains power."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sf.changes.immutability import refused_fields
from sf.changes.manifest import HELM_GROUP, KUSTOMIZE_GROUP, at, entries, flux_setting, pairs, strings, text
from sf.changes.objects import is_applied, stays
from sf.changes.rights import gained
from sf.models import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sf.changes.manifest import Pair

# What is gone for good when its object is deleted.
_PRECIOUS: Final = {
    ("", "Namespace"): "deletes everything in it",
    ("", "PersistentVolumeClaim"): "may delete the data of its volume",
    ("", "PersistentVolume"): "may delete the data of the volume",
    ("apps", "StatefulSet"): "stops it; its volumes are kept only if its retention policy says so",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "deletes every object of that kind",
    (HELM_GROUP, "HelmRelease"): "uninstalls the release with all that it made",
}
_SUSPENDABLE: Final = frozenset({KUSTOMIZE_GROUP, HELM_GROUP, "source.toolkit.fluxcd.io"})
_CRDS_OF_FLUX: Final = ".toolkit.fluxcd.io"
_MOST_NAMED: Final = 20


def findings(
    unit: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], *, deletes: bool
) -> tuple[Finding, ...]:
    """What a reviewer should know about the change of `unit` from `before` to `after`.

    `deletes` says whether Flux deletes what is removed. The subject of each is the identity of the object. What
    Flux is told not to apply does nothing, so there is nothing to say about it.
    """
    return tuple(
        finding
        for pair in pairs(before, after)
        if not pair.is_same
        for finding in _Judge(unit, pair).findings(deletes=deletes)
    )


class _Judge:
    """Looks at one object that changes."""

    def __init__(self, unit: str, pair: Pair) -> None:
        self._unit = unit
        self._pair = pair
        self._key = pair.identity
        self._name = " ".join(
            filter(None, (self._key.kind, "/".join(filter(None, (self._key.namespace, self._key.name)))))
        )

    def findings(self, *, deletes: bool) -> Iterator[Finding]:
        pair = self._pair
        if pair.after is None:
            if not stays(pair, deletes=deletes):
                yield from self._lost()
        elif is_applied(pair):
            if pair.before is not None:
                yield from self._refused(pair.before, pair.after)
                yield from self._suspension(pair.before, pair.after)
                yield from self._images(pair.before, pair.after)
                yield from self._stopped(pair.before, pair.after)
            yield from self._helm()
            yield from self._power()
            yield from self._flux("changes" if pair.before is not None else "is new")

    def _lost(self) -> Iterator[Finding]:
        consequence = _PRECIOUS.get(self._key.group_kind)
        if consequence:
            yield self._danger("data-loss", f"removing {self._name} {consequence}")
        yield from self._flux("is removed")

    def _refused(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
        replaces = "enabled" in (flux_setting(before, "force"), flux_setting(after, "force"))
        for field in refused_fields(self._key, before, after):
            if replaces:
                yield self._danger(
                    "immutable-field",
                    f"{field} of {self._name} cannot be changed, so Flux deletes the object and makes a new one",
                )
            else:
                yield self._danger(
                    "immutable-field",
                    f"{field} of {self._name} cannot be changed: the API server refuses it",
                    hint="delete the object first, or set `force: true` on the Kustomization to have it replaced",
                )

    def _suspension(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
        if self._key.group not in _SUSPENDABLE:
            return
        was, is_ = (at(side, "spec", "suspend") is True for side in (before, after))
        if was and is_:
            what = "stays suspended: this change is not rolled out"
        elif is_:
            what = "is suspended: it will not be rolled out any more"
        else:
            what = "is resumed: what waited rolls out"
        if was or is_:
            yield self._finding("suspension", Severity.WARNING, f"{self._name} {what}")

    def _images(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
        old, new = (
            {text(container.get("image")) for container in _containers(side)} - {""}
            for side in (before, after)
        )
        if old != new:
            gone, come = (", ".join(sorted(images)) or "nothing" for images in (old - new, new - old))
            yield self._finding("image-change", Severity.INFO, f"{self._name}: image {gone} becomes {come}")

    def _stopped(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Finding]:
        was, is_ = (at(side, "spec", "replicas") for side in (before, after))
        is_zero = is_ == 0 and not isinstance(is_, bool)
        if self._key.pod_spec and is_zero and was != 0:
            yield self._finding("no-replicas", Severity.WARNING, f"{self._name} is scaled to 0: it stops")

    def _helm(self) -> Iterator[Finding]:
        if self._key.group_kind == (HELM_GROUP, "HelmRelease"):
            what = "is new" if self._pair.before is None else "changes"
            yield self._finding(
                "helm-release",
                Severity.INFO,
                f"{self._name} {what}; what its chart makes of that is not rendered",
            )

    def _power(self) -> Iterator[Finding]:
        if rights := list(gained(self._key, self._pair.before, self._pair.after)):
            yield self._danger("rbac-widening", f"{self._name} gives more rights: {', '.join(rights)}")
        reaches = set(_privileges(self._pair.after)) - set(_privileges(self._pair.before))
        for what in islice(sorted(reaches), _MOST_NAMED):
            yield self._danger("privileged", f"{self._name} gets {what}")
        if len(reaches) > _MOST_NAMED:
            yield self._danger(
                "privileged", f"{self._name} gets {len(reaches) - _MOST_NAMED} more privileges"
            )

    def _flux(self, what: str) -> Iterator[Finding]:
        labels = [
            at(side, "metadata", "labels", "app.kubernetes.io/part-of")
            for side in (self._pair.before, self._pair.after)
        ]
        is_crd = self._key.kind == "CustomResourceDefinition" and self._key.name.endswith(_CRDS_OF_FLUX)
        if "flux" in labels or is_crd:
            yield self._danger("flux-component", f"{self._name} {what}, and it is a part of Flux itself")

    def _danger(self, code: str, message: str, hint: str = "") -> Finding:
        return self._finding(code, Severity.DANGER, message, hint)

    def _finding(self, code: str, severity: Severity, message: str, hint: str = "") -> Finding:
        return Finding(
            code=code,
            severity=severity,
            message=f"{self._unit}: {message}",
            subject=str(self._key),
            hint=hint,
        )


def _pod_specs(item: Any) -> Iterator[Mapping[str, Any]]:
    """Whatever looks like the specification of pods, so that those of custom resources are found too."""
    waiting = [item]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("containers"), list) or isinstance(value.get("initContainers"), list):
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _containers(item: Any) -> Iterator[Mapping[str, Any]]:
    for spec in _pod_specs(item):
        for field in ("initContainers", "containers", "ephemeralContainers"):
            yield from entries(spec.get(field))


def _privileges(item: Any) -> Iterator[str]:
    """What of `item` reaches beyond its own pod."""
    for spec in _pod_specs(item):
        yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field) is True)
        for volume in entries(spec.get("volumes")):
            if isinstance(volume.get("hostPath"), dict):
                yield f"hostPath {text(at(volume, 'hostPath', 'path'))}"
    for container in _containers(item):
        context = container.get("securityContext")
        name = f" in container {text(container.get('name'))}" if text(container.get("name")) else ""
        for field in ("privileged", "allowPrivilegeEscalation"):
            if at(context, field) is True:
                yield f"{field}{name}"
        yield from (f"capability {added}{name}" for added in strings(at(context, "capabilities", "add")))
