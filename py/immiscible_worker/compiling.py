"""torch.compile as training needs it: the same bits from start to end, and failures in the config's words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from .errors import ConfigError


def compile_network(network: torch.nn.Module) -> Any:
    """The network, called as before; its first call compiles, and so does the first of each other shape or mode."""
    # dynamic: a second shape would have the first one's kernels replaced, and with them the bits of the rest of a run.
    # fallback_random: dropout draws what it draws uncompiled, from the same seed.
    return torch.compile(network, dynamic=False, options={"fallback_random": True})


@contextmanager
def explain_failure() -> Generator[None]:
    """Raises ConfigError where torch could not compile within; anything else passes."""
    try:
        yield
    except RuntimeError as error:
        # By name: nobody else needs the compiler imported.
        if "TorchDynamoException" not in {kind.__name__ for kind in type(error).__mro__}:
            raise
        reason = str(error).strip().partition("\n")[0]
        needs = "it needs a C++ compiler on the CPU and Triton on a GPU"
        message = f"training.torchCompile: torch could not compile the network ({needs}): {reason}"
        raise ConfigError("COMPILE", message) from error
