"""`sf credential`: hands a tool of a run the token that the run holds, as client-go asks for one.

kubectl and flux start it as the exec credential plugin that the run's kubeconfig names. It only carries what the
run answers over its socket (`sf.backends.flux.broker`) to stdout, never asks a person, and imports little: it
starts once for every call of a tool.
"""

import socket
import sys

OK = b"+"
FAILED = b"-"
# Seconds. The run may have to ask the forge for a new token first, more than once.
_TIMEOUT = 60.0


def main(arguments: list[str]) -> int:
    """Print the answer of the socket that ``--socket PATH`` names; the exit code is 0 only for a credential."""
    if len(arguments) != 2 or arguments[0] != "--socket":
        sys.stderr.write("usage: sf credential --socket PATH\n")
        return 2
    try:
        answer = _ask(arguments[1])
    except OSError as error:
        sys.stderr.write(f"the run that holds the token does not answer: {error}\n")
        return 1
    text = answer[1:].decode("utf-8", "replace")
    if answer[:1] == OK:
        sys.stdout.write(text)
        return 0
    sys.stderr.write(f"{text or 'the run that holds the token ended'}\n")
    return 1


def _ask(path: str) -> bytes:
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        connection.connect(path)
        while part := connection.recv(65536):
            answer += part
    return answer
