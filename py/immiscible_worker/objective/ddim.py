"""The ddim objective: the loss is DDPM's regression (Ho et al. 2020, eq. 14), on epsilon or v; DDIM samples from it."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.training_utils import compute_snr

from ..protocol import DdimObjective
from ..uniforms import timesteps_of
from .contract import BuildContext, Expectation, Inputs, LossResult, Networks, Objective


def build(context: BuildContext) -> Objective:
    """The objective of a DdimObjective."""
    config: DdimObjective = context.config
    scheduler = build_scheduler(config, context)
    steps: Any = scheduler  # diffusers' annotations say IntTensor where any integers do

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        """Squared error of the network's guess of the noise, or of v, a mean over pixels and weighted over images."""
        images, noise = inputs.images, inputs.noise
        timesteps = timesteps_of(inputs.uniforms, config.num_train_timesteps)
        noisy_images = steps.add_noise(images, noise, timesteps)
        is_velocity = config.prediction_type == "v_prediction"
        target = steps.get_velocity(images, noise, timesteps) if is_velocity else noise
        predicted = networks.online(noisy_images, timesteps, inputs.labels).sample
        if config.snr_gamma is None:
            return LossResult(torch.nn.functional.mse_loss(predicted, target), target)
        errors = torch.nn.functional.mse_loss(predicted, target, reduction="none").flatten(1).mean(1)
        return LossResult((weigh(scheduler, config, timesteps) * errors).mean(), target)

    def expect(inputs: Inputs) -> Expectation:
        """One call on sqrt(a) x + sqrt(1 - a) n (Ho et al. 2020, eq. 4), a = alphas_cumprod[t].

        The target is n, or v = sqrt(a) n - sqrt(1 - a) x (Salimans & Ho 2022, section 2.4).
        """
        alphas = scheduler.alphas_cumprod.to(device=inputs.images.device, dtype=torch.float32)
        timestep = torch.floor(inputs.uniforms[:, 0] * len(alphas)).long()
        a = alphas[timestep].view(-1, 1, 1, 1)
        x, n = inputs.images, inputs.noise
        call: dict[str, Any] = {"sample": a**0.5 * x + (1 - a) ** 0.5 * n, "timestep": timestep}
        if inputs.labels is not None:
            call["class_labels"] = inputs.labels
        return Expectation([call], n if config.prediction_type == "epsilon" else a**0.5 * n - (1 - a) ** 0.5 * x)

    return Objective("ddim", scheduler, loss, expect)


def weigh(scheduler: DDIMScheduler, config: DdimObjective, timesteps: torch.Tensor) -> torch.Tensor:
    """Min-SNR weights (Hang et al. 2023, section 3.4), float32 [B]: min(SNR, gamma) over SNR (epsilon) or SNR + 1 (v).

    In both cases that is the weight min(SNR, gamma) of the error of the image. timesteps: int64 [B].
    """
    snr = compute_snr(scheduler, timesteps)
    clipped = snr.clamp(max=config.snr_gamma)
    return clipped / (snr if config.prediction_type == "epsilon" else snr + 1)


def build_scheduler(config: DdimObjective, context: BuildContext) -> DDIMScheduler:
    """The noise schedule, as saved beside the network in the pipeline. While sampling it clips to the images' range,
    which latents have none of."""
    return DDIMScheduler(
        num_train_timesteps=config.num_train_timesteps,
        beta_schedule=config.beta_schedule,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        prediction_type=config.prediction_type,
        clip_sample=not context.is_latent,
        clip_sample_range=context.image_scale,
    )
