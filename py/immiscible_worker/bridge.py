"""The one module that pythonia calls, for ts/python: a call as JSON text in, what it answered or raised as JSON out.

pythonia cannot carry NaN, bytes or the message of an exception, so nothing but text passes through it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sys
import threading
import time
import traceback
from operator import attrgetter
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any

from .errors import UsageError
from .user_module import is_file, load
from .values import from_json, to_json

_ORPHAN_CHECK_SECONDS = 0.5
_ORPHANED = 75
# pythonia's own, which would hide a user's modules of these names.
_PYTHONIA_MODULES = ("Bridge", "proxy", "json_patch", "ws")

_files: dict[str, ModuleType] = {}
_is_running = False


class Interrupted(KeyboardInterrupt):
    """The caller does not wait any longer."""


def begin() -> str:
    """Makes this process, which pythonia has started, one that calls of a user's functions may run in. Answers "{}"."""
    # What is printed goes to stderr: stdout belongs to the program in TypeScript, and its stdin too.
    sys.stdout.flush()
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.environ.pop("NODE_CHANNEL_FD", None)  # a Node started from here would take our channel for its own
    for name in _PYTHONIA_MODULES:
        sys.modules.pop(name, None)
    sys.path[0] = str(Path.cwd())  # as `python -m` has it; it was pythonia's folder
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as __main__.py says, and before torch too
    # Ctrl-C reaches the whole process group; what it means is for TypeScript to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, _interrupt)
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()
    return "{}"


def answer(request: str) -> str:
    """Calls what `target` of the request names. Never raises.

    request: {"target": "module:function" or "path.py:function", "args": [...], "kwargs": {...}}, see values.py. A file
    is run once, at its first call; a coroutine is awaited. Answers {"value"} or {"error": {type, message, traceback}}.
    """
    try:
        return _answer(request)
    except BaseException as error:
        return _describe(error)


def _answer(request: str) -> str:
    global _is_running
    given = from_json(request)
    try:
        _is_running = True
        value = _find(given["target"])(*given["args"], **given["kwargs"])
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return f'{{"value": {to_json(value)}}}'
    finally:
        _is_running = False


def _find(target: str) -> Any:
    module, _, name = target.rpartition(":")
    if not module or not name:
        raise UsageError(f"expected 'module:function' or 'path.py:function', got '{target}'")
    if not is_file(module):
        loaded = load("python", module)
    elif module in _files:
        loaded = _files[module]
    else:
        loaded = _files[module] = load("python", module)
    return attrgetter(name)(loaded)


def _describe(error: BaseException) -> str:
    """As JSON, whatever the error is: an exception's own text may fail too."""
    try:
        message = str(error)
    except BaseException as failure:
        message = f"(its text failed: {type(failure).__name__})"
    try:
        trace = "".join(traceback.format_exception(type(error), error, _users_frames(error.__traceback__)))
    except BaseException:
        trace = ""
    return json.dumps({"error": {"type": type(error).__name__, "message": message, "traceback": trace}})


def _users_frames(trace: TracebackType | None) -> TracebackType | None:
    """From the first frame that is not of this file."""
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    if _is_running:
        raise Interrupted


def _watch_parent(parent: int) -> None:
    """Ends this process when the one that started it is gone, in the middle of a call too."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK_SECONDS)
    os._exit(_ORPHANED)
