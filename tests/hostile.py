"""Text that tries to be more than text, and records that say it in every field."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from sf.models import (
    ActionKind,
    ActionResult,
    Cause,
    Change,
    Failure,
    Finding,
    LifecyclePlan,
    LifecycleResult,
    LiveState,
    Location,
    ObjectChange,
    Phase,
    PlannedAction,
    Reason,
    Record,
    Severity,
)

FRAGMENTS = (
    *(
        "<",
        ">",
        "&",
        '"',
        "'",
        "`",
        "=",
        "/",
        "-->",
        "<!--",
        "]]>",
        "{{",
        "${",
        "\\u003c",
        "&lt;",
        "&#60;",
        "?",
    ),
    *("</script>", "</style>", "</title>", "</template>", "</pre>", "</svg>", "<script>", "<plaintext>"),
    *("<img src=x onerror=alert(1)>", "onclick=", "javascript:", "::error::", "@@ -1 +1 @@", "\n+", "\n-"),
    *(
        "\u2028",
        "\u2029",
        "\u202e",
        "\u200b",
        "\udc80",
        "\x00",
        "\x1b[31m",
        "\r\n",
        "\n",
        "\t",
        " ",
        "é",
        "שלום",
    ),
)
# It ends in a letter: where there is only white space, a page says nothing at all.
hostile = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(lambda parts: "".join([*parts, "x"]))


def everywhere(evil: str) -> Record:
    """A record that says `evil` in every field that may hold foreign text."""
    reason = Reason(cause=Cause.GIT, message=evil, subject=evil, location=Location(evil, 1))
    change = ObjectChange(
        change=Change.CHANGE, kind=evil, group=evil, namespace=evil, name=evil, diff=evil, reasons=(reason,)
    )
    finding = Finding(
        code=evil, severity=Severity.DANGER, message=evil, subject=evil, location=Location(evil, 1), hint=evil
    )
    action = PlannedAction(
        name=evil,
        description=evil,
        order=0,
        action=ActionKind.REPORT,
        change=Change.CHANGE,
        reasons=(reason,),
        objects=(change,),
        depends_on=(f"{evil}!", evil),
        live=LiveState(effect=Change.CHANGE, reasons=(reason,), objects=(change,)),
    )
    info = dataclasses.replace(finding, severity=Severity.INFO)
    plan = LifecyclePlan(
        mode=evil,
        backend=evil,
        actions=(action, dataclasses.replace(action, name=f"{evil}?", live=None)),
        target=evil,
        commit=evil,
        base=evil,
        tools={evil: evil},
        findings=(finding, info),
        unknown=(evil,),
    )
    failed = ActionResult(name=evil, success=False, duration=1, message=evil, stderr=evil, command=evil)
    done = ActionResult(name=f"{evil}?", success=True, message=evil)
    return Record(
        mode=evil,
        backend=evil,
        dry_run=True,
        plan=plan,
        result=LifecycleResult(actions=(failed, done)),
        failure=Failure(phase=Phase.CLEANUP, backend=evil, message=evil, hint=evil),
        timings={evil: 1.0},
        links={evil: evil, f"{evil}1": "https://forge.example/1"},
    )
