"""What may be shown of two states of an object: everything but its secrets.

A secret value is shown as a fingerprint that only the holder of a key can compute, so values that are easy to
guess cannot be tried out on a published plan. Without a key nothing but "changed" is said. Every fingerprint
depends on the object and on the place in it: an equal password somewhere else has another one, because who reuses
a password has no wish to see that published. The same place before and after the change has the same one.

Hidden are
- everything in a Secret but its metadata, its type and the names of its keys;
- the annotation in which ``kubectl apply`` keeps a copy of an object;
- the value beside a ``name`` that sounds like a secret (environment variables, of any kind of object), and
  `--password=...` in the arguments of a program;
- values whose key sounds like one in ``spec.values`` of a HelmRelease, ``spec.postBuild.substitute`` of a
  Kustomization, and of one line in a ConfigMap; and in all these places URLs that carry a password;
- what stands behind such a name inside a text: a patch, a file of a ConfigMap, values of a chart as one text.

A literal in a pod is no secret to Kubernetes, but people put passwords there, and a plan is read by more people
than a repository. Other values of a ConfigMap are shown. What SOPS encrypted shows which ciphertext it is.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sf.changes.embedded import secrets_in
from sf.changes.manifest import HELM_GROUP, KUSTOMIZE_GROUP, at, entries, identity, mapping, text
from sf.changes.secret_names import URL_PASSWORD, names_secret
from sf.models import Problem, canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sf.changes.embedded import Span
    from sf.changes.manifest import Identity

    Hide = Callable[[str, Any], "_Hidden"]

KEY_VARIABLE: Final = "SF_FINGERPRINT_KEY"
SHORTEST_KEY: Final = 32
"""In bytes, as the HMAC has."""
HIDDEN: Final = "(hidden)"
HIDDEN_CHANGED: Final = "(hidden, changed)"

_SHOWN: Final = 16  # hexadecimal digits, 64 bits
_COPY: Final = "kubectl.kubernetes.io/last-applied-configuration"
_OPEN_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata", "type", "immutable"})
_CIPHERTEXT: Final = re.compile(
    r"ENC\[AES256_GCM,data:[A-Za-z0-9+/=]*,iv:[A-Za-z0-9+/=]*,tag:[A-Za-z0-9+/=]*,type:[a-z]+\]"
)
_RECIPIENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "age": ("recipient",),
    "pgp": ("fp",),
    "kms": ("arn",),
    "gcp_kms": ("resource_id",),
    "azure_kv": ("vault_url", "name"),
    "hc_vault": ("vault_address", "engine_path", "key_name"),
}

_ARGUMENT: Final = re.compile(r"--?([A-Za-z][\w.-]*)=.+", re.DOTALL)


class Fingerprints:
    """Turns values into something that is equal when they are, under a key that stays in the CI.

    Without a key there are no fingerprints, and only "changed" can be said.
    """

    def __init__(self, key: str = "") -> None:
        """Raises `Problem` for a key that is too short to keep guesses away."""
        self._key = key.encode("utf-8", "surrogateescape")
        if key and len(self._key) < SHORTEST_KEY:
            raise Problem(
                f"{KEY_VARIABLE} has {len(self._key)} bytes, and fingerprints need at least {SHORTEST_KEY}",
                hint="make one with `openssl rand -hex 32` and store it as a secret of the CI",
            )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Fingerprints:
        """With the key in ``SF_FINGERPRINT_KEY``, or without one. Raises `Problem` as the constructor does."""
        return cls(environ.get(KEY_VARIABLE, ""))

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return bool(self._key)

    @property
    def key_id(self) -> str:
        """Which key it is, without telling the key; empty when there is none."""
        return self._digest(b"key id") if self._key else ""

    def of(self, value: bytes | str, context: str) -> str:
        """The fingerprint of `value` at the place that `context` names. Raises `ValueError` without a key."""
        if not self._key:
            raise ValueError("a fingerprint needs a key")
        return f"hmac-sha256:{self._digest(b'value', _bytes(context), _bytes(value))}"

    def pair(
        self, before: bytes | str | None, after: bytes | str | None, context: str
    ) -> tuple[str | None, str | None]:
        """Both states of a secret as they may be shown beside each other; None stays None."""
        return self._shown(before, None, context), self._shown(after, before, context)

    def _shown(self, value: bytes | str | None, earlier: bytes | str | None, context: str) -> str | None:
        if value is None:
            return None
        if self._key:
            return self.of(value, context)
        return HIDDEN if earlier is None or _bytes(earlier) == _bytes(value) else HIDDEN_CHANGED

    def _digest(self, *parts: bytes) -> str:
        # With the length before each part no two lists of parts give one message.
        message = b"".join(len(part).to_bytes(8) + part for part in parts)
        return hmac.new(self._key, message, "sha256").hexdigest()[:_SHOWN]


@dataclass(frozen=True, slots=True)
class Masked:
    """Two states of an object as they may be shown, and what is to be said beside them, a sentence each."""

    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    notes: tuple[str, ...] = ()


def mask_pair(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, fingerprints: Fingerprints
) -> Masked:
    """Both states of one Kubernetes object without its secrets; the items of a List included.

    Equal secrets come out equal however they are written: ``stringData`` is merged into ``data`` as the API
    server does it. The metadata of SOPS is left out, and who can decrypt is a note when that changes.
    """
    old, new = _Side(), _Side()
    hidden_before = None if before is None else _masked(before, old)
    hidden_after = None if after is None else _masked(after, new)
    notes = () if before is None or after is None else tuple(_recipient_notes(before, after))
    return Masked(
        before=_revealed(hidden_before, lambda hidden: old.shown(hidden, fingerprints)),
        after=_revealed(hidden_after, lambda hidden: new.shown(hidden, fingerprints, beside=old)),
        notes=notes,
    )


def holds_secrets(item: Mapping[str, Any]) -> bool:
    """Whether something in the Kubernetes object `item` would be masked."""
    return mask_pair(item, None, Fingerprints()).before != item


@dataclass(frozen=True, slots=True)
class _Hidden:
    """Stands where a secret stood, until it is known what the other side holds there."""

    context: str
    value: bytes


@dataclass(frozen=True, slots=True)
class _Woven:
    """A text with secrets in it."""

    parts: tuple[str | _Hidden, ...]


class _Side:
    """The secrets of one state by the place they stand at."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self._seen: Counter[str] = Counter()

    def hide(self, context: str, value: Any) -> _Hidden:
        self._seen[context] += 1
        if self._seen[context] > 1:
            # Two variables of one name: each has its own place.
            context = f"{context}#{self._seen[context]}"
        hidden = _Hidden(context, _bytes(value))
        self.values[context] = hidden.value
        return hidden

    def shown(
        self, hidden: _Hidden, fingerprints: Fingerprints, *, beside: _Side | None = None
    ) -> str | None:
        """What to write for `hidden`, beside an earlier state where there is one."""
        earlier = beside.values.get(hidden.context) if beside else None
        return fingerprints.pair(earlier, hidden.value, hidden.context)[1]


def _revealed(value: Any, shown: Callable[[_Hidden], str | None]) -> Any:
    if isinstance(value, _Hidden):
        return shown(value)
    if isinstance(value, _Woven):
        return "".join(part if isinstance(part, str) else str(shown(part)) for part in value.parts)
    if isinstance(value, dict):
        return {key: _revealed(item, shown) for key, item in value.items()}
    if isinstance(value, list):
        return [_revealed(item, shown) for item in value]
    return value


def _masked(item: Mapping[str, Any], side: _Side) -> dict[str, Any]:
    own = identity(item)
    if own.kind.endswith("List") and isinstance(item.get("items"), list):
        return {**item, "items": [_masked_entry(entry, own, side) for entry in item["items"]]}

    def hide(place: str, value: Any) -> _Hidden:
        return side.hide(f"{own}/{place}", value)

    plain = dict(item)
    if isinstance(item.get("sops"), dict):
        del plain["sops"]
        plain = _with_ciphertext_ids(plain)
    if own.kind == "Secret":
        plain = _masked_secret(plain, own, hide)
    elif own.kind == "ConfigMap":
        plain = _without_secret_lines(plain, hide)
    else:
        plain = _without_named_values(plain, "", hide)
    if own.group_kind == (HELM_GROUP, "HelmRelease"):
        plain = _replaced(plain, ("spec", "values"), hide)
    elif own.group_kind == (KUSTOMIZE_GROUP, "Kustomization"):
        plain = _replaced(plain, ("spec", "postBuild", "substitute"), hide)
    plain = _without_copy(plain, hide)
    # The texts in a definition of a resource describe fields, among them those for secrets.
    return plain if own.kind == "CustomResourceDefinition" else _without_embedded(plain, "", hide)


def _masked_entry(entry: Any, parent: Identity, side: _Side) -> Any:
    """An entry of a List; those of a ``SecretList`` need not say that they are Secrets."""
    if not isinstance(entry, dict):
        return side.hide(f"{parent}/items", entry) if parent.kind == "SecretList" else entry
    kind = entry.get("kind") or parent.kind.removesuffix("List")
    return _masked({**entry, "kind": kind}, side)


def _masked_secret(item: Mapping[str, Any], own: Identity, hide: Hide) -> dict[str, Any]:
    open_fields = _OPEN_FIELDS if not own.group else _OPEN_FIELDS | {"spec", "status"}
    shown = {name: value for name, value in item.items() if name in open_fields}
    data: dict[str, Any] = {}
    for name in ("data", "stringData"):
        value = item.get(name)
        if isinstance(value, dict):
            read = _decoded if name == "data" else _bytes
            data |= {key: _secret_value(secret, read) for key, secret in value.items()}
        elif value is not None:
            shown[name] = hide(name, value)
    if data:
        shown["data"] = {
            key: hide(f"data/{key}", value) if isinstance(value, bytes) else value
            for key, value in data.items()
        }
    for name in item.keys() - open_fields - {"data", "stringData"}:
        shown[name] = hide(name, item[name])
    return shown


def _secret_value(value: Any, read: Callable[[Any], bytes]) -> bytes | _CiphertextId | None:
    return value if value is None or isinstance(value, _CiphertextId) else read(value)


def _decoded(value: Any) -> bytes:
    """What a value of ``data`` stands for; what is no base64 stands for itself."""
    if not isinstance(value, str):
        return _bytes(value)
    try:
        # The API server reads it with Go's decoder, which skips line ends.
        return base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return b"not base64\0" + _bytes(value)


class _CiphertextId(str):
    """Says which ciphertext stands at a place. Random bytes are in it, so nothing can be guessed from it."""

    __slots__ = ()


def _with_ciphertext_ids(value: Any) -> Any:
    if isinstance(value, str):
        if not _CIPHERTEXT.fullmatch(value):
            return value
        return _CiphertextId(f"encrypted:{hashlib.sha256(value.encode()).hexdigest()[:_SHOWN]}")
    if isinstance(value, dict):
        return {key: _with_ciphertext_ids(item) for key, item in value.items()}
    return [_with_ciphertext_ids(item) for item in value] if isinstance(value, list) else value


def _without_copy(item: dict[str, Any], hide: Hide) -> dict[str, Any]:
    if at(item, "metadata", "annotations", _COPY) is None:
        return item
    annotations = dict(item["metadata"]["annotations"])
    annotations[_COPY] = hide(f"annotations/{_COPY}", annotations[_COPY])
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}


def _without_embedded(value: Any, place: str, hide: Hide, *, of_secret: bool = False) -> Any:
    """`value` with every text in it shown without the secrets inside. `of_secret`: it is a patch of a Secret."""
    if isinstance(value, dict):
        of_secret = at(value, "target", "kind") == "Secret"
        return {
            key: _without_embedded(item, f"{place}/{key}", hide, of_secret=of_secret and key == "patch")
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_embedded(item, f"{place}/{_step(item)}", hide) for item in value]
    if not isinstance(value, str) or isinstance(value, _CiphertextId):
        return value
    spans = secrets_in(value, of_secret=of_secret)
    return _woven(value, spans, place, hide) if spans else value


def _woven(text: str, spans: list[Span], place: str, hide: Hide) -> _Woven:
    parts: list[str | _Hidden] = []
    end = 0
    for span in spans:
        parts += (text[end : span.start], hide(f"{place}/{span.key}", text[span.start : span.end]))
        end = span.end
    return _Woven((*parts, text[end:]))


def _without_named_values(value: Any, place: str, hide: Hide) -> Any:
    """`value` without what stands beside a name that sounds like a secret, and without such arguments."""
    if isinstance(value, list):
        return [
            hide(f"{place}/[{before}]", item)
            if _is_secret_flag(before) and isinstance(item, str) and not item.startswith("-")
            else _without_named_values(item, f"{place}/{_step(item)}", hide)
            for before, item in zip((None, *value), value, strict=False)
        ]
    if not isinstance(value, dict):
        return hide(place, value) if _is_secret_argument(value) else value
    name, secret = value.get("name"), value.get("value")
    hides = isinstance(name, str) and (
        (names_secret(name) and _can_be_secret(secret)) or _is_url_with_password(secret)
    )
    return {
        key: hide(f"{place}/value", item)
        if hides and key == "value"
        else _without_named_values(item, f"{place}/{key}", hide)
        for key, item in value.items()
    }


def _without_secret_lines(item: dict[str, Any], hide: Hide) -> dict[str, Any]:
    """A ConfigMap without values of one line whose key sounds like a secret. Longer ones are files."""
    data = item.get("data")
    if not isinstance(data, dict):
        return item
    shown = {
        key: hide(f"data/{key}", value)
        if isinstance(value, str) and value.strip() and "\n" not in value.strip() and names_secret(str(key))
        else value
        for key, value in data.items()
    }
    return {**item, "data": shown}


def _replaced(item: dict[str, Any], path: tuple[str, ...], hide: Hide) -> dict[str, Any]:
    """`item` with the mapping at `path` shown without the values whose key sounds like a secret."""
    first, *rest = path
    if first not in item:
        return item
    if not rest:
        return {**item, first: _without_keyed_values(item[first], first, hide, is_secret=False)}
    below = item[first]
    return {**item, first: _replaced(below, tuple(rest), hide)} if isinstance(below, dict) else item


def _without_keyed_values(value: Any, place: str, hide: Hide, *, is_secret: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_keyed_values(item, f"{place}/{key}", hide, is_secret=is_secret or names_secret(key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _without_keyed_values(item, f"{place}/{_step(item)}", hide, is_secret=is_secret) for item in value
        ]
    return (
        hide(place, value) if (is_secret and _can_be_secret(value)) or _is_url_with_password(value) else value
    )


def _step(item: Any) -> str:
    """How an entry of a list is called in a place: by its name, so that the order does not matter."""
    name = text(mapping(item).get("name"))
    if name or not isinstance(item, str):
        return f"[{name}]"
    argument = _ARGUMENT.fullmatch(item)
    return f"[{argument[1]}]" if argument else "[]"


def _can_be_secret(value: Any) -> bool:
    is_plain = isinstance(value, (bool, _CiphertextId, _Hidden)) or value is None or value == ""
    return not is_plain and not isinstance(value, (dict, list))


def _is_url_with_password(value: Any) -> bool:
    return isinstance(value, str) and URL_PASSWORD.search(value) is not None


def _is_secret_argument(value: Any) -> bool:
    argument = _ARGUMENT.fullmatch(value) if isinstance(value, str) else None
    return argument is not None and (names_secret(argument[1]) or _is_url_with_password(value))


def _is_secret_flag(value: Any) -> bool:
    """Whether the argument after `value` is a secret."""
    return isinstance(value, str) and value.startswith("-") and "=" not in value and names_secret(value)


def _recipient_notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = _recipients(before.get("sops")), _recipients(after.get("sops"))
    if not old or not new:
        return
    if gained := sorted(new - old):
        yield f"SOPS encrypts it also for {', '.join(gained)}"
    if lost := sorted(old - new):
        yield f"SOPS encrypts it no longer for {', '.join(lost)}"


def _recipients(sops: Any) -> set[str]:
    """Who can decrypt, as the metadata of SOPS name them; with and without key groups."""
    groups = [mapping(sops), *entries(mapping(sops).get("key_groups"))]
    return {
        f"{provider} {' '.join(filter(None, (text(key.get(name)) for name in names)))}"
        for group in groups
        for provider, names in _RECIPIENTS.items()
        for key in entries(group.get(provider))
    }


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else canonical_json(value)
