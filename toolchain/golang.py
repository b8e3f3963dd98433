"""The tier `go`: a Kubernetes control plane, Flux and the programs around them, from one Go module."""

import json
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from toolchain import cache
from toolchain.errors import ToolchainError
from toolchain.pins import GoPins, GoProgram
from toolchain.programs import find, run
from toolchain.progress import say, step

LAYOUT = "1"
"""Raise it when the content of the folder changes although no pin does."""

MODULE = Path(__file__).with_name("go")

ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-buildvcs=false -trimpath -mod=readonly",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}


def folder(pins: GoPins) -> Path:
    """Return where the tier stands once it is made."""
    module = {
        str(path.relative_to(MODULE)): path.read_bytes() for path in MODULE.rglob("*") if path.is_file()
    }
    return (
        cache.home() / f"go-{cache.key({**module, 'pins': repr(pins).encode(), 'layout': LAYOUT.encode()})}"
    )


def programs(tier: Path) -> Path:
    """Return the folder of the tier that belongs in PATH."""
    return tier / "bin"


def definitions(tier: Path) -> Path:
    """Return the folder of the tier with Flux's custom resource definitions, one YAML file each."""
    return tier / "crds"


def ensure(pins: GoPins) -> Path:
    """Have the tier in the cache.

    That takes about ten minutes on two cores from nothing, and one when Go's own cache is warm.
    """
    tier = folder(pins)
    cache.ensure(tier, lambda partial: _build(partial, pins))
    return tier


def _build(tier: Path, pins: GoPins) -> None:
    _require_go()
    say(f"building {len(pins.programs)} Go programs; from nothing that takes about ten minutes")
    with tempfile.TemporaryDirectory(prefix="module-", dir=tier) as scratch:
        module = Path(scratch, "module")
        shutil.copytree(MODULE, module)
        with step("fetched flux2"):
            _copy_flux2(pins, module / "flux2")
        for program in pins.programs:
            with step(f"built {program.name}"):
                _compile(program, module, programs(tier))
        _copy_definitions(pins, module, definitions(tier))


def _require_go() -> None:
    needed = _release(r"^go (\d+)\.(\d+)", (MODULE / "go.mod").read_text())
    name = f"Go {needed[0]}.{needed[1]} or newer"
    if find("go") is None:
        raise ToolchainError(f"{name} is needed to build the test engines, and there is no go in PATH")
    version = run(["go", "env", "GOVERSION"], env=ENVIRONMENT).strip()
    if _release(r"^go(\d+)\.(\d+)", version) < needed:
        raise ToolchainError(f"{name} is needed to build the test engines; the go in PATH is {version}")


def _release(pattern: str, text: str) -> tuple[int, int]:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise ToolchainError(f"no Go version in {text[:80]!r}")
    return int(found[1]), int(found[2])


def _copy_flux2(pins: GoPins, target: Path) -> None:
    """Copy flux2 out of the module cache and add the file that its build expects.

    The flux command embeds manifests/*.yaml, which are made at release and are not in the module. Files of
    the module cache can neither be added nor overlaid.
    """
    # Outside the module, whose go.mod names the folder that is made here.
    answer = run(
        ["go", "mod", "download", "-json", pins.flux2],
        cwd=target.parent.parent,
        env={**ENVIRONMENT, "GOFLAGS": ""},
    )
    download = json.loads(answer)
    if download["Sum"] != pins.flux2_sum:
        raise ToolchainError(
            f"{pins.flux2} should have the sum {pins.flux2_sum} (pins.toml), but has {download['Sum']}"
        )
    shutil.copytree(download["Dir"], target, copy_function=shutil.copyfile)
    for path, _, _ in os.walk(target):
        Path(path).chmod(stat.S_IRWXU)
    manifests = target / "cmd/flux/manifests"
    manifests.mkdir()
    (manifests / "placeholder.yaml").write_text("# this flux can neither install nor bootstrap\n")


def _compile(program: GoProgram, module: Path, target: Path) -> None:
    settings = " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in program.variables)])
    run(
        ["go", "build", "-ldflags", settings, "-o", target / program.name, program.package],
        cwd=module,
        env=ENVIRONMENT,
    )


def _copy_definitions(pins: GoPins, module: Path, target: Path) -> None:
    target.mkdir()
    for name in pins.definitions:
        source = Path(run(["go", "list", "-m", "-f", "{{.Dir}}", name], cwd=module, env=ENVIRONMENT).strip())
        for file in sorted((source / "config/crd/bases").glob("*.yaml")):
            shutil.copyfile(file, target / file.name)
