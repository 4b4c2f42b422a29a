"""The ddim objective: the loss is DDPM's epsilon-regression (Ho et al. 2020, eq. 14); DDIM is what samples from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from ..protocol import UNIFORM_COLUMNS, DdimObjective

_TIMESTEP = UNIFORM_COLUMNS.index("timestep")


class LossResult(NamedTuple):
    """loss: float32 scalar. target: float32 [B, C, H, W], what the network's output was compared with."""

    loss: torch.Tensor
    target: torch.Tensor


def build_scheduler(config: DdimObjective) -> DDIMScheduler:
    """The noise schedule, as saved beside the network in the pipeline."""
    return DDIMScheduler(
        num_train_timesteps=config.num_train_timesteps,
        beta_schedule=config.beta_schedule,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        prediction_type=config.prediction_type,
    )


def timesteps_of(uniforms: torch.Tensor, num_train_timesteps: int) -> torch.Tensor:
    """floor(u * T) of the timestep column. uniforms: float32 [B, 3] in [0, 1); result: int64 [B] in 0..T-1."""
    return (uniforms[:, _TIMESTEP] * num_train_timesteps).floor().to(torch.int64)


def loss(
    network: Callable[..., Any],
    images: torch.Tensor,
    noise: torch.Tensor,
    uniforms: torch.Tensor,
    scheduler: DDIMScheduler,
) -> LossResult:
    """Mean squared error between the noise and the network's guess of it. Draws nothing.

    images: float32 [B, C, H, W] in [-1, 1]. noise: float32, same shape, row i paired with image i.
    uniforms: float32 [B, 3] in [0, 1). network(noisy_images, timesteps).sample: same shape as images.
    """
    timesteps = timesteps_of(uniforms, scheduler.config.num_train_timesteps)  # pyright: ignore[reportAttributeAccessIssue]
    noisy_images = scheduler.add_noise(images, noise, timesteps)  # pyright: ignore[reportArgumentType]
    predicted = network(noisy_images, timesteps).sample
    target = noise
    return LossResult(torch.nn.functional.mse_loss(predicted.float(), target), target)
