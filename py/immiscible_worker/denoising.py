"""What a model answers at the noise layer, where all it is given is noise (Li et al. 2024, section 3 and Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import CMStochasticIterativeScheduler, DDIMScheduler

from .sampling import Settings, guide, labels_of, quadratic_timesteps, sampler_of

_FIRST_CLASS = 0


@dataclass(frozen=True)
class Answer:
    """predicted, denoised: float32 [B, C, H, W]; `what` is predicted and at which level of noise, in words.

    predicted: the noise, or a flow's velocity. denoised: the image that follows from it in one step, x0-hat, clipped
    to nothing; in the model's scale.
    """

    predicted: torch.Tensor
    denoised: torch.Tensor
    what: str
    level: str


@dataclass(frozen=True)
class Explanation:
    """How far the answers to many noises are one image and the noise itself.

    noise_r2: of the least-squares fit predicted = mean + b noise, one image `mean` and one number b for all: 1 is eq. 3
    of Li et al. 2024, where a model's prediction holds no information on the image. The shares add up to 1 and are of
    the variance of x0-hat over noises and pixels: of the image that all answers have in common, of a multiple of the
    noise that the answer is to, and of what is left, which is where images can be.
    """

    noise_r2: float
    mean_share: float
    noise_share: float
    image_share: float


@torch.no_grad()
def answer_noise(network: Any, scheduler: Any, noise: torch.Tensor, settings: Settings) -> Answer:
    """The network's first answer while sampling from `noise`, float32 [B, C, H, W], standard normal, on its device.

    ddim: at the first timestep of its schedule of num_inference_steps. consistency: at sigma_max. flow: at t = 1.
    A class-conditional model is asked for its first class throughout, so that what differs is the noise's doing.
    """
    parameter = next(network.parameters())
    is_conditional = getattr(network.config, "num_class_embeds", None) is not None
    labels = labels_of(network, _FIRST_CLASS if is_conditional else None, len(noise))
    predict = guide(network, None if labels is None else labels.to(noise.device), 1.0, parameter.dtype)
    sampler = sampler_of(scheduler)
    if sampler == "ddim":
        t = _first_timestep(scheduler, settings)
        a = scheduler.alphas_cumprod[t].to(noise.device)
        output = predict(noise, torch.tensor(t))
        if scheduler.config.prediction_type == "v_prediction":
            epsilon, denoised = a**0.5 * output + (1 - a) ** 0.5 * noise, a**0.5 * noise - (1 - a) ** 0.5 * output
        else:
            epsilon, denoised = output, (noise - (1 - a) ** 0.5 * output) / a**0.5
        return Answer(epsilon, denoised, "predicted noise", f"t = {t} of {scheduler.config.num_train_timesteps}")
    if sampler == "consistency":
        steps = cast(Any, CMStochasticIterativeScheduler.from_config(scheduler.config))
        steps.set_timesteps(1)
        sigma = steps.sigmas[0].to(noise.device)
        images = sigma * noise
        output = predict(images / (sigma**2 + steps.config.sigma_data**2) ** 0.5, steps.timesteps[0])
        c_skip, c_out = steps.get_scalings_for_boundary_condition(sigma)
        denoised = c_out * output + c_skip * images
        return Answer((images - denoised) / sigma, denoised, "predicted noise", f"sigma = {float(sigma):g}")
    velocity = predict(noise, torch.tensor(float(scheduler.config.num_train_timesteps)))
    return Answer(velocity, noise - velocity, "velocity", "t = 1")


def _first_timestep(scheduler: Any, settings: Settings) -> int:
    config, num_steps = scheduler.config, settings.num_inference_steps
    if settings.timestep_spacing == "quadratic":
        return quadratic_timesteps(config.num_train_timesteps, num_steps)[0]
    steps = cast(Any, DDIMScheduler.from_config(config, timestep_spacing=settings.timestep_spacing))
    steps.set_timesteps(num_steps)
    return int(steps.timesteps[0])


def explain(noise: torch.Tensor, answer: Answer) -> Explanation:
    """noise: what `answer` is to, at least two of them. In float64."""
    num_noises = len(noise)
    given, predicted, denoised = (
        tensor.cpu().flatten(1).double() for tensor in (noise, answer.predicted, answer.denoised)
    )
    centred = given - given.mean(0)
    total = (predicted - predicted.mean(0)).square().sum()
    noise_r2 = _explained_by(centred, predicted) / total

    mean = denoised.mean(0)
    varied = (denoised - mean).square().sum() / (num_noises - 1)
    of_noise = _explained_by(centred, denoised) / (num_noises - 1)
    # A mean of n answers varies by their variance / n where there is nothing to see.
    of_mean = ((mean - mean.mean()).square().sum() - varied / num_noises).clamp(min=0)
    whole = of_mean + varied
    return Explanation(
        noise_r2=float(noise_r2),
        mean_share=float(of_mean / whole),
        noise_share=float(of_noise / whole),
        image_share=float((varied - of_noise) / whole),
    )


def _explained_by(centred: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The sum of squares of `values` [B, D] about their mean over B that b `centred` explains, with the best b."""
    return (centred * values).sum().square() / centred.square().sum()
