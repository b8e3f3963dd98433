"""Which credentials a run here would have. Their values are nobody's business."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from sf.changes.masking import KEY_VARIABLE, Fingerprints
from sf.doctor.check import Check, failed
from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sf.doctor.programs import Use

# Variable -> whether a run would use it.
_CREDENTIALS: Final[Mapping[str, Callable[[Use], bool]]] = MappingProxyType(
    {
        "STAGEFREIGHT_OIDC": lambda use: use.gitops,
        "SSH_PRIVATE_KEY": lambda use: use.docker,
        "SOPS_AGE_KEY": lambda use: use.docker,
        "SOPS_AGE_KEY_FILE": lambda use: use.docker,
        KEY_VARIABLE: lambda _use: True,
    }
)


def credentials(environ: Mapping[str, str], use: Use) -> Check:
    """Which variables with credentials are set."""
    names = [name for name, used in _CREDENTIALS.items() if use.config is None or used(use)]
    if use.config is not None and use.gitops and use.config.gitops.cluster:
        prefix = use.config.gitops.cluster.env_prefix
        names += [f"{prefix}_{ending}" for ending in ("TOKEN", "CA_FILE", "CA_B64")]
    present = [name for name in names if environ.get(name)]
    absent = [name for name in names if not environ.get(name)]
    groups = [
        f"{words} {', '.join(group)}" for words, group in (("set:", present), ("not set:", absent)) if group
    ]
    return Check(name="credentials", passed=True, detail="; ".join(groups))


def fingerprint_key(environ: Mapping[str, str]) -> Check:
    """Whether a plan tells secret values apart."""
    try:
        key = Fingerprints.from_environ(environ).key_id
    except Problem as problem:
        return failed("fingerprint key", problem)
    if key:
        return Check(name="fingerprint key", passed=True, detail=f"key {key}")
    return Check(
        name="fingerprint key",
        passed=True,
        detail=f"{KEY_VARIABLE} is not set",
        hint="without it a plan tells that a secret value changed, but not into which",
    )
