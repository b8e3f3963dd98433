"""A Flux repository like those that people run at home: 80 Kustomizations of charts, patched by their parents.

One Kustomization builds all others and patches its defaults into them and into what they build. Folders by
namespace; components for namespaces, variables and backups; variables from a Secret that only the cluster has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import fleets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMESPACES: Final = (
    "database",
    "default",
    "flux-system",
    "media",
    "network",
    "observability",
    "security",
    "storage",
)
APPS: Final = 10
ROOT: Final = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: cluster-apps, namespace: flux-system}
spec:
  interval: 1h
  path: ./cluster/apps
  prune: true
  deletionPolicy: WaitForTermination
  sourceRef: {kind: GitRepository, name: flux-system, namespace: flux-system}
  patches:
    - target: {group: kustomize.toolkit.fluxcd.io, kind: Kustomization}
      patch: |-
        apiVersion: kustomize.toolkit.fluxcd.io/v1
        kind: Kustomization
        metadata: {name: _}
        spec:
          deletionPolicy: WaitForTermination
          patches:
            - target: {group: helm.toolkit.fluxcd.io, kind: HelmRelease}
              patch: |-
                apiVersion: helm.toolkit.fluxcd.io/v2
                kind: HelmRelease
                metadata: {name: _}
                spec:
                  install: {crds: CreateReplace, strategy: {name: RetryOnFailure}}
                  rollback: {cleanupOnFail: true, recreate: true}
                  upgrade:
                    cleanupOnFail: true
                    crds: CreateReplace
                    remediation: {remediateLastFailure: true, retries: 2}
"""
KUSTOMIZATION: Final = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: {name}}}
spec:
  targetNamespace: {namespace}
  interval: 1h
  path: ./cluster/apps/{namespace}/{name}/app
  prune: true
  components: {components}
  dependsOn: {depends}
  postBuild: {{substitute: {{APP: {name}}}}}
  sourceRef: {{kind: GitRepository, name: flux-system, namespace: flux-system}}
"""
RELEASE: Final = """\
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: {name}
spec:
  interval: 1h
  chartRef:
    kind: OCIRepository
    name: {name}
  values:
    controllers:
      {name}:
        annotations:
          reloader.example.com/auto: "true"
        replicas: {replicas}
        containers:
          app:
            image:
              repository: ghcr.io/example/{name}
              tag: 1.0.0@sha256:83bf82d422e9b0529a8076cb584d557a12158d9d8a4c373b4d27afcb87a17569
            env:
              TZ: Europe/Vienna
              PUBLIC_URL: https://{name}.${{SECRET_DOMAIN}}
            envFrom:
              - secretRef:
                  name: {name}-secret
            probes:
              liveness: &probes
                enabled: true
                custom: true
                spec:
                  httpGet:
                    path: /health
                    port: &port 8080
                  periodSeconds: 10
              readiness: *probes
            securityContext:
              allowPrivilegeEscalation: false
              readOnlyRootFilesystem: true
              capabilities: {{drop: [ALL]}}
            resources:
              requests: {{cpu: 10m, memory: 64Mi}}
              limits: {{memory: 256Mi}}
    service:
      app:
        ports:
          http:
            port: *port
    route:
      app:
        hostnames: ["{name}.${{SECRET_DOMAIN}}"]
        parentRefs:
          - name: internal
            namespace: network
    persistence:
      config:
        existingClaim: {name}
      tmp:
        type: emptyDir
"""
CHART: Final = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata:
  name: {name}
spec:
  interval: 15m
  layerSelector:
    mediaType: application/vnd.cncf.helm.chart.content.v1.tar+gzip
    operation: copy
  ref:
    tag: 4.6.2
  url: oci://ghcr.io/example/charts/app-template
"""
EXTERNAL: Final = """\
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  name: {name}
spec:
  secretStoreRef:
    kind: ClusterSecretStore
    name: vault
  target:
    name: {name}-secret
  dataFrom:
    - extract:
        key: {name}
"""
NAMESPACE: Final = """\
apiVersion: v1
kind: Namespace
metadata:
  name: not-used
  annotations:
    kustomize.toolkit.fluxcd.io/prune: disabled
"""
VARIABLES: Final = """\
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
resources: [externalsecret.yaml]
patches:
  - target: {group: kustomize.toolkit.fluxcd.io, kind: Kustomization}
    patch: |-
      apiVersion: kustomize.toolkit.fluxcd.io/v1
      kind: Kustomization
      metadata: {name: not-used}
      spec: {postBuild: {substituteFrom: [{kind: Secret, name: cluster-vars}]}}
"""
BACKUP: Final = """\
apiVersion: volsync.backube/v1alpha1
kind: ReplicationSource
metadata:
  name: ${APP}
spec:
  sourcePVC: ${APP}
  trigger: {schedule: "${BACKUP_SCHEDULE:=0 2 * * *}"}
  restic:
    copyMethod: Snapshot
    repository: ${APP}-backup
    retain: {daily: 7}
"""
CLAIM: Final = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: ${APP}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: "${CAPACITY:=5Gi}"}}
"""
COMPONENT: Final = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [{resources}]\n"
PATH: Final = "cluster/base"
#: The Kustomizations that the last two commits change, as (namespace, name).
CHANGED: Final = (("media", "media-3"), ("observability", "observability-5"))


def make(root: Path) -> None:
    """The repository at `root`; each of its last two commits changes one app."""
    root.mkdir(parents=True)
    for path, text in _files():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    fleets.begin(root)
    for namespace, name in CHANGED:
        release = root / f"cluster/apps/{namespace}/{name}/app/helmrelease.yaml"
        release.write_text(RELEASE.format(name=name, replicas=2))
        fleets.commit(root, f"more of {name}")


def _files() -> Iterator[tuple[str, str]]:
    yield ".stagefreight.yml", f"lifecycle: {{mode: gitops}}\ngitops: {{path: {PATH}}}\n"
    yield f"{PATH}/sync.yaml", fleets.SYNC.replace("./cluster", f"./{PATH}")
    yield f"{PATH}/apps.yaml", ROOT
    yield "cluster/components/common/kustomization.yaml", COMPONENT.format(resources="namespace.yaml")
    yield "cluster/components/common/namespace.yaml", NAMESPACE
    yield "cluster/components/variables/kustomization.yaml", VARIABLES
    yield "cluster/components/variables/externalsecret.yaml", EXTERNAL.format(name="cluster-vars")
    yield (
        "cluster/components/backup/kustomization.yaml",
        COMPONENT.format(resources="backup.yaml, claim.yaml"),
    )
    yield "cluster/components/backup/backup.yaml", BACKUP
    yield "cluster/components/backup/claim.yaml", CLAIM
    for namespace in NAMESPACES:
        yield from _namespace(namespace)


def _namespace(namespace: str) -> Iterator[tuple[str, str]]:
    folder = f"cluster/apps/{namespace}"
    names = [f"{namespace}-{number}" for number in range(APPS)]
    resources = ", ".join(f"{name}/kustomization-flux.yaml" for name in names)
    components = "components: [../../components/common, ../../components/variables]"
    yield f"{folder}/kustomization.yaml", f"namespace: {namespace}\n{components}\nresources: [{resources}]\n"
    for number, name in enumerate(names):
        backed_up = "[../../../../components/backup]" if number % 2 else "[]"
        depends = f"[{{name: {names[number - 1]}}}]" if number % 5 else "[]"
        yield (
            f"{folder}/{name}/kustomization-flux.yaml",
            KUSTOMIZATION.format(name=name, namespace=namespace, components=backed_up, depends=depends),
        )
        listed = "helmrelease.yaml, chart.yaml, externalsecret.yaml"
        yield f"{folder}/{name}/app/kustomization.yaml", f"resources: [{listed}]\n"
        yield f"{folder}/{name}/app/helmrelease.yaml", RELEASE.format(name=name, replicas=1)
        yield f"{folder}/{name}/app/chart.yaml", CHART.format(name=name)
        yield f"{folder}/{name}/app/externalsecret.yaml", EXTERNAL.format(name=name)
