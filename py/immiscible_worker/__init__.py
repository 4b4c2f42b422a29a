"""The PyTorch worker of immiscible: computes gradients on batches that the orchestrator prepared.

For a training loop of your own: `AssignedBatches`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batches import AssignedBatch, AssignedBatches

__all__ = ["AssignedBatch", "AssignedBatches"]


def __getattr__(name: str) -> Any:
    """Imported when asked for, so that `describe` can say what is missing of that which they need."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import batches

    return getattr(batches, name)
