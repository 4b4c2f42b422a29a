"""The flow objective: a rectified flow between images and noise (Liu et al. 2023; Lipman et al. 2023)."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from ..protocol import FlowObjective
from ..uniforms import times_of
from .contract import BuildContext, Expectation, Inputs, LossResult, Networks, Objective


def build(context: BuildContext) -> Objective:
    """The objective of a FlowObjective.

    x_t = (1 - t) images + t noise, as Stable Diffusion 3 and diffusers have it; in the papers time runs the other way.
    The network is told t * numTrainTimesteps and answers with the velocity dx/dt = noise - images.
    """
    config: FlowObjective = context.config
    scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=config.num_train_timesteps)

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        """Mean squared error of the velocity (Liu et al. 2023, eq. 1)."""
        times = sample_times(times_of(inputs.uniforms), config)
        t = times.view(-1, 1, 1, 1)
        noisy_images = (1 - t) * inputs.images + t * inputs.noise
        velocity = inputs.noise - inputs.images
        predicted = networks.online(noisy_images, times * config.num_train_timesteps, inputs.labels).sample
        return LossResult(torch.nn.functional.mse_loss(predicted, velocity), velocity)

    def expect(inputs: Inputs) -> Expectation:
        """One call on (1 - t) x + t n; the target is n - x."""
        t = inputs.uniforms[:, 2]
        if config.time_sampling == "logit_normal":
            t = torch.sigmoid(config.logit_mean + config.logit_std * torch.special.ndtri(t))
        at = t[:, None, None, None]
        mixed = (1 - at) * inputs.images + at * inputs.noise
        call: dict[str, Any] = {"sample": mixed, "timestep": t * config.num_train_timesteps}
        if inputs.labels is not None:
            call["class_labels"] = inputs.labels
        return Expectation([call], inputs.noise - inputs.images)

    return Objective("flow", scheduler, loss, expect)


def sample_times(uniforms: torch.Tensor, config: FlowObjective) -> torch.Tensor:
    """float32 [B] in [0, 1] from float32 [B] in [0, 1): as they are, or logit-normal by the inverse distribution.

    logit-normal: the logit of t is normal with logitMean and logitStd (Esser et al. 2024, section 3.1). A uniform of 0
    is the image itself, t = 0.
    """
    if config.time_sampling == "uniform":
        return uniforms
    return torch.sigmoid(config.logit_mean + config.logit_std * torch.special.ndtri(uniforms))
