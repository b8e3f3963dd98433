"""What a run has to be allowed in the cluster, and the roles that allow what is missing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sf import documents
from sf.backends.flux.kustomization import GROUP
from sf.tools.kubernetes import Right

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sf.backends.flux.kustomization import SourceRef
    from sf.tools.kubernetes import Api, User

SOURCE_GROUP: Final = "source.toolkit.fluxcd.io"
# The plural that URLs and roles have, by the kind that a Kustomization names.
SOURCES: Final = {
    "Bucket": "buckets",
    "ExternalArtifact": "externalartifacts",
    "GitRepository": "gitrepositories",
    "OCIRepository": "ocirepositories",
}
_READ: Final = ("get", "list", "watch")
# `flux reconcile` and `kubectl annotate` set an annotation.
_ACT: Final = (*_READ, "patch")
_RBAC: Final = "rbac.authorization.k8s.io"
_ACCOUNT: Final = "system:serviceaccount:"


def needed(namespaces: Iterable[str], sources: Iterable[SourceRef], *, act: bool) -> list[Right]:
    """The rights to see the Kustomizations of `namespaces` and their `sources`; with `act`, to reconcile them."""
    verbs = _ACT if act else _READ
    rights = {Right(namespace, GROUP, "kustomizations", verb) for namespace in namespaces for verb in verbs}
    rights |= {Right(namespace, "", "events", "list") for namespace in namespaces if act}
    rights |= {
        Right(source.namespace, SOURCE_GROUP, SOURCES[source.kind], verb)
        for source in sources
        if source.kind in SOURCES
        for verb in verbs
    }
    return sorted(rights)


def missing(api: Api, rights: Iterable[Right]) -> list[Right]:
    """Those of `rights` that the API server would deny us."""
    return [right for right in rights if not api.allows(right)]


def described(rights: Iterable[Right]) -> str:
    """`rights` in a sentence: ``get and list kustomizations in flux-system``, several with a comma between."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in sorted(rights):
        verbs.setdefault((right.resource, right.namespace), []).append(right.verb)
    return ", ".join(
        f"{' and '.join(some)} {resource} in {namespace or 'all namespaces'}"
        for (resource, namespace), some in verbs.items()
    )


def roles(rights: Iterable[Right], user: User) -> str:
    """Manifests (YAML) that give `rights` to `user`: a role and its binding for each namespace."""
    # A name for each user, so that what is applied for one takes nothing away from another.
    name = f"sf-{hashlib.sha256(user.name.encode()).hexdigest()[:8]}"
    by_namespace: dict[str, list[Right]] = {}
    for right in sorted(rights):
        by_namespace.setdefault(right.namespace, []).append(right)
    return documents.dump_all(
        manifest
        for namespace, some in by_namespace.items()
        for manifest in _role_and_binding(name, namespace, some, user)
    )


def _role_and_binding(
    name: str, namespace: str, rights: Iterable[Right], user: User
) -> tuple[dict[str, Any], dict[str, Any]]:
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.group, right.resource), []).append(right.verb)
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    role = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": kind,
        "metadata": metadata,
        "rules": [
            {"apiGroups": [group], "resources": [resource], "verbs": some}
            for (group, resource), some in verbs.items()
        ],
    }
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
        "subjects": [_subject(user.name)],
    }
    return role, binding


def _subject(name: str) -> dict[str, str]:
    if name.startswith(_ACCOUNT):
        namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
        return {"kind": "ServiceAccount", "namespace": namespace, "name": account}
    return {"apiGroup": _RBAC, "kind": "User", "name": name}
