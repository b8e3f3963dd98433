"""Bad input: one error that says where and what to do, the right exit code, nothing left behind."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests import fleets
from tests.cli.conftest import FLEET
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command import Command

pytestmark = pytest.mark.slow

LEAST: Final = (
    "write at least `{lifecycle: {mode: gitops}, gitops: {}}` or `{lifecycle: {mode: docker}, docker: {}}`"
)
BOMB: Final = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
)


@pytest.mark.parametrize(
    ("content", "error", "hint"),
    [
        (b"", ": this file is empty", LEAST),
        (
            b"#" * (2 << 20),
            ": this file is larger than 256 KiB, which is the most that is read",
            "split the file",
        ),
        (bytes(range(256)), ": this is a binary file, not YAML", "name a text file"),
        ("lifecycle: {mode: gitops}".encode("utf-16"), ": this file is UTF-16", "save it as UTF-8"),
        (
            b"lifecycle: {mode: gitops\ngitops: [",
            ":2:7: this is not valid YAML: ...",
            "close the bracket or separate the entries with a comma",
        ),
        (BOMB.encode(), ":1:1: the aliases of this document expand to more than ... values", "..."),
        (b"lifecycle: &a {mode: gitops, more: [*a]}\n", ":1:12: an anchor contains itself", "..."),
        (b"a: " + b"[" * 5000, ":1:202: lists and mappings are nested more than 200 deep", "..."),
        (b"- a\n", ":1: a configuration is a mapping of sections, and this is a list", LEAST),
        (b"hello\n", ":1: a configuration is a mapping of sections, and this is the text `hello`", LEAST),
        (
            b"lifecycle: {mode: 5}\ngitops: {path: [a]}\n",
            ":1:19: `lifecycle.mode` must be `gitops` or `docker`, not the number 5 (and 1 more problem)",
            "",
        ),
        (b"lifecycle: {}\n", ":1:1: `lifecycle.mode` is missing", LEAST),
        (
            b"lifecycle: {mode: gitops}\n",
            ":1:19: `lifecycle.mode` is `gitops`, but there is no section `gitops`",
            "add the section; `gitops: {}` takes all defaults",
        ),
        (
            b"lifecycle: {mode: docker}\ngitops: {}\n",
            ":1:19: `lifecycle.mode` is `docker`, but there is no section `docker`",
            "add the section; `docker: {}` takes all defaults",
        ),
        (
            b"lifecycle: {mode: gitops}\ngitops: {pth: x}\n",
            ":2:10: `gitops.pth` is not a key that exists",
            "did you mean `path`?",
        ),
        (
            b"lifecycle: {mode: gitops}\nlifecycle: {mode: docker}\n",
            ":2:1: the key `lifecycle` is already defined at line 1",
            "keep one of the two lines",
        ),
    ],
)
def test_configuration(content: bytes, error: str, hint: str, sf: Command, fleet: Repository) -> None:
    (fleet.root / ".stagefreight.yml").write_bytes(content)
    done = sf("-C", str(fleet.root), "plan")
    done.refuses(10, f"load: .stagefreight.yml{error}", hint)
    assert done.out == ""
    assert not (fleet.root / "sf-out").exists()


@pytest.mark.parametrize("command", [("plan",), ("config", "validate"), ("doctor",)])
def test_a_configuration_that_leads_out_of_the_repository(
    command: tuple[str, ...], sf: Command, fleet: Repository, tmp_path: Path
) -> None:
    outside = tmp_path / "passwords"
    outside.write_text("hunter2: hunter2\n")
    file = fleet.root / ".stagefreight.yml"
    file.unlink()
    file.symlink_to(outside)
    done = sf(*command, cwd=fleet.root)
    assert done.code != 0
    assert ".stagefreight.yml is a link that leads out of the repository" in done.out + done.err
    assert "hunter2" not in done.out + done.err
    # Within the repository a link is as good as a file, and so is whatever --config names elsewhere.
    (fleet.root / "own.yml").write_text("{lifecycle: {mode: gitops}, gitops: {}}\n")
    file.unlink()
    file.symlink_to("own.yml")
    assert sf("config", "validate", cwd=fleet.root).code == 0
    assert sf("--config", str(outside), "config", "validate", cwd=fleet.root).code == 10


def test_no_configuration(sf: Command, fleet: Repository) -> None:
    (fleet.root / ".stagefreight.yml").unlink()
    sf("plan", cwd=fleet.root).refuses(10, "load: .stagefreight.yml: there is no such file", LEAST)
    sf("--config", "/nowhere.yml", "plan", cwd=fleet.root).refuses(
        10, "load: /nowhere.yml: there is no such file", LEAST
    )


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_a_configuration_that_is_no_file(kind: str, sf: Command, fleet: Repository) -> None:
    path = fleet.root / "own.yml"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    name = "/dev/zero" if kind == "device" else "own.yml"
    sf("--config", name, "plan", cwd=fleet.root).refuses(
        10, f"load: {name} is not a file", "name a file with --config"
    )


def test_settings_of_the_environment(sf: Command, fleet: Repository) -> None:
    sf("plan", cwd=fleet.root, SF_CONFIG_DEADLINES__PROGRAM="soon").refuses(
        10,
        "load: SF_CONFIG_DEADLINES__PROGRAM: `deadlines.program` must be a duration of ...",
        "without the key it is `2m`",
    )
    sf("plan", cwd=fleet.root, SF_CONFIG_GITOPS__PTH="x").refuses(
        10,
        "load: SF_CONFIG_GITOPS__PTH: there is no key for this environment variable",
        "did you mean `SF_CONFIG_GITOPS__PATH`?",
    )


@pytest.mark.parametrize("command", ["plan", "run", "gitops inspect", "gitops impact", "report"])
def test_no_repository(command: str, sf: Command, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    sf(*command.split(), cwd=folder).refuses(
        10,
        f"load: {folder} is not in a git repository",
        "run sf in a clone, or `git init` and commit; in CI, check the repository out first",
    )
    assert list(folder.iterdir()) == []


def test_a_bare_repository(sf: Command, tmp_path: Path) -> None:
    root = Repository.init(tmp_path / "bare", "--bare").root
    sf("plan", cwd=root).refuses(
        10, f"load: {root} is a bare repository: it has no working tree", "run sf in a clone of it"
    )


def test_a_repository_without_commits(sf: Command, tmp_path: Path) -> None:
    repository = Repository.init(tmp_path / "new")
    for files in ({}, {".stagefreight.yml": FLEET[".stagefreight.yml"]}):
        repository.write(files)
        sf("plan", cwd=repository.root).refuses(
            10, f"load: the repository of {repository.root} has no commit yet", "commit something first"
        )


@pytest.mark.tools
@pytest.mark.parametrize(
    "revision",
    [
        "--upload-pack=touch pwned",
        "-x",
        "nowhere",
        "a\nb",
        "main..change",
        "HEAD^{tree}",
        "0" * 40,
        "\u202e",
    ],
)
def test_a_revision_that_is_none(revision: str, equipped: Command, fleet: Repository) -> None:
    fleet.git("config", "remote.origin.url", str(fleet.root))
    done = equipped("plan", f"--base={revision}", cwd=fleet.root)
    done.refuses(12, "validate[flux]: ...")
    assert equipped("gitops", "inspect", f"--head={revision}", cwd=fleet.root).code == 14
    assert not (fleet.root / "pwned").exists()
    assert "\u202e" not in done.err


@pytest.mark.tools
def test_a_shallow_clone_without_the_base(equipped: Command, fleet: Repository, tmp_path: Path) -> None:
    shallow = fleet.clone(tmp_path / "shallow", "--depth=1").root
    shutil.rmtree(fleet.root)
    done = equipped("plan", cwd=shallow)
    done.refuses(12, "validate[flux]: ...", "...")
    assert "shallow" in done.err or "not in this clone" in done.err


@pytest.mark.parametrize("command", ["plan", "gitops impact", "report"])
def test_no_git(command: str, sf: Command, fleet: Repository) -> None:
    sf(*command.split(), cwd=fleet.root, PATH="/nonexistent").refuses(
        10,
        "load: the program `git` is not on the PATH",
        "install it, or correct PATH; `sf doctor` lists every program sf needs",
    )


@pytest.mark.tools
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("plan", (12, "validate[flux]: the program `kustomize` is not on the PATH")),
        ("gitops inspect", (14, "plan: the program `kustomize` is not on the PATH")),
        ("plan", (12, "validate[compose]: the program `docker` is not installed")),
        ("reconcile", (12, "validate[compose]: the program `docker` is not installed")),
    ],
)
def test_a_missing_program(
    command: str, said: tuple[int, str], equipped: Command, request: pytest.FixtureRequest
) -> None:
    program = "docker" if "docker" in said[1] else "kustomize"
    root = request.getfixturevalue("estate" if program == "docker" else "fleet").root
    path = equipped.path_without(program)
    equipped(*command.split(), cwd=root, PATH=path).refuses(*said, "install ...")


@pytest.mark.tools
def test_an_inventory_that_nobody_can_read(equipped: Command, estate: Repository) -> None:
    path = equipped.path_without("ansible-inventory")
    estate.commit({"inventory.yml": "all: {}"})
    inventory = {"SF_CONFIG_DOCKER__TARGETS__INVENTORY": "inventory.yml"}
    equipped("plan", cwd=estate.root, PATH=path, **inventory).refuses(
        12,
        "validate[compose]: the program `ansible-inventory` is not installed,"
        " and `docker.targets.inventory` is set",
        "install ansible-core",
    )


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo v4.5.7",
            ("kustomize 4.5.7 is too old: it builds differently from Flux", "install kustomize ..."),
        ),
        ("echo hello", ("`kustomize version` does not say a version: 'hello'", "install kustomize ...")),
        ("echo oh no >&2; exit 3", ("`kustomize version` ended with exit code 3: oh no", "")),
        ("kill -SEGV $$", ("`kustomize version` was ended by SIGSEGV", "")),
    ],
)
def test_a_program_of_no_use(script: str, said: tuple[str, str], sf: Command, fleet: Repository) -> None:
    path = sf.path_with("kustomize", script)
    sf("plan", cwd=fleet.root, PATH=path).refuses(12, f"validate[flux]: {said[0]}", said[1])


def test_a_docker_command_without_compose(sf: Command, estate: Repository) -> None:
    path = sf.path_with("docker", "exit 125")
    sf("plan", cwd=estate.root, PATH=path).refuses(
        12,
        "validate[compose]: `docker compose` does not work...",
        "install the compose plugin of the docker command (docker-compose-plugin)",
    )
    old = sf.path_with("docker", "echo 2.10.0")
    sf("plan", cwd=estate.root, PATH=old).refuses(
        12, "validate[compose]: docker compose 2.10.0 is too old", "install 2.24 or newer"
    )


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("file", "the output directory {root}/file cannot be written: File exists"),
        ("file/below", "the output directory {root}/file/below cannot be written: Not a directory"),
        ("link", "the output directory {root}/link is a symbolic link"),
        ("/proc/sf-out", "the output directory /proc/sf-out cannot be written: ..."),
    ],
)
def test_an_output_directory_that_cannot_be_written(
    place: str, error: str, sf: Command, fleet: Repository, tmp_path: Path
) -> None:
    (fleet.root / "file").write_text("mine")
    (fleet.root / "link").symlink_to(tmp_path)
    done = sf("plan", "--out-dir", place, cwd=fleet.root)
    done.refuses(16, f"report: {error.format(root=fleet.root)}", "... name another directory with --out-dir")
    assert done.out == ""
    assert (fleet.root / "file").read_text() == "mine"


def test_an_output_directory_on_a_read_only_file_system(
    sf: Command, fleet: Repository, tmp_path: Path
) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    script = (
        f"exec unshare --mount sh -c 'mount -t tmpfs -o ro none {mounted} && "
        f'exec "$SF" plan --out-dir {mounted}/out\''
    )
    sf.sh(script, cwd=fleet.root).refuses(
        16,
        f"report: the output directory {mounted}/out cannot be written: Read-only file system",
        "make it ...",
    )


@pytest.mark.tools
def test_no_place_for_temporary_files(equipped: Command, estate: Repository) -> None:
    covered = " && ".join(f"mount -t tmpfs -o ro none {place}" for place in ("/dev/shm", "/run"))
    done = equipped.sh(
        f"exec unshare --mount sh -c '{covered} && exec \"$SF\" plan'",
        cwd=estate.root,
        TMPDIR="/sys",
        XDG_RUNTIME_DIR="",
    )
    done.refuses(12, "validate[compose]: no place for temporary files: ...", "set TMPDIR to a directory ...")


@pytest.mark.parametrize("option", ["-C", "--config"])
def test_an_empty_path_is_a_mistake(option: str, sf: Command, fleet: Repository) -> None:
    done = sf(option, "", "plan", cwd=fleet.root)
    assert done.code == 2
    assert "the path is empty" in done.err


@pytest.mark.parametrize("arguments", [["plan", "--base="], ["gitops", "inspect", "--head", ""]])
def test_an_empty_revision_is_a_mistake(arguments: list[str], sf: Command, fleet: Repository) -> None:
    done = sf(*arguments, cwd=fleet.root)
    assert done.code == 2
    assert "the name of the commit is empty" in done.err


def test_an_empty_output_directory_is_a_mistake(sf: Command, fleet: Repository) -> None:
    before = sorted(fleet.root.iterdir())
    done = sf("plan", "--out-dir=", cwd=fleet.root)
    assert done.code == 2
    assert "the path is empty" in done.err
    assert sorted(fleet.root.iterdir()) == before


def test_a_command_of_the_other_mode(sf: Command, fleet: Repository) -> None:
    sf("docker", "inspect", cwd=fleet.root).refuses(
        10,
        "load: this command is for mode docker, and this repository has mode gitops",
        "see `sf gitops --help`",
    )


def test_everything_and_only_some_at_once(sf: Command, fleet: Repository) -> None:
    ended = sf("reconcile", "--all", "--only", "a/b", cwd=fleet.root)
    assert (ended.code, "--all and --only exclude each other" in ended.err) == (2, True)


@pytest.mark.parametrize("options", [["--all"], ["--only", "a/b"]])
def test_a_choice_that_the_mode_does_not_have(options: list[str], sf: Command, estate: Repository) -> None:
    sf("reconcile", *options, cwd=estate.root).refuses(
        10,
        "load: `--all` and `--only` are for mode gitops, and this repository has mode docker",
        "leave them out: ...",
    )


def test_a_broken_event(sf: Command, fleet: Repository, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text("{")
    ci = {"GITHUB_ACTIONS": "true", "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": str(event)}
    sf("run", cwd=fleet.root, **ci).refuses(
        10, f"load: {event}: the event payload is not JSON: ...", "mount ..."
    )


@pytest.mark.tools
def test_a_repository_of_another_kind(equipped: Command, tmp_path: Path) -> None:
    """Nothing in it is what the mode is about."""
    files = {".stagefreight.yml": FLEET[".stagefreight.yml"], "README.md": "hello\n"}
    root = Repository.init(tmp_path / "other")
    root.commit(files)
    equipped("plan", cwd=root.root).refuses(14, "plan[flux]: ...", "...")
    assert fleets.URL not in equipped("gitops", "inspect", cwd=root.root).err
