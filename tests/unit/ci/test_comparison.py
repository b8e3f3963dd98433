from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sf.ci.comparison import Comparison, MissingCommit, resolve_comparison
from sf.ci.context import CIContext, EventKind, Provider, Trust
from sf.models import Problem
from sf.tools.git import MergeConflict, empty_tree
from tests.repositories import Repository

if TYPE_CHECKING:
    from pathlib import Path

LINES = "".join(f"{number}\n" for number in range(20))
FIRST_CHANGED = LINES.replace("0\n", "zero\n", 1)
LAST_CHANGED = LINES.replace("19\n", "nineteen\n")
UNKNOWN_COMMIT = "f" * 40


def run(provider: Provider, event: EventKind, **given: Any) -> CIContext:
    known = {"trust": Trust.TRUSTED, "default_branch": "main", "head_commit": given.get("commit", "")}
    return CIContext(provider=provider, event=event, **{**known, **given})


def github(event: EventKind, **given: Any) -> CIContext:
    return run(Provider.GITHUB, event, **given)


def gitlab(event: EventKind, **given: Any) -> CIContext:
    return run(Provider.GITLAB, event, **given)


def local(**given: Any) -> CIContext:
    return run(Provider.LOCAL, EventKind.MANUAL, **given)


class History:
    """A repository with a remote::

    one --- two --- three   main
        \\
         side --- tip       feature
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.origin = Repository.init(folder / "origin", *options)
        self.one = self.origin.commit({"file": LINES, "other": "1\n"})
        self.origin.git("switch", "--quiet", "--create=feature")
        self.side = self.origin.commit({"side": "1\n"})
        self.tip = self.origin.commit({"file": FIRST_CHANGED})
        self.origin.git("switch", "--quiet", "main")
        self.two = self.origin.commit({"other": "2\n"})
        self.three = self.origin.commit({"file": LAST_CHANGED})

    def clone(self, *options: str) -> Repository:
        return self.origin.clone(self.folder / "clone", *options)

    def merge(self) -> str:
        """The merge result, committed as GitHub does: under a ref of its own, on no branch."""
        self.origin.git("switch", "--quiet", "--detach", "main")
        self.origin.git("merge", "--quiet", "--no-ff", "--no-edit", "feature")
        merge = self.origin.head
        self.origin.git("update-ref", "refs/pull/42/merge", merge)
        self.origin.git("switch", "--quiet", "main")
        return merge

    def tree(self, commit: str) -> str:
        return self.origin.git("rev-parse", f"{commit}^{{tree}}")


@pytest.fixture(params=["sha1", "sha256"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    return History(tmp_path, f"--object-format={request.param}")


@pytest.fixture
def simple(tmp_path: Path) -> History:
    return History(tmp_path)


def compared(comparison: Comparison) -> tuple[str | None, str]:
    return comparison.base, comparison.head


def test_a_github_pull_request_is_its_merge_commit_against_the_first_parent(history: History) -> None:
    merge = history.merge()
    ci = github(
        EventKind.PULL_REQUEST,
        commit=merge,
        merge_commit=merge,
        head_commit=history.tip,
        # The event was made before the target branch moved on; the merge commit knows better.
        base_commit=history.one,
        base_branch="main",
    )
    comparison = resolve_comparison(history.clone().open(), ci)
    assert comparison == Comparison(
        base=history.three,
        head=merge,
        base_tree=history.tree(history.three),
        head_tree=history.tree(merge),
        head_is_merge_result=True,
        reason="merge commit and target",
    )


def test_a_github_pull_request_in_a_checkout_of_depth_one(simple: History) -> None:
    merge = simple.merge()
    clone = Repository.init(simple.folder / "clone")
    clone.git("remote", "add", "origin", simple.origin.url)
    clone.git("fetch", "--quiet", "--depth=1", "origin", "refs/pull/42/merge")
    clone.git("checkout", "--quiet", "--detach", "FETCH_HEAD")
    ci = github(EventKind.PULL_REQUEST, commit=merge, merge_commit=merge, head_commit=simple.tip)
    comparison = resolve_comparison(clone.open(), ci)
    assert compared(comparison) == (simple.three, merge)
    assert comparison.base_tree == simple.tree(simple.three)


@pytest.mark.parametrize("depth", [[], ["--depth=1"]], ids=["full", "shallow"])
@pytest.mark.parametrize("gone", [True, False], ids=["merge commit gone", "no merge commit"])
def test_without_a_merge_commit_the_merge_is_computed(simple: History, depth: list[str], gone: bool) -> None:
    ci = github(
        EventKind.PULL_REQUEST,
        commit=simple.tip,
        head_commit=simple.tip,
        base_commit=simple.three,
        merge_commit=UNKNOWN_COMMIT if gone else "",
    )
    comparison = resolve_comparison(simple.clone(*depth, "--branch=feature").open(), ci)
    assert compared(comparison) == (simple.three, simple.tip)
    assert comparison.head_is_merge_result
    assert comparison.base_tree == simple.tree(simple.three)
    assert comparison.head_tree == simple.tree(simple.merge())


def test_a_pull_request_from_a_rebased_commit_without_two_parents_is_merged(simple: History) -> None:
    ci = github(EventKind.PULL_REQUEST, commit=simple.tip, merge_commit=simple.tip, base_commit=simple.three)
    comparison = resolve_comparison(simple.clone().open(), ci)
    assert comparison.head_tree == simple.tree(simple.merge())


@pytest.mark.parametrize("depth", [[], ["--depth=1"]], ids=["full", "shallow"])
def test_a_merge_request_is_merged_into_the_target_as_it_is_now(simple: History, depth: list[str]) -> None:
    clone = simple.clone(*depth, "--branch=feature")
    newest = simple.origin.commit({"late": "1\n"})
    ci = gitlab(EventKind.PULL_REQUEST, commit=simple.tip, branch="feature", base_branch="main")
    comparison = resolve_comparison(clone.open(), ci)
    assert compared(comparison) == (newest, simple.tip)
    assert comparison.head_tree == simple.tree(simple.merge())


def test_an_unreachable_remote_leaves_what_the_clone_knows_of_the_target(simple: History) -> None:
    clone = simple.clone("--branch=feature")
    clone.git("remote", "set-url", "origin", (simple.folder / "gone").as_uri())
    ci = gitlab(EventKind.PULL_REQUEST, commit=simple.tip, branch="feature", base_branch="main")
    assert compared(resolve_comparison(clone.open(), ci)) == (simple.three, simple.tip)


def test_the_head_of_a_pull_request_target_is_fetched_and_merged(simple: History) -> None:
    ci = github(
        EventKind.PULL_REQUEST_TARGET,
        commit=simple.three,
        head_commit=simple.tip,
        base_commit=simple.three,
        trust=Trust.UNTRUSTED,
    )
    clone = simple.clone("--depth=1", "--branch=main")
    comparison = resolve_comparison(clone.open(), ci)
    assert comparison.head_tree == simple.tree(simple.merge())
    assert clone.head == simple.three


def test_a_pull_request_that_changes_nothing(simple: History) -> None:
    ci = gitlab(EventKind.PULL_REQUEST, commit=simple.one, base_branch="main")
    comparison = resolve_comparison(simple.clone().open(), ci)
    assert comparison.base_tree == comparison.head_tree


def test_a_conflict_is_an_error_that_names_the_files(simple: History) -> None:
    newest = simple.origin.commit({"file": "else\n"})
    ci = gitlab(EventKind.PULL_REQUEST, commit=simple.tip, base_branch="main")
    with pytest.raises(MergeConflict, match=rf"into {newest[:12]}: conflicts in file"):
        resolve_comparison(simple.clone().open(), ci)


def test_a_pull_request_without_common_history_is_an_error(simple: History) -> None:
    simple.origin.git("switch", "--quiet", "--orphan=island")
    island = simple.origin.commit({"x": "1"})
    ci = gitlab(EventKind.PULL_REQUEST, commit=island, base_branch="main")
    with pytest.raises(Problem, match="share no history"):
        resolve_comparison(simple.clone().open(), ci)


@pytest.mark.parametrize("given", [{"base_branch": "none"}, {"base_branch": "", "default_branch": ""}])
def test_a_pull_request_without_a_target_is_an_error(simple: History, given: dict[str, str]) -> None:
    ci = gitlab(EventKind.PULL_REQUEST, commit=simple.tip, **given)
    with pytest.raises(Problem, match="branch"):
        resolve_comparison(simple.clone().open(), ci)


def test_a_merge_group_is_compared_with_what_it_was_queued_on(simple: History) -> None:
    merge = simple.merge()
    ci = github(EventKind.MERGE_GROUP, commit=merge, base_commit=simple.two)
    comparison = resolve_comparison(simple.clone().open(), ci)
    assert compared(comparison) == (simple.two, merge)
    assert comparison.head_is_merge_result
    told_less = github(EventKind.MERGE_GROUP, commit=merge)
    assert resolve_comparison(simple.origin.open(), told_less).base == simple.three


@pytest.mark.parametrize("depth", [[], ["--depth=1"]], ids=["full", "shallow"])
def test_a_push_is_compared_with_the_commit_before(history: History, depth: list[str]) -> None:
    ci = github(EventKind.PUSH, branch="main", commit=history.three, base_commit=history.one)
    comparison = resolve_comparison(history.clone(*depth).open(), ci)
    assert compared(comparison) == (history.one, history.three)
    assert comparison.base_tree == history.tree(history.one)
    assert not comparison.head_is_merge_result


def test_the_first_push_of_the_default_branch_adds_everything(history: History) -> None:
    ci = github(EventKind.PUSH, branch="main", commit=history.three)
    comparison = resolve_comparison(history.clone("--depth=1").open(), ci)
    assert compared(comparison) == (None, history.three)
    assert comparison.base_tree == empty_tree(history.three)


@pytest.mark.parametrize("depth", [[], ["--depth=1"]], ids=["full", "shallow"])
def test_the_first_push_of_a_branch_is_compared_with_the_merge_base(
    simple: History, depth: list[str]
) -> None:
    ci = gitlab(EventKind.PUSH, branch="feature", commit=simple.tip)
    clone = simple.clone(*depth, "--single-branch", "--branch=feature")
    assert compared(resolve_comparison(clone.open(), ci)) == (simple.one, simple.tip)


def test_the_first_push_of_an_orphan_branch_adds_everything(simple: History) -> None:
    simple.origin.git("switch", "--quiet", "--orphan=island")
    island = simple.origin.commit({"x": "1"})
    ci = github(EventKind.PUSH, branch="island", commit=island)
    assert compared(resolve_comparison(simple.clone().open(), ci)) == (None, island)


def rewrite(history: History, branch: str) -> str:
    history.origin.git("switch", "--quiet", branch)
    history.origin.git("reset", "--quiet", "--hard", history.one)
    return history.origin.commit({"rewritten": "1\n"})


@pytest.mark.parametrize("depth", [[], ["--depth=1"]], ids=["full", "shallow"])
def test_a_forced_push_is_compared_with_what_it_replaced(simple: History, depth: list[str]) -> None:
    new = rewrite(simple, "main")
    ci = github(EventKind.PUSH, branch="main", commit=new, base_commit=simple.three)
    comparison = resolve_comparison(simple.clone(*depth).open(), ci)
    assert compared(comparison) == (simple.three, new)
    assert comparison.base_tree == simple.tree(simple.three)


def forget(history: History, branch: str) -> str:
    """Rewrite `branch` and remove what it held before from the remote."""
    new = rewrite(history, branch)
    history.origin.git("reflog", "expire", "--expire=now", "--all")
    history.origin.git("prune", "--expire=now")
    return new


def test_a_forced_push_whose_past_is_gone_names_more_not_less(simple: History) -> None:
    new = forget(simple, "feature")
    ci = github(EventKind.PUSH, branch="feature", commit=new, base_commit=simple.tip)
    comparison = resolve_comparison(simple.clone().open(), ci)
    assert compared(comparison) == (simple.one, new)
    assert "rewritten" in comparison.reason


def test_a_forced_push_of_the_default_branch_whose_past_is_gone_adds_everything(simple: History) -> None:
    new = forget(simple, "main")
    ci = github(EventKind.PUSH, branch="main", commit=new, base_commit=simple.three)
    comparison = resolve_comparison(simple.clone().open(), ci)
    assert compared(comparison) == (None, new)
    assert "everything counts as added" in comparison.reason


@pytest.mark.parametrize(
    ("ci", "fix"),
    [(github, "fetch-depth: 0"), (gitlab, "GIT_DEPTH: 0")],
    ids=["github", "gitlab"],
)
def test_a_shallow_clone_that_cannot_be_completed_names_the_fix(simple: History, ci: Any, fix: str) -> None:
    clone = simple.clone("--depth=1")
    clone.git("remote", "set-url", "origin", (simple.folder / "gone").as_uri())
    push = ci(EventKind.PUSH, branch="main", commit=simple.three, base_commit=simple.two)
    with pytest.raises(MissingCommit, match=f"{simple.two} is not in this clone") as caught:
        resolve_comparison(clone.open(), push)
    assert fix in caught.value.hint
    change = ci(EventKind.PULL_REQUEST, commit=simple.three, base_commit=simple.three, head_commit=simple.tip)
    with pytest.raises(MissingCommit, match="cannot be fetched") as caught:
        resolve_comparison(clone.open(), change)
    assert fix in caught.value.hint


def test_a_shallow_clone_that_does_not_show_the_merge_base_names_the_fix(simple: History) -> None:
    clone = simple.clone("--depth=1", "--no-single-branch")
    clone.git("remote", "set-url", "origin", (simple.folder / "gone").as_uri())
    ci = gitlab(EventKind.PUSH, branch="feature", commit=simple.tip)
    with pytest.raises(MissingCommit, match="does not show where") as caught:
        resolve_comparison(clone.open(), ci)
    assert "GIT_DEPTH: 0" in caught.value.hint


def test_a_history_is_not_fetched_without_bound(tmp_path: Path) -> None:
    origin = Repository.init(tmp_path / "origin")
    origin.commit({"a": "1"})
    origin.git("switch", "--quiet", "--create=feature")
    tip = origin.commit({"b": "1"})
    stream = tmp_path / "stream"
    stream.write_text(
        "".join(
            f"commit refs/heads/main\ncommitter Ada <ada@example.test> {number} +0000\ndata 0\n"
            + ("from refs/heads/main^0\n" if number == 0 else "")
            for number in range(2500)
        )
    )
    origin.git("-c", f"alias.import=!git fast-import --quiet < {stream}", "import")
    clone = origin.clone(tmp_path / "clone", "--depth=1", "--branch=main")
    ci = github(EventKind.PUSH, branch="feature", commit=tip)
    with pytest.raises(MissingCommit, match="does not show where") as caught:
        resolve_comparison(clone.open(), ci)
    assert "fetch-depth: 0" in caught.value.hint


def test_an_error_shows_no_credentials(simple: History) -> None:
    clone = simple.clone()
    clone.git("remote", "set-url", "origin", "http://ci:t0ken@127.0.0.1:1/x.git")
    with pytest.raises(MissingCommit) as caught:
        resolve_comparison(clone.open(), github(EventKind.PUSH, commit=UNKNOWN_COMMIT))
    assert "127.0.0.1" in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_a_tag_is_compared_with_the_first_parent(simple: History) -> None:
    ci = github(EventKind.TAG, tag="v1", commit=simple.merge())
    comparison = resolve_comparison(simple.origin.open(), ci)
    assert comparison.base == simple.three
    root = github(EventKind.TAG, tag="v0", commit=simple.one)
    assert compared(resolve_comparison(simple.origin.open(), root)) == (None, simple.one)


def test_a_moved_tag_is_compared_with_what_it_pointed_at(simple: History) -> None:
    simple.origin.git("tag", "--annotate", "--message=one", "v1", simple.one)
    tag = simple.origin.git("rev-parse", "v1")
    ci = github(EventKind.TAG, tag="v1", commit=simple.three, base_commit=tag)
    assert compared(resolve_comparison(simple.origin.open(), ci)) == (simple.one, simple.three)


@pytest.mark.parametrize("event", [EventKind.SCHEDULE, EventKind.MANUAL])
def test_a_schedule_compares_a_commit_with_itself(simple: History, event: EventKind) -> None:
    ci = github(event, branch="main", commit=simple.three)
    comparison = resolve_comparison(simple.clone("--depth=1").open(), ci)
    assert compared(comparison) == (simple.three, simple.three)
    assert comparison.base_tree == comparison.head_tree


@pytest.mark.parametrize(
    ("event", "given", "base"),
    [
        (EventKind.MANUAL, {"branch": "feature"}, "one"),
        (EventKind.MANUAL, {"tag": "v1"}, "side"),
        (EventKind.UNKNOWN, {}, "one"),
        (EventKind.WORKFLOW_RUN, {"commit": "three", "head_commit": "tip"}, "one"),
    ],
)
def test_other_events_look_at_the_branch(
    simple: History, event: EventKind, given: dict[str, str], base: str
) -> None:
    commits = {"commit": "tip", "head_commit": "tip"}
    named = {name: getattr(simple, given.get(name, commit)) for name, commit in commits.items()}
    comparison = resolve_comparison(simple.clone().open(), github(event, **{**given, **named}))
    assert compared(comparison) == (getattr(simple, base), simple.tip)


def test_an_unknown_event_on_the_default_branch_is_not_nothing(simple: History) -> None:
    ci = github(EventKind.UNKNOWN, branch="main", commit=simple.three)
    assert compared(resolve_comparison(simple.clone().open(), ci)) == (simple.two, simple.three)


def test_a_laptop_on_a_branch(simple: History) -> None:
    clone = simple.clone("--branch=feature")
    ahead = clone.commit({"mine": "1"})
    ci = local(branch="feature", commit=ahead)
    assert compared(resolve_comparison(clone.open(), ci)) == (simple.one, ahead)


def test_a_laptop_on_the_default_branch(simple: History) -> None:
    clone = simple.clone()
    ci = local(branch="main", commit=simple.three)
    assert compared(resolve_comparison(clone.open(), ci)) == (simple.two, simple.three)
    clone.commit({"mine": "1"})
    unpushed = clone.commit({"mine": "2"})
    ci = local(branch="main", commit=unpushed)
    assert compared(resolve_comparison(clone.open(), ci)) == (simple.three, unpushed)


def test_a_laptop_without_remote_and_with_one_commit(tmp_path: Path) -> None:
    repository = Repository.init(tmp_path / "new")
    head = repository.commit({"a": "1"})
    ci = local(branch="main", commit=head)
    assert compared(resolve_comparison(repository.open(), ci)) == (None, head)
    nameless = local(branch="x", commit=head, default_branch="")
    assert compared(resolve_comparison(repository.open(), nameless)) == (None, head)


def test_a_laptop_is_told_of_what_is_not_committed(simple: History) -> None:
    clone = simple.clone()
    ci = local(branch="main", commit=simple.three)
    assert not resolve_comparison(clone.open(), ci).dirty
    clone.write({"new": "1"})
    assert resolve_comparison(clone.open(), ci).dirty
    in_ci = github(EventKind.PUSH, branch="main", commit=simple.three, base_commit=simple.two)
    assert not resolve_comparison(clone.open(), in_ci).dirty


def test_what_is_asked_for_is_compared(simple: History) -> None:
    clone = simple.clone("--depth=1", "--no-single-branch")
    ci = local(branch="main", commit=simple.three)
    git = clone.open()
    assert compared(resolve_comparison(git, ci, base="origin/feature")) == (simple.tip, simple.three)
    assert compared(resolve_comparison(git, ci, base=simple.one)) == (simple.one, simple.three)
    assert compared(resolve_comparison(git, ci, base="main", head="origin/feature")) == (
        simple.three,
        simple.tip,
    )
    assert compared(resolve_comparison(git, ci, head="origin/feature")) == (simple.one, simple.tip)
    with pytest.raises(Problem, match="no commit called nowhere"):
        resolve_comparison(git, ci, base="nowhere")
