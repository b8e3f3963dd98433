"""An OpenID Connect issuer on loopback, and the tokens (JWT) it signs.

Of the protocol there is what an API server asks for: the discovery document (OpenID Connect Discovery 1.0) and
the keys (RFC 7517). The openssl program signs.
"""

import base64
import json
import ssl
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from toolchain.programs import run

KEY_ID = "test"
EXPONENT = 65537


class Issuer:
    """A running issuer, until `stop` or the end of the process."""

    def __init__(self, folder: Path, certificate: Path, key: Path) -> None:
        """Listen on a free port with this certificate; `folder` receives the key that signs tokens."""
        self._signing_key = folder / "oidc-signing.key"
        run(["openssl", "genpkey", "-algorithm", "RSA", "-out", self._signing_key])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        # The thread of the connection shakes hands, so that a client that does not is in nobody's way.
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._server.pages = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "/jwks": {"keys": [self._public_key()]},
        }
        threading.Thread(target=self._server.serve_forever, name="oidc", daemon=True).start()

    def token(self, claims: Mapping[str, Any], seconds: float) -> str:
        """Return a signed token with these claims that expires after so many seconds, which may be negative."""
        now = time.time()
        header = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        times = {"iat": int(now), "nbf": int(min(now, now + seconds)) - 5, "exp": int(now + seconds)}
        signed = ".".join(
            _base64(json.dumps(part).encode()) for part in (header, {"iss": self.url, **times, **claims})
        )
        answer = run(
            ["openssl", "dgst", "-sha256", "-hex", "-sign", self._signing_key], stdin=signed.encode()
        )
        return f"{signed}.{_base64(bytes.fromhex(answer.rpartition('= ')[2].strip()))}"

    def stop(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()

    def _public_key(self) -> dict[str, str]:
        answer = run(["openssl", "rsa", "-in", self._signing_key, "-noout", "-modulus"])
        modulus = bytes.fromhex(answer.strip().removeprefix("Modulus="))
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": KEY_ID,
            "n": _base64(modulus),
            "e": _base64(EXPONENT.to_bytes(3)),
        }


class _Server(ThreadingHTTPServer):
    pages: Mapping[str, Any]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        content = json.dumps(page).encode()
        self.send_response(404 if page is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: whoever started the issuer owns stderr."""


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
