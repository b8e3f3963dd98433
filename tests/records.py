"""Records of every state of a run, as reports tell of it."""

from __future__ import annotations

from typing import Any

from sf.models import (
    ActionKind,
    ActionResult,
    Cause,
    Change,
    Failure,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    LiveState,
    Location,
    ObjectChange,
    Outcome,
    Phase,
    PlannedAction,
    Reason,
    Record,
    Severity,
)

DEPLOYMENT_DIFF = """\
@@ -12,7 +12,7 @@
     spec:
       containers:
         - name: web
-          image: registry.example/shop/web:1.4.2
+          image: registry.example/shop/web:1.5.0
           ports:
             - containerPort: 8080
"""
CLAIM_DIFF = """\
@@ -1,8 +0,0 @@
-apiVersion: v1
-kind: PersistentVolumeClaim
-metadata:
-  name: data
-  namespace: legacy
-spec:
-  accessModes: [ReadWriteOnce]
-  resources: {requests: {storage: 20Gi}}
"""
NAMESPACE_DIFF = """\
@@ -0,0 +1,4 @@
+apiVersion: v1
+kind: Namespace
+metadata:
+  name: search
"""

LEGACY = PlannedAction(
    name="flux-system/legacy",
    description="remove Kustomization flux-system/legacy and what it owns",
    order=0,
    action=ActionKind.REMOVE,
    change=Change.REMOVE,
    reasons=(
        Reason(
            cause=Cause.GIT,
            message="its manifest is no longer in the cluster's folder",
            location=Location("clusters/production/legacy.yaml"),
        ),
    ),
    objects=(
        ObjectChange(
            change=Change.REMOVE,
            kind="PersistentVolumeClaim",
            namespace="legacy",
            name="data",
            diff=CLAIM_DIFF,
        ),
    ),
)
SEARCH = PlannedAction(
    name="flux-system/search",
    description="reconcile Kustomization flux-system/search",
    order=0,
    action=ActionKind.RECONCILE,
    change=Change.ADD,
    reasons=(
        Reason(
            cause=Cause.GIT,
            message="new Kustomization",
            location=Location("clusters/production/search.yaml", 1),
        ),
    ),
    objects=(ObjectChange(change=Change.ADD, kind="Namespace", name="search", diff=NAMESPACE_DIFF),),
)
SHOP = PlannedAction(
    name="flux-system/shop",
    description="reconcile Kustomization flux-system/shop",
    order=1,
    action=ActionKind.RECONCILE,
    change=Change.CHANGE,
    reasons=(
        Reason(
            cause=Cause.GIT,
            message="a file of its build changed",
            subject="apps/shop/base/deployment.yaml",
            location=Location("apps/shop/base/deployment.yaml", 18),
        ),
    ),
    objects=(
        ObjectChange(
            change=Change.CHANGE,
            group="apps",
            kind="Deployment",
            namespace="shop",
            name="web",
            diff=DEPLOYMENT_DIFF,
        ),
        ObjectChange(
            change=Change.CHANGE,
            kind="Secret",
            namespace="shop",
            name="web-database",
            reasons=(Reason(cause=Cause.GIT, message="a value changed", subject="DATABASE_URL"),),
        ),
    ),
    depends_on=("flux-system/infrastructure",),
)
CHECKOUT = PlannedAction(
    name="flux-system/checkout",
    description="reconcile Kustomization flux-system/checkout",
    order=2,
    action=ActionKind.RECONCILE,
    change=Change.CHANGE,
    reasons=(Reason(cause=Cause.DEPENDENCY, message="depends on flux-system/shop"),),
    depends_on=("flux-system/shop",),
)
QUIET = tuple(
    PlannedAction(name=name, description="", order=0, action=ActionKind.NONE)
    for name in ("flux-system/infrastructure", "flux-system/monitoring")
)
LOSES_DATA = Finding(
    code="volume-claim-removed",
    severity=Severity.DANGER,
    message="the volume claim is removed, and with reclaim policy Delete its 20Gi of data are gone",
    subject="PersistentVolumeClaim legacy/data",
    location=Location("apps/legacy/claim.yaml", 2),
    hint="set the reclaim policy of the volume to Retain before this is merged",
)
FOR_EVERYONE = Finding(
    code="helm-not-rendered",
    severity=Severity.INFO,
    message="the chart of this HelmRelease is not rendered, only the release itself is compared",
    subject="HelmRelease search/opensearch",
)
LINKS = {"run": "https://forge.example/shop/fleet/actions/runs/42"}


def flux_plan(*actions: PlannedAction, **fields: Any) -> LifecyclePlan:
    return LifecyclePlan(
        mode="gitops",
        backend="flux",
        actions=actions,
        target="clusters/production",
        repository="forge.example/shop/fleet",
        commit="4f0c2a9be1d37f6a5b8c0d9e2f1a3b4c5d6e7f80",
        base="90ab1c2d3e4f5061728394a5b6c7d8e9f0a1b2c3",
        config_hash="5c" * 32,
        tools={"kustomize": "v5.8.1"},
        **fields,
    )


def flux_record(plan: LifecyclePlan | None, **fields: Any) -> Record:
    timings = {"resolve": 0.01, "validate": 0.2, "prepare": 0.4, "plan": 2.31}
    return Record(
        **{
            "mode": "gitops",
            "backend": "flux",
            "dry_run": True,
            "plan": plan,
            "timings": timings,
            "links": LINKS,
            **fields,
        }
    )


CHANGES = flux_plan(LEGACY, SEARCH, SHOP, CHECKOUT, *QUIET, findings=(FOR_EVERYONE, LOSES_DATA))
TYPO = Finding(
    code="path-missing",
    severity=Severity.ERROR,
    message="spec.path names a folder that does not exist: ./apps/serach",
    subject="flux-system/search",
    location=Location("clusters/production/search.yaml", 9, 9),
    hint="did you mean ./apps/search?",
)
CYCLE = Finding(
    code="dependency-cycle",
    severity=Severity.ERROR,
    message="flux-system/shop waits for flux-system/checkout, which waits for flux-system/shop",
    subject="flux-system/shop",
    location=Location("clusters/production/shop.yaml", 14, 5),
    hint="remove one of the two dependsOn entries",
)


def drifted(effect: Change, **fields: Any) -> PlannedAction:
    return PlannedAction(
        name="host1/web",
        description="deploy stack web on host1",
        order=0,
        action=ActionKind.DEPLOY,
        live=LiveState(effect=effect, **fields),
    )


WEB = drifted(
    Change.CHANGE,
    objects=(
        ObjectChange(
            change=Change.CHANGE,
            kind="service",
            name="proxy",
            reasons=(
                Reason(cause=Cause.DRIFT, message="the mounted file changed", subject="./proxy/nginx.conf"),
                Reason(cause=Cause.DRIFT, message="not running, exited with code 137"),
            ),
        ),
    ),
)
ORPHAN = PlannedAction(
    name="host2/wiki",
    description="report stack wiki on host2",
    order=0,
    action=ActionKind.REPORT,
    change=Change.UNCHANGED,
    reasons=(
        Reason(cause=Cause.ORPHAN, message="runs on host2, but no folder of the repository declares it"),
    ),
)
UNREACHABLE = PlannedAction(
    name="host3/metrics-with-a-name-that-is-far-too-long-for-any-column-of-a-table",
    description="deploy stack metrics on host3",
    order=0,
    action=ActionKind.DEPLOY,
    live=LiveState(effect=Change.UNKNOWN),
)


def compose_record(*actions: PlannedAction, unknown: tuple[str, ...] = (), **fields: Any) -> Record:
    plan = LifecyclePlan(
        mode="docker",
        backend="compose",
        actions=actions,
        commit="4f0c2a9be1d37f6a5b8c0d9e2f1a3b4c5d6e7f80",
        unknown=unknown,
    )
    return Record(**{"mode": "docker", "backend": "compose", "dry_run": False, "plan": plan, **fields})


UNHEALTHY = ActionResult(
    name="host1/web",
    success=False,
    duration=64.4,
    message="service proxy is unhealthy after 60 s",
    stderr=(
        " Container web-proxy-1  Recreated\n Container web-proxy-1  Starting\n"
        " Container web-proxy-1  Waiting\n Container web-proxy-1  Error\n"
        'nginx: [emerg] unknown directive "sevrer" in /etc/nginx/nginx.conf:7\n'
    ),
    command="docker compose --project-name web --file /srv/stacks/web/compose.yaml up --wait proxy",
)
INTERRUPTED_RESULT = LifecycleResult(
    actions=(
        ActionResult(name="host1/web", success=True, duration=4.02),
        ActionResult(
            name="host2/wiki",
            success=False,
            duration=9.1,
            outcome=Outcome.INTERRUPTED,
            message="stopped while compose was waiting; the next run carries on from here",
        ),
        ActionResult(name="host3/mail", success=False, outcome=Outcome.NOT_REACHED),
    )
)


def stack(name: str, order: int = 0, **fields: Any) -> PlannedAction:
    host, _, project = name.partition("/")
    return PlannedAction(
        **{
            "name": name,
            "description": f"deploy stack {project} on {host}",
            "order": order,
            "action": ActionKind.DEPLOY,
            "change": Change.CHANGE,
            **fields,
        }
    )


EVIL = (
    "|`x`| <img src=x onerror=alert(1)> [a](javascript:1) ![b](https://evil.example/i.png) @octocat "
    "fixes #1 !2 ~bug ::error::gotcha ##[error]gotcha \x1b[31mred\x1b[0m \u202eltr\u2066 </details>\n"
    "```\n::add-mask::x\n# heading\n/merge\n<!-- comment -->\r\n$1 %2 &3 https://evil.example www.evil.example "
    "mail@evil.example :tada: שלום \x00 \udcff"
)
EVIL_REASON = Reason(cause=Cause.GIT, message=EVIL, subject=EVIL, location=Location(EVIL, 3))
EVIL_ACTION = PlannedAction(
    name=EVIL,
    description=EVIL,
    order=0,
    action=ActionKind.DEPLOY,
    change=Change.CHANGE,
    reasons=(EVIL_REASON,),
    objects=(
        ObjectChange(
            change=Change.CHANGE,
            group=EVIL,
            kind=EVIL,
            name=EVIL,
            namespace=EVIL,
            diff=f"-{EVIL}\n+{EVIL}\n",
            reasons=(EVIL_REASON,),
        ),
    ),
)
HOSTILE = Record(
    mode="gitops",
    backend=EVIL,
    dry_run=False,
    plan=LifecyclePlan(
        mode="gitops",
        backend=EVIL,
        actions=(EVIL_ACTION,),
        target=EVIL,
        commit=EVIL,
        base=f"{EVIL} once more",
        findings=(
            Finding(
                code=EVIL,
                severity=Severity.DANGER,
                message=EVIL,
                subject=EVIL,
                location=Location(EVIL),
                hint=EVIL,
            ),
            Finding(code=EVIL, severity=Severity.WARNING, message=EVIL),
        ),
        unknown=(EVIL,),
    ),
    result=LifecycleResult(
        actions=(ActionResult(name=EVIL, success=False, message=EVIL, stderr=EVIL, command=EVIL),),
        notes={EVIL: EVIL},
    ),
    failure=Failure(phase=Phase.CLEANUP, backend=EVIL, message=EVIL, hint=EVIL),
    timings={EVIL: 1.0},
    links={EVIL: EVIL, "run": "https://forge.example/) [x](javascript:1)"},
)


def observed(
    name: str, order: int, effect: Change, *said: str, objects: tuple[ObjectChange, ...] = ()
) -> PlannedAction:
    """A Kustomization that no commit changes, as it was seen in the cluster."""
    return PlannedAction(
        name=name,
        description=f"Kustomization {name} from apps/{name.rpartition('/')[2]}",
        order=order,
        action=ActionKind.NONE if effect is Change.UNCHANGED else ActionKind.RECONCILE,
        live=LiveState(
            effect=effect,
            reasons=tuple(Reason(cause=Cause.LIVE, message=message) for message in said),
            objects=objects,
        ),
    )


DRIFT = Record(
    mode="gitops",
    backend="flux",
    dry_run=True,
    plan=LifecyclePlan(
        mode="gitops",
        backend="flux",
        dry_run=True,
        target="clusters/production",
        commit="5" * 40,
        base="5" * 40,
        actions=(
            observed("flux-system/infra", 0, Change.UNCHANGED),
            observed(
                "shop/web",
                1,
                Change.CHANGE,
                objects=(
                    ObjectChange(
                        change=Change.CHANGE,
                        group="apps",
                        kind="Deployment",
                        namespace="shop",
                        name="web",
                        diff=DEPLOYMENT_DIFF,
                        reasons=(
                            Reason(
                                cause=Cause.DRIFT, message="differs in the cluster from what Flux applied"
                            ),
                        ),
                    ),
                    ObjectChange(
                        change=Change.ADD,
                        kind="Namespace",
                        name="search",
                        diff=NAMESPACE_DIFF,
                        reasons=(Reason(cause=Cause.DRIFT, message="it is missing in the cluster"),),
                    ),
                    ObjectChange(
                        change=Change.REMOVE,
                        kind="ConfigMap",
                        namespace="shop",
                        name="old-settings",
                        reasons=(
                            Reason(
                                cause=Cause.DRIFT,
                                message="Flux applied it, and the repository holds it no more",
                            ),
                        ),
                    ),
                ),
            ),
            observed(
                "shop/search",
                1,
                Change.CHANGE,
                "is failing: HealthCheckFailed: health check failed after some time: timeout waiting for:"
                " [Deployment/shop/search status: 'InProgress']",
                "runs 444444444444, which is older than this commit",
            ),
            observed(
                "shop/notifier",
                2,
                Change.UNCHANGED,
                "is suspended in the cluster: Flux applies nothing until it is resumed",
            ),
            observed("shop/reports", 2, Change.ADD, "is not in the cluster"),
        ),
        findings=(
            Finding(
                code="source-failing",
                severity=Severity.WARNING,
                subject="GitRepository flux-system/fleet",
                message="GitRepository flux-system/fleet is failing in the cluster: GitOperationFailed: failed to"
                " checkout and determine revision: unable to list remote: connection refused",
            ),
        ),
        unknown=(
            "shop/web: drift of Secret shop/web-database is not known: it is encrypted in the repository",
            "shop/search: drift: the cluster does not let ci:main patch deployments in shop",
        ),
    ),
    timings={"validate": 0.4, "plan": 2.2},
)


STATES = {
    "nothing-changed": flux_record(flux_plan(*QUIET)),
    "changes": flux_record(CHANGES),
    "incomplete": compose_record(
        WEB,
        ORPHAN,
        UNREACHABLE,
        unknown=("the live state of host3: no route to host within 10 s",),
        dry_run=True,
    ),
    "plan-failed": flux_record(
        flux_plan(SHOP, *QUIET, findings=(LOSES_DATA, TYPO, CYCLE)),
        failure=Failure(phase=Phase.PLAN, backend="flux", message=f"{TYPO.message} (and 1 more)"),
    ),
    "no-plan": flux_record(
        None,
        timings={"resolve": 0.01, "validate": 0.2},
        failure=Failure(
            phase=Phase.VALIDATE,
            backend="flux",
            message="kustomize was not found on PATH",
            hint="install kustomize 5.7 or newer, or run the container image, which brings it",
        ),
    ),
    "executed": compose_record(
        stack("host1/web", reasons=(Reason(cause=Cause.GIT, message="image of service proxy changed"),)),
        stack("host2/wiki", change=Change.UNCHANGED, action=ActionKind.NONE),
        result=LifecycleResult(
            actions=(
                ActionResult(
                    name="host1/web", success=True, duration=8.31, message="all services are healthy"
                ),
                ActionResult(name="host2/wiki", success=True, outcome=Outcome.UNCHANGED),
            ),
            notes={"planned commit": "4f1c" * 10, "live": "2 of 2 at the planned commit"},
        ),
        timings={"plan": 1.2, "execute": 8.4},
        links=LINKS,
    ),
    "execute-failed": compose_record(
        WEB,
        stack("host2/wiki"),
        stack("host1/shop", order=1, depends_on=("host1/web",)),
        result=LifecycleResult(
            actions=(
                UNHEALTHY,
                ActionResult(name="host2/wiki", success=True, duration=4.02),
                ActionResult(
                    name="host1/shop",
                    success=False,
                    outcome=Outcome.NOT_REACHED,
                    message="waits for host1/web, which failed",
                ),
            )
        ),
        failure=Failure(phase=Phase.EXECUTE, backend="compose", message="1 of 3 actions failed: host1/web"),
        timings={"plan": 1.2, "execute": 68.6},
        links=LINKS,
    ),
    "interrupted": compose_record(
        stack("host1/web"),
        stack("host2/wiki"),
        stack("host3/mail", order=1),
        result=INTERRUPTED_RESULT,
        failure=Failure(phase=Phase.EXECUTE, backend="compose", message="interrupted by SIGTERM"),
        timings={"plan": 1.2, "execute": 13.3},
    ),
    "drift": DRIFT,
    "hostile": HOSTILE,
}
