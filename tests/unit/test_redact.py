"""Once registered, a secret never leaves again, in whatever spelling."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sf.redact import MASK, SHORTEST_LINE, SHORTEST_SECRET, Redactor

# Without the character of the mask itself: beside a mask it can look like the beginning of a secret.
CHARACTERS: Final = st.characters(exclude_characters="*", exclude_categories=["Cs"])
SECRETS: Final = st.text(CHARACTERS, min_size=SHORTEST_SECRET, max_size=40).map(str.strip)
AROUND: Final = st.text(CHARACTERS, max_size=12)


def redactor_of(*secrets: str | bytes) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.register(secret)
    return redactor


def long_enough(secret: str) -> str:
    assume(len(secret) >= SHORTEST_SECRET)
    return secret


@given(SECRETS, AROUND, AROUND)
def test_a_secret_is_hidden_as_it_stands(secret: str, before: str, after: str) -> None:
    scrubbed = redactor_of(long_enough(secret)).scrub(before + secret + after)

    assert secret not in scrubbed
    assert MASK in scrubbed


@given(SECRETS, AROUND, AROUND)
def test_a_secret_is_hidden_in_urls_and_json(secret: str, before: str, after: str) -> None:
    redactor = redactor_of(long_enough(secret))
    spellings = {
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }

    for spelling in spellings:
        assert spelling not in redactor.scrub(f"{before}{spelling}{after}")


@given(SECRETS, st.binary(max_size=9), st.binary(max_size=9))
def test_a_secret_is_hidden_in_base64_at_any_alignment(secret: str, before: bytes, after: bytes) -> None:
    raw = long_enough(secret).encode()
    # The characters that are made of bits of the secret alone.
    first, end = -(-len(before) * 8 // 6), (len(before) + len(raw)) * 8 // 6
    assume(end - first >= SHORTEST_LINE)
    redactor = redactor_of(secret)

    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        encoded = encode(before + raw + after).decode()
        assert encoded[first:end] not in redactor.scrub(encoded)


@given(st.lists(st.text(CHARACTERS, max_size=20), min_size=1, max_size=4), AROUND)
def test_each_long_line_of_a_secret_is_hidden_by_itself(lines: list[str], around: str) -> None:
    redactor = redactor_of("\n".join(lines))

    for line in {piece.strip() for text in lines for piece in text.splitlines()}:
        if len(line) >= SHORTEST_LINE:
            assert line not in redactor.scrub(f"{around}{line}{around}")


@given(st.lists(SECRETS, min_size=2, max_size=4), st.data())
def test_overlapping_secrets_are_all_hidden(secrets: list[str], data: st.DataObject) -> None:
    redactor = redactor_of(*map(long_enough, secrets))
    text = "".join(
        secret[: data.draw(st.integers(0, len(secret)), label="cut")] for secret in (*secrets, *secrets)
    )

    scrubbed = redactor.scrub(text)

    for secret in secrets:
        assert secret not in scrubbed


def test_where_two_secrets_overlap_nothing_of_either_is_left() -> None:
    assert redactor_of("abcdef", "defghijk").scrub("<abcdefghijk>") == f"<{MASK}>"


def test_the_longest_secret_is_hidden_whole() -> None:
    assert redactor_of("pass", "password-1").scrub("password-1 pass") == f"{MASK} {MASK}"


@pytest.mark.parametrize(
    ("secret", "printed"),
    [
        # `echo "$SECRET" | base64`, where the line break joins the last character.
        ("correct-horse", base64.b64encode(b"correct-horse\n").decode()),
        # The header of basic authentication.
        ("correct-horse", base64.b64encode(b"user:correct-horse").decode()),
        # Go programs print JSON so that it can stand inside HTML.
        ("a<b>&c", r"a\u003cb\u003e\u0026c"),
        # And their URLs keep what net/url leaves alone in a user name or a path.
        ("p@ss=$1&", "p%40ss=$1&"),
        ("p@ss=$1&/", "p@ss=$1&%2F"),
        (b"\xff\xfe-bytes", "\udcff\udcfe-bytes"),
        (b"\xff\xfd-bytes", "\ufffd\ufffd-bytes"),
        ("  token\n", "token"),
    ],
)
def test_how_programs_print_secrets(secret: str | bytes, printed: str) -> None:
    scrubbed = redactor_of(secret).scrub(f"<{printed}>")

    assert MASK in scrubbed
    assert printed[:-4] not in scrubbed


@pytest.mark.parametrize("value", ["", "   \n", "abc", "\n\n a \n"])
def test_blank_and_very_short_values_hide_nothing(value: str) -> None:
    text = "abc \n\n a   and whatever else"

    assert redactor_of(value, value.encode()).scrub(text) == text


def test_the_short_lines_of_a_long_secret_hide_nothing() -> None:
    redactor = redactor_of("----BEGIN KEY----\n        {\nab\n----END KEY----")

    assert redactor.scrub("a { b } ab") == "a { b } ab"


def test_lone_surrogates_out_of_foreign_json_are_registered() -> None:
    token = json.loads(r'"\ud800token\udc80"')

    assert redactor_of(token).scrub(f"<{token}>") == f"<{MASK}>"


def test_without_secrets_nothing_changes() -> None:
    assert Redactor().scrub("plain\ttext\n") == "plain\ttext\n"


def test_threads_may_register_while_others_scrub() -> None:
    redactor = Redactor()
    leaks: list[str] = []

    def work(number: int) -> None:
        for turn in range(20):
            secret = f"thread-{number}-secret-{turn}"
            redactor.register(secret)
            if secret in redactor.scrub(f"<{secret}>"):
                leaks.append(secret)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert leaks == []


def test_a_thousand_secrets_are_registered_in_no_time() -> None:
    redactor = Redactor()
    started = time.process_time()
    for number in range(1000):
        redactor.register(f"a secret with the number {number} in it")
    # One pattern for each of them would take minutes.
    assert redactor.scrub("a secret with the number 999 in it") == MASK
    assert time.process_time() - started < 5
