"""What the tests of the lifecycle share: a registry of their own, and runs that are what they claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.config import Config, DockerConfig, GitopsConfig, LifecycleConfig
from sf.runtime import InvokerType, RuntimeContext, registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry belongs to the process; each test starts from an empty one and leaves the old one behind."""
    monkeypatch.setattr(registry, "_constructors", {})


@pytest.fixture
def config() -> Config:
    return config_for("gitops", "fake")


def config_for(mode: str, backend: str) -> Config:
    return Config(
        lifecycle=LifecycleConfig.model_validate({"mode": mode}),
        gitops=GitopsConfig(backend=backend),
        docker=DockerConfig(backend=backend),
    )


def ci_context(provider: Provider = Provider.LOCAL) -> CIContext:
    return CIContext(
        provider=provider, event=EventKind.PUSH, trust=Trust.TRUSTED, run_url="https://forge.example/runs/1"
    )


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., RuntimeContext]:
    def make(**given: Any) -> RuntimeContext:
        return RuntimeContext(
            **{
                "ci": ci_context(),
                "invoker": InvokerType.API,
                "repo_root": tmp_path,
                "dry_run": False,
                "environ": {
                    "PATH": "/usr/bin:/bin",
                    "TMPDIR": str(tmp_path),
                    "XDG_RUNTIME_DIR": str(tmp_path),
                },
                **given,
            }
        )

    return make
