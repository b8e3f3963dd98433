"""Builds the image of sf and lists what is in it: python -m toolchain.image --help."""

import argparse
import json
import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toolchain import programs, standins
from toolchain.engine import Engine
from toolchain.errors import ToolchainError
from toolchain.progress import say

# Run inside: what dpkg and pip say is installed.
LISTING = """
import importlib.metadata, json, subprocess
fields = "${Package}\\t${Version}\\t${Architecture}\\n"
lines = subprocess.check_output(["dpkg-query", "--show", "--showformat", fields], text=True).splitlines()
found = importlib.metadata.distributions()
print(json.dumps({
    "deb": sorted(line.split("\\t") for line in lines),
    "pypi": sorted((one.metadata["Name"], one.version) for one in found),
}))
"""


def main() -> int:
    """Build the image, write its list of parts, and tell its size. The exit code of the process."""
    parser = argparse.ArgumentParser(prog="python -m toolchain.image", description="The image of sf.")
    parser.add_argument("tag", help="what to call it")
    parser.add_argument("--stand-ins", action="store_true", help="in a private engine, without a registry")
    parser.add_argument("--version", default="unreleased")
    parser.add_argument("--revision", default="unknown")
    parser.add_argument("--source", default="https://example.invalid/sf")
    parser.add_argument("--parts", type=Path, default=Path("dist/sf.cdx.json"), help="where the list goes")
    chosen = parser.parse_args()
    about = {"VERSION": chosen.version, "REVISION": chosen.revision, "SOURCE": chosen.source}
    try:
        if chosen.stand_ins:
            with Engine.start("action") as engine:
                standins.build(engine, chosen.tag, arguments=about)
                _describe(chosen.tag, chosen.version, chosen.parts, engine.environment)
        else:
            arguments = [word for item in about.items() for word in ("--build-arg", "=".join(item))]
            programs.run(["docker", "build", "--tag", chosen.tag, *arguments, standins.CHECKOUT])
            _describe(chosen.tag, chosen.version, chosen.parts, {})
    except ToolchainError as error:
        say(f"error: {error}")
        return 1
    return 0


def _describe(tag: str, version: str, target: Path, environment: Mapping[str, str]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(parts(tag, version, environment), indent=2) + "\n")
    say(f"its parts: {os.path.relpath(target)}")
    for size, layer in layers(tag, environment):
        say(f"{size / 1e6:8.1f} MB  {layer}")


def layers(tag: str, environment: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yield the size in bytes of each layer that has one, with what made it, newest first; then the sum."""
    total = 0
    format_ = "{{.Size}}\t{{.CreatedBy}}"
    command = ["docker", "history", "--human=false", "--no-trunc", "--format", format_, tag]
    for line in programs.run(command, env=environment).splitlines():
        size, _, made_by = line.partition("\t")
        if int(size):
            total += int(size)
            yield int(size), made_by[:90]
    yield total, "in all, unpacked"


def parts(tag: str, version: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """What is in the image `tag`, as a CycloneDX document: packages of Debian and Python, and foreign images."""
    command = ["docker", "run", "--rm", "--interactive", "--entrypoint", "/opt/sf/bin/python", tag, "-"]
    listed = json.loads(programs.run(command, env=environment, stdin=LISTING.encode()))
    debian = (
        _component(name, number, f"pkg:deb/debian/{name}@{number}?arch={architecture}")
        for name, number, architecture in listed["deb"]
    )
    python = (
        _component(name, number, f"pkg:pypi/{name.lower()}@{number}") for name, number in listed["pypi"]
    )
    foreign = (_image(reference) for reference in standins.images().values())
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        # The same parts have the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(listed))}",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "sf", "version": version}},
        "components": [*foreign, *debian, *python],
    }


def _image(reference: str) -> dict[str, str]:
    path, _, digest = reference.partition("@")
    address, _, version = path.rpartition(":")
    name = address.rpartition("/")[2]
    place = f"&repository_url={address}" if "/" in address else ""
    purl = f"pkg:oci/{name}@{digest.replace(':', '%3A')}?tag={version}{place}"
    return {"type": "container", "name": address, "version": version, "purl": purl}


def _component(name: str, version: str, purl: str) -> dict[str, str]:
    return {"type": "library", "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    sys.exit(main())
