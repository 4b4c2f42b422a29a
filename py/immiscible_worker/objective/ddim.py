"""The ddim objective: the loss is DDPM's epsilon-regression (Ho et al. 2020, eq. 14); DDIM is what samples from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from ..protocol import DdimObjective
from ..uniforms import timesteps_of
from .contract import Expectation, LossResult, Objective


def build(config: DdimObjective, image_scale: float) -> Objective:
    """The objective for images in [-image_scale, image_scale]."""
    return Objective(build_scheduler(config, image_scale), loss, expect)


def build_scheduler(config: DdimObjective, image_scale: float) -> DDIMScheduler:
    """The noise schedule, as saved beside the network in the pipeline. While sampling it clips to the images' range."""
    return DDIMScheduler(
        num_train_timesteps=config.num_train_timesteps,
        beta_schedule=config.beta_schedule,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        prediction_type=config.prediction_type,
        clip_sample_range=image_scale,
    )


def loss(
    network: Callable[..., Any],
    images: torch.Tensor,
    noise: torch.Tensor,
    uniforms: torch.Tensor,
    scheduler: DDIMScheduler,
) -> LossResult:
    """Mean squared error between the noise and the network's guess of it. Draws nothing.

    images: float32 [B, C, H, W] in the model's scale. noise: float32, same shape, row i paired with image i.
    uniforms: float32 [B, 3] in [0, 1). network(noisy_images, timesteps).sample: same shape as images.
    """
    timesteps = timesteps_of(uniforms, scheduler.config.num_train_timesteps)  # pyright: ignore[reportAttributeAccessIssue]
    noisy_images = scheduler.add_noise(images, noise, timesteps)  # pyright: ignore[reportArgumentType]
    predicted = network(noisy_images, timesteps).sample
    target = noise
    return LossResult(torch.nn.functional.mse_loss(predicted.float(), target), target)


def expect(images: torch.Tensor, noise: torch.Tensor, uniforms: torch.Tensor, scheduler: DDIMScheduler) -> Expectation:
    """One call on sqrt(a) x + sqrt(1 - a) n (Ho et al. 2020, eq. 4), a = alphas_cumprod[t]; the target is n itself."""
    alphas = scheduler.alphas_cumprod.to(device=images.device, dtype=torch.float32)
    timestep = torch.floor(uniforms[:, 0] * len(alphas)).long()
    a = alphas[timestep].view(-1, 1, 1, 1)
    return Expectation([{"sample": a**0.5 * images + (1 - a) ** 0.5 * noise, "timestep": timestep}], noise)
