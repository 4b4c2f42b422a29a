"""The PyTorch worker of immiscible: computes gradients on batches that the orchestrator prepared."""
