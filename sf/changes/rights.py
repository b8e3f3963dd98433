"""What roles and bindings allow that they did not allow before."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

from sf.changes.manifest import at, entries, mapping, same, strings, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sf.changes.manifest import Identity

_RBAC: Final = "rbac.authorization.k8s.io"
# With more combinations a rule is judged as a whole, and with more rights than that only their number is told.
_MOST_COMBINATIONS: Final = 5_000
_MOST_NAMED: Final = 20

Right = tuple[str, str, str, str]
"""Verb, API group, resource or URL, name of an object; ``*`` is any of them."""


def gained(own: Identity, before: Any, after: Any) -> Iterator[str]:
    """What the newer state of a role or binding gives, a phrase each. A role that is new gives all it has."""
    if own.group != _RBAC:
        return
    if own.kind in {"RoleBinding", "ClusterRoleBinding"}:
        phrases = list(_subjects(before, after))
    elif own.kind in {"Role", "ClusterRole"}:
        phrases = list(_rights(before, after))
    else:
        return
    yield from phrases[:_MOST_NAMED]
    if len(phrases) > _MOST_NAMED:
        yield f"and {len(phrases) - _MOST_NAMED} more"


def _subjects(before: Any, after: Any) -> Iterator[str]:
    """Who is bound now. With another role everybody is: the API server makes that a new binding."""
    is_same_role = same(at(before, "roleRef"), at(after, "roleRef"))
    known = set(_names(before)) if is_same_role else set()
    role = text(at(after, "roleRef", "name"))
    for name in dict.fromkeys(_names(after)):
        if name not in known:
            yield f"{name} gets {role}"


def _names(binding: Any) -> Iterator[str]:
    for subject in entries(mapping(binding).get("subjects")):
        parts = (text(subject.get("namespace")), text(subject.get("name")))
        yield f"{text(subject.get('kind'))} {'/'.join(filter(None, parts))}"


def _rights(before: Any, after: Any) -> Iterator[str]:
    old = list(entries(mapping(before).get("rules")))
    known = [(_sets(rule), rule) for rule in old]
    seen: set[str] = set()
    for rule in entries(mapping(after).get("rules")):
        for right in _new_rights(rule, known):
            if right not in seen:
                seen.add(right)
                yield right
    selectors = at(after, "aggregationRule")
    if selectors is not None and not same(at(before, "aggregationRule"), selectors):
        yield "all of the roles that its aggregationRule selects"


def _new_rights(
    rule: Mapping[str, Any], known: Sequence[tuple[Sequence[set[str]], Mapping[str, Any]]]
) -> Iterator[str]:
    parts = _sets(rule)
    combinations = len(parts[0]) * len(parts[1]) * len(parts[2]) * len(parts[3])
    if combinations * (len(known) + 1) > _MOST_COMBINATIONS:
        if not any(same(rule, other) for _, other in known):
            yield f"a rule of {combinations:,} combinations of verbs and resources"
        return
    for right in product(*(sorted(part) for part in parts)):
        if not any(_covers(sets, right) for sets, _ in known):
            yield _phrase(right)


def _sets(rule: Mapping[str, Any]) -> Sequence[set[str]]:
    """Verbs, groups, resources and names of a rule. URLs are resources of a group that no API has."""
    verbs = set(strings(rule.get("verbs")))
    if urls := strings(rule.get("nonResourceURLs")):
        return verbs, {"URL"}, set(urls), {"*"}
    names = set(strings(rule.get("resourceNames"))) or {"*"}
    return verbs, set(strings(rule.get("apiGroups"))), set(strings(rule.get("resources"))), names


def _covers(sets: Sequence[set[str]], right: Right | tuple[str, ...]) -> bool:
    """Whether a rule gave `right` already. A ``*`` among groups says nothing of URLs."""
    verbs, groups, resources, names = sets
    verb, group, resource, name = right
    in_group = group in groups or ("*" in groups and group != "URL")
    in_resources = not resources.isdisjoint({resource, "*"}) or (
        # `*/scale` is that part of every resource.
        "/" in resource and group != "URL" and f"*/{resource.rpartition('/')[2]}" in resources
    )
    return (
        not verbs.isdisjoint({verb, "*"}) and in_group and in_resources and not names.isdisjoint({name, "*"})
    )


def _phrase(right: Right | tuple[str, ...]) -> str:
    verb, group, resource, name = right
    what = resource if group in {"", "URL"} else f"{resource}.{group}"
    return f"{verb} {what}" if name == "*" else f"{verb} {what} {name}"
