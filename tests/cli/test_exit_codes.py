"""Every exit code that is promised, provoked for real."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import fleets
from tests.cli.command import document

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command
    from tests.repositories import Repository


@pytest.mark.tools
def test_0_and_20(equipped: Command, fleet: Repository) -> None:
    changed = ["plan"], ["run"], ["reconcile", "--dry-run"]
    for arguments in changed:
        assert equipped(*arguments, cwd=fleet.root).code == 0
        assert equipped(*arguments, "--detailed-exitcode", cwd=fleet.root).code == 20
    same = equipped("plan", "--base=HEAD", "--detailed-exitcode", cwd=fleet.root)
    assert same.code == 0
    assert document(fleet.root, "plan.json")["counts"]["change"] == 0


def test_1_a_bug(sf: Command, fleet: Repository, tmp_path: Path) -> None:
    """An installation with a damaged part is the closest to a bug that there is on purpose."""
    (tmp_path / "yaml.py").write_text("raise RuntimeError('damaged')\n")
    done = sf("plan", cwd=fleet.root, PYTHONPATH=str(tmp_path))
    assert (done.code, done.out) == (1, "")
    assert "RuntimeError: damaged" in done.err
    assert done.errors[0].startswith("error: this is a bug in sf ")
    assert done.err.splitlines()[-1] == done.errors[0]


def test_2_usage(sf: Command) -> None:
    assert sf("plan", "--no-such-option").code == 2


def test_10_load(sf: Command, tmp_path: Path) -> None:
    assert sf("-C", str(tmp_path), "plan").code == 10


def test_11_resolve(sf: Command, fleet: Repository) -> None:
    sf("plan", cwd=fleet.root, SF_CONFIG_GITOPS__BACKEND="argo").refuses(
        11, "resolve: mode gitops has no backend 'argo'", "set `gitops.backend` to one of: flux"
    )
    assert document(fleet.root, "result.json")["failure"]["phase"] == "resolve"


def test_12_validate(sf: Command, fleet: Repository) -> None:
    sf("plan", cwd=fleet.root).refuses(12, "validate[flux]: the program `kustomize` is not on the PATH")
    assert document(fleet.root, "result.json")["failure"]["phase"] == "validate"


@pytest.mark.tools
def test_13_prepare(equipped: Command, estate: Repository) -> None:
    inventory = {"SF_CONFIG_DOCKER__TARGETS__INVENTORY": "nowhere.yml"}
    equipped("plan", cwd=estate.root, **inventory).refuses(13, "prepare[compose]: ...")
    assert document(estate.root, "result.json")["failure"]["phase"] == "prepare"


@pytest.mark.tools
def test_14_plan(equipped: Command, fleet: Repository) -> None:
    app = fleets.flux_kustomization("app", "./app", "dependsOn: [{name: nobody}]")
    fleet.commit({"clusters/production/app.yaml": app})
    equipped("plan", cwd=fleet.root).refuses(
        14, "plan[flux]: ...flux-system/app depends on flux-system/nobody, which does not exist"
    )
    assert document(fleet.root, "result.json")["failure"]["phase"] == "plan"
    assert document(fleet.root, "plan.json")["verdict"] == "failed"


@pytest.mark.tools
@pytest.mark.engine
@pytest.mark.slow
def test_15_execute(deploying: Command, estate: Repository) -> None:
    path = "docker-compose/localhost/web/compose.yaml"
    broken = (estate.root / path).read_text().replace("[sleep, infinity]", "[sh, -c, 'exit 3']")
    estate.commit({path: broken})
    deploying("reconcile", cwd=estate.root).refuses(
        15, "execute[compose]: 1 of 1 actions failed: localhost/web", "the first one said: ..."
    )
    result = document(estate.root, "result.json")
    assert result["failure"]["phase"] == "execute"
    assert [action["outcome"] for action in result["actions"]] == ["failed"]


def test_16_report(sf: Command, fleet: Repository) -> None:
    (fleet.root / "file").touch()
    assert sf("plan", "--out-dir=file", cwd=fleet.root).code == 16
    assert sf("report", cwd=fleet.root).code == 16


@pytest.mark.tools
def test_17_cleanup(equipped: Command, fleet: Repository) -> None:
    """A folder of the run that something is mounted on cannot be removed."""
    held = f"{equipped.temporary}/sf-run-*"
    path = equipped.path_with(
        "kustomize",
        f"""PATH={equipped.environ["PATH"]} kustomize "$@" || exit
        for folder in {held}; do mkdir -p "$folder/held"; mount -t tmpfs none "$folder/held"; done""",
    )
    script = 'unshare --mount "$SF" plan; status=$?; "$SF" cleanup; exit $status'
    done = equipped.sh(script, cwd=fleet.root, PATH=path)
    done.refuses(
        17, "cleanup[flux]: workspace: could not remove ...", "remove it by hand: it may hold secrets"
    )
    # Outside of that namespace nothing is mounted any more.
    assert "1 leftovers removed" in done.err
