"""Stand-ins for the images that the Dockerfile begins with, so that it is built as it is without a registry.

Each goes to the build as a named context under the very name, with version and digest, that the Dockerfile has.
The base is a Debian of the same release with its own Python, packed from the machine's mirror; inside it, apt and
pip find what the Dockerfile installs in a folder, so the build needs no network either. The programs are those
that the other tiers build or fetch. What cannot be shown this way: that a digest is that of the image it claims.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from toolchain import apt, cache, golang, packages, pins
from toolchain.engine import Engine
from toolchain.programs import find, run
from toolchain.progress import say, step

LAYOUT = "1"
"""Raise it when what a folder holds changes although nothing that it is named after does."""

CHECKOUT = Path(__file__).parents[1]
DOCKERFILE = CHECKOUT / "Dockerfile"
FOREIGN = re.compile(r"^FROM (?P<image>\S+@sha256:[0-9a-f]{64}) AS (?P<name>\w+)$", re.MULTILINE)
SUITE = "trixie"
BASE = ("ca-certificates", "python3", "python3-pip", "python3-venv")
INSTALLED = ("age", "git", "openssh-client", "rsync")
"""What the Dockerfile installs, and rsync, which a runner's helper image needs."""

INSIDE = "standin"
"""The folder in the base that apt and pip take packages from."""

PLACES: Mapping[str, Mapping[str, str]] = {
    "docker": {"docker": "usr/local/bin", "docker-compose": "usr/local/libexec/docker/cli-plugins"},
    "flux": {"flux": "usr/local/bin"},
    "kubectl": {"kubectl": "bin"},
    "kustomize": {"kustomize": "app"},
    "sops": {"sops": "usr/local/bin"},
}
"""Where each image has its programs."""

REQUIREMENTS = ("requirements-build.txt", "requirements-image.txt")
ARCHITECTURES = ("x86_64", "aarch64")
GLIBC = ("2_17", "2_28", "2_34")

# $1 is the new root. The official image has python in /usr/local and lets pip install where it likes; docker
# copies no file through an absolute link.
PREPARE = f"""
root=$1
ln -s /usr/bin/python3 "$root/usr/local/bin/python"
ln -s /usr/bin/python3 "$root/usr/local/bin/python3"
ln -s /usr/bin/pip3 "$root/usr/local/bin/pip"
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
ln -sfn ../run "$root/var/run"
mkdir -p "$root/{INSIDE}/debs"
chroot "$root" apt-get install --yes --quiet --no-install-recommends --download-only {" ".join(INSTALLED)}
mv "$root"/var/cache/apt/archives/*.deb "$root/{INSIDE}/debs/"
printf '[global]\\nno-index = true\\nfind-links = /{INSIDE}/wheels\\n' > "$root/etc/pip.conf"
"""


def images() -> dict[str, str]:
    """The foreign images of the Dockerfile by the name of their stage."""
    return {found["name"]: found["image"] for found in FOREIGN.finditer(DOCKERFILE.read_text())}


def ensure() -> Path:
    """Have everything in the cache that `build` takes from the network, and return the folder of the base."""
    wheels()
    _programs()
    return _base()


def build(engine: Engine, tag: str, arguments: Mapping[str, str] | None = None) -> None:
    """Build the image of this checkout in `engine` under `tag`, from stand-ins. `arguments` are of the build."""
    python = _python(engine)
    folder = _programs()
    sources = {image: str(folder / name) for name, image in images().items()}
    sources[images()["python"]] = f"docker-image://{python}"
    contexts = (
        word for image, source in sources.items() for word in ("--build-context", f"{image}={source}")
    )
    given = (word for item in (arguments or {}).items() for word in ("--build-arg", "=".join(item)))
    with step(f"built {tag}"):
        engine.docker("build", "--quiet", "--tag", tag, *contexts, *given, str(CHECKOUT))


def helper(engine: Engine) -> str:
    """Have an image with a shell, git and rsync: what a runner of jobs starts beside them. Its tag is returned."""
    tag = "sf-standin/helper:latest"
    install = "RUN apt-get update -qq && apt-get install -yqq --no-install-recommends git rsync"
    engine.build(tag, f"FROM {_python(engine)}\n{install}\n")
    return tag


def _python(engine: Engine) -> str:
    """Have the stand-in of the base in `engine`, and return its tag."""
    base, locked = _base(), wheels()
    raw, tag = f"sf-standin/base:{base.name}", f"sf-standin/python:{base.name}-{locked.name}"
    if not engine.docker("images", "--quiet", raw):
        engine.docker("import", "--change", 'CMD ["python3"]', str(base / "rootfs.tar"), raw)
    if not engine.docker("images", "--quiet", tag):
        dockerfile = f"FROM {raw}\nCOPY . /{INSIDE}/wheels\n".encode()
        folder = str(locked / platform.machine())
        engine.docker("build", "--quiet", "--tag", tag, "--file", "-", folder, stdin=dockerfile)
    return tag


def _base() -> Path:
    parts = {"packages": " ".join([*BASE, *INSTALLED]), "prepare": PREPARE, "layout": LAYOUT, "suite": SUITE}
    folder = cache.home() / f"base-{cache.key({name: text.encode() for name, text in parts.items()})}"
    cache.ensure(folder, _pack)
    return folder


def _pack(folder: Path) -> None:
    """Make the root file system of a minimal Debian, which takes two minutes."""
    if find("mmdebstrap") is None:
        apt.install(["mmdebstrap"])
    say(f"packing a Debian {SUITE}, which takes about two minutes")
    with tempfile.TemporaryDirectory(prefix="pack-", dir=folder) as scratch:
        prepare, index = Path(scratch, "prepare"), Path(scratch, "index")
        prepare.write_text(f"#!/bin/sh\nset -eu\n{PREPARE}")
        index.write_text(
            f'#!/bin/sh\nset -eu\nPYTHONPATH={CHECKOUT} exec {sys.executable} -m toolchain.standins "$1"\n'
        )
        for script in (prepare, index):
            script.chmod(0o755)
        languages = ('--aptopt=Acquire::Languages "none"', "--dpkgopt=path-exclude=/usr/share/locale/*")
        without = (f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man"))
        hooks = (f'--customize-hook={script} "$1"' for script in (prepare, index))
        source = f"deb {apt.machine_mirror()} {SUITE} main"
        options = ("--quiet", "--variant=minbase", f"--include={','.join(BASE)}")
        run(["mmdebstrap", *options, *languages, *without, *hooks, SUITE, folder / "rootfs.tar", source])


def write_index(root: Path) -> None:
    """Turn the packages in the stand-in's folder of `root` into its only archive, as apt wants it."""
    folder = root / INSIDE / "debs"
    entries = []
    for deb in sorted(folder.glob("*.deb")):
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        fields = run(["dpkg-deb", "--field", deb]).rstrip("\n")
        entries.append(f"{fields}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
    (folder / "Packages").write_text("\n".join(entries))
    sources = root / "etc/apt/sources.list"
    sources.write_text(f"deb [trusted=yes] file:/{INSIDE}/debs ./\n")
    for other in (root / "etc/apt/sources.list.d").iterdir():
        other.unlink()


def wheels() -> Path:
    """Have every locked library for both architectures; that they can be had at all is proven by this."""
    texts = {name: (CHECKOUT / name).read_bytes() for name in REQUIREMENTS}
    folder = cache.home() / f"wheels-{cache.key({**texts, 'layout': LAYOUT.encode()})}"
    cache.ensure(folder, _download)
    return folder


def _download(folder: Path) -> None:
    for machine in ARCHITECTURES:
        for name in REQUIREMENTS:
            run([*_pip(machine), "--requirement", CHECKOUT / name, "--dest", folder / machine])


def _pip(machine: str) -> Iterator[str]:
    yield from (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes")
    yield from ("--only-binary=:all:", "--python-version=3.13")
    yield from (f"--platform=manylinux_{release}_{machine}" for release in GLIBC)


def _programs() -> Path:
    """Have a folder for each image, with its programs where that image has them."""
    pinned = pins.load()
    go, debian = golang.ensure(pinned.go), packages.ensure(pinned.packages)
    parts = {
        "places": json.dumps(PLACES, default=dict),
        "go": go.name,
        "packages": debian.name,
        "layout": LAYOUT,
    }
    folder = cache.home() / f"programs-{cache.key({name: text.encode() for name, text in parts.items()})}"

    def link(partial: Path) -> None:
        folders = (packages.programs(debian), packages.plugins(debian), golang.programs(go))
        for image, programs in PLACES.items():
            for program, place in programs.items():
                target = partial / image / place / program
                target.parent.mkdir(parents=True, exist_ok=True)
                source = next(file for one in folders[::-1] if (file := one / program).exists())
                _link(source.resolve(), target)

    cache.ensure(folder, link)
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


if __name__ == "__main__":
    write_index(Path(sys.argv[1]))
