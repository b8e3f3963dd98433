"""The token endpoint of a runner, as GitHub's and Forgejo's answer: tokens for the cluster of the tests."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from toolchain.cluster import Cluster

SECRET: Final = "request-token-of-the-job"


class TokenEndpoint:
    """Issues a token for `sub` with each request; the first `busy` ones get a 503. It answers after `delay` s."""

    def __init__(self, cluster: Cluster, *, seconds: float = 600, busy: int = 0, delay: float = 0) -> None:
        self.issued: list[str] = []
        self.asked = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805 - `self` is the endpoint
                query = parse_qs(urlsplit(handler.path).query)
                self.asked += 1
                if handler.headers["Authorization"] != f"Bearer {SECRET}" or "placeholder" not in query:
                    handler.send_error(403)
                elif self.asked <= busy:
                    handler.send_error(503)
                else:
                    time.sleep(delay)
                    token = cluster.token("main", seconds=seconds, audience=query["audience"][0])
                    self.issued.append(token)
                    body = json.dumps({"count": len(token), "value": token}).encode()
                    handler.send_response(200)
                    handler.send_header("Content-Length", str(len(body)))
                    handler.end_headers()
                    handler.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def environ(self) -> dict[str, str]:
        """What the runner sets for a job that may ask."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{self._server.server_port}/idtoken?placeholder=true",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
