"""kustomize as Debian builds it, which does not know its release, and as its releases are."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from sf.models import Problem
from sf.process import Launcher
from sf.redact import Redactor
from sf.tools.kustomize import Kustomize
from toolchain import packages, pins, tiers

if TYPE_CHECKING:
    from pathlib import Path


def fake(folder: Path, says: str, *, more: str = "") -> Path:
    """A kustomize on a PATH of its own that says `says` of its version."""
    folder.mkdir()
    program = folder / "kustomize"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{says}'\n# {more}\n")
    program.chmod(0o755)
    return folder


def on(path: Path) -> Kustomize:
    return Kustomize(Launcher(Redactor()), {"PATH": f"{path}:/usr/bin:/bin"})


@pytest.mark.tools
def test_debians_build_is_told_by_its_content() -> None:
    programs = packages.programs(packages.ensure(pins.load().packages))
    content = (programs / "kustomize").read_bytes()
    assert on(programs).version == "devel"
    assert on(programs).identity == f"devel sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.tools
def test_every_kustomize_of_the_toolchain_is_usable(tmp_path: Path) -> None:
    packages.ensure(pins.load().packages)
    (tmp_path / "kustomization.yaml").write_text("namespace: web\nresources: [one.yaml]\n")
    (tmp_path / "one.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n")
    for programs in tiers.program_folders():
        kustomize = on(programs)
        assert re.fullmatch(r"devel|\d+\.\d+\.\d+", kustomize.version)
        assert kustomize.identity.startswith(kustomize.version)
        assert "namespace: web" in kustomize.build(tmp_path, ".")


@pytest.mark.parametrize(
    "says", ["v5.8.1", "5.8.1", "{kustomize/v5.8.1  2026-01-01T00:00:00Z  }", "Version: {Version:v5.8.1}"]
)
def test_a_release_is_told_by_its_number(says: str, tmp_path: Path) -> None:
    one, other = (on(fake(tmp_path / name, says, more=name)) for name in ("one", "other"))
    assert one.version == one.identity == other.identity == "5.8.1"


def test_two_builds_that_do_not_know_their_release_are_not_the_same(tmp_path: Path) -> None:
    one, same, other = (
        on(fake(tmp_path / name, "(devel)", more=more))
        for name, more in (("one", "a"), ("same", "a"), ("other", "b"))
    )
    assert one.version == other.version == "devel"
    assert one.identity == same.identity
    assert one.identity != other.identity


def test_an_old_release_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"kustomize 5\.3\.0 is too old") as caught:
        _ = on(fake(tmp_path / "old", "v5.3.0")).version
    assert "5.4" in caught.value.hint


def test_what_is_no_version_is_refused_and_shown_in_short(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="does not say a version") as caught:
        _ = on(fake(tmp_path / "odd", "::error::" + "x" * 1000)).version
    assert len(caught.value.message) < 200


@pytest.mark.tools
def test_a_build_that_wants_all_memory_is_stopped(tmp_path: Path, program_path: str) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [one.yaml]\nconfigMapGenerator: [{name: big, files: [big]}]\n"
    )
    (tmp_path / "one.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n")
    (tmp_path / "big").write_text("x" * 32_000_000)
    environ = {"PATH": program_path}
    kustomize = Kustomize(Launcher(Redactor()), environ, memory_limit=100 * 1024**2)
    with pytest.raises(Problem, match="kustomize crashed, with at most 100 MiB of memory: "):
        kustomize.build(tmp_path, ".")
    assert "kind: ConfigMap" in Kustomize(Launcher(Redactor()), environ).build(tmp_path, ".")
