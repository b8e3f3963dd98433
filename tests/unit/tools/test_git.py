from __future__ import annotations

import os
import shlex
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from sf.models import Problem
from sf.process import Launcher, ProgramFailed
from sf.redact import Redactor
from sf.tools.git import (
    DiffEntry,
    Git,
    MergeConflict,
    TreeEntry,
    empty_tree,
    is_branch_name,
    is_object_id,
    without_credentials,
)
from tests.repositories import ENVIRON, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINES = "".join(f"{number}\n" for number in range(20))


@pytest.fixture(params=["sha1", "sha256"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    return Repository.init(tmp_path / "repository", f"--object-format={request.param}")


@pytest.fixture
def simple(tmp_path: Path) -> Repository:
    return Repository.init(tmp_path / "repository")


def git_at(directory: Path) -> Git:
    return Git(Launcher(Redactor()), directory, ENVIRON)


def test_a_folder_outside_any_repository_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="is not in a git repository") as caught:
        git_at(tmp_path).toplevel()
    assert "check the repository out" in caught.value.hint


def test_a_folder_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="is not a directory"):
        git_at(tmp_path / "gone").head()


def test_a_bare_repository_has_no_toplevel(tmp_path: Path) -> None:
    git = Repository.init(tmp_path / "bare.git", "--bare").open()
    assert git.is_bare()
    with pytest.raises(Problem, match="is a bare repository"):
        git.toplevel()


def test_a_repository_without_commits_has_no_head(repository: Repository) -> None:
    git = repository.open()
    assert git.toplevel() == repository.root
    assert git.current_branch() == "main"
    with pytest.raises(Problem, match="has no commit yet"):
        git.head()


def test_a_working_tree_that_the_configuration_puts_elsewhere_is_refused(
    simple: Repository, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    simple.git("config", "core.worktree", str(elsewhere))
    with pytest.raises(Problem, match="says that its working tree is"):
        simple.open().toplevel()


def test_a_subfolder_and_a_linked_working_tree_find_their_root(simple: Repository, tmp_path: Path) -> None:
    head = simple.commit({"apps/web/a.yaml": "a"})
    simple.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    assert git_at(simple.root / "apps" / "web").toplevel() == simple.root
    linked = git_at(tmp_path / "linked")
    assert (linked.toplevel(), linked.head(), linked.current_branch()) == (tmp_path / "linked", head, "")


@pytest.mark.parametrize("revision", ["HEAD", "main", "v1", "refs/heads/main", "HEAD~0", "short"])
def test_a_revision_is_resolved_to_its_commit(repository: Repository, revision: str) -> None:
    head = repository.commit({"a": "1"})
    repository.git("tag", "--annotate", "--message=one", "v1")
    assert repository.open().resolve(head[:8] if revision == "short" else revision) == head


@pytest.mark.parametrize(
    "revision",
    ["", "-1", "--all", "--output=x", "nowhere", "HEAD:a", "HEAD..HEAD", "^HEAD", "a\nb", "f" * 40],
)
def test_what_names_no_commit_is_a_problem(simple: Repository, revision: str) -> None:
    simple.commit({"a": "1"})
    with pytest.raises(Problem, match="commit"):
        simple.open().resolve(revision)


def test_what_is_no_object_id_never_reaches_git(simple: Repository) -> None:
    simple.commit({"a": "1"})
    with pytest.raises(Problem, match="not the id of a git object"):
        simple.open().ls_tree("--help")
    with pytest.raises(Problem, match="cannot be the name of a branch"):
        simple.open().remote_branch("main:refs/heads/other")


def test_a_tree_is_listed_with_its_folders_and_any_name(repository: Repository) -> None:
    repository.write({"apps/web.yaml": "web\n", "run.sh": "#!/bin/sh\n"})
    (repository.root / "run.sh").chmod(0o755)
    (repository.root / "link").symlink_to("apps")
    odd = os.fsdecode(b"caf\xe9 \t\n.yaml")
    (repository.root / odd).write_text("odd\n")
    head = repository.commit()
    git = repository.open()
    entries = {entry.path: entry for entry in git.ls_tree(git.tree_of(head))}
    assert {path: (entry.mode, entry.kind) for path, entry in entries.items()} == {
        "apps": ("040000", "tree"),
        "apps/web.yaml": ("100644", "blob"),
        "run.sh": ("100755", "blob"),
        "link": ("120000", "blob"),
        odd: ("100644", "blob"),
    }
    assert entries["apps/web.yaml"] == TreeEntry(
        "100644", "blob", repository.git("rev-parse", "HEAD:apps/web.yaml"), "apps/web.yaml"
    )
    contents = git.read_blobs(entry.oid for entry in entries.values() if entry.kind == "blob")
    assert contents[entries[odd].oid] == b"odd\n"
    assert contents[entries["link"].oid] == b"apps"


def test_the_empty_tree_is_known_without_being_stored(repository: Repository) -> None:
    head = repository.commit({"a": "1"})
    git = repository.open()
    assert git.ls_tree(empty_tree(head)) == []
    assert [entry.status for entry in git.diff_names(empty_tree(head), git.tree_of(head))] == ["A"]


@pytest.mark.parametrize("content", [b"", b"\n", b"no newline", b"\0\xff\n\n", b"x" * 300_000])
def test_blobs_come_back_byte_for_byte(repository: Repository, content: bytes) -> None:
    (repository.root / "a").write_bytes(content)
    repository.commit({"b": "other"})
    oids = [repository.git("rev-parse", f"HEAD:{name}") for name in ("a", "b", "a")]
    assert repository.open().read_blobs(oids) == {oids[0]: content, oids[1]: b"other"}


def test_no_blobs_are_read_without_asking_git(simple: Repository) -> None:
    assert simple.open().read_blobs([]) == {}


def test_what_is_no_blob_is_a_problem(simple: Repository) -> None:
    head = simple.commit({"a": "1"})
    for oid, kind in ((head, "commit"), ("f" * 40, "missing")):
        with pytest.raises(Problem, match=f"is {kind} where"):
            simple.open().read_blobs([oid])


def test_a_rename_is_a_removal_and_an_addition(repository: Repository) -> None:
    repository.commit({"old": "same\n", "kept": "1\n"})
    git = repository.open()
    before = git.tree_of(repository.head)
    (repository.root / "old").rename(repository.root / "new")
    (repository.root / "kept").chmod(0o755)
    repository.commit()
    blob, zeros = repository.git("rev-parse", "HEAD:new"), "0" * len(before)
    kept = repository.git("rev-parse", "HEAD:kept")
    assert git.diff_names(before, git.tree_of(repository.head)) == [
        DiffEntry("M", "kept", "100644", "100755", kept, kept),
        DiffEntry("A", "new", "000000", "100644", zeros, blob),
        DiffEntry("D", "old", "100644", "000000", blob, zeros),
    ]
    assert git.diff_names(before, before) == []


def test_history_is_read(repository: Repository) -> None:
    root = repository.commit({"a": "1"})
    repository.git("switch", "--quiet", "--create=side")
    side = repository.commit({"b": "1"}, "side\n\nparent 0000\n")
    repository.git("switch", "--quiet", "main")
    main = repository.commit({"c": "1"})
    repository.git("merge", "--quiet", "--no-edit", "side")
    git = repository.open()
    assert git.parents(repository.head) == (main, side)
    assert git.parents(side) == (root,)
    assert git.parents(root) == ()
    assert git.merge_base(main, side) == root
    assert (git.is_ancestor(root, side), git.is_ancestor(side, main)) == (True, False)
    repository.git("switch", "--quiet", "--orphan=other")
    assert git.merge_base(repository.commit({"d": "1"}), main) is None


def test_a_merge_is_computed_without_touching_the_working_tree(repository: Repository) -> None:
    repository.commit({"file": LINES, "gone": "x"})
    repository.git("switch", "--quiet", "--create=side")
    (repository.root / "gone").unlink()
    side = repository.commit({"file": LINES.replace("0\n", "zero\n", 1)})
    repository.git("switch", "--quiet", "main")
    main = repository.commit({"file": LINES.replace("19\n", "nineteen\n"), "new": "y"})
    git = repository.open()
    tree = git.merge_tree(main, side)
    assert not git.is_dirty()
    assert git.head() == main
    repository.git("merge", "--quiet", "--no-edit", "side")
    assert tree == git.tree_of(repository.head)


def test_a_conflict_names_the_files(repository: Repository) -> None:
    repository.commit({"a": "1\n", "b": "1\n", "c": "1\n"})
    repository.git("switch", "--quiet", "--create=side")
    (repository.root / "b").unlink()
    side = repository.commit({"a": "2\n"})
    repository.git("switch", "--quiet", "main")
    main = repository.commit({"a": "3\n", "b": "3\n"})
    with pytest.raises(MergeConflict, match="conflicts in a, b") as caught:
        repository.open().merge_tree(main, side)
    assert caught.value.paths == ("a", "b")


def test_a_git_that_cannot_merge_trees_is_named(simple: Repository, tmp_path: Path) -> None:
    head = simple.commit({"a": "1"})
    old = fake_git(tmp_path, 'case "$1" in --version) echo git version 2.30.2; exit;; esac')
    with pytest.raises(Problem, match=r"git 2\.30\.2 cannot compute a merge") as caught:
        simple.open({**ENVIRON, "PATH": old}).merge_tree(head, head)
    assert "2.38" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "dirty"),
    [
        pytest.param("true", False, id="nothing"),
        pytest.param("touch -d 2001-01-01 a", False, id="touched"),
        pytest.param("echo 2 > a", True, id="changed"),
        pytest.param("echo 1 > new", True, id="new"),
        pytest.param("echo 1 > ignored", False, id="ignored"),
        pytest.param("rm a", True, id="removed"),
    ],
)
def test_uncommitted_changes_are_seen(simple: Repository, change: str, dirty: bool) -> None:
    simple.commit({"a": "1", ".gitignore": "ignored\n"})
    Launcher(Redactor()).run(["sh", "-c", change], cwd=simple.root, environ=ENVIRON, timeout=60)
    assert simple.open().is_dirty() is dirty


def test_the_default_branch_is_the_remotes(simple: Repository, tmp_path: Path) -> None:
    head = simple.commit({"a": "1"})
    assert simple.open().default_branch() == "main"
    simple.git("branch", "--move", "trunk")
    assert simple.open().default_branch() == ""
    clone = simple.clone(tmp_path / "clone").open()
    assert (clone.default_branch(), clone.branch_commit("trunk")) == ("trunk", head)
    assert (clone.remote_branch("trunk"), clone.remote_branch("none")) == (head, "")
    assert (clone.remote_url(), simple.open().remote_url()) == (simple.url, "")


def test_fetching_into_a_full_clone_keeps_it_full(simple: Repository, tmp_path: Path) -> None:
    simple.commit({"a": "1"})
    clone = simple.clone(tmp_path / "clone")
    simple.commit({"a": "2"})
    newest = simple.commit({"a": "3"})
    references = clone.git("for-each-ref")
    git = clone.open()
    git.fetch_commit(newest)
    assert git.has_commit(newest)
    assert not git.is_shallow()
    assert clone.git("for-each-ref") == references
    assert not (clone.root / ".git" / "FETCH_HEAD").exists()


def test_fetching_into_a_shallow_clone_takes_one_commit(simple: Repository, tmp_path: Path) -> None:
    commits = [simple.commit({"a": str(number)}) for number in range(5)]
    git = simple.clone(tmp_path / "clone", "--depth=1").open()
    assert git.parents(commits[4]) == (commits[3],)
    git.fetch_commit(commits[1])
    assert [git.has_commit(commit) for commit in commits] == [False, True, False, False, True]
    git.deepen(1, [commits[4]])
    assert git.has_commit(commits[3])
    git.deepen(0, [commits[4]])
    assert all(map(git.has_commit, commits))
    assert not git.is_shallow()


def test_a_commit_that_the_remote_does_not_have_is_a_failure(simple: Repository, tmp_path: Path) -> None:
    simple.commit({"a": "1"})
    with pytest.raises(ProgramFailed):
        simple.clone(tmp_path / "clone").open().fetch_commit("f" * 40)


def test_variables_of_the_surroundings_do_not_steer_git(simple: Repository, tmp_path: Path) -> None:
    head = simple.commit({"a": "1"})
    hostile = {
        "GIT_DIR": str(tmp_path),
        "GIT_WORK_TREE": str(tmp_path),
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_OBJECT_DIRECTORY": str(tmp_path),
        "GIT_CONFIG_PARAMETERS": "broken",
    }
    assert simple.open({**ENVIRON, **hostile}).head() == head


def test_the_configuration_of_the_user_is_not_read(simple: Repository, tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text('[remote "origin"]\n\turl = https://example.test/x\n')
    assert simple.open({**ENVIRON, "HOME": str(tmp_path)}).remote_url() == ""


def test_only_what_git_needs_is_handed_down(simple: Repository, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    path = fake_git(tmp_path, f"env >> {seen}")
    secrets = {"GITHUB_TOKEN": "secret", "GIT_SSH": "evil", "SSH_ASKPASS": "evil", "SSH_AUTH_SOCK": "/agent"}
    simple.open({**ENVIRON, **secrets, "PATH": path}).is_shallow()
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert {"PATH", "HOME", "SSH_AUTH_SOCK", "GIT_CONFIG_COUNT"} <= names
    assert not names & {"GITHUB_TOKEN", "GIT_SSH", "SSH_ASKPASS", "GIT_AUTHOR_NAME"}


def test_a_git_that_does_not_say_its_version_is_a_problem(simple: Repository, tmp_path: Path) -> None:
    path = fake_git(tmp_path, 'case "$1" in --version) echo hello; exit;; esac')
    with pytest.raises(Problem, match="does not say its version but 'hello'"):
        assert simple.open({**ENVIRON, "PATH": path}).version


def test_a_failure_of_git_itself_is_not_mistaken_for_a_missing_repository(
    simple: Repository, tmp_path: Path
) -> None:
    path = fake_git(tmp_path, 'case "$*" in *git-dir*) echo fatal: out of memory >&2; exit 128;; esac')
    with pytest.raises(ProgramFailed, match="out of memory"):
        simple.open({**ENVIRON, "PATH": path}).head()


def test_a_checkout_that_belongs_to_another_user_is_read(simple: Repository, tmp_path: Path) -> None:
    head = simple.commit({"apps/a": "1"})
    foreign = {**ENVIRON, "PATH": fake_git(tmp_path, "export GIT_TEST_ASSUME_DIFFERENT_OWNER=1")}
    with pytest.raises(ProgramFailed, match=r"safe\.directory"):
        Launcher(Redactor()).run(["git", "status"], cwd=simple.root, environ=foreign, timeout=60)
    git = Git(Launcher(Redactor()), simple.root / "apps", foreign)
    assert (git.toplevel(), git.head(), git.is_dirty()) == (simple.root, head, False)


def fake_git(tmp_path: Path, script: str) -> str:
    """A PATH whose git runs `script` first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "git"
    program.write_text(f'#!/bin/sh\n{script}\nexec {shutil.which("git", path=ENVIRON["PATH"])} "$@"\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{ENVIRON['PATH']}"


class Trap:
    """A program that a hostile repository wants to be run; it leaves a file with the name it was called by."""

    def __init__(self, folder: Path) -> None:
        self._sprung = folder / "sprung"
        self._sprung.mkdir(parents=True)
        self._program = folder / "program"
        self._program.write_text(f'#!/bin/sh\n: > {shlex.quote(str(self._sprung))}/"$1"\ncat\n')
        self._program.chmod(0o755)

    def command(self, name: str) -> str:
        return f"{self._program} {name}"

    def hook(self, file: Path) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\nexec {self.command(file.name)} </dev/null\n")
        file.chmod(0o755)

    @property
    def sprung(self) -> set[str]:
        return {path.name for path in self._sprung.iterdir()}


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    return Trap(tmp_path / "trap")


@pytest.fixture
def hostile(tmp_path: Path, trap: Trap) -> Repository:
    """Two branches to be merged, and every way known to make git run something."""
    origin = Repository.init(tmp_path / "origin")
    origin.commit(
        {"file": LINES, ".gitattributes": "* filter=evil diff=evil merge=evil\nother filter=slow\n"}
    )
    repository = origin.clone(tmp_path / "hostile")
    origin.commit({"file": LINES.replace("9\n", "nine\n", 1)})
    repository.git("switch", "--quiet", "--create=side")
    repository.commit({"file": LINES.replace("0\n", "zero\n", 1)})
    repository.git("switch", "--quiet", "main")
    repository.commit({"file": LINES.replace("19\n", "nineteen\n"), "other": "1\n"})
    shutil.copy(repository.root / ".gitattributes", repository.root / ".git" / "info" / "attributes")
    for name in ("reference-transaction", "post-checkout", "post-index-change", "fsmonitor-watchman"):
        trap.hook(repository.root / ".git" / "hooks" / name)
    trap.hook(tmp_path / "programs" / "askpass")
    settings = {
        "core.fsmonitor": trap.command("fsmonitor"),
        "core.sshCommand": trap.command("ssh"),
        "core.pager": trap.command("pager"),
        "core.editor": trap.command("editor"),
        "core.askPass": str(tmp_path / "programs" / "askpass"),
        "core.alternateRefsCommand": trap.command("alternates"),
        "core.attributesFile": str(repository.root / ".gitattributes"),
        "diff.external": trap.command("diff-external"),
        "diff.evil.command": trap.command("diff-command"),
        "diff.evil.textconv": trap.command("textconv"),
        "filter.evil.clean": trap.command("clean"),
        "filter.evil.smudge": trap.command("smudge"),
        "filter.evil.required": "true",
        "filter.slow.process": trap.command("process"),
        "merge.evil.driver": trap.command("merge-driver"),
        "merge.default": "evil",
        "merge.renormalize": "true",
        "alias.status": f"!{trap.command('alias')}",
        "protocol.ext.allow": "always",
        "credential.helper": f"!{trap.command('credential')}",
        "credential.http://127.0.0.1.helper": f"!{trap.command('credential-url')}",
    }
    for name, value in settings.items():
        repository.git("config", name, value)
    (repository.root / ".git" / "objects" / "info" / "alternates").write_text(
        f"{origin.root / '.git' / 'objects'}\n"
    )
    os.utime(repository.root / "file", (1, 1))
    return repository


def test_plain_git_would_spring_the_traps(hostile: Repository, trap: Trap) -> None:
    for command in (
        ["status"],
        ["diff", "main", "side"],
        ["merge-tree", "--write-tree", "main", "side"],
        ["fetch", "origin"],
    ):
        Launcher(Redactor()).run(
            ["git", *command], cwd=hostile.root, environ=ENVIRON, timeout=60, accept=range(256)
        )
    expected = {"fsmonitor", "clean", "merge-driver", "diff-command", "reference-transaction", "alternates"}
    assert expected <= trap.sprung


def test_nothing_that_a_hostile_repository_configures_is_run(hostile: Repository, trap: Trap) -> None:
    main, side = hostile.git("rev-parse", "main"), hostile.git("rev-parse", "side")
    newest = Repository(hostile.root.parent / "origin").head
    trees = hostile.git("rev-parse", f"{main}^{{tree}}", f"{side}^{{tree}}").split()
    before = trap.sprung
    git = hostile.open()
    git.toplevel()
    git.head()
    git.current_branch()
    git.default_branch()
    git.remote_url()
    git.is_shallow()
    git.resolve("main~0")
    git.merge_base(main, side)
    git.diff_names(*trees)
    git.read_blobs(entry.oid for entry in git.ls_tree(trees[0]) if entry.kind == "blob")
    git.remote_branch("main")
    git.fetch_commit(newest)
    assert git.is_dirty() is False
    merged = git.merge_tree(main, side)
    assert trap.sprung == before
    entry = next(entry for entry in git.ls_tree(merged) if entry.path == "file")
    expected = LINES.replace("0\n", "zero\n", 1).replace("19\n", "nineteen\n")
    assert git.read_blobs([entry.oid])[entry.oid].decode() == expected


def test_a_merge_driver_of_the_repository_cannot_hide_a_conflict(simple: Repository, trap: Trap) -> None:
    simple.commit({"file": "1\n", ".gitattributes": "* merge=evil\n"})
    simple.git("switch", "--quiet", "--create=side")
    side = simple.commit({"file": "2\n"})
    simple.git("switch", "--quiet", "main")
    main = simple.commit({"file": "3\n"})
    shutil.copy(simple.root / ".gitattributes", simple.root / ".git" / "info" / "attributes")
    simple.git("config", "merge.evil.driver", trap.command("merge-driver"))
    with pytest.raises(MergeConflict, match="file"):
        simple.open().merge_tree(main, side)
    assert trap.sprung == set()


@pytest.mark.parametrize(
    "url", ["ext::sh -c trap%", "ssh://127.0.0.1:1/x.git", "evil::x", "git://127.0.0.1:1/x.git"]
)
def test_a_remote_cannot_name_a_program(hostile: Repository, trap: Trap, url: str) -> None:
    hostile.git("config", "remote.origin.url", url.replace("sh -c trap%", trap.command("ext")))
    hostile.git("config", "core.gitProxy", trap.command("git-proxy"))
    before = trap.sprung
    with pytest.raises(ProgramFailed):
        hostile.open().fetch_commit("f" * 40)
    assert trap.sprung == before


def test_an_upload_pack_of_the_repository_is_refused(simple: Repository, trap: Trap) -> None:
    simple.git("config", "remote.Origin.uploadpack", trap.command("upload-pack"))
    with pytest.raises(Problem, match=r"sets remote\.Origin\.uploadpack") as caught:
        simple.open().remote_url()
    assert "--unset-all" in caught.value.hint


def conflict_free(simple: Repository) -> tuple[str, str]:
    """Two commits that merge cleanly only if a renamed file is recognised."""
    simple.commit({"old": LINES})
    simple.git("switch", "--quiet", "--create=side")
    (simple.root / "old").rename(simple.root / "new")
    side = simple.commit()
    simple.git("switch", "--quiet", "main")
    return simple.commit({"old": LINES.replace("19\n", "nineteen\n")}), side


def conflicting(simple: Repository) -> tuple[str, str]:
    """Two commits that merge cleanly only if both lines are kept, and a file follows its renamed folder."""
    simple.commit({"both": "1\n", "folder/a": LINES, "folder/b": LINES})
    simple.git("switch", "--quiet", "--create=side")
    (simple.root / "folder").rename(simple.root / "moved")
    side = simple.commit({"both": "2\n"})
    simple.git("switch", "--quiet", "main")
    return simple.commit({"both": "3\n", "folder/c": "c\n"}), side


def test_settings_do_not_change_what_a_merge_gives(simple: Repository, tmp_path: Path) -> None:
    (tmp_path / "attributes").write_text("* merge=union\n")
    simple.git("config", "core.attributesFile", str(tmp_path / "attributes"))
    simple.git("config", "merge.renames", "false")
    simple.git("config", "merge.directoryRenames", "true")
    git = simple.open()
    paths = [entry.path for entry in git.ls_tree(git.merge_tree(*conflict_free(simple)))]
    assert paths == ["new"]
    simple.git("branch", "--delete", "--force", "side")
    with pytest.raises(MergeConflict) as caught:
        git.merge_tree(*conflicting(simple))
    assert set(caught.value.paths) >= {"both", "moved/c"}


def test_replaced_objects_are_read_as_they_were_committed(simple: Repository) -> None:
    first, second = simple.commit({"a": "1"}), simple.commit({"a": "2"})
    tree = simple.git("rev-parse", f"{first}^{{tree}}")
    simple.git("replace", first, second)
    assert simple.open().tree_of(first) == tree


def test_looking_for_changes_does_not_write_the_index(simple: Repository) -> None:
    simple.commit({"a": "1"})
    index = simple.root / ".git" / "index"
    os.utime(simple.root / "a", (1, 1))
    before = index.read_bytes()
    assert not simple.open().is_dirty()
    assert index.read_bytes() == before


class _Unauthorised(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def unauthorised() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Unauthorised)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/x.git"
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_credentials_are_asked_for(hostile: Repository, trap: Trap, unauthorised: str) -> None:
    hostile.git("config", "remote.origin.url", unauthorised)
    hostile.git("config", f"credential.{unauthorised}.helper", f"!{trap.command('credential-exact')}")
    before = trap.sprung
    with pytest.raises(ProgramFailed, match="could not read Username"):
        hostile.open().fetch_commit("f" * 40)
    assert trap.sprung == before


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("main", True),
        ("feature/a-b_c.d", True),
        ("café", True),
        ("a@b", True),
        ("", False),
        ("-x", False),
        ("a b", False),
        ("a:b", False),
        ("a..b", False),
        ("a@{1}", False),
        ("a^", False),
        ("a~1", False),
        ("a*", False),
        ("/a", False),
        ("a/", False),
        ("a//b", False),
        ("a/.b", False),
        (".a", False),
        ("a.", False),
        ("a.lock", False),
        ("a.lock/b", False),
        ("a\n", False),
        ("a\x7f", False),
        ("a\\b", False),
    ],
)
def test_branch_names(name: str, valid: bool) -> None:
    assert is_branch_name(name) is valid
    checked = Launcher(Redactor()).run(
        ["git", "check-ref-format", f"refs/heads/{name}"], environ=ENVIRON, timeout=60, accept=(0, 1)
    )
    # Git itself takes a leading dash here; as an argument it would be an option.
    assert (checked.code == 0) is (valid or name == "-x")


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("a" * 40, True),
        ("0" * 64, True),
        ("a" * 39, False),
        ("a" * 50, False),
        ("A" * 40, False),
        ("a" * 40 + "\n", False),
    ],
)
def test_object_ids(text: str, valid: bool) -> None:
    assert is_object_id(text) is valid


def test_credentials_are_taken_out_of_messages() -> None:
    said = "unable to access 'https://ci:t0ken@git.example/x/' or ssh://git@host/x"
    assert without_credentials(said) == "unable to access 'https://git.example/x/' or ssh://host/x"
