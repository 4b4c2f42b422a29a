"""Consistency training reaches its fixed point: known for independent noise, simulated for assigned noise.

With N levels and the squared error, f_1(x) = x and f_{i+1}(x) = E[f_i(image + sigma_i z) | image + sigma_{i+1} z = x].
Data are Gaussian in one dimension; errors are root mean squares over 38 bins, where images have a spread of 0.5.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from gaussian import MEAN, SHAPE, STD, Network, bin_means, draw_pairs, plant, root_mean_square, train_network

from example import make_config
from immiscible_worker.objective import BuildContext, Inputs, Objective, consistency
from immiscible_worker.objective.consistency import denoise, make_levels
from immiscible_worker.protocol import ConsistencyObjective

Knots = tuple[torch.Tensor, torch.Tensor]
LEVELS: dict[str, Any] = {
    "preset": "original",
    "discretization": "doubling",
    "s0": 7,
    "s1": 7,
    "sigmaMax": 5.0,
    "targetEma": "none",
}
CONFIG = cast(ConsistencyObjective, make_config(objective={"kind": "consistency", **LEVELS}).objective)
_PAIRS = 320_000
TOLERANCE = 0.03


def build(maker: Callable[[BuildContext], Objective]) -> Objective:
    """The objective of LEVELS."""
    return maker(BuildContext(CONFIG, 1, SHAPE))


def known_fixed_point(sigmas: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """f at the last of `sigmas`, for independent noise.

    There E[image + s z | image + t z = x] = mean + (std^2 + s t) / (std^2 + t^2) (x - mean): f is a product of such.
    """
    slope = 1.0
    for low, high in itertools.pairwise(sigmas.tolist()):
        slope *= (STD**2 + low * high) / (STD**2 + high**2)
    return MEAN + slope * (x - MEAN)


def interpolate(x: torch.Tensor, knots: Knots) -> torch.Tensor:
    """A function through knots (x rising, its values) at x: float32 of the shape of x."""
    return torch.from_numpy(np.interp(x.numpy(), knots[0].numpy(), knots[1].numpy())).float()


def simulated_fixed_points(sigmas: torch.Tensor, is_assigned: bool) -> list[Knots]:
    """For each level, x at the centres of 40 bins and f there, by the recursion over simulated pairs."""
    generator = torch.Generator().manual_seed(3)
    ends = torch.tensor([-100.0, 100.0])
    knots: list[Knots] = [(ends, ends)]
    for low, high in itertools.pairwise(sigmas):
        images, noise = draw_pairs(_PAIRS, is_assigned, generator)
        below, x = (images + low * noise).flatten(), (images + high * noise).flatten()
        values = interpolate(below, knots[-1])
        knots.append((bin_means(x, x)[0], bin_means(x, values)[0]))
    return knots


def fixed_point_errors(network: Network, is_assigned: bool) -> tuple[float, float]:
    """Root mean squares, the greatest over the levels: against the simulated fixed point, and the known one."""
    sigmas = make_levels(CONFIG, 8).sigmas
    simulated = simulated_fixed_points(sigmas, is_assigned)
    generator = torch.Generator().manual_seed(5)
    errors: list[tuple[float, float]] = []
    for level in range(1, 8):
        images, noise = draw_pairs(_PAIRS, is_assigned, generator)
        sigma = sigmas[level].expand(len(images))
        inputs = Inputs(images, noise, torch.zeros(len(images), 3), None, 0)
        x = (images + sigmas[level] * noise).flatten()
        means = bin_means(x, denoise(network, CONFIG, inputs, sigma).flatten(), x)
        known = known_fixed_point(sigmas[: level + 1], means[1])
        inner = slice(1, -1)  # in the outermost bins f is not straight enough for its value at the mean
        expected = interpolate(means[1], simulated[level])
        errors.append((root_mean_square((means[0] - expected)[inner]), root_mean_square((means[0] - known)[inner])))
    return max(first for first, _ in errors), max(second for _, second in errors)


def test_independent_noise_leads_to_the_known_fixed_point() -> None:
    simulated, known = fixed_point_errors(
        train_network(build(consistency.build), 1000, is_assigned=False), is_assigned=False
    )
    assert known < TOLERANCE
    assert simulated < TOLERANCE


def test_assigned_noise_leads_to_the_simulated_fixed_point_which_is_another() -> None:
    simulated, known = fixed_point_errors(
        train_network(build(consistency.build), 1000, is_assigned=True), is_assigned=True
    )
    assert simulated < TOLERANCE
    assert known > 3 * TOLERANCE


@pytest.mark.parametrize("is_assigned", [False, True])
def test_a_sign_error_does_not(is_assigned: bool) -> None:
    """At one of the two levels: at both it would only mirror the noise, which independent noise does not show."""
    right = "target = denoise(networks.target, config, inputs, lower)"
    mirrored = "Inputs(inputs.images, -inputs.noise, inputs.uniforms, inputs.labels, inputs.step)"
    faulty = plant(consistency, right, right.replace("inputs", mirrored))
    network = train_network(build(faulty), 1000, is_assigned)
    simulated, _ = fixed_point_errors(network, is_assigned)
    assert simulated > 3 * TOLERANCE
