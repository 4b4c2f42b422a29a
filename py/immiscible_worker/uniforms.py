"""What the columns of a batch's uniforms decide."""

from __future__ import annotations

import torch

from .protocol import UNIFORM_COLUMNS

_TIMESTEP = UNIFORM_COLUMNS.index("timestep")


def timesteps_of(uniforms: torch.Tensor, num_train_timesteps: int) -> torch.Tensor:
    """floor(u * T) of the timestep column. uniforms: float32 [B, 3] in [0, 1); result: int64 [B] in 0..T-1."""
    return (uniforms[:, _TIMESTEP] * num_train_timesteps).floor().to(torch.int64)
