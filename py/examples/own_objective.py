"""An objective of your own: epsilon-prediction with the P2 weighting of Choi et al. 2022, which spares fine detail.

objective: { kind: 'module', module: 'py/examples/own_objective.py', options: { gamma: 1, k: 1 } }
"""

from __future__ import annotations

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from immiscible_worker.objective import BuildContext, Expectation, Inputs, LossResult, Networks, Objective
from immiscible_worker.uniforms import timesteps_of

NUM_TIMESTEPS = 1000


def build(context: BuildContext) -> Objective:
    """options: gamma (1) and k (1) of the weight 1 / (k + SNR)^gamma."""
    gamma, k = context.options.get("gamma", 1.0), context.options.get("k", 1.0)
    scheduler = DDIMScheduler(num_train_timesteps=NUM_TIMESTEPS, clip_sample_range=context.image_scale)

    def at(timesteps: torch.Tensor) -> torch.Tensor:
        return scheduler.alphas_cumprod.to(timesteps.device)[timesteps].view(-1, 1, 1, 1)

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        """Draws nothing: timesteps come from inputs.uniforms, the noise is the assigned one."""
        timesteps = timesteps_of(inputs.uniforms, NUM_TIMESTEPS)
        a = at(timesteps)
        noisy_images = a.sqrt() * inputs.images + (1 - a).sqrt() * inputs.noise
        predicted = networks.online(noisy_images, timesteps, inputs.labels).sample
        weight = (k + a / (1 - a)) ** -gamma
        return LossResult((weight * (predicted.float() - inputs.noise) ** 2).mean(), inputs.noise)

    def expect(inputs: Inputs) -> Expectation:
        """For the gate: what must enter the network, written again and not called from the loss."""
        timesteps = (inputs.uniforms[:, 0] * NUM_TIMESTEPS).floor().long()
        a = at(timesteps)
        noisy_images = a.sqrt() * inputs.images + (1 - a).sqrt() * inputs.noise
        call = {"sample": noisy_images, "timestep": timesteps}
        return Expectation([call if inputs.labels is None else {**call, "class_labels": inputs.labels}], inputs.noise)

    return Objective("ddim", scheduler, loss, expect)
