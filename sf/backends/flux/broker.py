"""Gives the run's token to the tools of the run, over a unix socket: the other end is `sf credential`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sf.credential import FAILED, OK
from sf.models import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from sf.backends.flux.tokens import Credential, Token

EXEC_API: Final = "client.authentication.k8s.io/v1"
# struct ucred of Linux: pid, uid, gid (unix(7)).
_UCRED: Final = struct.Struct("3i")
# Seconds that a tool has to take its answer, which fits into the socket's buffer.
_TIMEOUT: Final = 5.0


class Broker:
    """Answers every connection of this user's processes with the current token, until it is closed."""

    def __init__(self, path: Path, credential: Credential) -> None:
        """Listen at `path`, which must be in a directory that is closed to others. Its own mode becomes 0600."""
        self.path = path
        self._credential = credential
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._listener.bind(str(path))
            path.chmod(0o600)
            self._listener.listen()
        except OSError as error:
            self._listener.close()
            raise Problem(f"cannot listen at {path}: {error.strerror or error}") from error
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="credential", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more, and remove the socket."""
        self._closing = True
        # The thread waits for a connection, so it gets one.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(str(self.path))
        # It may be asking the forge, which nobody needs to wait for any more.
        self._thread.join(_TIMEOUT)
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._closing:
            # The tool may be gone already; that is its affair.
            with contextlib.suppress(OSError):
                connection, _ = self._listener.accept()
                with connection:
                    self._serve_one(connection)

    def _serve_one(self, connection: socket.socket) -> None:
        if not self._closing:
            connection.settimeout(_TIMEOUT)
            connection.sendall(self._answer(connection))

    def _answer(self, connection: socket.socket) -> bytes:
        if not _is_own(connection):
            return FAILED + b"this token is for the processes of another user"
        try:
            return OK + json.dumps(_exec_credential(self._credential.token())).encode()
        except Problem as problem:
            hint = f" ({problem.hint})" if problem.hint else ""
            return FAILED + f"{problem}{hint}".encode()


def _is_own(connection: socket.socket) -> bool:
    """Whether the other end belongs to this user. Systems without the question have the modes of the files."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return bool(uid == os.geteuid())


def _exec_credential(token: Token) -> dict[str, Any]:
    """The answer as client-go wants it. It asks again at the time given, so that is when there is a new one."""
    status: dict[str, Any] = {"token": token.value}
    if token.renewal is not None:
        status["expirationTimestamp"] = datetime.fromtimestamp(token.renewal, UTC).isoformat(
            timespec="seconds"
        )
    return {"apiVersion": EXEC_API, "kind": "ExecCredential", "status": status}
