"""The PyTorch worker of immiscible: computes gradients on batches that the orchestrator prepared.

For a training loop of your own: `AssignedBatches`.
"""

from .batches import AssignedBatch, AssignedBatches

__all__ = ["AssignedBatch", "AssignedBatches"]
