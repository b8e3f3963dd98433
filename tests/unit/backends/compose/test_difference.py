from __future__ import annotations

from typing import Any

import pytest

from sf.backends.compose.difference import compare
from sf.backends.compose.masking import Masking
from sf.backends.compose.model import Model, Service
from sf.changes.masking import Fingerprints
from sf.models import Change

KEY = "k" * 32
NOTHING = Masking(Fingerprints(), {})


def service(name: str = "web", **changed: Any) -> Service:
    fields = {("image",): "busybox", ("environment", "TOKEN"): "swordfish", **changed.pop("fields", {})}
    return Service(**{"name": name, "fields": fields, "files": {"html/a": "1"}, "inline": {}, **changed})


def model(*services: Service) -> Model:
    return Model(project="p", files=("compose.yaml",), services={one.name: one for one in services})


def test_equal_models_have_no_difference() -> None:
    assert compare(model(service()), model(service()), folder="s", masking=NOTHING) == ()


def test_services_come_and_go() -> None:
    changes = compare(model(service("old")), model(service("new")), folder="s", masking=NOTHING)
    assert [(change.name, change.change) for change in changes] == [
        ("new", Change.ADD),
        ("old", Change.REMOVE),
    ]
    assert "+image: busybox" in changes[0].diff
    assert "-image: busybox" in changes[1].diff


def test_each_field_and_file_is_a_reason_of_its_own() -> None:
    before = service(fields={("healthcheck", "interval"): "5s", ("init",): True})
    after = service(
        fields={("healthcheck", "interval"): "9s", ("user",): "1000"},
        files={"html/a": "2", "html/b": "1"},
        inline={"config c": "text"},
    )
    (change,) = compare(model(before), model(after), folder="s", masking=NOTHING)
    assert [reason.message for reason in change.reasons] == [
        "healthcheck.interval changes",
        "init goes away",
        "user is new",
        "the content of html/a changes",
        "the content of html/b is new",
        "the content of the config c is new",
    ]
    assert [str(reason.location) for reason in change.reasons if reason.location] == ["s/html/a", "s/html/b"]


@pytest.mark.parametrize(
    "path", [("environment", "TOKEN"), ("build", "args", "TOKEN"), ("volume data", "driver_opts", "o")]
)
@pytest.mark.parametrize("key", ["", KEY])
def test_values_that_can_be_secrets_are_never_in_a_diff(path: tuple[str, ...], key: str) -> None:
    before, after = service(fields={path: "old-secret"}), service(fields={path: "new-secret"})
    (change,) = compare(model(before), model(after), folder="s", masking=Masking(Fingerprints(key), {}))
    assert "secret" not in change.diff
    assert "swordfish" not in change.diff
    assert change.diff.count("\n-") == change.diff.count("\n+") == 1


def test_values_of_the_job_are_shown_by_name_wherever_they_stand() -> None:
    masking = Masking(Fingerprints(), {"DOMAIN": "example.com", "FULL": "www.example.com", "SHORT": "80"})
    after = service(
        fields={("command",): ["serve", "--host=www.example.com:80"], ("labels", "a"): "x.example.com"}
    )
    (change,) = compare(model(service()), model(after), folder="s", masking=masking)
    assert "--host=${FULL}:80" in change.diff
    assert "x.${DOMAIN}" in change.diff
