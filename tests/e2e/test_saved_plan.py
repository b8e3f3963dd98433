"""What was reviewed is what runs: a saved plan, and a change digest through every kind of merge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sf.ci.context import EventKind
from sf.models import Change, pretty_json
from sf.report.reading import read_plan
from sf.runtime.approval import Approval

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.estates import Estate, Run

pytestmark = pytest.mark.tools

WEB = 'services: {{web: {{image: "busybox:1.36", command: [sleep, "{}"]}}}}\n'


@pytest.fixture
def saved(paper: Estate, tmp_path: Path) -> Path:
    """The plan of a change to one of two stacks, as it is saved."""
    paper.commit({"remote/web/compose.yaml": WEB.format(1), "remote/wiki/compose.yaml": WEB.format(1)})
    paper.commit({"remote/web/compose.yaml": WEB.format(2)})
    file = tmp_path / "plan.json"
    file.write_bytes(pretty_json(paper.plan().document))
    return file


def held_against(paper: Estate, approval: Approval, **about: Any) -> Run:
    return paper.plan(approval=approval, **about)


def test_the_saved_plan_of_the_same_change_is_accepted(paper: Estate, saved: Path) -> None:
    plan = read_plan(saved)
    assert held_against(paper, Approval(plan=plan, change_digest=plan.change_digest)).error is None


def test_other_content_is_refused_by_name(paper: Estate, saved: Path) -> None:
    paper.commit({"remote/web/compose.yaml": WEB.format(3)})
    refused = held_against(paper, Approval(plan=read_plan(saved)))
    assert refused.result is None
    assert "plan[compose]: the approved plan is not the plan of this run: `commit`" in str(refused.error)
    refused = held_against(paper, Approval(change_digest=read_plan(saved).change_digest))
    assert "was approved" in str(refused.error)


def test_every_edit_of_the_file_is_seen(saved: Path) -> None:
    document = json.loads(saved.read_bytes())
    for name in document:
        edited = dict(document)
        edited[name] = "0" * 64 if isinstance(document[name], str) else [{"name": "x"}]
        saved.write_bytes(pretty_json(edited))
        with pytest.raises(Exception, match=r"plan\.json (is not|was changed)"):
            read_plan(saved)


def merge_commit(paper: Estate) -> None:
    paper.repository.git("merge", "--quiet", "--no-ff", "--message=merge", "change")


def squash(paper: Estate) -> None:
    paper.repository.git("merge", "--quiet", "--squash", "change")
    paper.repository.git("commit", "--quiet", "--message=squashed")


def rebase(paper: Estate) -> None:
    paper.repository.git("rebase", "--quiet", "main", "change")
    paper.repository.git("checkout", "--quiet", "main")
    paper.repository.git("merge", "--quiet", "--ff-only", "change")


@pytest.mark.parametrize("merge", [merge_commit, squash, rebase])
def test_a_change_keeps_its_digest_however_it_is_merged(
    paper: Estate, merge: Callable[[Estate], None]
) -> None:
    git = paper.repository.git
    paper.commit({"remote/web/compose.yaml": WEB.format(1), "remote/wiki/compose.yaml": WEB.format(1)})
    git("checkout", "--quiet", "-b", "change")
    paper.commit({"remote/web/compose.yaml": WEB.format(2)})
    head = paper.commit({"remote/new/compose.yaml": WEB.format(1)})
    git("checkout", "--quiet", "main")
    # The target branch moved on meanwhile, elsewhere.
    before = paper.commit({"remote/wiki/compose.yaml": WEB.format(5)})
    reviewed = paper.plan(event=EventKind.PULL_REQUEST, commit=head, head_commit=head, base_commit=before)
    assert reviewed.plan is not None, reviewed.error
    changed = {action.name for action in reviewed.plan.actions if action.change is not Change.UNCHANGED}
    assert changed == {"remote/web", "remote/new"}
    merge(paper)
    pushed = held_against(
        paper,
        Approval(change_digest=reviewed.plan.change_digest),
        event=EventKind.PUSH,
        branch="main",
        default_branch="main",
        commit=paper.repository.head,
        base_commit=before,
    )
    assert pushed.error is None
    assert pushed.document["change_digest"] == reviewed.plan.change_digest
