"""Secrets inside texts are found in whatever format they are written, and the rest stays readable."""

from __future__ import annotations

import itertools
import json
import textwrap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf import documents
from sf.changes.diff import unified
from sf.changes.embedded import secrets_in
from sf.changes.masking import HIDDEN, HIDDEN_CHANGED, Fingerprints, mask_pair

NONE = Fingerprints()


def shown(text: str, *, of_secret: bool = False) -> str:
    parts, end = [], 0
    for span in secrets_in(text, of_secret=of_secret):
        parts += [text[end : span.start], "***"]
        end = span.end
    return "".join((*parts, text[end:]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # YAML
        ("user: ada\npassword: hunter2\nport: 1", "user: ada\npassword: ***\nport: 1"),
        ("password: hunter2 # why\nport: 1", "password: *** # why\nport: 1"),
        ("password: 'it''s' # why", "password: '***' # why"),
        ('password: "a\\"b"\nport: 1', 'password: "***"\nport: 1'),
        ("password: one\n  two\nport: 1", "password: ***\nport: 1"),
        ('password: "one\n  two"\nport: 1', 'password: "***"\nport: 1'),
        ("tls.key: |-\n  one\n\n  two\nport: 1", "tls.key: |-\n***\nport: 1"),
        ("a:\n  token: >\n    one\n  port: 1", "a:\n  token: >\n***\n  port: 1"),
        ("secrets:\n  any: one\n  more: [two]\nport: 1", "secrets:\n***\nport: 1"),
        ("tokens:\n- one\n- two\nport: 1", "tokens:\n***\nport: 1"),
        ("- password: one\n  user: ada\n- user: bob", "- password: ***\n  user: ada\n- user: bob"),
        ("- password:\n    any: one\n  user: ada", "- password:\n***\n  user: ada"),
        ("{user: ada, password: one, port: 1}", "{user: ada, password: ***, port: 1}"),
        ("{user: ada, tokens: [one, {a: two}], port: 1}", "{user: ada, tokens: ***, port: 1}"),
        ("password:\nport: 1", "password:\nport: 1"),
        ("- name: DB_PASSWORD\n  value: one\n- name: COLOR\n  value: red",
         "- name: DB_PASSWORD\n  value: ***\n- name: COLOR\n  value: red"),
        ("- value: one\n  name: DB_PASSWORD\n- value: red\n  name: COLOR",
         "- value: ***\n  name: DB_PASSWORD\n- value: red\n  name: COLOR"),
        ("env: [{name: A_TOKEN, value: one}, {name: B, value: two}]",
         "env: [{name: A_TOKEN, value: ***}, {name: B, value: two}]"),
        # JSON
        ('{"user":"ada","password":"one","port":1}', '{"user":"ada","password":"***","port":1}'),
        ('{"password" : 123, "port": 1}', '{"password" : ***, "port": 1}'),
        ('{\n"secrets": {\n"a": "}",\n"b": 2\n},\n"port": 1\n}', '{\n"secrets": ***,\n"port": 1\n}'),
        ('{"auths": {"r.test": {"auth": "b25l"}}}', '{"auths": {"r.test": {"auth": "***"}}}'),
        ('{"tokens": ["one', '{"tokens": ***'),
        # patches
        ("- op: replace\n  path: /spec/password\n  value: one\n- op: add\n  path: /a\n  value: red",
         "- op: replace\n  path: /spec/password\n  value: ***\n- op: add\n  path: /a\n  value: red"),
        ('[{"op":"add","path":"/stringData/x","value":"one"}]',
         '[{"op":"add","path":"/stringData/x","value":"***"}]'),
        ("kind: Secret\nstringData:\n  x: one\n", "kind: Secret\nstringData:\n***\n"),
        ("kind: Secret\nmetadata: {name: a}\ndata:\n  x: b25l", "kind: Secret\nmetadata: {name: a}\ndata:\n***"),
        ("kind: ConfigMap\ndata:\n  x: red", "kind: ConfigMap\ndata:\n  x: red"),
        # dotenv, ini, properties, TOML, shell
        ("USER=ada\nPASSWORD=one two\nPORT=1", "USER=ada\nPASSWORD=***\nPORT=1"),
        ("export API_TOKEN='one two'\nPORT=1", "export API_TOKEN='***'\nPORT=1"),
        ("[db]\npassword = one\nport = 1", "[db]\npassword = ***\nport = 1"),
        ("db.password=one\\\ntwo\nport=1", "db.password=***\nport=1"),
        ('token = """\none\ntwo"""\nport = 1', 'token = """***"""\nport = 1'),
        ("spring.datasource.password: one", "spring.datasource.password: ***"),
        # command lines and addresses
        ("serve --password=one --port=1", "serve --password=*** --port=1"),
        ("serve --password one --port 1", "serve --password *** --port 1"),
        ("java -Dtrust.password=one -jar a", "java -Dtrust.password=*** -jar a"),
        ("host=db password=one dbname=x", "host=db password=*** dbname=x"),
        ("Server=db;Password=a&b;Port=1", "Server=db;Password=***;Port=1"),
        ("https://x.test/?token=one&a=b", "https://x.test/?token=***&a=b"),
        ("x: pg://shop:one@db/shop", "x: pg://shop:***@db/shop"),
        ("a: 1\n-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n",
         "a: 1\n-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----\n"),
    ],
)  # fmt: skip
def test_what_is_hidden(text: str, expected: str) -> None:
    assert shown(text) == expected
    indented = textwrap.indent(text, "    ")
    assert "one" not in shown(indented)
    assert "two" not in shown(indented).replace("value: two", "")


@pytest.mark.parametrize(
    "text",
    [
        "image: ghcr.io/external-secrets/external-secrets:v0.9",
        "ghcr.io/external-secrets/external-secrets:v0.9",
        "secretName: db\nexistingSecret: db\ntopologyKey: zone\nimagePullSecrets:\n- name: pull",
        "password: ${db_password}\ntoken: $TOKEN\nauth: $(AUTH)\nsalt: {{ .Values.salt }}",
        "automountServiceAccountToken: false\ntoken: null\npassword: ''\nauth: ~",
        "kind: SecretStore\ndata: x",
        "if password == x",
        "secretKeyRef:\n  name: a\n  key: b",
        "a long text about nothing at all",
        "",
    ],
)
def test_what_stays_readable(text: str) -> None:
    assert secrets_in(text) == []


def test_a_patch_of_a_secret_hides_what_it_sets() -> None:
    assert shown("- op: add\n  path: /data/x\n  value: b25l", of_secret=True).endswith("value: ***")
    assert shown("- op: add\n  path: /data/x\n  value: red").endswith("value: red")


def config(text: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"app.yaml": text}}


def test_the_rest_of_a_file_is_compared_line_by_line() -> None:
    old, new = config("port: 1\npassword: one\n"), config("port: 2\npassword: two\n")
    masked = mask_pair(old, new, NONE)
    assert masked.before is not None
    assert masked.after is not None
    assert masked.before["data"]["app.yaml"] == f"port: 1\npassword: {HIDDEN}\n"
    assert masked.after["data"]["app.yaml"] == f"port: 2\npassword: {HIDDEN_CHANGED}\n"
    same = mask_pair(old, config("port: 2\npassword: one\n"), Fingerprints("k" * 32))
    assert same.before is not None
    assert same.after is not None
    assert same.before["data"]["app.yaml"].splitlines()[1] == same.after["data"]["app.yaml"].splitlines()[1]


@pytest.mark.parametrize(
    "item",
    [
        config("password: hunter22"),
        {"kind": "ConfigMap", "data": {"DB_PASSWORD": "hunter22"}},
        {"kind": "ConfigMap", "data": {"run.sh": "#!/bin/sh\nexec serve --token hunter22\n"}},
        {"kind": "Pod", "spec": {"containers": [{"args": ["--password", "hunter22"]}]}},
        {"kind": "Pod", "spec": {"containers": [{"command": ["sh", "-c", "PASSWORD=hunter22 run"]}]}},
        {
            "apiVersion": "helm.toolkit.fluxcd.io/v2",
            "kind": "HelmRelease",
            "spec": {"values": {"config": "[auth]\npassword = hunter22\n"}},
        },
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "spec": {
                "patches": [{"patch": "kind: Secret\nmetadata: {name: s}\nstringData:\n  any: hunter22\n"}]
            },
        },
        {
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "kind": "Kustomization",
            "spec": {
                "patches": [
                    {
                        "target": {"kind": "Secret"},
                        "patch": "- {op: add, path: /data/any, value: hunter22}",
                    }
                ]
            },
        },
    ],
)
@pytest.mark.parametrize("fingerprints", [NONE, Fingerprints("k" * 32)])
def test_no_secret_in_a_text_is_shown(item: dict[str, Any], fingerprints: Fingerprints) -> None:
    for before, after in ((item, None), (None, item), (item, {**item, "x": 1})):
        masked = mask_pair(before, after, fingerprints)
        assert "hunter22" not in unified(masked.before, masked.after)


def test_the_descriptions_of_a_definition_are_shown() -> None:
    text = "password: what to log in with"
    definition = {"kind": "CustomResourceDefinition", "spec": {"description": text}}
    assert mask_pair(definition, None, NONE).before == definition


SECRET = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=4, max_size=20).map(
    "<<{}>>".format
)
OPEN_KEYS = ["port", "user", "items", "config", "imagePullPolicy"]
SECRET_KEYS = ["password", "apiToken", "DB_PASSWORD", "client-secret", "secrets"]
OPEN = st.recursive(
    st.integers() | st.booleans() | st.sampled_from(["red", "a: b", "x=y"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(OPEN_KEYS), inner, max_size=3)
    ),
    max_leaves=6,
)


def hidden_values(leaf: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return leaf | st.lists(leaf, max_size=3) | st.dictionaries(st.sampled_from(OPEN_KEYS), leaf, max_size=3)


TREES = st.recursive(
    st.dictionaries(st.sampled_from(SECRET_KEYS), hidden_values(SECRET), min_size=1, max_size=3),
    lambda inner: (
        st.dictionaries(st.sampled_from(OPEN_KEYS), inner | OPEN, min_size=1, max_size=3)
        | st.lists(inner | OPEN, min_size=1, max_size=3)
    ),
    max_leaves=5,
)
STYLES = st.sampled_from(
    [
        documents.dump,
        json.dumps,
        lambda value: json.dumps(value, indent=2),
        lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        lambda value: textwrap.indent(documents.dump(value), "  "),
        lambda value: "\n".join(json.dumps(value, indent=1).split("\n ")),
    ]
)


def leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if isinstance(value, str) and value.startswith("<<") else []


@given(TREES, STYLES)
def test_no_secret_of_a_document_is_left_however_it_is_written(value: Any, style: Any) -> None:
    text = shown(style(value))
    for secret in leaves(value):
        assert json.dumps(secret)[1:-1] not in text
        assert secret not in text


@given(st.dictionaries(st.sampled_from(["DB_PASSWORD", "TOKEN", "PORT", "api.secret"]), SECRET, min_size=1))
def test_no_secret_of_a_list_of_variables_is_left(values: dict[str, str]) -> None:
    for style in ("{}={}", "export {}='{}'", "{} = {}", "{}: {}"):
        own = {name: f"<{name}>{value}".replace("'", "") for name, value in values.items()}
        text = shown("\n".join(style.format(name, value) for name, value in own.items()))
        assert {name for name, value in own.items() if value in text} == own.keys() & {"PORT"}


PIECES = st.sampled_from(
    ["password", "token", "value", "name", "path", ":", "=", " ", "\n", "  ", "- ", '"', "'", "{", "}", "[", "]",
     "|", "#", "\\", "://a:b@", "x", "stringData", "kind: Secret", "data", "-----BEGIN PRIVATE KEY-----", "${x}"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map("".join), st.booleans())
def test_any_text_gives_spans_in_order(text: str, of_secret: bool) -> None:
    spans = secrets_in(text, of_secret=of_secret)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(before.end <= after.start for before, after in itertools.pairwise(spans))


@pytest.mark.parametrize(
    "text",
    [
        "password: x\n" * 20_000,
        "password: x\nvalue: x\n" * 10_000,
        '{"a":1,' + '"token":"x","value":2,' * 10_000,
        "password: {" * 50_000,
        'password: "' * 50_001,
        "-----BEGIN PRIVATE KEY-----" * 20_000,
        "a" * 1_000_000 + "password",
        "password:\n" * 50_000,
        "://a:" * 100_000,
    ],
    ids=range(9),
)
def test_hostile_texts_take_no_time(text: str) -> None:
    assert shown(text).count("***") == len(secrets_in(text))
