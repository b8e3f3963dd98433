"""Repositories in the two forms that Flux's own documentation teaches: tenants, and charts with stages."""

from __future__ import annotations

from tests.fleets import config_map, flux_kustomization, kustomization, manifest

HERE = "clusters/staging"
_ROLE = "{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}"


def bootstrapped(url: str) -> dict[str, str]:
    """What `flux bootstrap` writes, the controllers themselves left out."""
    source = manifest(
        f"""
        apiVersion: source.toolkit.fluxcd.io/v1
        kind: GitRepository
        metadata: {{name: flux-system, namespace: flux-system}}
        spec: {{interval: 1m, url: {url}, ref: {{branch: main}}}}
        """
    )
    account = manifest(
        """
        apiVersion: v1
        kind: ServiceAccount
        metadata: {name: kustomize-controller, namespace: flux-system}
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRoleBinding
        metadata: {name: cluster-reconciler}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
        subjects: [{kind: ServiceAccount, name: kustomize-controller, namespace: flux-system}]
        """
    )
    return {
        f"{HERE}/flux-system/gotk-components.yaml": account,
        f"{HERE}/flux-system/gotk-sync.yaml": f"{source}---\n{flux_kustomization('flux-system', f'./{HERE}')}",
    }


def _object(api: str, kind: str, name: str, more: str = "", namespace: str = "") -> str:
    place = f", namespace: {namespace}" if namespace else ""
    return f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}{place}}}\n{more}"


def _release(name: str, values: str) -> str:
    chart = "chart: {spec: {chart: web, version: 1.x, sourceRef: {kind: HelmRepository, name: charts}}}"
    return _object(
        "helm.toolkit.fluxcd.io/v2",
        "HelmRelease",
        name,
        f"spec:\n  interval: 1h\n  {chart}\n  values: {values}\n",
    )


def tenants(url: str) -> dict[str, str]:
    """A platform with two tenants: one of this repository with fewer rights, one of another repository."""
    system = kustomization(
        ["gotk-components.yaml", "gotk-sync.yaml"],
        """
        patches:
        - patch: '[{"op": "add", "path": "/spec/serviceAccountName", "value": "kustomize-controller"}]'
          target: {kind: Kustomization, name: flux-system}
        """,
    )
    accounts = _object("v1", "Namespace", "team") + "---\n" + _object("v1", "ServiceAccount", "team")
    binding = _object(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "reconciler",
        f"roleRef: {_ROLE}\nsubjects: [{{kind: ServiceAccount, name: team, namespace: team}}]\n",
    )
    own = _object(
        "source.toolkit.fluxcd.io/v1",
        "GitRepository",
        "own",
        f"spec:\n  interval: 1m\n  url: {url}\n  ref: {{branch: main}}\n  ignore: |\n    /*\n    !/apps\n",
    )
    theirs = own.replace("name: own", "name: theirs").replace(url, "https://git.example.test/they/apps")
    sync = flux_kustomization(
        "team", "./apps", "serviceAccountName: team\ntargetNamespace: team\nretryInterval: 2s"
    ).replace("namespace: flux-system", "namespace: team")
    return bootstrapped(url) | {
        f"{HERE}/flux-system/kustomization.yaml": system,
        f"{HERE}/policies.yaml": flux_kustomization(
            "policies", "./policies", "serviceAccountName: kustomize-controller"
        ),
        f"{HERE}/tenants.yaml": flux_kustomization(
            "tenants",
            "./tenants/staging",
            "dependsOn: [{name: policies}]\npostBuild: {substitute: {team: blue}}\n"
            "serviceAccountName: kustomize-controller",
        ),
        "policies/rule.yaml": _object("policy.example.test/v1", "Rule", "signed", "spec: {images: ['*']}\n"),
        "policies/bound.yaml": _object(
            "policy.example.test/v1", "Exception", "none", namespace="flux-system"
        ),
        "tenants/base/team/kustomization.yaml": kustomization(
            ["accounts.yaml", "binding.yaml", "sync.yaml"], "namespace: team"
        ),
        "tenants/base/team/accounts.yaml": accounts,
        "tenants/base/team/binding.yaml": binding,
        "tenants/base/team/sync.yaml": f"{own}---\n{sync.replace('name: flux-system}', 'name: own}')}",
        "tenants/base/other/kustomization.yaml": kustomization(["sync.yaml"], "namespace: team"),
        "tenants/base/other/sync.yaml": f"{theirs}---\n"
        + sync.replace("{name: team,", "{name: other,").replace("name: flux-system}", "name: theirs}"),
        "tenants/staging/kustomization.yaml": kustomization(
            ["../base/team", "../base/other"],
            "patches: [{path: patch.yaml, target: {kind: Kustomization, name: team}}]",
        ),
        "tenants/staging/patch.yaml": "- op: add\n  path: /spec/commonMetadata\n"
        "  value: {labels: {team: '${team}'}}\n",
        "apps/c.yaml": config_map("app"),
        "apps/part/kustomization.yaml": kustomization(
            (), "configMapGenerator: [{name: made, literals: [a=b]}]"
        ),
    }


def charts(url: str) -> dict[str, str]:
    """Stages that share what they run: controllers, then their configuration, then applications."""
    issuers = _object(
        "certs.example.test/v1", "Issuer", "public", "spec: {server: https://acme.example.test}\n"
    )
    charts = _object(
        "source.toolkit.fluxcd.io/v1",
        "HelmRepository",
        "charts",
        "spec: {interval: 1h, url: https://c.example.test}\n",
    )
    return bootstrapped(url) | {
        f"{HERE}/flux-system/kustomization.yaml": kustomization(["gotk-components.yaml", "gotk-sync.yaml"]),
        f"{HERE}/infrastructure.yaml": flux_kustomization("controllers", "./infrastructure/controllers")
        + "---\n"
        + flux_kustomization(
            "configs",
            "./infrastructure/configs",
            "dependsOn: [{name: controllers}]\npatches:\n"
            '- patch: \'[{"op": "replace", "path": "/spec/server", "value": "https://staging.example.test"}]\'\n'
            "  target: {kind: Issuer}",
        ),
        f"{HERE}/apps.yaml": flux_kustomization(
            "apps",
            "./apps/staging",
            "dependsOn: [{name: configs}]\ncomponents: [../../parts/labelled]\nnamePrefix: staging-",
        ),
        "infrastructure/controllers/kustomization.yaml": kustomization(["certs.yaml"]),
        "infrastructure/controllers/certs.yaml": f"{_object('v1', 'Namespace', 'certs')}---\n"
        + charts.replace("{name: charts}", "{name: charts, namespace: certs}")
        + "---\n"
        + _release("certs", "{crds: true}").replace("{name: certs}", "{name: certs, namespace: certs}"),
        "infrastructure/configs/issuers.yaml": issuers,
        "apps/base/web/kustomization.yaml": kustomization(
            ["namespace.yaml", "charts.yaml", "release.yaml"],
            "namespace: web\nconfigMapGenerator: [{name: page, files: [index.html]}]",
        ),
        "apps/base/web/namespace.yaml": _object("v1", "Namespace", "web"),
        "apps/base/web/charts.yaml": charts,
        "apps/base/web/release.yaml": _release("web", "{replicas: 1}"),
        "apps/base/web/index.html": "<p>hello</p>\n",
        "apps/staging/kustomization.yaml": kustomization(
            ["../base/web"], "patches: [{path: values.yaml, target: {kind: HelmRelease}}]"
        ),
        "apps/staging/values.yaml": _release("web", "{replicas: 2}"),
        "parts/labelled/kustomization.yaml": kustomization(
            (), "labels: [{pairs: {stage: staging}}]", kind="Component"
        ),
    }
