"""The certificates that the API server's own is checked against."""

from __future__ import annotations

import base64
import binascii
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sf.models import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sf.config import ClusterConfig

MOUNTED: Final = "the service account of this pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Certificates (PEM) and where they come from, for messages."""

    pem: str
    origin: str

    def check(self) -> None:
        """Raise `Problem` when this is no PEM, or nothing in it is valid today."""
        try:
            context = ssl.create_default_context(cadata=self.pem)
        except (ssl.SSLError, ValueError, TypeError) as error:
            raise Problem(
                f"the certificate authority in {self.origin} is not a list of PEM certificates",
                hint="it begins with -----BEGIN CERTIFICATE-----; a kubeconfig has it in base64 as"
                " `certificate-authority-data`",
            ) from error
        found = context.get_ca_certs()
        now = time.time()
        ends = [ssl.cert_time_to_seconds(str(certificate["notAfter"])) for certificate in found]
        starts = [ssl.cert_time_to_seconds(str(certificate["notBefore"])) for certificate in found]
        if found and max(ends) < now:
            raise Problem(
                f"the certificate authority in {self.origin} expired on {_day(max(ends))}",
                hint="take the one that the cluster has now: `kubectl config view --raw` shows it",
            )
        if found and min(starts) > now:
            raise Problem(
                f"the certificate authority in {self.origin} is valid from {_day(min(starts))} on",
                hint="check the clock of this machine",
            )


def find_authority(
    cluster: ClusterConfig, environ: Mapping[str, str], mounted: Path | None = None
) -> Authority | None:
    """The authority that the job, the configuration or else the pod (`mounted`) brings for the cluster.

    None leaves it to the system's own. Raises `Problem` for one that cannot be read or used.
    """
    file, encoded = f"{cluster.env_prefix}_CA_FILE", f"{cluster.env_prefix}_CA_B64"
    if environ.get(file):
        found = Authority(pem=_read(Path(environ[file]), file), origin=file)
    elif environ.get(encoded):
        found = Authority(pem=decoded(environ[encoded], encoded), origin=encoded)
    elif cluster.ca:
        found = Authority(pem=cluster.ca, origin="`gitops.cluster.ca`")
    elif mounted is not None and mounted.is_file():
        found = Authority(pem=_read(mounted, MOUNTED), origin=MOUNTED)
    else:
        return None
    found.check()
    return found


def decoded(text: str, name: str) -> str:
    """The ASCII text that `text`, the value of `name`, holds in base64.

    Raises `Problem`.
    """
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Problem(
            f"{name} is not a text file in base64", hint="make it with `base64 -w0 FILE`"
        ) from error


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"the certificate authority of {name} cannot be read: {error}") from error


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
