"""What the columns of a batch's uniforms decide."""

from __future__ import annotations

import torch

from .protocol import UNIFORM_COLUMNS

_TIMESTEP, _LABEL_DROPOUT, _TIME = map(UNIFORM_COLUMNS.index, ("timestep", "labelDropout", "time"))


def timesteps_of(uniforms: torch.Tensor, num_train_timesteps: int) -> torch.Tensor:
    """floor(u * T) of the timestep column. uniforms: float32 [B, 3] in [0, 1); result: int64 [B] in 0..T-1."""
    return (uniforms[:, _TIMESTEP] * num_train_timesteps).floor().to(torch.int64)


def levels_of(uniforms: torch.Tensor) -> torch.Tensor:
    """The timestep column as it is, float32 [B] in [0, 1): for an objective whose levels are not equally likely."""
    return uniforms[:, _TIMESTEP]


def times_of(uniforms: torch.Tensor) -> torch.Tensor:
    """The time column, float32 [B] in [0, 1): for an objective in continuous time."""
    return uniforms[:, _TIME]


def drop_labels(labels: torch.Tensor, uniforms: torch.Tensor, share: float, none: int) -> torch.Tensor:
    """labels, int64 [B], with those whose labelDropout column is below `share` replaced by `none`."""
    return torch.where(uniforms[:, _LABEL_DROPOUT] < share, none, labels)
