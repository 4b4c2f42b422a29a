"""`python -m immiscible_worker`: the worker; with the name of a tool: that tool, JSON on stdin to JSON on stdout."""

from __future__ import annotations

import os
import signal
import sys

# Read by libgomp when torch is imported. By default its threads spin for milliseconds while they wait for each other:
# with another process on their cores a step then took ten to thirty times as long. Asleep at once, it took three times
# as long on idle cores. So: a short spin, then sleep.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def main(arguments: list[str]) -> int:
    """Returns the exit code. What is not needed for an early error is imported later."""
    if not arguments:
        # They reach the whole process group; only the orchestrator says what they mean, and a worker ends without one.
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        from .worker import run_worker

        return run_worker()
    # It ends by SystemExit, so that files which are half written are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from .tool import run_tool

    return run_tool(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
