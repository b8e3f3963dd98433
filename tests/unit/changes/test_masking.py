"""Secret values never show, and whether they changed always does."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf.changes.diff import unified
from sf.changes.masking import HIDDEN, HIDDEN_CHANGED, Fingerprints, Masked, mask_pair
from sf.changes.secret_names import names_secret
from sf.models import Problem

KEY = "k" * 32
NONE = Fingerprints()


CIPHERTEXT = "ENC[AES256_GCM,data:{},iv:aa==,tag:bb==,type:str]"


def masked(before: Any, after: Any, fingerprints: Fingerprints) -> tuple[Any, Any]:
    shown = mask_pair(before, after, fingerprints)
    return shown.before, shown.after


def everything(shown: Masked) -> str:
    return unified(shown.before, shown.after) + "".join(shown.notes)


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
    assert before["data"] == {"a": HIDDEN, "b": HIDDEN}
    assert after["data"] == {"a": HIDDEN_CHANGED, "b": HIDDEN, "c": HIDDEN}


def test_with_a_key_equal_values_have_equal_fingerprints() -> None:
    before, after = masked(secret(a="one", b="same"), secret(a="two", b="same"), Fingerprints(KEY))
    assert before["data"]["a"] != after["data"]["a"]
    assert before["data"]["b"] == after["data"]["b"]


def test_ciphertexts_of_sops_are_named_by_an_id_and_its_bookkeeping_is_left_out() -> None:
    def encrypted(text: str, mac: str) -> dict[str, Any]:
        return {**secret(a=CIPHERTEXT.format(text)), "sops": {"mac": mac}}

    before, after = masked(encrypted("x", "1"), encrypted("x", "2"), NONE)
    assert before == after
    before, after = masked(encrypted("x", "1"), encrypted("y", "2"), NONE)
    assert before["data"]["a"].startswith("encrypted:")
    assert before != after


def test_who_can_decrypt_is_a_note() -> None:
    def encrypted(*recipients: str) -> dict[str, Any]:
        return {
            **secret(a=CIPHERTEXT.format("x")),
            "sops": {"age": [{"recipient": key} for key in recipients]},
        }

    shown = mask_pair(encrypted("age1old", "age1kept"), encrypted("age1kept", "age1new"), NONE)
    assert shown.before == shown.after
    assert shown.notes == (
        "SOPS encrypts it also for age age1new",
        "SOPS encrypts it no longer for age age1old",
    )


def test_only_what_sops_writes_is_a_ciphertext() -> None:
    guessable = {**secret(pin="ENC[1234]"), "sops": {"mac": "1"}}
    assert masked(guessable, None, NONE)[0]["data"] == {"pin": HIDDEN}
    not_encrypted = secret(pin=CIPHERTEXT.format("1234"))
    assert masked(not_encrypted, None, NONE)[0]["data"] == {"pin": HIDDEN}


def test_data_and_string_data_are_the_same_secret() -> None:
    data = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": encoded("one")}}
    for fingerprints in (NONE, Fingerprints(KEY)):
        before, after = masked(data, secret(a="one"), fingerprints)
        assert before == after
        before, after = masked(data, secret(a="two"), fingerprints)
        assert before != after


def test_equal_values_of_two_secrets_do_not_show_as_equal() -> None:
    other = {**secret(a="one", b="one"), "metadata": {"name": "t"}}
    shown = [masked(item, None, Fingerprints(KEY))[0]["data"] for item in (secret(a="one"), other)]
    assert len({shown[0]["a"], shown[1]["a"], shown[1]["b"]}) == 3


COPY = {"kubectl.kubernetes.io/last-applied-configuration": '{"stringData": {"a": "hunter22"}}'}


def encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def pod(**container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", **container}]},
    }


def flux(group: str, kind: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{group}.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": {"name": "f"},
        "spec": spec,
    }


@pytest.mark.parametrize(
    "item",
    [
        {**secret(), "metadata": {"name": "s", "annotations": COPY}},
        {"apiVersion": "v1", "kind": "List", "items": [secret(a="hunter22")]},
        {
            "apiVersion": "v1",
            "kind": "SecretList",
            "items": [{"data": {"a": encoded("hunter22")}}, "hunter22"],
        },
        {"apiVersion": "v1", "kind": "Secret", "data": ["hunter22"]},
        {"apiVersion": "v1", "kind": "Secret", "data": {"a": {"b": "hunter22"}}},
        {"apiVersion": "v1", "kind": "Secret", "stringdata": {"a": "hunter22"}},
        {"apiVersion": "example.org/v1", "kind": "Secret", "data": {"a": "hunter22"}},
        pod(env=[{"name": "DB_PASSWORD", "value": "hunter22"}]),
        pod(env=[{"name": "STRIPE_KEY", "value": "hunter22"}]),
        pod(env=[{"name": "DATABASE_URL", "value": "pg://shop:hunter22@db/shop"}]),
        pod(args=["--verbose", "--admin-password=hunter22"]),
        {"apiVersion": "example.org/v1", "kind": "Rollout", "env": [{"name": "TOKEN", "value": "hunter22"}]},
        flux("helm", "HelmRelease", values={"auth": {"adminPassword": "hunter22"}}),
        flux("helm", "HelmRelease", values={"secrets": {"any": ["hunter22"]}}),
        flux("kustomize", "Kustomization", postBuild={"substitute": {"api_token": "hunter22"}}),
    ],
)
@pytest.mark.parametrize("fingerprints", [NONE, Fingerprints(KEY)])
def test_nothing_that_may_be_a_secret_is_shown(item: dict[str, Any], fingerprints: Fingerprints) -> None:
    for shown in (mask_pair(item, None, fingerprints), mask_pair(None, item, fingerprints)):
        assert "hunter22" not in everything(shown)
        assert encoded("hunter22") not in everything(shown)


def test_a_variable_is_compared_with_the_one_of_its_name() -> None:
    one, other = {"name": "A_TOKEN", "value": "one"}, {"name": "B_TOKEN", "value": "two"}
    _, after = masked(pod(env=[one, other]), pod(env=[other, one]), NONE)
    assert [entry["value"] for entry in after["spec"]["containers"][0]["env"]] == [HIDDEN, HIDDEN]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DB_PASSWORD", True),
        ("PGPASSWORD", True),
        ("apiKey", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("client-secret", True),
        ("LOG_LEVEL", False),
        ("DB_PASSWORD_FILE", False),
        ("secretName", False),
        ("existingSecret", False),
        ("topologyKey", False),
        ("key", False),
        ("MONKEY", False),
        ("", False),
    ],
)
def test_names_that_sound_like_secrets(name: str, expected: bool) -> None:
    assert names_secret(name) is expected


def test_other_values_stay_readable() -> None:
    config = {"kind": "ConfigMap", "data": {"color": "red"}, "list": [{"name": "COLOR", "value": "red"}]}
    assert masked(config, config, NONE) == (config, config)
    release = flux(
        "helm", "HelmRelease", values={"replicas": 2, "existingSecret": "db", "tokens": {"on": True}}
    )
    assert masked(release, release, NONE) == (release, release)


# Wrapped, so that a value is no accidental part of what is always shown.
VALUES = st.dictionaries(
    st.from_regex(r"k[0-9]{1,2}", fullmatch=True), st.text(min_size=4).map("<{}>".format)
)


@given(VALUES, VALUES, st.sampled_from([NONE, Fingerprints(KEY)]))
def test_no_value_of_a_secret_is_ever_shown(
    old: dict[str, str], new: dict[str, str], fingerprints: Fingerprints
) -> None:
    data = {key: encoded(value) for key, value in new.items()}
    after = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data}
    text = everything(mask_pair(secret(**old), after, fingerprints))
    assert [value for value in (*old.values(), *new.values(), *data.values()) if value in text] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("data", "stringData", "sops", "age", "metadata", "annotations", "items", "spec"),
                    *("values", "postBuild", "substitute", "name", "value", "password", "kind"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
KINDS = st.sampled_from(
    [
        ("v1", "Secret"),
        ("v1", "SecretList"),
        ("v1", "ConfigMap"),
        ("v1", "List"),
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
    ]
)
ITEMS = st.builds(
    lambda kind, body: {"apiVersion": kind[0], "kind": kind[1], **body},
    KINDS,
    st.dictionaries(st.sampled_from(["data", "stringData", "sops", "metadata", "items", "spec", "x"]), JSON),
)


@given(ITEMS, ITEMS)
def test_any_shape_of_object_is_accepted_and_left_as_it_is(before: Any, after: Any) -> None:
    originals = copy.deepcopy((before, after))
    for fingerprints in (NONE, Fingerprints(KEY)):
        everything(mask_pair(before, after, fingerprints))
        once, again = (mask_pair(before, before, fingerprints) for _ in range(2))
        assert once == again
        assert once.before == once.after
    assert (before, after) == originals
