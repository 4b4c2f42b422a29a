"""The consistency objective: consistency training (Song et al. 2023) and its improved form (Song & Dhariwal 2024).

CT below is Song et al., *Consistency Models*, ICML 2023, arXiv 2303.01469 (Algorithm 3, Appendix C); iCT is Song &
Dhariwal, *Improved Techniques for Training Consistency Models*, ICLR 2024, arXiv 2310.14189 (section 3, Table 1).

What follows the papers here and differs in public training scripts (diffusers' train_cm_ct_unconditional.py):
the input is divided by sqrt(sigma^2 + sigma_data^2), not by its square; c_out has the factor sigma_data; c_skip and
c_out are shifted by sigma_min, so that f(x, sigma_min) = x exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from diffusers.schedulers.scheduling_consistency_models import CMStochasticIterativeScheduler

from ..device import random_state, restore_random_state
from ..errors import ConfigError
from ..lpips import load_lpips
from ..protocol import ConsistencyObjective
from ..uniforms import levels_of
from .contract import BuildContext, Expectation, Inputs, LossResult, Network, Networks, Objective

Distance = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""float32 [B, C, H, W] twice; result: float32 [B]."""


class Levels(NamedTuple):
    """sigmas: float32 [N], rising. cumulative: float32 [N - 1], probability of drawing one of the first i + 1 pairs."""

    sigmas: torch.Tensor
    cumulative: torch.Tensor


def build(context: BuildContext) -> Objective:
    """The objective of a ConsistencyObjective. Raises ConfigError where LPIPS does not fit or has no weights."""
    config: ConsistencyObjective = context.config
    distance = build_distance(config, context)

    @cache
    def levels_at(num_levels: int, device: torch.device) -> Levels:
        return Levels(*(tensor.to(device) for tensor in make_levels(config, num_levels)))

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        """lambda(sigma_i) d(f(x + sigma_{i+1} z, sigma_{i+1}), f'(x + sigma_i z, sigma_i)), a mean over images.

        CT, eq. 10, and iCT, eq. 3: the same assigned z at both levels. f' is the target network, the network itself
        in iCT, without gradient; dropout draws the same for both.
        """
        device = inputs.images.device
        sigmas, cumulative = levels_at(count_levels(config, inputs.step), device)
        index = torch.searchsorted(cumulative, levels_of(inputs.uniforms).contiguous(), right=True)
        upper, lower = sigmas[index + 1], sigmas[index]
        before = random_state(device)
        denoised = denoise(networks.online, config, inputs, upper)
        restore_random_state(before, device)
        with torch.no_grad():
            target = denoise(networks.target, config, inputs, lower)
        errors = distance(denoised, target)
        if config.weighting == "inverse_gap":
            errors = errors / (upper - lower)
        return LossResult(errors.mean(), target)

    def expect(inputs: Inputs) -> Expectation:
        """Two calls, at the upper and then at the lower level of the same draw and with the same noise.

        CT, Algorithm 3, with the input scaled as in CT, Appendix C. The target is a network's answer.
        """
        n = _num_levels_again(config, inputs.step)
        ramp = torch.arange(n, dtype=torch.float64) / (n - 1)
        least, most = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
        exact = (least + ramp * (most - least)) ** config.rho
        exact[0], exact[-1] = config.sigma_min, config.sigma_max
        if config.level_sampling == "uniform":
            share = torch.ones(n - 1, dtype=torch.float64)
        else:
            normal = torch.erf((exact.log() - config.p_mean) / (math.sqrt(2) * config.p_std))
            share = normal[1:] - normal[:-1]
        bounds = ((share.cumsum(0) / share.sum()).float()[:-1]).to(inputs.images.device)
        drawn = (inputs.uniforms[:, :1] >= bounds).sum(1)
        sigma = exact.float().to(inputs.images.device)
        calls: list[dict[str, torch.Tensor]] = []
        for at in (sigma[drawn + 1], sigma[drawn]):
            s = at[:, None, None, None]
            scaled = (inputs.images + s * inputs.noise) / (s**2 + config.sigma_data**2) ** 0.5
            labels = {} if inputs.labels is None else {"class_labels": inputs.labels}
            calls.append({"sample": scaled, "timestep": 250 * torch.log(at), **labels})
        return Expectation(calls, None)

    scheduler = CMStochasticIterativeScheduler(
        sigma_min=config.sigma_min,
        sigma_max=config.sigma_max,
        sigma_data=config.sigma_data,
        rho=config.rho,  # pyright: ignore[reportArgumentType]
        clip_denoised=context.image_scale == 1 and not context.is_latent,
    )
    decay = (lambda step: target_decay(config, step)) if config.target_ema == "adaptive" else None
    return Objective("consistency", scheduler, loss, expect, decay)


def count_levels(config: ConsistencyObjective, step: int) -> int:
    """N(k), the number of levels after k updates; it stays after `discretization_steps` of them, K.

    sqrt: ceil(sqrt(k / K ((s1 + 1)^2 - s0^2) + s0^2) - 1) + 1 (CT, Appendix C).
    doubling: min(s0 2^floor(k / K'), s1) + 1, K' = floor(K / (log2(floor(s1 / s0)) + 1)) (iCT, Table 1).
    """
    s0, s1, total = config.s0, config.s1, config.discretization_steps
    if config.discretization == "sqrt":
        # Rounded once, so that whole roots stay whole.
        square = (min(step, total) * ((s1 + 1) ** 2 - s0**2) + total * s0**2) / total
        return math.ceil(math.sqrt(square) - 1) + 1
    stage = math.floor(total / (math.log2(s1 // s0) + 1))
    # Beyond s1 doubling goes on for as long as a run does: the exponent need not.
    doublings = min(step // stage, s1.bit_length())
    return min(s0 * 2**doublings, s1) + 1


def _num_levels_again(config: ConsistencyObjective, step: int) -> int:
    """N(k) for the gate: the least n of which n^2 >= k / K ((s1 + 1)^2 - s0^2) + s0^2, in whole numbers; or a loop."""
    s0, s1, total = config.s0, config.s1, config.discretization_steps
    if config.discretization == "sqrt":
        least_square = -(-min(step, total) * ((s1 + 1) ** 2 - s0**2) // total) + s0**2
        return math.isqrt(least_square - 1) + 1
    each = int(total / (math.log2(s1 // s0) + 1))
    n, left = s0, step
    while left >= each and n < s1:
        n, left = n * 2, left - each
    return min(n, s1) + 1


def target_decay(config: ConsistencyObjective, step: int) -> float:
    """mu(k) = exp(s0 ln(mu0) / N(k)) (CT, Appendix C)."""
    return math.exp(config.s0 * math.log(config.start_ema) / count_levels(config, step))


def make_levels(config: ConsistencyObjective, num_levels: int) -> Levels:
    """Karras levels (CT, section 2; Karras et al. 2022, eq. 5), and how likely each pair of neighbours is.

    sigma_i = (sigma_min^(1/rho) + (i - 1) / (N - 1) (sigma_max^(1/rho) - sigma_min^(1/rho)))^rho. Pairs are uniform
    (CT, Algorithm 3), or log-normal: erf((ln sigma_{i+1} - p_mean) / (sqrt(2) p_std)) less the same of sigma_i (iCT,
    Table 1).
    """
    ramp = torch.arange(num_levels, dtype=torch.float64) / (num_levels - 1)
    low, high = config.sigma_min ** (1 / config.rho), config.sigma_max ** (1 / config.rho)
    sigmas = (low + ramp * (high - low)) ** config.rho
    sigmas[0], sigmas[-1] = config.sigma_min, config.sigma_max
    if config.level_sampling == "uniform":
        weights = torch.ones(num_levels - 1, dtype=torch.float64)
    else:
        weights = torch.erf((sigmas.log() - config.p_mean) / (math.sqrt(2) * config.p_std)).diff()
    cumulative = (weights.cumsum(0) / weights.sum()).float()
    # Rounding may leave the last below a uniform number of almost 1.
    cumulative[-1] = 1
    return Levels(sigmas.float(), cumulative)


def denoise(network: Network, config: ConsistencyObjective, inputs: Inputs, sigmas: torch.Tensor) -> torch.Tensor:
    """f(x, sigma) = c_skip x + c_out F(x / sqrt(sigma^2 + sigma_data^2), 250 ln sigma) at x = images + sigma noise.

    CT, Appendix C; the network is told 250 ln sigma, as 1000 ln(sigma) / 4 of the CT code. sigmas: float32 [B].
    """
    sigma = sigmas.view(-1, 1, 1, 1)
    noisy_images = inputs.images + sigma * inputs.noise
    c_skip, c_out = boundary_scalings(config, sigma)
    scaled = noisy_images / (sigma**2 + config.sigma_data**2) ** 0.5
    return c_skip * noisy_images + c_out * network(scaled, 250 * sigmas.log(), inputs.labels).sample


def boundary_scalings(config: ConsistencyObjective, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """c_skip = sd^2 / ((sigma - sigma_min)^2 + sd^2), c_out = sd (sigma - sigma_min) / sqrt(sd^2 + sigma^2).

    CT, Appendix C; sd = sigma_data. Exactly 1 and 0 at sigma_min.
    """
    above = sigma - config.sigma_min
    c_skip = config.sigma_data**2 / (above**2 + config.sigma_data**2)
    return c_skip, above * config.sigma_data / (sigma**2 + config.sigma_data**2) ** 0.5


def build_distance(config: ConsistencyObjective, context: BuildContext) -> Distance:
    """d of the loss, over D values of an image.

    l2: the mean of squares, which is CT's squared norm over D (a constant factor, as in the CT code).
    pseudo_huber: sqrt(norm^2 + c^2) - c, c = 0.00054 sqrt(D) where none is given (iCT, section 3.3). lpips: Zhang et
    al. 2018.
    """
    if config.loss == "l2":
        return lambda a, b: (a - b).flatten(1).square().mean(1)
    if config.loss == "pseudo_huber":
        c = 0.00054 * math.sqrt(math.prod(context.image_shape)) if config.huber_c is None else config.huber_c
        return lambda a, b: ((a - b).flatten(1).square().sum(1) + c**2).sqrt() - c
    if context.image_shape[0] != 3:
        reason = f"lpips is of images with 3 channels and these have {context.image_shape[0]}"
        raise ConfigError("OBJECTIVE", f"objective.loss: expected l2 or pseudo_huber, since {reason}, got lpips")
    if config.lpips_weights is None:
        raise ConfigError("OBJECTIVE", "objective.lpipsWeights: expected a safetensors file for lpips, got nothing")
    lpips, scale = load_lpips(config.lpips_weights, config.lpips_sha256), context.image_scale
    return lambda a, b: lpips(a / scale, b / scale)
