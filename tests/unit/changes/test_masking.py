"""Secret values never show, and whether they changed always does."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.changes.masking import HIDDEN, HIDDEN_CHANGED, Fingerprints, masked
from sf.models import Problem

KEY = "k" * 32
NONE = Fingerprints()


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": data}


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(Problem, match="SF_FINGERPRINT_KEY has 31 bytes, and fingerprints need at least 32"):
        Fingerprints("k" * 31)


def test_fingerprints_depend_on_value_place_and_key() -> None:
    one, other = Fingerprints(KEY), Fingerprints("l" * 32)
    assert one.of("a", "x") == one.of("a", "x")
    assert len({one.of("a", "x"), one.of("b", "x"), one.of("a", "y"), other.of("a", "x")}) == 4
    assert one.key_id != other.key_id
    assert NONE.key_id == ""


def test_without_a_key_only_sameness_is_told() -> None:
    before, after = masked(secret(a="one", b="same"), secret(a="two", b="same", c="new"), NONE)
    assert before is not None
    assert after is not None
    assert before["stringData"] == {"a": HIDDEN, "b": HIDDEN}
    assert after["stringData"] == {"a": HIDDEN_CHANGED, "b": HIDDEN, "c": HIDDEN}


def test_with_a_key_equal_values_have_equal_fingerprints() -> None:
    before, after = masked(secret(a="one", b="same"), secret(a="two", b="same"), Fingerprints(KEY))
    assert before is not None
    assert after is not None
    assert before["stringData"]["a"] != after["stringData"]["a"]
    assert before["stringData"]["b"] == after["stringData"]["b"]


def test_ciphertexts_of_sops_are_named_by_an_id_and_its_bookkeeping_is_left_out() -> None:
    def encrypted(text: str, mac: str) -> dict[str, Any]:
        return {**secret(a=f"ENC[AES256_GCM,data:{text}]"), "sops": {"mac": mac}}

    before, after = masked(encrypted("x", "1"), encrypted("x", "2"), NONE)
    assert before == after
    before, after = masked(encrypted("x", "1"), encrypted("y", "2"), NONE)
    assert before is not None
    assert after is not None
    assert before["stringData"]["a"].startswith("(encrypted ")
    assert before != after


@pytest.mark.parametrize("name", ["DB_PASSWORD", "api_token", "CLIENT_SECRET"])
def test_environment_values_whose_names_say_so_are_hidden(name: str) -> None:
    pod = {"kind": "Pod", "spec": {"containers": [{"env": [{"name": name, "value": "hunter22"}]}]}}
    before, after = masked(pod, None, NONE)
    assert after is None
    assert "hunter22" not in json.dumps(before)


def test_other_values_stay_readable() -> None:
    config = {"kind": "ConfigMap", "data": {"color": "red"}, "list": [{"name": "COLOR", "value": "red"}]}
    assert masked(config, config, NONE) == (config, config)


@given(
    st.dictionaries(st.text(min_size=1), st.text(min_size=4).map(lambda text: f"<{text}>")),
    st.dictionaries(st.text(min_size=1), st.text(min_size=4).map(lambda text: f"<{text}>")),
    st.sampled_from([NONE, Fingerprints(KEY)]),
)
def test_no_value_of_a_secret_is_ever_shown(
    old: dict[str, str], new: dict[str, str], fingerprints: Fingerprints
) -> None:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in new.items()}
    after = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": encoded}
    shown = masked(secret(**old), after, fingerprints)
    values = [
        value
        for side in shown
        if side
        for field in ("data", "stringData")
        for value in side.get(field, {}).values()
    ]
    assert not {*old.values(), *new.values(), *encoded.values()} & {*values}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON), st.dictionaries(st.text(), JSON))
def test_any_shape_of_object_is_accepted_and_what_is_no_secret_is_kept(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    old, new = masked({**before, "kind": "Secret", "apiVersion": "v1"}, {**after, "kind": "ConfigMap"}, NONE)
    assert old is not None
    assert new is not None
    assert old["kind"] == "Secret"
    assert new["kind"] == "ConfigMap"
