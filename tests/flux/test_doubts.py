"""What is known to be got wrong about Kustomizations, compared with `flux build kustomization` itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleets import config_map, flux_kustomization, kustomization
from tests.flux.test_against_flux import APP, COMPONENT, DEPLOYMENT, compare, own

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tools

FLUX_OBJECTS = {
    "app/flux.yaml": "---\n".join(
        [
            flux_kustomization(
                "child", "./child", "dependsOn: [{name: other}]\npostBuild: {substitute: {a: b}}"
            ),
            (
                "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: flux-system}\n"
                "spec: {url: 'https://git.example.test/x', secretRef: {name: login}}\n"
            ),
            (
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: web, namespace: own}\n"
                "spec: {chartRef: {kind: OCIRepository, name: web}, valuesFrom: [{kind: ConfigMap, name: made}]}\n"
            ),
        ]
    ),
    "app/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata: {name: own}\n",
    "app/rights.yaml": "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\n"
    "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: r}\n"
    "subjects: [{kind: ServiceAccount, name: default, namespace: own}, {kind: ServiceAccount, name: s}]\n"
    "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: s}\n"
    "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n",
    "app/custom.yaml": "apiVersion: example.test/v1\nkind: Thing\nmetadata: {name: t}\nspec: {ref: {name: s}}\n",
    "app/definition.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
    "metadata: {name: things.example.test}\nspec: {group: example.test, names: {kind: Thing, plural: things}}\n",
}
MADE = "configMapGenerator: [{name: made, literals: [a=b]}]"
# What `flux` and people are known to trip over, by name: files, the rest of the spec.
DOUBTS: dict[str, tuple[dict[str, str], str]] = {
    "affixes on objects of Flux": (FLUX_OBJECTS, "namePrefix: a-\nnameSuffix: -z"),
    "a namespace for objects of Flux, and for those without one": (FLUX_OBJECTS, "targetNamespace: over"),
    "both namespaces": (
        FLUX_OBJECTS | {"app/kustomization.yaml": kustomization(
            ["flux.yaml", "namespace.yaml", "rights.yaml", "custom.yaml"], f"namespace: inner\n{MADE}")},
        "targetNamespace: over\nnamePrefix: a-",
    ),
    "a namespace only where there is none": (
        own(
            "transformers: [n.yaml]",
            **{"n.yaml": "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {name: n, namespace: mine}\n"
               "unsetOnly: true\nsetRoleBindingSubjects: allServiceAccounts\n"},
        ),
        "targetNamespace: over",
    ),
    "common metadata over labels of its own": (
        FLUX_OBJECTS | {"app/kustomization.yaml": kustomization(["flux.yaml", "definition.yaml"],
                        "labels: [{pairs: {a: b}, includeTemplates: true}]\ncommonAnnotations: {c: d}")},
        "commonMetadata: {labels: {a: z, e: f}, annotations: {c: y}}",
    ),
    "a hash in names that others refer to": (
        own(
            f"{MADE}\nsecretGenerator: [{{name: s, literals: [p=q]}}]",
            **{"deployment.yaml": DEPLOYMENT.replace("env: [", "envFrom: [{configMapRef: {name: made}}, "
                                                     "{secretRef: {name: s}}], env: [")},
        ),
        "nameSuffix: -x",
    ),
    "generators that merge and replace": (
        own(
            "bases: [../base]\nconfigMapGenerator: [{name: m, behavior: merge, literals: [b=2]},"
            " {name: r, behavior: replace, literals: [b=2]}]",
            **{"../base/kustomization.yaml": kustomization(
                (), "configMapGenerator: [{name: m, literals: [a=1]}, {name: r, literals: [a=1]}]")},
        ),
        "namePrefix: p-",
    ),
    "patches with options in its own kustomization": (
        own(
            "patches: [{path: p.yaml, target: {kind: ConfigMap}, options: {allowNameChange: true,"
            " allowKindChange: true}}]",
            **{"p.yaml": "apiVersion: v1\nkind: Other\nmetadata: {name: renamed}\ndata: {colour: x}\n"},
        ),
        "",
    ),
    "patches with options in the spec, which Flux does not know": (
        APP,
        ("patches:\n- target: {kind: ConfigMap}\n  options: {allowNameChange: true}\n"
        "  patch: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: renamed}\n"),
    ),
    "a patch of several documents": (
        APP,
        ("patches:\n- patch: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: settings}\n"
        "    data: {one: '1'}\n    ---\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n"
        "    spec: {replicas: 9}\n"),
    ),
    "a patch that replaces lists": (
        APP,
        ("patches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n"
        "    spec:\n      template:\n        spec:\n          containers:\n          - $patch: replace\n"
        "          - {name: only, image: 'x:1'}\n"),
    ),
    "an image with tag and digest": (
        APP,
        f"images: [{{name: nginx, newTag: '2', digest: 'sha256:{'2' * 64}'}}, {{name: busybox, newTag: '3'}}]",
    ),
    "an image by a name with a registry": (
        own("", **{"deployment.yaml": DEPLOYMENT.replace("nginx:1.25", "r.test:5000/a/nginx")}),
        "images: [{name: 'r.test:5000/a/nginx', newName: b/nginx, newTag: v1}]",
    ),
    "components that are spelt differently": (APP | COMPONENT, "components: [../part/, ./../app/../part]"),
    "components that are no folders": (APP | COMPONENT, "components: [../part/extra.yaml]"),
    "components of its own and of the spec": (
        own("components: [../first]") | COMPONENT | {
            "first/kustomization.yaml": kustomization((), "namePrefix: first-", kind="Component")},
        "components: [../part]",
    ),
    "replacements in a component": (
        APP | {
            "part/kustomization.yaml": kustomization(
                (),
                "replacements: [{path: r.yaml},"
                " {source: {kind: ConfigMap, name: settings, fieldPath: data.answer},"
                " targets: [{select: {kind: Deployment}, fieldPaths: [metadata.annotations.answer],"
                " options: {create: true}}]}]",
                kind="Component",
            ),
            "part/r.yaml": "source: {kind: ConfigMap, name: settings, fieldPath: data.colour}\n"
            "targets: [{select: {kind: Deployment}, reject: [{name: nobody}],"
            " fieldPaths: ['spec.template.spec.containers.[name=web].env.[name=A].value']}]\n",
        },
        "components: [../part]",
    ),
    "a component as the path itself": (
        {"app/kustomization.yaml": kustomization(["c.yaml"], kind="Component"), "app/c.yaml": config_map("c")}, "",
    ),
    "a schema inline and by version": (own("openapi: {version: v1.21.2}"), "namePrefix: p-"),
    "a schema that names merge keys": (
        own(
            "openapi: {path: s.json}\nresources: [t.yaml]",
            **{
                "t.yaml": "apiVersion: example.test/v1\nkind: Thing\nmetadata: {name: t}\n"
                "spec: {parts: [{name: a, v: 1}, {name: b, v: 2}]}\n",
                "s.json": '{"definitions": {"test.example.v1.Thing": {"properties": {"spec": {"properties":'
                ' {"parts": {"type": "array", "items": {"properties": {"name": {"type": "string"}}},'
                ' "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"}}}},'
                ' "x-kubernetes-group-version-kind":'
                ' [{"group": "example.test", "kind": "Thing", "version": "v1"}]}}}',
            },
        ),
        ("patches:\n- patch: |\n    apiVersion: example.test/v1\n    kind: Thing\n    metadata: {name: t}\n"
        "    spec: {parts: [{name: b, v: 3}]}\n"),
    ),
    "build metadata of both": (
        own("buildMetadata: [transformerAnnotations]"),
        "buildMetadata: [originAnnotations]",
    ),
    "variables of kustomize itself": (
        own("vars: [{name: V, objref: {apiVersion: v1, kind: ConfigMap, name: settings}}]"), "namePrefix: p-"
    ),
    "variables where at least one has to be": (
        {"app/c.yaml": config_map("c", x="'${a:=fallback}'")}, "postBuild: {substituteStrategy: WithVariables}"
    ),
    "variables always": (
        {"app/c.yaml": config_map("c", x="'${a:=fallback}'", y="'$${b}'")},
        "postBuild: {substituteStrategy: Always}",
    ),
    "charts of kustomize, which run helm": (
        own("helmChartInflationGenerator: [{chartName: x}]\nhelmGlobals: {chartHome: charts}"), ""
    ),
    "how it is deleted and applied is not built": (
        APP,
        ("deletionPolicy: Orphan\nforce: true\nwait: true\nsuspend: true\ntimeout: 1m\nretryInterval: 1m\n"
        "ignore: [{paths: [/spec/replicas]}]\nhealthChecks: [{kind: Deployment, name: web}]\n"
        "healthCheckExprs: [{apiVersion: v1, kind: X, current: 'true'}]\nserviceAccountName: s\n"
        "dependsOn: [{name: x, readyExpr: 'true'}]"),
    ),
    "replicas, with a name that is changed": (
        own("replicas: [{name: web, count: 4}]\nnamePrefix: a-"),
        "namePrefix: b-",
    ),
    "an object without a namespace in a list": (
        {"app/l.yaml": "apiVersion: v1\nkind: ConfigMapList\nitems:\n- {metadata: {name: one}, data: {a: b}}\n"},
        "targetNamespace: over",
    ),
    "names that are generated by the API server": (
        {"app/j.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: j-}\n"}, ""
    ),
    "documents that are empty": ({"app/c.yaml": f"---\n---\n# nothing\n---\n{config_map('c')}---\n"}, ""),
    "windows line ends and a mark": (
        {"app/c.yaml": "\ufeff" + config_map("c", a="1").replace("\n", "\r\n")}, "namePrefix: a-"
    ),
    "order of creation": (
        own("sortOptions: {order: fifo}\nresources: [deployment.yaml, config.yaml]"),
        "namePrefix: a-",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DOUBTS)
def test_what_is_easily_got_wrong(tmp_path: Path, name: str) -> None:
    files, spec = DOUBTS[name]
    compare(tmp_path, files, spec)
