"""The top of the page and its end: the verdict, what is wrong, what is not known, where to look further."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sf.models import Outcome, Severity, Verdict
from sf.report import wording
from sf.report.markup import EMPTY, Html, element, joined, name
from sf.report.page import data
from sf.report.page.lists import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sf.models import ActionResult, Failure, Finding, Record

_FACT_LIMIT: Final = 100
_NAME_LIMIT: Final = 200
_MESSAGE_LIMIT: Final = 2_000
_COMMAND_LIMIT: Final = 4_000
_TAIL_LINES: Final = 60
_TAIL_CHARACTERS: Final = 8_000
_PHASES: Final = 10
_TOOLS: Final = 20


def header(record: Record) -> Html:
    """Verdict, counts, what it is about and the change digest."""
    figures = [
        element("li", element("b", f"{figure.number:,}"), f" {figure.words}", class_=f"is-{figure.key}")
        for figure in wording.figures(record)
    ]
    facts = [
        joined([f" {word} " if word else " ", _fact(fact)]) if word else joined(["In mode ", _fact(fact)])
        for word, fact in wording.facts(record)
    ]
    return element(
        "header",
        element("h1", element("span", wording.verdict(record)), class_=f"is-{_tone(record)}"),
        element("ul", *figures, class_="figures", aria_label="Counts") if figures else EMPTY,
        element("p", *facts, ".", class_="facts"),
        element("p", wording.PLAN_ONLY, class_="quiet") if record.dry_run else EMPTY,
        _digest(record),
    )


def failures(record: Record) -> Html:
    """What stopped the run and every failed unit, with the tool's own words and the command to repeat it."""
    items = [_failed(result) for result in wording.failures(record)]
    if failure := wording.untold_failure(record):
        items.insert(0, _stopped(record, failure))
    return bounded(items, 10, "failure", "cards")


def alarms(record: Record) -> Html:
    """Errors, then dangers."""
    return _findings(wording.alarms(record), 15)


def advice(record: Record) -> Html:
    """Warnings, then information."""
    return _findings(wording.advice(record), 10)


def unknown(record: Record) -> Html:
    """What could not be determined, a sentence each."""
    sentences = [
        element("li", element("p", _label("unknown"), _message(sentence)), class_="card is-unknown")
        for sentence in (record.plan.unknown if record.plan else ())
    ]
    return bounded(sentences, 10, "unknown", "cards")


def proof(record: Record) -> Html:
    """What the run found out beyond its actions."""
    found = [
        element("li", element("strong", f"{wording.clipped(about, _NAME_LIMIT)}:"), " ", _message(sentence))
        for about, sentence in wording.proof(record)
    ]
    return bounded(found, 10, "line", "facts")


def footer(record: Record) -> Html:
    """How long it took, where it ran, and what the plan was made with."""
    lines = []
    if phases := wording.durations(record)[:_PHASES]:
        each = ", ".join(f"{wording.clipped(phase, 20)} {wording.seconds(spent)}" for phase, spent in phases)
        lines.append(
            element("p", f"Took {wording.seconds(sum(record.timings.values()))}: ", _message(each), ".")
        )
    if links := wording.links(record):
        anchors = [element("a", title, href=url, rel="noreferrer") for title, url in links]
        lines.append(element("p", "See ", *_listed(anchors), "."))
    if record.plan:
        versions = sorted(record.plan.tools.items())[:_TOOLS]
        tools = [
            joined([wording.clipped(tool, _FACT_LIMIT), " ", _fact(version)]) for tool, version in versions
        ]
        lines.append(element("p", "Digest of the whole plan: ", name(record.plan.digest)))
        if tools:
            lines.append(element("p", "Planned with ", *_listed(tools), "."))
    lines.append(
        element("p", "The same, for programs: ", name("plan.json"), " and ", name("result.json"), ".")
    )
    return element("footer", *lines)


def _tone(record: Record) -> str:
    if record.verdict is Verdict.CHANGES and record.result:
        return Outcome.DONE.value
    return record.verdict.value


def _digest(record: Record) -> Html:
    if record.plan is None:
        return EMPTY
    digest = record.plan.change_digest
    return element(
        "p",
        "Change digest, for an approval: ",
        element("code", digest, class_="digest", data_copy=digest),
        class_="quiet",
    )


def _stopped(record: Record, failure: Failure) -> Html:
    where = f"{wording.stop(record).capitalize()} in {failure.phase.value}"
    backend = joined([" (", _fact(failure.backend), ")"]) if failure.backend else EMPTY
    return element(
        "li",
        element("h3", element("span", where, class_="label"), backend),
        element("p", _message(failure.message)),
        _hint(failure.hint),
        class_="card is-failed",
    )


def _failed(result: ActionResult) -> Html:
    after = f" after {wording.seconds(result.duration)}" if result.duration else ""
    output, cut = wording.tail(result.stderr, _TAIL_LINES, _TAIL_CHARACTERS)
    said = "The last it said" if cut else "What it said"
    command = wording.clipped(result.command, _COMMAND_LIMIT)
    return element(
        "li",
        element("h3", element("span", "Failed", class_="label"), " ", _name(result.name), after),
        element("p", _message(result.message or "no reason was given")),
        _quoted(said, element("pre", output, class_="said")) if output else EMPTY,
        _quoted("To repeat it by hand", element("pre", command, class_="command", data_copy=True))
        if command
        else EMPTY,
        class_="card is-failed",
    )


def _quoted(title: str, content: Html) -> Html:
    return element("figure", element("figcaption", title), content)


def _findings(findings: Iterable[Finding], most: int) -> Html:
    return bounded([_finding(finding) for finding in findings], most, "finding", "cards")


def _finding(finding: Finding) -> Html:
    word = {Severity.INFO: "note"}.get(finding.severity, finding.severity.value)
    where = joined([" at ", _name(str(finding.location))]) if finding.location else EMPTY
    subject = wording.clipped(finding.subject, _NAME_LIMIT)
    return element(
        "li",
        element(
            "h3",
            _label(word),
            element("code", subject, data_find=data.key(finding.subject)) if subject else EMPTY,
        ),
        element("p", _message(finding.message)),
        _hint(finding.hint),
        element("p", _name(finding.code), where, class_="quiet"),
        class_=f"card is-{finding.severity.value}",
    )


def _label(word: str) -> Html:
    return joined([element("span", word.capitalize(), class_="label"), " "])


def _hint(hint: str) -> Html:
    return element("p", element("b", "Hint: "), _message(hint), class_="hint") if hint else EMPTY


def _listed(items: list[Html]) -> list[Html]:
    return [joined([", " if index else "", item]) for index, item in enumerate(items)]


def _fact(foreign: str) -> Html:
    return name(wording.clipped(foreign, _FACT_LIMIT))


def _name(foreign: str) -> Html:
    return name(wording.clipped(foreign, _NAME_LIMIT))


def _message(foreign: str) -> str:
    return wording.clipped(foreign, _MESSAGE_LIMIT)
