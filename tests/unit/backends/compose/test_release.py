"""What goes to a host and the script that puts it there, in the shells that hosts have. Compose plays no part."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess  # noqa: TID251 - the script is run as a host runs it
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sf.backends.compose.ciphertext import Place as Stands
from sf.backends.compose.hosts import script
from sf.backends.compose.release import (
    NOTHING,
    Delivery,
    Opened,
    desired_files,
    edited_files,
    manifest,
    pack,
    read_digests,
    refuse_foreign,
    variables_header,
)
from sf.models import Problem
from toolchain import packages, pins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sf.backends.compose.release import Present
    from tests.unit.backends.compose.conftest import MakeTree

pytestmark = pytest.mark.slow

FIRST = {"compose.yaml": (b"one", 0o644), "conf/a.conf": (b"a", 0o644), "conf/run.sh": (b"#!", 0o755)}
TOKEN = "0123456789abcdef"
SHELLS = [
    *(name for name in ("dash", "bash") if shutil.which(name)),
    pytest.param("busybox", marks=pytest.mark.tools),
]


class Place:
    """The folder of one project on a host whose shell is `shell`, and whose compose does nothing."""

    def __init__(self, root: Path, shell: str) -> None:
        self.path = root / "stacks/web"
        program = root / "bin/docker"
        program.parent.mkdir()
        programs = "/usr/bin:/bin"
        self._shell = [shutil.which(shell) or shell]
        if shell == "busybox":
            # Every program of the host is busybox's own.
            programs = str(root / "applets")
            packages.put_applets(packages.ensure(pins.load().packages), root / "applets")
            self._shell = [str(root / "applets/sh")]
        program.write_text('#!/bin/sh\nenv >"$SEEN"\necho composed\n')
        program.chmod(0o755)
        self.seen = root / "seen"
        self.environ = {"PATH": f"{program.parent}:{programs}", "SEEN": str(self.seen)}

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = [*self._shell, *script(*arguments)[1:]]
        return subprocess.run(argv, input=stdin, capture_output=True, env=self.environ, check=False)

    def present(self, names: Sequence[str]) -> dict[str, Present]:
        stdin = "".join(f"{name}\n" for name in names).encode()
        return read_digests(self.run("digest", str(self.path), stdin=stdin).stdout, names)

    def deploy(
        self,
        files: Mapping[str, tuple[bytes, int]],
        managed: Mapping[str, str],
        *,
        keep: bool = True,
        header: bytes = b"\n",
        opened: Opened = Opened({}, {}),  # noqa: B008 - nothing changes it
        encrypted: Sequence[str] = (),
        cut: int = 0,
    ) -> list[str]:
        """Put `files` in the place of the `managed` ones; returns what was written and removed."""
        present = self.present(sorted({*files, *managed}))
        delivery = Delivery(
            files={**files, **opened.files},
            memory=opened.memory.keys(),
            managed=managed,
            encrypted=encrypted,
            present=present,
            keep=keep,
        )
        archive = delivery.pack(record=b"{}", content=b"{}")
        record = self.path / ".sf/record.json"
        expected = hashlib.sha256(record.read_bytes()).hexdigest() if record.exists() else "-"
        # Answered beforehand: the script clears old answers before it asks, so another process has to.
        arguments = (str(self.path.parent), "web", TOKEN, "me", expected, "1", "5", "5", "20", "no", "up")
        process = subprocess.Popen(
            [*self._shell, *script("deploy", *arguments)[1:]],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with process, process.stderr, process.stdout:
            process.stdin.write((header + opened.header + archive)[: -cut or None])
            process.stdin.close()
            for line in process.stdout:
                if line.startswith(f"sf {TOKEN} up ".encode()):
                    members = {"decision": (b"keep", 0o600), "record.json": (b"{}", 0o600)}
                    assert (
                        self.run("answer", str(self.path), TOKEN, stdin=NOTHING + pack(members)).returncode
                        == 0
                    )
            said = process.stderr.read().decode()
        if process.returncode:
            raise Problem(said.strip().splitlines()[-1])
        return [*delivery.written, *delivery.gone]

    def listing(self) -> list[str]:
        found = (path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file())
        return sorted(name for name in found if not name.startswith(".sf/"))


@pytest.fixture(params=SHELLS)
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    return Place(tmp_path, request.param)


def test_files_are_placed_with_their_modes_whatever_the_mask(place: Place) -> None:
    old = os.umask(0o077)
    try:
        assert place.deploy(FIRST, {}) == sorted(FIRST)
    finally:
        os.umask(old)
    modes = {name: (place.path / name).stat().st_mode & 0o777 for name in FIRST}
    assert modes == {"compose.yaml": 0o644, "conf/a.conf": 0o644, "conf/run.sh": 0o755}
    assert place.path.stat().st_mode & 0o777 == 0o700
    assert (place.path / "conf").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in (place.path / ".sf").iterdir()) == [
        "content.json",
        "previous",
        "record.json",
    ]


def test_placing_the_same_again_touches_nothing(place: Place) -> None:
    place.deploy(FIRST, {})
    before = {name: (place.path / name).stat().st_ino for name in FIRST}
    assert place.deploy(FIRST, manifest(FIRST)) == []
    assert {name: (place.path / name).stat().st_ino for name in FIRST} == before


def test_only_what_the_manifest_lists_is_ever_removed(place: Place) -> None:
    place.deploy(FIRST, {})
    (place.path / "data").mkdir()
    (place.path / "data/mine").write_text("kept")
    (place.path / "conf/written-by-a-container").write_text("kept")
    changed = place.deploy({"compose.yaml": (b"two", 0o644)}, manifest(FIRST))
    assert changed == ["compose.yaml", "conf/a.conf", "conf/run.sh"]
    assert place.listing() == ["compose.yaml", "conf/written-by-a-container", "data/mine"]
    previous = place.path / ".sf/previous"
    assert {name: (previous / name).read_bytes() for name in FIRST} == {
        name: data for name, (data, _) in FIRST.items()
    }


def test_folders_that_become_empty_go(place: Place) -> None:
    place.deploy(FIRST, {})
    place.deploy({"compose.yaml": (b"one", 0o644)}, manifest(FIRST))
    assert not (place.path / "conf").exists()


def test_a_file_is_replaced_and_not_written_through(place: Place) -> None:
    place.deploy(FIRST, {})
    with (place.path / "compose.yaml").open() as held:
        place.deploy({**FIRST, "compose.yaml": (b"two", 0o644)}, manifest(FIRST))
        assert held.read() == "one"


def test_a_link_that_a_container_left_is_not_followed(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.conf").write_text("untouched")
    place.path.mkdir(parents=True)
    (place.path / "conf").symlink_to(outside)
    with pytest.raises(Problem, match="should be a folder of the stack"):
        place.deploy(FIRST, {})
    place.deploy({}, manifest(FIRST))
    assert (outside / "a.conf").read_text() == "untouched"
    for target in (outside / "a.conf", outside):
        (place.path / "compose.yaml").unlink(missing_ok=True)
        (place.path / "compose.yaml").symlink_to(target)
        place.deploy({"compose.yaml": (b"one", 0o644)}, {})
        assert not (place.path / "compose.yaml").is_symlink()
    assert [path.name for path in outside.iterdir()] == ["a.conf"]
    assert (outside / "a.conf").read_text() == "untouched"


def test_a_folder_where_a_file_belongs_is_told(place: Place) -> None:
    (place.path / "conf/a.conf").mkdir(parents=True)
    with pytest.raises(Problem, match="is a folder on the host"):
        place.deploy(FIRST, {})


def test_files_that_do_not_arrive_whole_change_nothing(place: Place) -> None:
    place.deploy(FIRST, {})
    with pytest.raises(Problem):
        place.deploy({"compose.yaml": (b"x" * 100_000, 0o644)}, manifest(FIRST), cut=60_000)
    assert (place.path / "compose.yaml").read_bytes() == b"one"
    assert not (place.path / ".sf/incoming").exists()


def test_files_changed_or_missing_on_the_host_are_found(place: Place) -> None:
    place.deploy(FIRST, {})
    managed = manifest(FIRST)
    assert edited_files(managed, place.present(list(managed))) == ()
    (place.path / "conf/a.conf").write_text("by hand")
    (place.path / "conf/run.sh").unlink()
    assert edited_files(managed, place.present(list(managed))) == ("conf/a.conf", "conf/run.sh")


HOSTILE_NAMES = [
    "a b",
    "it's",
    'say "x"',
    "$(id)",
    "`id`",
    "a;b",
    "-rf",
    "a\\nb",
    "*",
    "ü",
    "a&b|c",
    "~",
    "%s",
    "--",
]


def test_hostile_names_of_files_are_names(place: Place) -> None:
    files = {f"d/{name}": (name.encode(), 0o644) for name in HOSTILE_NAMES}
    files |= {name: (name.encode(), 0o644) for name in HOSTILE_NAMES}
    place.deploy(files, {})
    assert {name: (place.path / name).read_bytes() for name in files} == {
        name: data for name, (data, _) in files.items()
    }
    assert edited_files(manifest(files), place.present(list(files))) == ()
    place.deploy({"compose.yaml": (b"one", 0o644)}, manifest(files))
    assert place.listing() == ["compose.yaml"]


def test_variables_reach_what_is_run_and_no_file(place: Place) -> None:
    value = 'it\'s "$HOME"\n\\n `id` %s\tü.\n'
    place.deploy(FIRST, {}, header=variables_header({"TOKEN": value, "EMPTY": ""}))
    seen = place.seen.read_text()
    assert f"TOKEN={value}" in seen
    assert "EMPTY=\n" in seen
    assert not [path for path in place.path.rglob("*") if path.is_file() and "HOME" in path.read_text()]


def test_a_stack_may_not_bring_the_folder_of_sf(make_tree: MakeTree) -> None:
    with pytest.raises(Problem, match="is where sf keeps its own files"):
        desired_files(make_tree({"s/.sf/record.json": "{}"}).folder("s"))


def test_a_file_that_is_not_ours_is_not_replaced_unless_it_is_the_same(place: Place) -> None:
    place.path.mkdir(parents=True)
    (place.path / "compose.yaml").write_text("theirs")
    present = place.present(list(FIRST))
    with pytest.raises(Problem, match="sf did not write"):
        refuse_foreign(FIRST, (), {}, present, project="p")
    refuse_foreign(FIRST, (), manifest(FIRST), present, project="p")
    (place.path / "compose.yaml").write_text("one")
    refuse_foreign(FIRST, (), {}, place.present(list(FIRST)), project="p")


def test_the_previous_release_is_the_last_that_was_to_be_kept(place: Place) -> None:
    place.deploy(FIRST, {})
    second = {"compose.yaml": (b"two", 0o644)}
    place.deploy(second, manifest(FIRST))
    place.deploy({"compose.yaml": (b"three", 0o644)}, manifest(second), keep=False)
    assert (place.path / ".sf/previous/compose.yaml").read_bytes() == b"one"


def test_what_a_deployment_lacks_is_told(place: Place, tmp_path: Path) -> None:
    stacks = str(place.path.parent)
    assert place.run("check", stacks).stdout == b"compose composed\n"
    place.environ["PATH"] = str(tmp_path / "nothing")
    assert b"missing docker\nmissing flock\n" in place.run("check", stacks).stdout
    (tmp_path / "file").touch()
    assert b"unwritable" in place.run("check", str(tmp_path / "file/stacks")).stdout


def test_only_operations_of_the_script_are_run(place: Place) -> None:
    assert place.run("rm", "-rf", "/nowhere").returncode == 70


PLAINTEXT = b"it's a\0secret \xff\n%s \\n"


def memory_of(place: Place) -> list[Path]:
    """What is in memory for the project of `place`."""
    name = f"sf-memory-{os.getuid()}-{hashlib.sha256(str(place.path).encode()).hexdigest()}"
    return [path for base in ("/run", "/dev/shm") for path in Path(base, name).rglob("*") if path.is_file()]


def test_plaintext_is_in_memory_while_compose_runs_and_as_long_as_it_is_to_stay(place: Place) -> None:
    program = place.path.parents[1] / "bin/docker"
    program.write_text('#!/bin/sh\ncat app.env deep/key >"$SEEN"\n')
    names = {"app.env": (b"A=1\n", Stands.MOMENT), "deep/key": (PLAINTEXT, Stands.MEMORY)}
    place.deploy(FIRST, {}, opened=Opened({}, names))
    assert place.seen.read_bytes() == b"A=1\n" + PLAINTEXT
    assert not (place.path / "app.env").is_symlink()
    (kept,) = memory_of(place)
    assert (place.path / "deep/key").readlink() == kept
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not [path for path in place.path.rglob("*") if path.is_file() and b"A=1" in path.read_bytes()]
    # A release without it takes it away again.
    program.write_text("#!/bin/sh\n")
    managed = {**manifest(FIRST), "app.env": "", "deep/key": ""}
    place.deploy(FIRST, managed, encrypted=["app.env", "deep/key"])
    assert memory_of(place) == []
    assert not (place.path / "deep").exists()


def test_plaintext_on_the_disk_is_for_its_owner_and_never_part_of_the_previous_release(place: Place) -> None:
    first = Opened({"key": (b"one", 0o600)}, {})
    place.deploy(FIRST, {}, opened=first)
    assert (place.path / "key").stat().st_mode & 0o777 == 0o600
    managed = manifest({**FIRST, **first.files})
    place.deploy(FIRST, managed, opened=Opened({"key": (b"two", 0o600)}, {}), encrypted=["key"])
    assert (place.path / "key").read_bytes() == b"two"
    assert (place.path / ".sf/previous/compose.yaml").read_bytes() == b"one"
    assert not (place.path / ".sf/previous/key").exists()


def test_what_is_in_the_way_of_a_link_is_not_replaced(place: Place) -> None:
    place.path.mkdir(parents=True)
    (place.path / "app.env").write_text("theirs")
    with pytest.raises(Problem, match="sf did not write"):
        refuse_foreign({}, ["app.env"], {}, place.present(["app.env"]), project="p")


def test_the_release_before_is_kept_also_when_no_file_changes(place: Place) -> None:
    place.deploy(FIRST, {})
    second = {"compose.yaml": (b"two", 0o644)}
    place.deploy(second, manifest(FIRST))
    place.deploy(second, manifest(second))
    assert (place.path / ".sf/previous/compose.yaml").read_bytes() == b"two"
    assert not (place.path / ".sf/previous/conf").exists()
