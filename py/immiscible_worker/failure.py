"""Whatever ends a worker badly, as its last words and its exit code."""

from __future__ import annotations

import traceback

from .errors import EXIT_OTHER, EXIT_RETRYABLE, WorkerError
from .protocol import Failed


def describe_failure(error: Exception, step: int) -> tuple[Failed, int]:
    """The event and the exit code for whatever ended the worker."""
    text = "".join(traceback.format_exception(error))
    message = str(error) or type(error).__name__
    if isinstance(error, WorkerError):
        code, is_retryable, exit_code = error.code, error.is_retryable, error.exit_code
    else:
        # By name: torch may not have been imported yet, and need not be for this.
        names = {kind.__name__ for kind in type(error).__mro__}
        if "OutOfMemoryError" in names:
            code, is_retryable = "OUT_OF_MEMORY", False
        elif "AcceleratorError" in names:
            code, is_retryable = "ACCELERATOR", True
        else:
            code, is_retryable = "INTERNAL", False
            message = f"{type(error).__name__}: {message}"
        exit_code = EXIT_RETRYABLE if is_retryable else EXIT_OTHER
    return Failed(code=code, message=message, traceback=text, step=step, is_retryable=is_retryable), exit_code
