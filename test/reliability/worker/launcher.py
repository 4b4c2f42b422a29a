"""Stands where the worker's interpreter is expected: has server.py fork one, lends it its descriptors, ends as it ends.

The copy that runs lies beside the server's socket, under a first line that names the interpreter.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

# To its own, and from a terminal to the whole group.
FORWARDED = (signal.SIGUSR1, signal.SIGCONT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Exit code or signal are those of the process that the server forked."""
    itself = Path(sys.argv[0]).absolute()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(itself.with_name("fork.sock")))
    variables = {**os.environ, "HOOK_ORCHESTRATOR": str(os.getppid())}
    request = {"arguments": sys.argv[1:], "variables": variables, "cwd": str(Path.cwd()), "executable": str(itself)}
    data = json.dumps(request).encode()
    descriptors = array.array("i", [0, 1, 2])
    connection.sendmsg([len(data).to_bytes(4, "little")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    connection.sendall(data)
    pid = int.from_bytes(connection.recv(4), "little")
    for name in FORWARDED:
        signal.signal(name, lambda number, _: forward(pid, number))
    answer = connection.recv(4)
    code = int.from_bytes(answer, "little", signed=True) if answer else 70
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if code != -signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def forward(pid: int, number: int) -> None:
    """It may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


main()
