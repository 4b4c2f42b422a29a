"""The ddim objective: the loss is DDPM's epsilon-regression (Ho et al. 2020, eq. 14); DDIM is what samples from it."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from ..protocol import DdimObjective
from ..uniforms import timesteps_of
from .contract import BuildContext, Expectation, Inputs, LossResult, Networks, Objective


def build(context: BuildContext) -> Objective:
    """The objective of a DdimObjective."""
    scheduler = build_scheduler(context.config, context.image_scale)

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        """Mean squared error between the noise and the network's guess of it."""
        images, noise = inputs.images, inputs.noise
        num_timesteps: int = scheduler.config.num_train_timesteps  # pyright: ignore[reportAttributeAccessIssue]
        timesteps = timesteps_of(inputs.uniforms, num_timesteps)
        noisy_images = scheduler.add_noise(images, noise, timesteps)  # pyright: ignore[reportArgumentType]
        predicted = networks.online(noisy_images, timesteps, inputs.labels).sample
        return LossResult(torch.nn.functional.mse_loss(predicted.float(), noise), noise)

    def expect(inputs: Inputs) -> Expectation:
        """One call on sqrt(a) x + sqrt(1 - a) n (Ho et al. 2020, eq. 4), a = alphas_cumprod[t]; the target is n."""
        alphas = scheduler.alphas_cumprod.to(device=inputs.images.device, dtype=torch.float32)
        timestep = torch.floor(inputs.uniforms[:, 0] * len(alphas)).long()
        a = alphas[timestep].view(-1, 1, 1, 1)
        call: dict[str, Any] = {"sample": a**0.5 * inputs.images + (1 - a) ** 0.5 * inputs.noise, "timestep": timestep}
        if inputs.labels is not None:
            call["class_labels"] = inputs.labels
        return Expectation([call], inputs.noise)

    return Objective("ddim", scheduler, loss, expect)


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
