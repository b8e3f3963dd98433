"""One issue for as long as a target is not as its repository says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sf.ci.context import EventKind, Trust
from sf.models import Change, Failure, Phase
from sf.report.drift import DriftIssue
from tests.forge.fake import Fault
from tests.forge.runs import BOT, forge_of, record, run_on

if TYPE_CHECKING:
    from sf.models import Record
    from tests.forge.fake import Fake

pytestmark = pytest.mark.slow

SCHEDULED: dict[str, Any] = {"event": EventKind.SCHEDULE, "change_number": None}


def issue(fake: Fake, *, run: str = "10", label: str = "", **facts: Any) -> DriftIssue:
    ci = run_on(fake, **{**SCHEDULED, "run_id": run, **facts})
    return DriftIssue(forge=forge_of(ci), ci=ci, label=label)


def settled(**fields: Any) -> Record:
    """A plan in which everything is as it should be."""
    plan = record().plan
    assert plan
    [action] = plan.actions
    quiet = replace(action, change=Change.UNCHANGED, objects=())
    return record(plan=replace(plan, actions=(quiet,), **fields))


def test_drift_opens_one_issue_that_is_kept_up_to_date_and_closed_when_it_is_gone(fake: Fake) -> None:
    assert issue(fake).show(record("+a\n")) == ""
    assert issue(fake, run="11").show(record("+a\n")) == ""
    assert len(fake.writes()) == 1, "what says the same is not written again"
    assert issue(fake, run="12").show(record("+b\n")) == ""
    [opened] = fake.issues
    assert opened.title == "Drift: clusters/a"
    assert opened.body.startswith("## Changes: 1 to change")
    assert "What is running is not what the default branch says" in opened.body
    assert "+b" in opened.body
    assert opened.open
    assert issue(fake, run="13").show(settled()) == ""
    assert not opened.open
    [remark] = opened.remarks
    assert "drift is gone" in remark


def test_drift_that_comes_again_has_a_new_issue(fake: Fake) -> None:
    issue(fake).show(record())
    issue(fake, run="11").show(settled())
    issue(fake, run="12").show(record())
    assert [one.open for one in fake.issues] == [False, True]


def test_without_drift_nothing_is_written(fake: Fake) -> None:
    assert issue(fake).show(settled()) == ""
    assert fake.writes() == []


@pytest.mark.parametrize(
    "unsure",
    [
        settled(unknown=("live state: the cluster did not answer",)),
        replace(record(), plan=None),
        replace(record(), failure=Failure(phase=Phase.PLAN, backend="flux", message="no")),
    ],
    ids=["unknown", "no plan", "failed"],
)
def test_a_run_that_could_not_look_leaves_the_issue_as_it_is(fake: Fake, unsure: Record) -> None:
    issue(fake).show(record())
    before = list(fake.writes())
    assert issue(fake, run="11").show(unsure) == ""
    assert fake.writes() == before
    assert fake.issues[0].open


def test_drift_that_is_certain_is_told_though_something_else_is_unknown(fake: Fake) -> None:
    plan = record().plan
    assert plan
    assert issue(fake).show(record(plan=replace(plan, unknown=("the other half",)))) == ""
    assert len(fake.issues) == 1


@pytest.mark.parametrize(
    "facts", [{"event": EventKind.PUSH}, {"event": EventKind.PULL_REQUEST}, {"trust": Trust.UNTRUSTED}]
)
def test_only_a_trusted_run_on_schedule_knows_what_drift_is(fake: Fake, facts: dict[str, Any]) -> None:
    assert issue(fake, **facts).show(record()) == ""
    assert fake.asked == []


def test_every_target_and_label_has_an_issue_of_its_own(fake: Fake) -> None:
    plan = record().plan
    assert plan
    issue(fake).show(record())
    issue(fake).show(record(plan=replace(plan, target="clusters/b")))
    issue(fake, label="eu").show(record())
    issue(fake, run="11").show(settled(target="clusters/b"))
    assert [(one.title, one.open) for one in fake.issues] == [
        ("Drift: clusters/a", True),
        ("Drift: clusters/b", False),
        ("Drift: clusters/a", True),
    ]


def test_issues_of_others_and_changes_are_not_ours(fake: Fake) -> None:
    issue(fake).show(record())
    [ours] = fake.issues
    text, fake.issues = ours.body, []
    fake.file("alice", "stolen", text)
    fake.file(BOT, "a pull request of the bot", text, is_change=True)
    fake.file(BOT, "about something else", "hello")
    issue(fake, run="11").show(settled())
    assert all(one.open for one in fake.issues)
    issue(fake, run="12").show(record())
    assert len(fake.issues) == 4


def test_an_older_run_never_overwrites_a_newer_one(fake: Fake) -> None:
    issue(fake, run="11", head_commit="b" * 40).show(record("+new\n"))
    warning = issue(fake, run="10").show(record("+old\n"))
    assert warning == "the issue about drift is of a newer run (11) and stays as it is"
    assert "+new" in fake.issues[0].body


def test_two_runs_that_both_find_no_issue_end_with_one(fake: Fake) -> None:
    fake.before = [("POST", lambda: _ignore(issue(fake, run="11").show(record())))]
    assert issue(fake).show(record()) == ""
    assert [one.open for one in fake.issues] == [True, False]
    assert "which stays" in fake.issues[1].remarks[0]


def _ignore(_warning: str) -> None:
    """Take what is said."""


@pytest.mark.parametrize("target", ["@everyone fixes #1", "a\nb::error::x", "x" * 5000])
def test_a_hostile_target_stays_a_title(fake: Fake, target: str) -> None:
    plan = record().plan
    assert plan
    assert issue(fake).show(record(plan=replace(plan, target=target))) == ""
    title = fake.issues[0].title
    assert "\n" not in title
    assert "@everyone" not in title
    assert "#1" not in title
    assert len(title) <= 200


def test_a_forge_that_refuses_is_one_warning(fake: Fake) -> None:
    fake.faults = [Fault(403, "Resource not accessible by integration", method="POST", times=9)]
    if fake.kind == "github":
        fake.faults = [Fault(403, "Issues are disabled", method="GET", times=9)]
    warning = issue(fake).show(record())
    assert warning.startswith("the issue about drift is not up to date: the token may not do this: 403")
    assert warning.endswith("The reports have everything")
    assert fake.issues == []
