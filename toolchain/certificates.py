"""A certificate authority for servers on loopback, made with the openssl program."""

from pathlib import Path
from typing import Self

from toolchain.programs import run

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
DAYS = "2"
SERVER = (
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature,keyEncipherment",
    "extendedKeyUsage=serverAuth",
    "authorityKeyIdentifier=keyid",
    "subjectAltName=IP:127.0.0.1,DNS:localhost",
)
"""The extensions that kubeadm gives the certificate of an API server."""

CLIENT = ("basicConstraints=critical,CA:FALSE", "extendedKeyUsage=clientAuth")


class Authority:
    """An authority whose files lie in `folder`: ca.crt, ca.key and what it signs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "ca.crt"
        self._key = folder / "ca.key"

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Make an authority that is valid for two days, as is all that it signs."""
        folder.mkdir(parents=True, exist_ok=True)
        authority = cls(folder)
        subject = ("-subj", "/CN=sf test authority", "-days", DAYS)
        extensions = ("-addext", "keyUsage=critical,digitalSignature,keyCertSign")
        files = ("-keyout", authority._key, "-out", authority.certificate)
        run(["openssl", "req", "-x509", *NEW_KEY, *subject, *extensions, *files])
        return authority

    @property
    def pem(self) -> str:
        """The authority's own certificate."""
        return self.certificate.read_text()

    def server(self, name: str, *, extensions: tuple[str, ...] = SERVER) -> tuple[Path, Path]:
        """Sign a certificate for a server on loopback, and return the files of certificate and key."""
        return self._signed(name, f"/CN={name}", extensions)

    def client(self, name: str, group: str) -> tuple[Path, Path]:
        """Sign a certificate for a user of an API server, and return the files of certificate and key."""
        return self._signed(name, f"/O={group}/CN={name}", CLIENT)

    def _signed(self, name: str, subject: str, extensions: tuple[str, ...]) -> tuple[Path, Path]:
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        request, settings = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        settings.write_text("\n".join(extensions) + "\n")
        run(["openssl", "req", *NEW_KEY, "-subj", subject, "-keyout", key, "-out", request])
        signer = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-days", DAYS)
        run(["openssl", "x509", "-req", "-in", request, *signer, "-extfile", settings, "-out", certificate])
        return certificate, key
