import re
import tomllib

import pytest

from toolchain import golang, pins
from toolchain.errors import ToolchainError

PACKAGES = """
[packages]
suite = "sid"
architecture = "amd64"
[packages.debs]
"docker.io" = { version = "28.5.2+dfsg4-5", sha256 = "69a5" }
"""

GO = """
[go]
definitions = ["example.org/controller"]
[go.flux2]
module = "example.org/flux2"
version = "v2.9.5"
sum = "h1:x="
[go.programs]
flux = { package = "example.org/flux2/cmd/flux", variables = { "main.VERSION" = "2.9.5" } }
etcd = { package = "example.org/etcd" }
"""

NPM = """
[npm]
"@example/data" = { version = "1.2.3", integrity = "sha512-x==", files = ["a/b.json"] }
"""


def test_the_whole_file_is_read() -> None:
    assert pins.parse(PACKAGES + GO + NPM) == pins.Pins(
        pins.PackagePins("sid", "amd64", (pins.Deb("docker.io", "28.5.2+dfsg4-5", "69a5"),)),
        pins.GoPins(
            (
                pins.GoProgram("flux", "example.org/flux2/cmd/flux", (("main.VERSION", "2.9.5"),)),
                pins.GoProgram("etcd", "example.org/etcd", ()),
            ),
            ("example.org/controller",),
            "example.org/flux2@v2.9.5",
            "h1:x=",
        ),
        (pins.NpmPackage("@example/data", "1.2.3", "sha512-x==", ("a/b.json",)),),
    )


@pytest.mark.parametrize(
    ("wrong", "right", "named"),
    [
        ('suite = "sid"', "", "packages.suite"),
        ('suite = "sid"', 'suite = ""', "packages.suite"),
        (', sha256 = "69a5"', "", "packages.debs.docker.io.sha256"),
        ('"69a5"', "69", "packages.debs.docker.io.sha256"),
        ('{ version = "28.5.2+dfsg4-5", sha256 = "69a5" }', '"28.5.2"', "packages.debs.docker.io"),
        ('["example.org/controller"]', "[1]", "go.definitions"),
        (
            '{ "main.VERSION" = "2.9.5" }',
            '{ "main.VERSION" = 2.9 }',
            "go.programs.flux.variables.main.VERSION",
        ),
        ("[go]", "[go", "pins.toml"),
    ],
)
def test_a_mistake_is_named(wrong: str, right: str, named: str) -> None:
    text = PACKAGES + GO
    assert wrong in text
    with pytest.raises(ToolchainError, match=re.escape(named)):
        pins.parse(text.replace(wrong, right, 1))


def foreign_programs() -> list[pins.GoProgram]:
    """The programs that are not ours: those in the module's own `cmd` folder have no version."""
    own = re.search(r"^module (\S+)", (golang.MODULE / "go.mod").read_text(), re.MULTILINE)
    assert own is not None
    return [program for program in pins.load().go.programs if not program.package.startswith(own[1])]


def test_the_versions_stamped_into_programs_are_those_of_the_module() -> None:
    module = (golang.MODULE / "go.mod").read_text()
    required = dict(re.findall(r"^\t(\S+) (v\S+)", module, re.MULTILINE))
    for program in foreign_programs():
        versions = [v for k, v in program.variables if re.search(r"version$", k, re.IGNORECASE)]
        owner = max((name for name in required if program.package.startswith(name)), key=len)
        assert [v.lstrip("v") for v in versions] in ([], [required[owner].lstrip("v")]), program.name


def test_every_program_is_a_tool_of_the_module() -> None:
    module = (golang.MODULE / "go.mod").read_text()
    tools = re.search(r"^tool \(\n(.*?)^\)", module, re.MULTILINE | re.DOTALL)
    assert tools is not None
    assert sorted(program.package for program in foreign_programs()) == sorted(tools[1].split())


def test_the_copied_flux2_is_the_version_that_the_module_requires() -> None:
    module, version = pins.load().go.flux2.split("@")
    assert re.search(
        rf"^\t{re.escape(module)} {re.escape(version)}\b",
        (golang.MODULE / "go.mod").read_text(),
        re.MULTILINE,
    )


def test_the_project_pins_are_readable_and_have_whole_digests() -> None:
    tomllib.loads(pins.FILE.read_text())
    assert all(re.fullmatch(r"[0-9a-f]{64}", deb.sha256) for deb in pins.load().packages.debs)
