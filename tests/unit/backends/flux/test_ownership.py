"""Which fields Flux takes away from an object, by who owns them."""

from __future__ import annotations

from typing import Any

import pytest

from sf.backends.flux.ownership import MANAGER, without_strangers


def managed(manager: str, operation: str, fields: dict[str, Any], subresource: str = "") -> dict[str, Any]:
    entry = {"manager": manager, "operation": operation, "fieldsV1": fields}
    return {**entry, "subresource": subresource} if subresource else entry


def left(content: dict[str, Any], *owners: dict[str, Any]) -> dict[str, Any]:
    own = managed(MANAGER, "Apply", {"f:spec": {"f:image": {}, "f:env": {'k:{"name":"A"}': {".": {}}}}})
    found = without_strangers({**content, "metadata": {"managedFields": [own, *owners]}})
    del found["metadata"]
    return found


CONTENT = {"spec": {"image": "web", "replicas": 3, "env": [{"name": "A"}, {"name": "B", "value": "1"}]}}


@pytest.mark.parametrize(
    ("manager", "operation", "taken"),
    [
        ("kubectl", "Apply", True),
        ("kubectl-edit", "Update", True),
        ("kubectl-client-side-apply", "Update", True),
        ("before-first-apply", "Update", True),
        (MANAGER, "Update", True),
        ("before-first-apply", "Apply", False),
        ("kube-controller-manager", "Update", False),
        ("hpa", "Apply", False),
    ],
)
def test_whose_fields_are_taken(manager: str, operation: str, taken: bool) -> None:
    found = left(CONTENT, managed(manager, operation, {"f:spec": {"f:replicas": {}}}))
    assert ("replicas" in found["spec"]) is not taken


def test_what_another_one_owns_too_stays() -> None:
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    assert left(CONTENT, managed("kubectl", "Update", fields), managed("hpa", "Update", fields)) == CONTENT


def test_what_was_set_through_a_subresource_stays() -> None:
    scaled = managed("kubectl", "Update", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    assert left(CONTENT, scaled) == CONTENT


def test_an_entry_of_a_list_goes_as_a_whole() -> None:
    fields: dict[str, Any] = {"f:spec": {"f:env": {'k:{"name":"B"}': {".": {}, "f:name": {}, "f:value": {}}}}}
    assert left(CONTENT, managed("kubectl-edit", "Update", fields))["spec"]["env"] == [{"name": "A"}]


def test_an_entry_that_is_its_own_key() -> None:
    content = {"metadata2": {"finalizers": ["a", "b"]}}
    fields: dict[str, Any] = {"f:metadata2": {"f:finalizers": {'v:"b"': {}, 'v:"c"': {}}}}
    found = without_strangers(
        {**content, "metadata": {"managedFields": [managed("kubectl", "Update", fields)]}}
    )
    assert found["metadata2"] == {"finalizers": ["a"]}


def test_a_mapping_of_which_nothing_is_left_goes() -> None:
    content = {"labels": {"by": "hand"}, "spec": {"image": "web", "nodeSelector": {"disk": "ssd"}}}
    fields: dict[str, Any] = {"f:labels": {".": {}, "f:by": {}}, "f:spec": {"f:nodeSelector": {"f:disk": {}}}}
    found = left(content, managed("kubectl", "Update", fields))
    assert found == {"spec": {"image": "web"}}


def test_what_is_not_there_and_what_is_no_object_of_kubernetes() -> None:
    fields: dict[str, Any] = {
        "f:spec": {"f:absent": {}, "f:image": {"f:deeper": {}}, "i:3": {}},
        "f:status": {},
    }
    assert left(CONTENT, managed("kubectl", "Update", fields)) == CONTENT
    assert without_strangers({}) == {}
    assert without_strangers({"metadata": {"managedFields": "odd"}}) == {"metadata": {"managedFields": "odd"}}
