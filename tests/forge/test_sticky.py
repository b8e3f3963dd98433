"""One comment on every forge, whatever else happens on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sf.ci.context import EventKind
from sf.models import ActionResult, LifecycleResult
from sf.report.comment import Marker, State, marker_of
from sf.report.sticky import StickyComment
from tests.forge.fake import CHANGE, REPOSITORY, Fake, Fault, serving
from tests.forge.runs import BOT, COMMIT, MERGED, TOKEN, VARIABLES, forge_of, record, run_on

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow


@pytest.fixture
def github() -> Iterator[Fake]:
    with serving("github") as running:
        running.accounts = {TOKEN: BOT}
        yield running


def sticky(
    fake: Fake, *, label: str = "", patience: float = 5.0, environ: dict[str, str] | None = None, **facts: Any
) -> StickyComment:
    ci = run_on(fake, **facts)
    forge = forge_of(ci, patience=patience, environ=environ)
    return StickyComment(forge=forge, ci=ci, label=label, pause=lambda _seconds: None)


def marker(body: str) -> Marker:
    found = marker_of(body)
    assert found
    return found


def test_one_comment_is_made_and_then_edited(fake: Fake) -> None:
    assert sticky(fake).show(record()) == ""
    assert sticky(fake, run_id="11").show(record("+b\n")) == ""
    [body] = fake.bodies()
    assert body.startswith("## Changes: 1 to change")
    assert "+b" in body
    assert marker(body).run.number == 11


def test_what_says_the_same_is_not_written_again(fake: Fake) -> None:
    sticky(fake).show(record())
    written = fake.bodies()
    assert (
        sticky(fake, run_id="11").show(record(timings={"plan": 3.0}, links={"run": "https://x.example"}))
        == ""
    )
    assert fake.writes() == ["POST"]
    assert fake.bodies() == written


def test_an_older_run_never_overwrites_a_newer_one(fake: Fake) -> None:
    sticky(fake, run_id="11").show(record("+new\n"))
    warning = sticky(fake, run_id="10", head_commit=MERGED).show(record("+old\n"))
    assert warning == "the comment is of a newer run (11) and stays as it is"
    assert len(fake.bodies()) == 1
    assert "+new" in fake.bodies()[0]


def test_a_marker_by_somebody_else_is_not_ours(fake: Fake) -> None:
    sticky(fake).show(record())
    stolen = fake.entries.pop().body
    fake.add("alice", stolen)
    sticky(fake, run_id="11").show(record("+b\n"))
    assert [entry.author for entry in fake.entries] == ["alice", BOT]
    assert fake.entries[0].body == stolen


def test_other_comments_of_ours_stay_as_they_are(fake: Fake) -> None:
    fake.add(BOT, "hello, I am another tool of the same bot")
    sticky(fake, label="staging").show(record())
    sticky(fake, label="production").show(record())
    assert sticky(fake, label="staging", run_id="11").show(record("+b\n")) == ""
    assert len(fake.entries) == 3
    assert [marker(body).run.number for body in fake.bodies()[1:]] == [11, 10]


def test_the_comment_is_found_on_any_page(fake: Fake) -> None:
    for number in range(230):
        fake.add("alice", f"comment {number}")
    sticky(fake).show(record())
    assert sticky(fake, run_id="11").show(record("+b\n")) == ""
    assert len(fake.entries) == 231


def test_a_forge_that_ignores_pages_is_asked_twice_and_not_forever() -> None:
    with serving("gitea") as fake:
        fake.accounts, fake.page_ignored = {TOKEN: BOT}, True
        for number in range(61):
            fake.add("alice", f"comment {number}")
        assert sticky(fake).show(record()) == ""
        assert len(fake.entries) == 62


def test_the_comment_goes_from_planned_to_executed(fake: Fake) -> None:
    sticky(fake).show(record())
    fake.merged = {MERGED: [CHANGE]}
    merged: dict[str, Any] = {
        "event": EventKind.PUSH,
        "change_number": None,
        "branch": "main",
        "default_branch": "main",
        "commit": MERGED,
        "head_commit": MERGED,
        "run_id": "12",
    }
    states = []
    for result in (None, LifecycleResult(actions=(ActionResult(name="ns/a", success=True),))):
        assert sticky(fake, **merged).show(record(dry_run=False, result=result)) == ""
        states.append(marker(fake.bodies()[0]).state)
    assert states == [State.EXECUTING, State.EXECUTED]
    broken = LifecycleResult(actions=(ActionResult(name="ns/a", success=False, message="unhealthy"),))
    assert sticky(fake, **merged).show(record(dry_run=False, result=broken)) == ""
    [body] = fake.bodies()
    assert marker(body).state is State.FAILED
    assert "**Failed** `ns/a`: unhealthy" in body


def test_a_push_without_a_pull_request_has_nothing_to_comment_on(fake: Fake) -> None:
    push: dict[str, Any] = {
        "event": EventKind.PUSH,
        "change_number": None,
        "branch": "main",
        "commit": MERGED,
    }
    assert sticky(fake, **push, default_branch="main").show(record(dry_run=False)) == ""
    assert sticky(fake, **push, default_branch="other").show(record(dry_run=False)) == ""
    assert sticky(fake, **push, default_branch="main", environ={}).show(record()) == ""
    assert fake.entries == []


def test_a_comment_that_would_be_too_long_keeps_to_the_limit_of_its_forge(fake: Fake) -> None:
    small = record(f"+{'é' * 40_000}\n")
    assert small.plan
    [action] = small.plan.actions
    actions = tuple(replace(action, name=f"ns/{number}") for number in range(40))
    assert sticky(fake).show(replace(small, plan=replace(small.plan, actions=actions))) == ""
    [body] = fake.bodies()
    assert len(body) <= (1_000_000 if fake.kind == "gitlab" else 65_536)
    assert "diffs left out" in body


@pytest.mark.parametrize("newer_first", [True, False])
def test_two_runs_that_both_find_nothing_end_with_one_comment_and_the_newer_content(
    fake: Fake, newer_first: bool
) -> None:
    first, second = ("11", "10") if newer_first else ("10", "11")
    contents = {"10": "+old\n", "11": "+new\n"}
    commits = {"10": COMMIT, "11": MERGED}

    def show(run: str) -> None:
        sticky(fake, run_id=run, head_commit=commits[run]).show(record(contents[run]))

    # The other run does all of its work between our look and our write.
    fake.before = [("POST", lambda: show(second))]
    show(first)
    [body] = fake.bodies()
    assert "+new" in body
    assert marker(body).run.number == 11


def test_a_write_of_an_older_run_that_comes_late_is_made_good(fake: Fake) -> None:
    sticky(fake, run_id="9", head_commit="").show(record("+first\n"))
    [stale] = fake.entries
    old = StickyText(fake).of("10", "+old\n")
    editing = "PUT" if fake.kind == "gitlab" else "PATCH"

    def overwrite() -> None:
        # After our write, before we look at it again: the look is a GET.
        fake.before.append(("GET", lambda: setattr(stale, "body", old)))

    fake.before = [(editing, overwrite)]
    assert sticky(fake, run_id="11", head_commit=MERGED).show(record("+new\n")) == ""
    [body] = fake.bodies()
    assert "+new" in body


class StickyText:
    """The text that another run would write, made by letting it write on a forge of its own."""

    def __init__(self, fake: Fake) -> None:
        self._kind = fake.kind

    def of(self, run: str, diff: str) -> str:
        with serving(self._kind) as other:
            other.accounts = {TOKEN: BOT}
            sticky(other, run_id=run).show(record(diff))
            return other.bodies()[0]


def test_a_comment_that_was_removed_meanwhile_is_made_again(fake: Fake) -> None:
    sticky(fake).show(record())
    editing = "PUT" if fake.kind == "gitlab" else "PATCH"
    fake.before = [(editing, fake.entries.clear)]
    assert sticky(fake, run_id="11").show(record("+b\n")) == ""
    assert len(fake.entries) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(401, "Bad credentials"), "the token is not accepted: 401 (Bad credentials)"),
        (Fault(403, "Resource not accessible"), "the token may not do this: 403 (Resource not accessible)"),
        (Fault(404, "Not Found"), "or the token may not see it: 404 (Not Found)"),
        (Fault(409, "conflict"), "the forge refused it: 409 (conflict)"),
        (Fault(422, "Validation Failed"), "the forge refused it: 422 (Validation Failed)"),
        (Fault(429, "slow", headers={"Retry-After": "30"}), "asks for a pause of 30 s: 429 (slow)"),
        (Fault(403, "You have exceeded a secondary rate limit"), "asks for a pause: 403"),
        (Fault(403, "no", headers={"X-RateLimit-Remaining": "0"}), "asks for a pause: 403"),
        (Fault(500, "oops"), "the forge has trouble of its own: 500 (oops)"),
        (Fault(503, "oops\n::error::x"), "the forge has trouble of its own: 503 (oops ::error::x)"),
        (Fault(302, headers={"Location": "https://evil.example"}), "the forge refused it: 302"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refusal_is_one_readable_warning(fake: Fake, method: str, fault: Fault, said: str) -> None:
    fake.faults = [replace(fault, method=method, times=99)]
    warning = sticky(fake).show(record())
    assert warning.startswith("there is no comment: ")
    assert said in warning
    assert warning.endswith("The reports have everything")
    assert "\n" not in warning
    assert fake.entries == []


def test_a_question_is_asked_again_when_the_forge_was_in_trouble(github: Fake) -> None:
    github.faults = [Fault(502, method="GET")]
    assert sticky(github).show(record()) == ""
    assert len(github.entries) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(200, method="GET", body=b"<html>not json</html>"),
        Fault(200, method="GET", body=b'{"an": "object"}'),
        Fault(200, method="GET", body=b'[{"id": "x"}]'),
        Fault(200, method="GET", body=b"[" * 100_000),
        Fault(200, method="GET", body=b'[{"id": 1, "body": "half"}]', cut=True, times=9),
        Fault(seconds=30, method="GET", times=9),
    ],
    ids=["html", "object", "odd", "deep", "cut", "silent"],
)
def test_an_answer_that_is_none_is_a_warning(github: Fake, fault: Fault) -> None:
    github.faults = [fault]
    assert sticky(github, patience=1.0).show(record()).startswith("there is no comment: ")


def test_an_identity_is_not_guessed_when_the_forge_is_in_trouble(fake: Fake) -> None:
    asking = "POST" if fake.kind == "github" else "GET"
    fake.faults = [Fault(502, method=asking, times=3)]
    assert "trouble of its own: 502" in sticky(fake).show(record())
    assert fake.entries == []


def test_a_change_from_a_fork_is_told_why(github: Fake) -> None:
    github.faults = [Fault(403, "Resource not accessible by integration", method="POST", times=9)]
    github.knows_who_we_are = False
    assert "a change from a fork may not be commented on" in sticky(github, fork=True).show(record())


def test_the_token_of_the_workflow_is_known_by_its_name(github: Fake) -> None:
    github.knows_who_we_are = False
    sticky(github).show(record())
    assert sticky(github, run_id="11").show(record("+b\n")) == ""
    assert len(github.entries) == 1


def test_without_a_token_the_warning_says_how_to_get_one(fake: Fake) -> None:
    warning = sticky(fake, environ={"CI_JOB_TOKEN": "job", "GITHUB_REPOSITORY": REPOSITORY}).show(record())
    assert VARIABLES[fake.kind] in warning
    assert fake.asked == []


@pytest.mark.parametrize("name", ["", "a/../b", "../x", "a/b?x", "a b/c", "a/b/c"])
def test_an_odd_repository_never_becomes_an_address(github: Fake, name: str) -> None:
    environ = {"GITHUB_REPOSITORY": name, "GITHUB_TOKEN": TOKEN}
    assert "not the name of a repository" in sticky(github, environ=environ).show(record())
    assert github.asked == []
