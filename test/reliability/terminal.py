"""`terminal.py COMMAND...`: runs it in a terminal of its own, closes that after a step, prints how it ended."""

from __future__ import annotations

import json
import os
import pty
import sys


def main(command: list[str]) -> None:
    """One JSON line: the exit code, or minus the signal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    said = b""
    # Only the line that tells of steps is written over, and only in a terminal.
    while b"\x1b[K" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    print(json.dumps({"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}))


main(sys.argv[1:])
