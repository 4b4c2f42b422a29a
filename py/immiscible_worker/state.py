"""The full training state as named tensors, and its digest: what a checkpoint holds and what a resume must restore."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .codec import raw_bytes


@dataclass(frozen=True)
class TrainState:
    """network, ema: one tensor per parameter. optimizer: `<parameter>.exp_avg`, `.exp_avg_sq` and `.step`.

    step: optimiser updates applied. ema_updates: EMA updates applied.
    """

    step: int
    network: Mapping[str, torch.Tensor]
    ema: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]
    ema_updates: int


def state_sha256(state: TrainState) -> str:
    """SHA-256 (hex) over name, dtype, shape and bytes of every tensor in order of name, and the EMA's update count.

    Files are no substitute: safetensors may write one state as different bytes.
    """
    digest = hashlib.sha256()
    parts = {"network": state.network, "ema": state.ema, "optimizer": state.optimizer}
    tensors = {f"{part}.{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(raw_bytes(tensor))
    digest.update(f"emaUpdates {state.ema_updates}\n".encode())
    return digest.hexdigest()
