"""Free ports of the loopback interface that stay ours."""

import socket


class Ports:
    """Ports by name, kept from everybody else until `release`.

    A socket that is bound but does not listen takes its port out of what the kernel hands out, and does not keep
    a server that sets SO_REUSEADDR, as those written in Go do, from listening there: socket(7). So nothing else
    gets the port before the server starts, nor while it is restarted.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._held: dict[str, socket.socket] = {}
        for name in names:
            self._held[name] = held = socket.socket()
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", 0))

    def __getitem__(self, name: str) -> int:
        port: int = self._held[name].getsockname()[1]
        return port

    def release(self) -> None:
        """Let go of all of them."""
        for held in self._held.values():
            held.close()
