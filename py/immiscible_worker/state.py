"""The full training state as named tensors, and its digest: what a checkpoint holds and what a resume must restore."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from .codec import raw_bytes


@dataclass(frozen=True)
class TrainState:
    """network: its parameters and the buffers that it saves; ema: one tensor per parameter.

    target: as network, of the slow network of an objective that has one, else empty.
    optimizer: `<parameter>.exp_avg`, `.exp_avg_sq` and `.step`. scaler: fp16's loss scale and the updates since it last
    changed, else empty. step: batches trained on. ema_updates: EMA updates applied; fewer than steps where fp16
    overflowed.
    """

    step: int
    network: Mapping[str, torch.Tensor]
    ema: Mapping[str, torch.Tensor]
    target: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, torch.Tensor]
    scaler: Mapping[str, float]
    ema_updates: int


def named_tensors(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and the buffers that the network saves, each once, without their gradients. The live ones."""
    saved = network.state_dict().keys()
    buffers = {name: buffer for name, buffer in network.named_buffers() if name in saved}
    return {**{name: parameter.detach() for name, parameter in network.named_parameters()}, **buffers}


def tensor_parts(state: TrainState) -> dict[str, Mapping[str, torch.Tensor]]:
    """The parts of a state that are tensors, by name: a file of a checkpoint each; target only where there is one."""
    parts = {"network": state.network, "ema": state.ema, "optimizer": state.optimizer}
    return {**parts, "target": state.target} if state.target else parts


def state_sha256(state: TrainState) -> str:
    """SHA-256 (hex) over name, dtype, shape and bytes of every tensor in order of name, and the numbers beside them.

    Files are no substitute: safetensors may write one state as different bytes.
    """
    digest = hashlib.sha256()
    parts = tensor_parts(state).items()
    tensors = {f"{part}.{name}": tensor for part, named in parts for name, tensor in named.items()}
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(raw_bytes(tensor))
    digest.update(f"step {state.step} emaUpdates {state.ema_updates}\n".encode())
    for name, value in sorted(state.scaler.items()):
        digest.update(f"scaler {name} {value.hex()}\n".encode())
    return digest.hexdigest()
