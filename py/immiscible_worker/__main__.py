"""`python -m immiscible_worker`: the worker; with `sample` or `evaluate`: one tool, JSON on stdin to JSON on stdout."""

from __future__ import annotations

import os
import sys

# Read by OpenMP when torch is imported. By default its threads spin while they wait for each other: where anything else
# keeps a core busy, as the orchestrator's threads do, a step took ten to thirty times as long as it does with sleeping.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def main(arguments: list[str]) -> int:
    """Returns the exit code. What is not needed for an early error is imported later."""
    if not arguments:
        from .worker import run_worker

        return run_worker()
    from .tool import run_tool

    return run_tool(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
