from __future__ import annotations

import pytest

from sf.backends.flux.fields import KUSTOMIZATION, canonical_name, decoded


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"Resources": ["a"], "resources": ["b"]}, {"resources": ["b"]}),
        ({"NAMEPREFIX": 5}, {"namePrefix": "5"}),
        ({"namespace": True, "nameSuffix": None}, {"namespace": "true"}),
        ({"images": [{"newTag": 1.2, "typo": 1}]}, {"images": [{"newTag": "1.2"}]}),
        (
            {"commonLabels": {"Any": 1e-7, "b": 1234567.5}},
            {"commonLabels": {"Any": "1e-07", "b": "1.2345675e+06"}},
        ),
        ({"configMapGenerator": [{"name": 5, "x": 1}]}, {"configMapGenerator": [{"name": 5}]}),
        ({"replicas": [{"name": 1, "count": 2}]}, {"replicas": [{"name": "1", "count": 2}]}),
        ({"unknown": 1, "resources": "text"}, {"resources": "text"}),
    ],
)
def test_what_go_makes_of_a_kustomization(value: object, result: object) -> None:
    assert decoded(value) == result


def test_names_of_fields() -> None:
    assert canonical_name("configmapGENERATOR") == "configMapGenerator"
    assert canonical_name("other") == "other"
    assert all(canonical_name(name.upper()) == name for name in KUSTOMIZATION)
