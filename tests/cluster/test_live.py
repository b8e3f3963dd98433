"""What a plan says of a real cluster, and that Flux then does just that."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from sf import documents
from sf.backends import register_builtins
from sf.backends.flux.backend import FluxBackend
from sf.backends.flux.kustomization import SourceRef
from sf.backends.flux.rights import needed, roles
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.models import ActionKind, Cause, Change, Verdict
from sf.runtime import InvokerType, LifecycleError, RuntimeContext, run_lifecycle
from sf.tools.kubernetes import User
from tests.cluster.settled import SUSPENDED, live, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from sf.config import Config
    from sf.models import LifecyclePlan, PlannedAction
    from tests.repositories import Repository
    from toolchain.cluster import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SCHEDULE: Final = CIContext(
    provider=Provider.GENERIC,
    event=EventKind.SCHEDULE,
    trust=Trust.TRUSTED,
    branch="main",
    default_branch="main",
)
KEY: Final = "a key for the fingerprints of the tests"
REQUEST: Final = "reconcile.fluxcd.io/requestedAt"


class Plans:
    """Plans of one fleet against one cluster."""

    def __init__(self, cluster: Cluster, fleet: Repository) -> None:
        self.cluster = cluster
        self.fleet = fleet
        # Another module of tests may have done so.
        with contextlib.suppress(ValueError):
            register_builtins()

    def config(self, **gitops: Any) -> Config:
        named = {"name": "tests", "server": self.cluster.server, "ca": self.cluster.ca}
        settings = {"path": "clusters/production", "cluster": named, **gitops}
        return load_config(documents.dump({"lifecycle": {"mode": "gitops"}, "gitops": settings}).encode())

    def context(self, ci: CIContext, groups: tuple[str, ...] = ("admins",), **environ: str) -> RuntimeContext:
        environment = {
            "PATH": self.cluster.environment["PATH"],
            "HOME": str(self.fleet.root.parent),
            "TESTS_TOKEN": self.cluster.token("main", groups),
            "SF_FINGERPRINT_KEY": KEY,
            # What the repository says of its cluster counts as this one.
            "SF_CONFIG_GITOPS__CLUSTER__NAME": "tests",
            "SF_CONFIG_GITOPS__CLUSTER__SERVER": self.cluster.server,
            "SF_CONFIG_GITOPS__CLUSTER__CA": self.cluster.ca,
        }
        return RuntimeContext(
            ci=ci,
            invoker=InvokerType.API,
            repo_root=self.fleet.root,
            dry_run=True,
            environ=environment | environ,
        )

    def plan(
        self, ci: CIContext = SCHEDULE, groups: tuple[str, ...] = ("admins",), **gitops: Any
    ) -> tuple[LifecyclePlan, int]:
        """The plan, and how many requests the cluster got for it."""
        context = self.context(ci, groups)
        run_lifecycle(self.config(**gitops), context)
        assert context.plan is not None
        backend = context.resolved.backend
        assert isinstance(backend, FluxBackend)
        cluster = backend._connection.cluster
        return context.plan, cluster.api.calls if cluster else 0

    def pull_request(self, branch: str) -> CIContext:
        return replace(
            SCHEDULE,
            event=EventKind.PULL_REQUEST,
            branch=branch,
            base_branch="main",
            base_commit=self.fleet.git("rev-parse", "main"),
            head_commit=self.fleet.git("rev-parse", branch),
        )


@pytest.fixture(scope="module", autouse=True)
def _admins(cluster: Cluster) -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "tests-admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "ci:admins"}],
    }
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(binding).encode())


@pytest.fixture
def plans(cluster: Cluster, fleet: Repository) -> Plans:
    """The fleet, running as its main branch says."""
    commit = cluster.push(fleet.root, "fleet")
    cluster.kubectl("apply", "--server-side", "--kustomize", f"{fleet.root}/clusters/production/flux-system")
    request(cluster, "gitrepository", "flux-system/flux-system")
    settled(cluster, commit)
    return Plans(cluster, fleet)


def request(cluster: Cluster, kind: str, name: str) -> None:
    """Ask Flux to look at an object now."""
    namespace, _, own = name.partition("/")
    value = f"{REQUEST}={time.time_ns()}"
    cluster.kubectl(f"--namespace={namespace}", "annotate", "--overwrite", kind, own, value)


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def action(plan: LifecyclePlan, name: str) -> PlannedAction:
    return next(action for action in plan.actions if action.name == name)


def said(plan: LifecyclePlan, name: str) -> list[str]:
    own = action(plan, name).live
    assert own is not None
    return [f"{reason.cause.value}: {reason.message}" for reason in own.reasons]


def seen(plan: LifecyclePlan, name: str) -> dict[str, Change]:
    own = action(plan, name).live
    assert own is not None
    return {change.identity: change.change for change in own.objects}


def test_a_cluster_as_the_repository_says_has_nothing_to_report(plans: Plans) -> None:
    plan, calls = plans.plan()
    assert (plan.verdict, plan.unknown) == (Verdict.NO_CHANGES, ())
    assert len(plan.actions) == len(live(plans.cluster))
    # Who we are, the Kustomizations of all namespaces, their sources.
    assert calls == 3
    assert said(plan, SUSPENDED) == [
        "live: is suspended in the cluster: Flux applies nothing until it is resumed",
        "live: has not been applied yet",
    ]
    assert {one.action for one in plan.actions} == {ActionKind.NONE}
    again, _ = plans.plan()
    assert again.document() == plan.document()


def test_drift_is_what_flux_undoes(plans: Plans) -> None:
    kubectl = plans.cluster.kubectl
    quiet, _ = plans.plan(drift=True)
    assert (quiet.verdict, quiet.unknown) == (Verdict.NO_CHANGES, ())
    shop = "--namespace=shop"
    kubectl(shop, "set", "image", "deployment/storefront", "*=example.test/other:1")
    kubectl(shop, "annotate", "deployment/catalog", "example.test/by=hand")
    environment = '[{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": '
    environment += '{"name": "DB_PASSWORD", "value": "hunter2-hunter2"}}]'
    kubectl(shop, "patch", "deployment/checkout", "--type=json", f"--patch={environment}")
    kubectl(shop, "delete", "configmap", "shop-settings")
    # Flux takes away what kubectl set and the repository does not say, and leaves what anybody else set.
    for name, manager in (("ledger", "kubectl-patch"), ("cache", "somebody-else")):
        patch = '--patch={"spec": {"minReadySeconds": 3}}'
        kubectl("--namespace=platform", "patch", f"statefulset/{name}", patch, f"--field-manager={manager}")
    plan, calls = plans.plan(drift=True)
    assert plan.verdict is Verdict.CHANGES
    assert calls <= 3 + 2 * objects(plans.cluster) + 20
    deployment = "apps/Deployment shop/"
    assert {one.name: seen(plan, one.name) for one in plan.actions if seen(plan, one.name)} == {
        "flux-system/apps": {"ConfigMap shop/shop-settings": Change.ADD},
        "platform/ledger": {"apps/StatefulSet platform/ledger": Change.CHANGE},
        "shop/catalog": {f"{deployment}catalog": Change.CHANGE},
        "shop/checkout": {f"{deployment}checkout": Change.CHANGE},
        "shop/storefront": {f"{deployment}storefront": Change.CHANGE},
    }
    diffs = {change.name: change.diff for one in plan.actions if one.live for change in one.live.objects}
    assert "-        image: example.test/other:1\n" in diffs["storefront"]
    assert "-    example.test/by: hand" in diffs["catalog"]
    assert "-          value: hmac-sha256:" in diffs["checkout"]
    assert "hunter2" not in json.dumps(plan.document())
    assert plan.change_digest == quiet.change_digest
    assert action(plan, "shop/catalog").effect is Change.CHANGE
    assert action(plan, "shop/catalog").action is ActionKind.RECONCILE

    def undone() -> bool:
        left = plans.plan(drift=True)[0]
        for one in left.actions:
            # Also again: what was tried before the variables that it takes were back waits for long.
            if one.effect is Change.CHANGE:
                request(plans.cluster, "kustomization", one.name)
        return left.verdict is Verdict.NO_CHANGES

    eventually(undone, "what was announced as drift is not what Flux undoes")
    assert '"example.test/by"' not in kubectl(shop, "get", "deployment/catalog", "--output=json")


def objects(cluster: Cluster) -> int:
    inventories = (item.get("status", {}).get("inventory", {}) for item in live(cluster).values())
    return sum(len(inventory.get("entries", [])) for inventory in inventories)


def test_a_pull_request_is_held_against_what_runs(plans: Plans) -> None:
    plan, calls = plans.plan(plans.pull_request("change"))
    assert (plan.verdict, calls) == (Verdict.CHANGES, 3)
    lonely, _ = plans.plan(replace(plans.pull_request("change"), trust=Trust.UNTRUSTED))
    assert lonely.verdict is Verdict.INCOMPLETE
    assert lonely.change_digest == plan.change_digest
    assert said(plan, "shop/catalog") == []
    assert action(plan, "shop/catalog").effect is Change.CHANGE
    assert action(plan, "shop/search").effect is Change.ADD
    reports = action(plan, "shop/reports")
    assert (reports.effect, reports.live and reports.live.objects) == (Change.REMOVE, ())
    assert action(plan, SUSPENDED).action is ActionKind.NONE


def test_without_a_cluster_a_plan_says_so(plans: Plans) -> None:
    plan, calls = plans.plan(cluster=None)
    assert (plan.verdict, calls) == (Verdict.INCOMPLETE, 0)
    assert plan.unknown == ("live state: `gitops.cluster` is not set",)


def test_a_cluster_that_is_ahead_of_the_target_branch(plans: Plans) -> None:
    fleet = plans.fleet
    base = fleet.head
    kustomization = fleet.root / "apps/production/ledger/kustomization.yaml"
    extra = "{apiVersion: v1, kind: ConfigMap, metadata: {name: extra}}"
    text = kustomization.read_text().replace("resources:\n", "resources:\n  - extra.yaml\n")
    newer = fleet.commit(
        {"apps/production/ledger/extra.yaml": extra, "apps/production/ledger/kustomization.yaml": text}
    )
    plans.cluster.push(fleet.root, "fleet")
    request(plans.cluster, "gitrepository", "flux-system/flux-system")
    settled(plans.cluster, newer)
    fleet.git("reset", "--quiet", "--hard", base)
    script = fleet.root / "apps/production/ledger/backup.sh"
    fleet.git("switch", "--quiet", "--create", "feature")
    fleet.commit({"apps/production/ledger/backup.sh": f"{script.read_text()}# more\n"})
    plan, _ = plans.plan(plans.pull_request("feature"))
    [reason] = said(plan, "platform/ledger")
    assert (
        reason == f"live: runs {newer[:12]}, which contains the base of this plan, {base[:12]}, and is newer"
    )
    live_state = action(plan, "platform/ledger").live
    assert live_state is not None
    [leftover] = live_state.objects
    assert (leftover.identity, leftover.change) == ("ConfigMap platform/extra", Change.REMOVE)
    assert leftover.reasons[0].cause is Cause.DRIFT


def test_what_fails_is_told_with_its_own_reason(plans: Plans) -> None:
    fleet = plans.fleet
    before = fleet.head
    broken = "{apiVersion: v1, kind: ConfigMap, metadata: {name: broken, namespace: nowhere}}"
    path = "infrastructure/configs/"
    text = (
        (fleet.root / path / "kustomization.yaml")
        .read_text()
        .replace("resources:\n", "resources:\n  - broken.yaml\n")
    )
    commit = fleet.commit({f"{path}broken.yaml": broken, f"{path}kustomization.yaml": text})
    plans.cluster.push(fleet.root, "fleet")
    request(plans.cluster, "gitrepository", "flux-system/flux-system")

    def failing() -> bool:
        status = live(plans.cluster)["flux-system/infra-configs"]["status"]
        attempted = commit in status.get("lastAttemptedRevision", "")
        return attempted and any(
            one["type"] == "Ready" and one["status"] == "False" for one in status["conditions"]
        )

    eventually(failing, "Flux did not fail")
    plan, _ = plans.plan()
    own = said(plan, "flux-system/infra-configs")
    assert own[0].startswith("live: is failing: ReconciliationFailed: ConfigMap/nowhere/broken")
    assert own[1] == f"live: runs {before[:12]}, which is older than this commit"
    assert action(plan, "flux-system/infra-configs").effect is Change.CHANGE
    assert said(plan, "flux-system/apps")[0].startswith("live: is waiting: dependency")
    assert plan.verdict is Verdict.CHANGES


def test_sources_and_kustomizations_that_are_not_as_they_should_be(plans: Plans) -> None:
    kubectl = plans.cluster.kubectl
    kubectl("--namespace=shop", "delete", "kustomization", "reports")
    patch = '--patch={"spec": {"suspend": true}}'
    kubectl("--namespace=flux-system", "patch", "gitrepository/flux-system", "--type=merge", patch)
    try:
        plan, _ = plans.plan()
    finally:
        resume = '--patch={"spec": {"suspend": false}}'
        kubectl("--namespace=flux-system", "patch", "gitrepository/flux-system", "--type=merge", resume)
        request(plans.cluster, "kustomization", "flux-system/apps")
    assert said(plan, "shop/reports") == ["live: is not in the cluster"]
    assert action(plan, "shop/reports").effect is Change.ADD
    [finding] = [one for one in plan.findings if one.code == "source-suspended"]
    assert finding.subject == "GitRepository flux-system/flux-system"


def test_what_may_not_be_seen_is_unknown_and_the_right_is_named(plans: Plans) -> None:
    blind, calls = plans.plan(groups=("nobody",))
    assert blind.verdict is Verdict.INCOMPLETE
    [sentence] = blind.unknown
    assert sentence.startswith(
        "live state: the cluster does not let ci:main list kustomizations in flux-system"
    )
    assert all(one.live is None for one in blind.actions)
    assert calls == 3
    namespaces = {"flux-system", "platform", "shop"}
    seen_by = User(name="ci:main", groups=())
    source = SourceRef("GitRepository", "flux-system", "flux-system")
    rights = needed(namespaces, [source], act=False)
    plans.cluster.kubectl("apply", "--filename=-", stdin=roles(rights, seen_by).encode())
    try:
        plan, calls = plans.plan(groups=("nobody",), drift=True)
    finally:
        plans.cluster.kubectl("delete", "--filename=-", stdin=roles(rights, seen_by).encode())
    # A request for all namespaces, which is denied, and then one for each.
    assert all(one.live for one in plan.actions)
    assert plan.verdict is Verdict.INCOMPLETE
    [shop] = [one for one in plan.unknown if one.startswith("shop/storefront: ")]
    assert shop.startswith(
        "shop/storefront: drift: the cluster does not let ci:main get configmaps in shop, "
    )
    assert "get deployments in shop" in shop


def test_a_cluster_that_cannot_be_reached_ends_a_run_that_executes(plans: Plans) -> None:
    away = {"name": "tests", "server": "https://127.0.0.1:1", "ca": plans.cluster.ca}
    plan, _ = plans.plan(cluster=away)
    assert plan.verdict is Verdict.INCOMPLETE
    [sentence] = plan.unknown
    assert sentence == (
        "live state: https://127.0.0.1:1 does not answer: Connection refused"
        " (check `gitops.cluster.server`, and that this machine can reach it)"
    )
    context = plans.context(SCHEDULE)
    context.dry_run = False
    with pytest.raises(LifecycleError, match=r"^validate\[flux\]: .* does not answer: Connection refused"):
        run_lifecycle(plans.config(cluster=away), context)


def test_who_is_not_trusted_is_not_let_near_the_cluster(plans: Plans) -> None:
    fork = replace(plans.pull_request("change"), trust=Trust.UNTRUSTED, fork=True)
    plan, calls = plans.plan(fork)
    assert calls == 0
    assert plan.unknown == ("live state: this run is not trusted, so it is not let near the cluster",)
    assert plan.actions


def test_a_change_of_how_the_cluster_is_reached_gets_no_look_at_it(plans: Plans) -> None:
    fleet = plans.fleet
    fleet.git("switch", "--quiet", "change")
    named = {"name": "tests", "server": "https://elsewhere.example.test"}
    config = {"lifecycle": {"mode": "gitops"}, "gitops": {"path": "clusters/production", "cluster": named}}
    fleet.commit({".stagefreight.yml": json.dumps(config)})
    plan, calls = plans.plan(plans.pull_request("change"), cluster=named)
    assert calls == 0
    assert plan.unknown == (
        "live state: this change decides how the cluster is reached, so it is not let near it",
    )
    assert plan.findings[0].code == "credentials-steered"
    assert plan.actions
