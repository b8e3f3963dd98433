"""A repository that Flux applies to the cluster of the tests, in a namespace of its own, and runs of sf on it."""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

from sf import documents
from sf.backends import register_builtins
from sf.backends.flux.kustomization import GROUP, SourceRef
from sf.backends.flux.rights import SOURCE_GROUP, needed, roles
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import load_config
from sf.models import ActionState, ActionUpdated, Phase
from sf.runtime import InvokerType, LifecycleError, RuntimeContext, run_lifecycle
from sf.tools.kubernetes import User
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sf.config import Config
    from sf.models import ActionResult, Event, LifecycleResult
    from toolchain.cluster import Cluster

_NUMBERS: Final = itertools.count()
# Nobody wakes up by himself while a test lasts.
_INTERVAL: Final = "1h"
_READY_SECONDS: Final = 180


def config_map(name: str, color: str) -> str:
    return documents.dump(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"color": color}}
    )


def deployment(name: str) -> str:
    """One that never becomes ready by itself: there is nobody to run it."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return documents.dump(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    )


@dataclass
class Fleet:
    """One repository, its namespace and whoever runs sf there."""

    kind: ClassVar = "GitRepository"
    cluster: Cluster
    folder: Path
    name: str = field(default_factory=lambda: f"fleet-{os.getpid()}-{next(_NUMBERS)}")

    def __post_init__(self) -> None:
        self.repository = Repository.init(self.folder / self.name)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        self.apply(namespace)
        self.grant(self.user)

    @property
    def user(self) -> str:
        return f"ci-{self.name}"

    @property
    def root(self) -> str:
        """The id of the Kustomization that the others come from."""
        return self.id("fleet")

    def id(self, name: str) -> str:
        return f"{self.name}/{name}"

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.cluster.kubectl("apply", "--filename=-", stdin=documents.dump_all(manifests).encode())

    def grant(self, user: str) -> None:
        """Let `user` see and reconcile what is in the namespace."""
        rights = needed([self.name], [SourceRef(self.kind, self.name, "fleet")], act=True)
        manifests = roles(rights, User(name=f"ci:{user}", groups=()))
        self.cluster.kubectl("apply", "--filename=-", stdin=manifests.encode())

    def source(self, **spec: Any) -> dict[str, Any]:
        return {
            "apiVersion": f"{SOURCE_GROUP}/v1",
            "kind": "GitRepository",
            "metadata": {"name": "fleet", "namespace": self.name},
            "spec": {
                "interval": _INTERVAL,
                "url": self.cluster.git_url(self.name),
                "ref": {"branch": "main"},
                **spec,
            },
        }

    def kustomization(self, name: str, *depends_on: str, **spec: Any) -> dict[str, Any]:
        settings = {
            "interval": _INTERVAL,
            "path": f"./apps/{name}",
            "prune": True,
            "targetNamespace": self.name,
            "sourceRef": {"kind": self.kind, "name": "fleet"},
            "dependsOn": [{"name": other} for other in depends_on],
            **spec,
        }
        return {
            "apiVersion": f"{GROUP}/v1",
            "kind": "Kustomization",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {key: value for key, value in settings.items() if value is not None},
        }

    def app(self, name: str, *depends_on: str, color: str = "red", **spec: Any) -> dict[str, str]:
        """The files of an app: its Kustomization, and a ConfigMap that it applies."""
        return {
            f"cluster/{name}.yaml": documents.dump(self.kustomization(name, *depends_on, **spec)),
            **self.content(name, color),
        }

    def content(self, name: str, color: str) -> dict[str, str]:
        return {f"apps/{name}/settings.yaml": config_map(name, color)}

    def commit(self, *files: Mapping[str, str]) -> str:
        return self.repository.commit({path: text for some in files for path, text in some.items()})

    def push(self, branch: str = "main") -> str:
        return self.cluster.push(self.repository.root, self.name, branch)

    def begin(self, *files: Mapping[str, str]) -> str:
        """Commit a cluster with these files, and have Flux apply it as a whole."""
        sync = documents.dump_all(
            [self.source(), self.kustomization("fleet", path="./cluster", targetNamespace=None)]
        )
        commit = self.commit({"cluster/sync.yaml": sync}, *files)
        self.push()
        self.cluster.kubectl("apply", "--filename=-", stdin=sync.encode())
        self.wait_for(lambda: all(self.is_live(name, commit) for name in self.names()))
        return commit

    def names(self) -> list[str]:
        """Every Kustomization that the repository defines."""
        return [
            "fleet",
            *(file.stem for file in (self.repository.root / "cluster").iterdir() if file.stem != "sync"),
        ]

    def wait_for(self, done: Callable[[], bool]) -> None:
        """Wait for something that Flux does."""
        deadline = time.monotonic() + _READY_SECONDS
        while not done():
            assert time.monotonic() < deadline, self.cluster.kubectl(
                "get", f"kustomizations,{self.kind}", f"--namespace={self.name}"
            )
            time.sleep(0.1)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        said = self.cluster.kubectl(
            "get", kind, name, f"--namespace={self.name}", "--output=json", "--ignore-not-found"
        )
        found: dict[str, Any] | None = json.loads(said) if said else None
        return found

    def is_live(self, name: str, commit: str) -> bool:
        found = self.get("kustomization", name) or {}
        status = found.get("status", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
        return ready and any(
            str(status.get(name)).endswith(commit)
            for name in ("lastAppliedRevision", "lastAppliedOriginRevision")
        )

    def suspend(self, kind: str, name: str) -> None:
        """As `flux suspend`: what is set under kubectl's own name, the parent takes back with its next apply."""
        self.cluster.kubectl(
            "patch",
            kind,
            name,
            f"--namespace={self.name}",
            "--type=merge",
            '--patch={"spec":{"suspend":true}}',
            "--field-manager=flux",
        )

    def delete(self, kind: str, name: str) -> None:
        self.cluster.kubectl("delete", kind, name, f"--namespace={self.name}", "--wait=false")

    def make_ready(self, name: str) -> None:
        """Say of the Deployment what its controller would say if somebody ran it."""
        reasons = {"Available": "MinimumReplicasAvailable", "Progressing": "NewReplicaSetAvailable"}
        conditions = [{"type": kind, "status": "True", "reason": why} for kind, why in reasons.items()]
        counts = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 1)
        status = {"observedGeneration": 1, "conditions": conditions, **counts}
        self.cluster.kubectl(
            "patch",
            "deployment",
            name,
            f"--namespace={self.name}",
            "--subresource=status",
            "--type=merge",
            f"--patch={json.dumps({'status': status})}",
        )

    def color(self, name: str) -> str:
        found = self.get("configmap", name)
        return str(found["data"]["color"]) if found else ""

    def settings(self) -> dict[str, Any]:
        """The content of a .stagefreight.yml."""
        cluster = {"name": "tests", "server": self.cluster.server, "ca": self.cluster.ca}
        return {
            "lifecycle": {"mode": "gitops"},
            "gitops": {"path": "cluster", "cluster": cluster, "oidc": {"audience": self.cluster.audience}},
            "deadlines": {"action": 60},
        }

    def config(self, **settings: Any) -> Config:
        document = self.settings()
        for section, values in settings.items():
            document[section] = {**document.get(section, {}), **values}
        return load_config(documents.dump(document).encode())

    def environ(self) -> dict[str, str]:
        return {
            "PATH": self.cluster.environment["PATH"],
            "HOME": str(self.folder),
            "STAGEFREIGHT_OIDC": self.cluster.token(self.user),
        }

    def run(
        self,
        config: Config | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        base: str = "HEAD~1",
        **choices: Any,
    ) -> Run:
        """Plan and execute the last commit; `choices` are more fields of the context."""
        register_builtins()
        context = RuntimeContext(
            ci=CIContext(provider=Provider.LOCAL, event=EventKind.MANUAL, trust=Trust.TRUSTED),
            invoker=InvokerType.API,
            repo_root=self.repository.root,
            dry_run=False,
            environ=self.environ() if environ is None else environ,
            base=base,
            **choices,
        )
        return Run(context, config or self.config())


class Run:
    """One run of sf; `go` may be called once."""

    def __init__(self, context: RuntimeContext, config: Config) -> None:
        self.context = context
        self.config = config
        self.events: list[ActionUpdated] = []
        self.listeners: list[Callable[[Event], None]] = []

    def when(self, name: str, state: ActionState, act: Callable[[], None], words: str = "") -> None:
        """Have `act` done, once, when the action is told to be in `state` with `words` in the message."""

        def listen(event: Event) -> None:
            told = isinstance(event, ActionUpdated) and (event.name, event.state) == (name, state)
            if told and isinstance(event, ActionUpdated) and words in event.message:
                self.listeners.remove(listen)
                act()

        self.listeners.append(listen)

    def fail(self) -> dict[str, ActionResult]:
        """As `go`, for a run in which an action fails."""
        with pytest.raises(LifecycleError) as caught:
            self.go()
        assert caught.value.phase is Phase.EXECUTE, caught.value
        return self.results

    def go(self) -> dict[str, ActionResult]:
        """How each action ended, by name. Raises what the lifecycle raises."""
        try:
            run_lifecycle(self.config, self.context, events=self._hear)
        finally:
            self.result: LifecycleResult | None = self.context.result
        return self.results

    @property
    def results(self) -> dict[str, ActionResult]:
        assert self.context.result is not None
        return {result.name: result for result in self.context.result.actions}

    def messages(self, name: str) -> list[str]:
        """What was told about an action while it was waited for."""
        return [e.message for e in self.events if e.name == name and e.state is ActionState.WAITING]

    def _hear(self, event: Event) -> None:
        if isinstance(event, ActionUpdated):
            self.events.append(event)
        for listener in list(self.listeners):
            listener(event)
