"""The door to the disk: private while it lives, gone when it is over, and never anything of somebody else."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess  # noqa: TID251 - only processes of their own can be killed, race, or run as another user
import sys
import tempfile  # noqa: TID251 - a new directory for each example of a property
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.models import Problem
from sf.workspace import OutputDirectory, Workspace, append_text, write_atomic, write_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY: Final = 65534
MINE: Final = f"sf-run-{os.getuid()}-"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment whose places are all below `tmp_path`."""
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    monkeypatch.setattr("sf.workspace._MEMORY", (str(memory),))
    return {"TMPDIR": str(disk)}


@pytest.fixture
def workspace(places: dict[str, str]) -> Iterator[Workspace]:
    workspace = Workspace(places)
    yield workspace
    workspace.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def in_a_process(script: str, *arguments: str, environ: dict[str, str]) -> subprocess.Popen[str]:
    """A process that runs `script`, in which ``workspace`` is one of its own at the places of `environ`."""
    prelude = (
        "import os, sys, time, sf.workspace\n"
        "sf.workspace._MEMORY = (os.path.join(os.path.dirname(os.environ['TMPDIR']), 'memory'),)\n"
        "workspace = sf.workspace.Workspace(os.environ)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", prelude + script, *arguments],
        env={"PATH": os.defpath, **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return output


def open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


# --- what a run has ---


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_only_the_user_of_the_run_can_look_inside(workspace: Workspace, mask: int) -> None:
    with umask(mask):
        secret = workspace.write_private("token", b"correct-horse")

    assert secret.read_bytes() == b"correct-horse"
    assert mode(secret) == 0o600
    assert mode(workspace.private) == 0o700
    assert mode(workspace.scratch) == 0o700


def test_secrets_are_in_memory_and_content_is_on_disk(workspace: Workspace, tmp_path: Path) -> None:
    assert workspace.private.parent == tmp_path / "memory"
    assert workspace.scratch.parent == tmp_path / "disk"
    assert (workspace.private, workspace.scratch) == (workspace.private, workspace.scratch)


def test_this_machine_offers_memory() -> None:
    memory = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if " tmpfs " in line]
    workspace = Workspace({})
    try:
        assert "/dev/shm" not in memory or str(workspace.private.parent) == "/dev/shm"
    finally:
        workspace.close()


def test_the_directory_of_the_session_comes_first(places: dict[str, str], tmp_path: Path) -> None:
    session = tmp_path / "session"
    session.mkdir()
    workspace = Workspace({**places, "XDG_RUNTIME_DIR": str(session)})

    assert workspace.private.parent == session
    workspace.close()


@pytest.mark.parametrize("session", ["", "relative", "/nowhere/at/all"])
def test_a_useless_directory_of_the_session_is_passed_over(
    places: dict[str, str], session: str, tmp_path: Path
) -> None:
    workspace = Workspace({**places, "XDG_RUNTIME_DIR": session})

    assert workspace.private.parent == tmp_path / "memory"
    workspace.close()


def test_without_memory_secrets_are_on_disk(places: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "memory").rmdir()
    workspace = Workspace(places)

    assert workspace.private.parent == tmp_path / "disk"
    workspace.close()


def test_without_any_place_the_problem_names_them(places: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "memory").rmdir()
    (tmp_path / "disk").rmdir()
    workspace = Workspace(places)

    with pytest.raises(Problem, match=r"no place for temporary files: .*memory: No such file.*disk: No such"):
        _ = workspace.private
    workspace.close()


def test_a_relative_place_stays_where_it_is(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace({**places, "TMPDIR": "disk"})

    assert workspace.scratch.is_absolute()
    assert workspace.scratch.parent == tmp_path / "disk"
    workspace.close()


def test_nothing_is_made_before_it_is_used(workspace: Workspace, tmp_path: Path) -> None:
    assert not [entry for place in tmp_path.iterdir() for entry in place.iterdir()]
    workspace.close()


def test_threads_share_one_directory(workspace: Workspace, tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    seen: list[Path] = []

    def work() -> None:
        barrier.wait()
        seen.append(workspace.private)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(seen)) == 1
    assert list((tmp_path / "memory").iterdir()) == [seen[0]]


def test_a_secret_never_replaces_or_follows_what_is_there(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.private / "link").symlink_to(tmp_path / "target")
    workspace.write_private("token", b"1")

    for name in ("link", "token"):
        with pytest.raises(Problem, match=r"cannot write .*: File exists"):
            workspace.write_private(name, b"2")
    assert not (tmp_path / "target").exists()


# --- close ---


def test_close_removes_everything_and_may_be_repeated(workspace: Workspace, tmp_path: Path) -> None:
    before = open_descriptors()
    workspace.write_private("token", b"x")
    (workspace.scratch / "a" / "b").mkdir(parents=True)
    (workspace.scratch / "a" / "link").symlink_to(tmp_path)
    workspace.close()
    workspace.close()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "memory"]
    assert not [entry for place in tmp_path.iterdir() for entry in place.iterdir()]
    assert open_descriptors() == before


# The permission bits do not bind root, so that the removal is tried as somebody else.
CLOSE_AS_NOBODY: Final = """
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
os.makedirs(workspace.scratch / "sealed/below"); os.makedirs(workspace.scratch / "unreadable/below")
open(workspace.scratch / "sealed/below/file", "w").close()
os.symlink(sys.argv[1], workspace.scratch / "link")
os.chmod(workspace.scratch / "sealed/below", 0o555); os.chmod(workspace.scratch / "sealed", 0o555)
os.chmod(workspace.scratch / "unreadable/below", 0); os.chmod(workspace.scratch / "unreadable", 0)
workspace.close()
"""


def test_folders_without_permission_bits_are_removed_too(
    places: dict[str, str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o555)
    if os.getuid() == 0:
        for place in (tmp_path, *tmp_path.iterdir()):
            os.chown(place, NOBODY, NOBODY)
        # What pytest makes, for all of its workers and for one, is closed to everybody else.
        base = tmp_path_factory.getbasetemp()
        for place in (base, *base.parents):
            if place.name.startswith(("pytest-", "popen-")):
                place.chmod(0o711)

    finished(in_a_process(CLOSE_AS_NOBODY, str(outside), environ=places))

    assert not list((tmp_path / "disk").iterdir())
    # A link to a folder is removed, and what it leads to is left alone.
    assert mode(outside) == 0o555


def test_close_says_what_it_could_not_remove_and_removes_the_rest(
    places: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(places)
    private, scratch = workspace.private, workspace.scratch
    (scratch / "busy").mkdir()
    rmdir = os.rmdir

    def refuse(path: str, *, dir_fd: int | None = None) -> None:
        # As if it were a mount point, which only root can make.
        if os.path.basename(path) == "busy":  # noqa: PTH119 - what shutil hands over
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(Problem, match=rf"could not remove {scratch} \(.*Device or resource busy") as failed:
        workspace.close()
    monkeypatch.undo()

    assert "secrets" in failed.value.hint
    assert not private.exists()
    assert Workspace(places).sweep() == [scratch]


# --- sweep ---

HOLD: Final = """
print(workspace.write_private("token", b"x").parent, workspace.scratch, flush=True)
sys.stdin.readline()
workspace.close()
"""


def test_what_a_killed_run_left_is_swept_and_what_a_living_one_holds_is_not(
    places: dict[str, str], workspace: Workspace
) -> None:
    living, killed = (in_a_process(HOLD, environ=places) for _ in range(2))
    paths = {}
    for process in (living, killed):
        assert process.stdout is not None
        paths[process] = [Path(path) for path in process.stdout.readline().split()]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    own = [workspace.private, workspace.scratch]

    assert sorted(workspace.sweep()) == sorted(paths[killed])
    assert not any(path.exists() for path in paths[killed])
    assert all(path.exists() for path in (*paths[living], *own))

    assert living.communicate("done\n", timeout=30)[0] == ""
    assert living.returncode == 0
    assert not any(path.exists() for path in paths[living])
    assert workspace.sweep() == []


RACE: Final = """
until = time.monotonic() + float(sys.argv[1])
turns = 0
while time.monotonic() < until or not turns:
    workspace = sf.workspace.Workspace(os.environ)
    secret = workspace.write_private("token", b"x")
    workspace.sweep()
    assert secret.read_bytes() == b"x"
    workspace.close()
    turns += 1
print(turns)
"""


def test_many_runs_that_make_and_sweep_never_take_from_each_other(
    places: dict[str, str], tmp_path: Path
) -> None:
    runs = [in_a_process(RACE, "1.0", environ=places) for _ in range(4)]

    assert all(int(finished(run)) > 0 for run in runs)
    assert not list((tmp_path / "memory").iterdir())


def test_what_is_not_ours_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    disk, target = tmp_path / "disk", tmp_path / "target"
    target.mkdir()
    (target / "file").write_text("kept")
    (disk / f"{MINE}link").symlink_to(target)
    (disk / f"{MINE}file").write_text("kept")
    (disk / "sf-run-99999-other").mkdir()
    (disk / "something").mkdir()

    assert workspace.sweep() == []
    assert (target / "file").read_text() == "kept"
    assert len(list(disk.iterdir())) == 4


def test_a_directory_of_another_user_with_our_name_is_left_alone(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only root can give a directory away; anybody can pass for somebody else.
    monkeypatch.setattr(os, "getuid", lambda: NOBODY)
    foreign = tmp_path / "disk" / f"sf-run-{NOBODY}-planted"
    foreign.mkdir()

    assert workspace.sweep() == []
    assert foreign.exists()


# --- the output directory ---


def test_the_output_directory_is_hidden_from_git_and_keeps_documents(tmp_path: Path) -> None:
    output = OutputDirectory(tmp_path / "a" / "sf-out")
    output.prepare()
    output.prepare()
    output.write("plan.json", b"1")
    output.write("plan.json", b"2")

    assert sorted(path.name for path in output.path.iterdir()) == [".gitignore", "plan.json"]
    assert (output.path / ".gitignore").read_bytes() == b"*\n"
    assert (output.path / "plan.json").read_bytes() == b"2"


def test_a_gitignore_that_is_there_belongs_to_the_user(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("build/\n")
    OutputDirectory(tmp_path).prepare()

    assert (tmp_path / ".gitignore").read_text() == "build/\n"
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


@pytest.mark.parametrize("target", [".", "nowhere"])
def test_an_output_directory_that_is_a_link_is_refused(target: str, tmp_path: Path) -> None:
    (tmp_path / "sf-out").symlink_to(target)

    with pytest.raises(Problem, match="is a symbolic link") as refused:
        OutputDirectory(tmp_path / "sf-out").prepare()
    assert "--out-dir" in refused.value.hint
    assert not (tmp_path / ".gitignore").exists()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_way_of_the_output_directory(below: str, tmp_path: Path) -> None:
    (tmp_path / "sf-out").write_text("")

    with pytest.raises(Problem, match=r"cannot be written: (File exists|Not a directory)") as refused:
        OutputDirectory(tmp_path / "sf-out" / below).prepare()
    assert "--out-dir" in refused.value.hint


def test_an_output_directory_on_a_file_system_that_takes_no_files() -> None:
    with pytest.raises(Problem, match="the output directory /proc cannot be written"):
        OutputDirectory(Path("/proc")).prepare()


FILL: Final = """
from pathlib import Path
import resource, signal
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
output = sf.workspace.OutputDirectory(Path(sys.argv[1]))
try:
    output.write("plan.json", b"x" * 2000)
except sf.workspace.Problem as problem:
    print(problem)
"""


def test_no_space_left_keeps_the_old_document_and_no_half_one(places: dict[str, str], tmp_path: Path) -> None:
    output = OutputDirectory(tmp_path / "out")
    output.prepare()
    output.write("plan.json", b"old")

    assert "cannot be written: File too large" in finished(
        in_a_process(FILL, str(output.path), environ=places)
    )
    assert sorted(path.name for path in output.path.iterdir()) == [".gitignore", "plan.json"]
    assert (output.path / "plan.json").read_bytes() == b"old"


def test_a_document_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to("target")
    with umask(0):
        write_atomic(tmp_path / "link", b"new")

    assert (tmp_path / "target").read_text() == "kept"
    assert (tmp_path / "link").read_bytes() == b"new"
    assert mode(tmp_path / "link") == 0o644


def test_text_is_appended_whatever_its_characters(tmp_path: Path) -> None:
    append_text(tmp_path / "summary", "one\n")
    append_text(tmp_path / "summary", "tw\udcffo\n")

    assert (tmp_path / "summary").read_text() == "one\ntw\\udcffo\n"


# --- trees ---

NAMES: Final = st.lists(
    st.sampled_from(["a", "b", "out", "up", "..", ".", "", "/", "\0", "é", "\udcff", "x" * 300])
    | st.text(max_size=3),
    max_size=4,
).map("/".join)


def listing(root: Path) -> list[str]:
    """Everything below `root`, following no link."""
    return sorted(str(path) for path in root.rglob("*"))


@given(st.dictionaries(NAMES, st.binary(max_size=4), max_size=5))
def test_no_tree_ever_leaves_its_root(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as made:
        outside, root = Path(made, "outside"), Path(made, "root")
        outside.mkdir()
        root.mkdir()
        (outside / "a").write_bytes(b"kept")
        (root / "out").symlink_to(outside)
        (root / "up").symlink_to("..")
        (root / "b").symlink_to(outside / "a")

        with contextlib.suppress(Problem):
            write_tree(root, files)

        assert sorted(path.name for path in Path(made).iterdir()) == ["outside", "root"]
        assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("a", b"kept")]


def test_a_tree_is_written_as_plain_files(tmp_path: Path) -> None:
    files = {"a/b/c.yaml": b"1", "a/d": b"2", "e": b"\0", "./f//g": b"3"}
    with umask(0):
        write_tree(tmp_path, files)
        write_tree(tmp_path, {"a/d": b"new"})

    assert (tmp_path / "a/b/c.yaml").read_bytes() == b"1"
    assert (tmp_path / "a/d").read_bytes() == b"new"
    assert (tmp_path / "f/g").read_bytes() == b"3"
    assert {mode(path) for path in tmp_path.rglob("*") if path.is_file()} == {0o644}


@pytest.mark.parametrize("name", ["", ".", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "a\0b"])
def test_a_path_that_leads_out_is_named_and_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="leads out of its folder"):
        write_tree(tmp_path / "root", {name: b""})


@pytest.mark.parametrize("name", ["out/x", "out/deep/x", "file/x", "folder", "x" * 300, "\ud800"])
def test_what_cannot_be_written_is_named(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "file").write_text("")
    (root / "out").symlink_to(tmp_path)
    before = listing(tmp_path)

    with pytest.raises(Problem, match="cannot write"):
        write_tree(root, {name: b"x"})
    assert listing(tmp_path) == before
