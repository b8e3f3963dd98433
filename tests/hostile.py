"""Text that tries to be more than text, and records that say it in every field."""

from __future__ import annotations

from dataclasses import replace

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


BLANK = PlannedAction(name="", description="", order=0, action=ActionKind.DEPLOY)


def record_of(text: str) -> Record:
    """A record with `text` in every field that takes a foreign string."""
    reason = Reason(cause=Cause.GIT, message=text, subject=text, location=Location(text, 1))
    change = ObjectChange(
        change=Change.CHANGE, kind=text, name=text, group=text, namespace=text, diff=text, reasons=(reason,)
    )
    live = LiveState(effect=Change.CHANGE, reasons=(reason,), objects=(change,))
    actions = (
        replace(
            BLANK,
            name=text,
            change=Change.CHANGE,
            reasons=(reason,),
            objects=(change,),
            depends_on=(text, f"other {text}"),
            live=live,
        ),
        replace(BLANK, name=f"quiet {text}"),
        replace(BLANK, name=f"unknown {text}", description=text, change=Change.UNKNOWN),
    )
    findings = tuple(
        Finding(code=text, severity=level, message=text, subject=text, location=Location(text), hint=text)
        for level in Severity
    )
    return Record(
        mode=text,
        backend=text,
        dry_run=False,
        plan=LifecyclePlan(
            mode=text,
            backend=text,
            actions=actions,
            target=text,
            commit=text,
            base=text,
            findings=findings,
            unknown=(text,),
        ),
        result=LifecycleResult(
            actions=(ActionResult(name=text, success=False, message=text, stderr=text, command=text),)
        ),
        failure=Failure(phase=Phase.CLEANUP, backend=text, message=text, hint=text),
        timings={text: 1.0},
        links={text: "https://forge.example/run/1", "commit": f"{text} "},
    )
