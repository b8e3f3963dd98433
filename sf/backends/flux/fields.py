"""The fields of a kustomization file, and what Flux makes of them before it writes the file anew.

Flux decodes the file at the path of a Kustomization into Go's types (sigs.k8s.io/kustomize/api/types,
Kustomization) and encodes them again: names of fields match in any case, fields it does not know are dropped,
and a number or a boolean where text belongs becomes text. kustomize itself, which reads every other file of a
build, is as tolerant about case but refuses the rest.
"""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any, Final

TEXT: Final = "text"
ANY: Final = "any"
_TEXTS: Final = [TEXT]
# The key of a mapping with free keys.
_FREE: Final = "*"
_MAP: Final = {_FREE: TEXT}

# Go's decoder does not see through embedded structs, so that their fields (`ANY` here) have to be text already.
_OBJECT: Final = dict.fromkeys(("group", "version", "kind", "name", "namespace"), ANY)
_SELECTOR: Final = {**_OBJECT, "annotationSelector": TEXT, "labelSelector": TEXT}
_FIELD_SPEC: Final = {**dict.fromkeys(("group", "version", "kind", "create"), ANY), "path": TEXT}
_PATCH: Final = {
    "path": TEXT,
    "patch": TEXT,
    "target": _SELECTOR,
    "options": {"allowNameChange": ANY, "allowKindChange": ANY},
}
_IMAGE: Final = dict.fromkeys(("name", "newName", "tagSuffix", "newTag", "digest"), TEXT)
_GENERATOR_OPTIONS: Final = {
    "labels": _MAP,
    "annotations": _MAP,
    "disableNameSuffixHash": ANY,
    "immutable": ANY,
}
_GENERATOR: Final = {
    **dict.fromkeys(("namespace", "name", "behavior", "env", "literals", "files", "envs"), ANY),
    "options": dict.fromkeys(_GENERATOR_OPTIONS, ANY),
}
_OPTIONS: Final = dict.fromkeys(("delimiter", "index", "encoding", "create"), ANY)
_REPLACEMENT: Final = {
    "path": TEXT,
    "source": {**_OBJECT, "fieldPath": ANY, "options": _OPTIONS},
    "targets": [
        {
            "select": dict.fromkeys(_SELECTOR, ANY),
            "reject": [dict.fromkeys(_SELECTOR, ANY)],
            "fieldPaths": ANY,
            "options": _OPTIONS,
        }
    ],
    "sourceValue": ANY,
}

#: Field to shape: `TEXT`, `ANY`, a list of one shape, or a mapping of names to shapes.
KUSTOMIZATION: Final[dict[str, Any]] = {
    **dict.fromkeys(("apiVersion", "kind"), ANY),
    **dict.fromkeys(("namePrefix", "nameSuffix", "namespace"), TEXT),
    **dict.fromkeys(
        (
            "bases",
            "buildMetadata",
            "components",
            "configurations",
            "crds",
            "generators",
            "patchesStrategicMerge",
            "resources",
            "transformers",
            "validators",
        ),
        _TEXTS,
    ),
    **dict.fromkeys(("commonAnnotations", "commonLabels", "openapi"), _MAP),
    **dict.fromkeys(("helmChartInflationGenerator", "helmCharts", "helmGlobals"), ANY),
    "imageTags": [_IMAGE],
    "images": [_IMAGE],
    "patches": [_PATCH],
    "patchesJson6902": [_PATCH],
    "configMapGenerator": [_GENERATOR],
    "secretGenerator": [{**_GENERATOR, "type": TEXT}],
    "generatorOptions": _GENERATOR_OPTIONS,
    "labels": [{"pairs": _MAP, "includeSelectors": ANY, "includeTemplates": ANY, "fields": [_FIELD_SPEC]}],
    "metadata": {"name": TEXT, "namespace": TEXT, "labels": _MAP, "annotations": _MAP},
    "replacements": [_REPLACEMENT],
    "replicas": [{"name": TEXT, "count": ANY}],
    "sortOptions": {"order": TEXT, "legacySortOptions": {"orderFirst": _TEXTS, "orderLast": _TEXTS}},
    "vars": [
        {
            "name": TEXT,
            "objref": {**_OBJECT, "name": TEXT, "namespace": TEXT, "apiVersion": TEXT},
            "fieldref": {"fieldPath": TEXT},
        }
    ],
}
_NAMES: Final = {name.lower(): name for name in KUSTOMIZATION}


def canonical_name(key: str) -> str:
    """The field of a kustomization that `key` means; `key` itself when there is none."""
    return _NAMES.get(key.lower(), key)


def decoded(value: Any, shape: Any = KUSTOMIZATION) -> Any:
    """`value` as Go would encode it after decoding it into `shape`. What does not fit is left for kustomize."""
    if isinstance(shape, list):
        return [decoded(item, shape[0]) for item in value] if isinstance(value, list) else value
    if isinstance(shape, dict):
        return _mapping(value, shape) if isinstance(value, dict) else value
    return _text(value) if shape == TEXT else value


def _mapping(value: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    if _FREE in shape:
        return {key: decoded(item, shape[_FREE]) for key, item in value.items()}
    names = {name.lower(): name for name in shape}
    # Go sorts the keys first, so of `Resources` and `resources` the latter wins.
    known = ((names.get(key.lower()), value[key]) for key in sorted(value))
    return {name: decoded(item, shape[name]) for name, item in known if name and item is not None}


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _shortest(value)
    return str(value) if isinstance(value, int) else value


def _shortest(number: float) -> str:
    """`number` as strconv.FormatFloat(number, 'g', -1, 32) writes it: the fewest digits that a float32 needs."""
    single = _float32(number)
    digits = next(text for size in range(1, 18) if _float32(float(text := f"{number:.{size}g}")) == single)
    decimal = Decimal(digits).normalize()
    if -4 <= decimal.adjusted() < 6:
        return f"{decimal:f}"
    mantissa, _, exponent = f"{decimal:e}".partition("e")
    return f"{mantissa}e{int(exponent):+03d}"


def _float32(number: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return number
