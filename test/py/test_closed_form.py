"""Training reaches the optimal predictor: known for independent noise, simulated for assigned noise.

Data are Gaussian in one dimension. Errors are root mean squares over 40 bins of the noisy image, in units of the target
(whose spread is about 1): 0.05 is what 1,500 steps of a small perceptron leave, and a sign error is ten times that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gaussian import MEAN, SHAPE, STD, Network, bin_means, draw_pairs, plant, root_mean_square, train_network
from scipy.optimize import linear_sum_assignment

from example import make_config
from immiscible_worker.objective import BuildContext, Objective, ddim, flow

TOLERANCE = 0.05
_PAIRS = 320_000
_POINTS = (0.2, 0.5, 0.8)

Coefficients = Callable[[Objective, float], tuple[float, float]]


class Case(NamedTuple):
    """scales(objective, u): (a, b) of a * image + b * noise at the share u of all times. target: of image and noise.

    fault: what the source says, and what it says with a sign error.
    """

    config: dict[str, Any]
    module: Any
    scales: Coefficients
    is_velocity: bool
    fault: tuple[str, str]


def diffusion_scales(objective: Objective, u: float) -> tuple[float, float]:
    """Of DDPM."""
    kept = float(objective.scheduler.alphas_cumprod[int(u * 1000)])
    return kept**0.5, (1 - kept) ** 0.5


def flow_scales(_: Objective, u: float) -> tuple[float, float]:
    """Of a rectified flow."""
    return 1 - u, u


COSINE = {"kind": "ddim", "betaSchedule": "squaredcos_cap_v2"}
ADDED = "steps.add_noise(images, noise, timesteps)"
CASES = {
    "epsilon": Case(COSINE, ddim, diffusion_scales, False, (ADDED, ADDED.replace(" noise", " -noise"))),
    "epsilon, min-SNR": Case(
        {**COSINE, "snrGamma": 5}, ddim, diffusion_scales, False, (ADDED, ADDED.replace(" noise", " -noise"))
    ),
    "v": Case(
        {**COSINE, "predictionType": "v_prediction"},
        ddim,
        diffusion_scales,
        True,
        ("steps.get_velocity(images, noise, timesteps)", "steps.get_velocity(-images, noise, timesteps)"),
    ),
    "flow": Case(
        {"kind": "flow"},
        flow,
        flow_scales,
        True,
        ("velocity = inputs.noise - inputs.images", "velocity = inputs.noise + inputs.images"),
    ),
    "flow, logit-normal": Case(
        {"kind": "flow", "timeSampling": "logit_normal"},
        flow,
        flow_scales,
        True,
        ("velocity = inputs.noise - inputs.images", "velocity = inputs.noise + inputs.images"),
    ),
}


def build(case: Case, is_faulty: bool = False) -> Objective:
    """The objective, or the one with the sign error."""
    maker = plant(case.module, *case.fault) if is_faulty else case.module.build
    return maker(BuildContext(make_config(objective=case.config).objective, 1.0, SHAPE))


def target_of(case: Case, a: float, b: float, images: Any, noise: Any) -> Any:
    """What the network is to answer on average. Flow: noise - image; v: a noise - b image; else the noise."""
    if case.module is flow:
        return noise - images
    return a * noise - b * images if case.is_velocity else noise


def optimum(case: Case, a: float, b: float, x: torch.Tensor) -> torch.Tensor:
    """E[target | x] for independent noise: image and noise given x = a image + b noise are normal."""
    above = (x - a * MEAN) / (a**2 * STD**2 + b**2)
    return target_of(case, a, b, MEAN + a * STD**2 * above, b * above)


def measure(case: Case, objective: Objective, network: Network, is_assigned: bool) -> list[tuple[float, float]]:
    """For each of three times: the error against the simulated optimum, and against that of independent noise."""
    generator = torch.Generator().manual_seed(2)
    errors: list[tuple[float, float]] = []
    for u in _POINTS:
        a, b = case.scales(objective, u)
        images, noise = draw_pairs(_PAIRS, is_assigned, generator)
        x = a * images + b * noise
        answer = network(x, torch.full((len(x),), 1000 * u)).sample
        simulated, got, known = bin_means(
            x.flatten(),
            target_of(case, a, b, images, noise).flatten(),
            answer.flatten(),
            optimum(case, a, b, x).flatten(),
        )
        errors.append((root_mean_square(got - simulated), root_mean_square(got - known)))
    return errors


@pytest.mark.parametrize("name", CASES)
def test_independent_noise_leads_to_the_known_predictor(name: str) -> None:
    case = CASES[name]
    objective = build(case)
    errors = measure(case, objective, train_network(objective, 1000, is_assigned=False), is_assigned=False)
    assert max(max(pair) for pair in errors) < TOLERANCE, errors


@pytest.mark.parametrize("name", CASES)
def test_assigned_noise_leads_to_the_simulated_predictor_which_is_another(name: str) -> None:
    case = CASES[name]
    objective = build(case)
    errors = measure(case, objective, train_network(objective, 1000, is_assigned=True), is_assigned=True)
    assert max(simulated for simulated, _ in errors) < TOLERANCE, errors
    assert max(known for _, known in errors) > 3 * TOLERANCE, errors


@pytest.mark.parametrize("is_assigned", [False, True])
@pytest.mark.parametrize("name", ["epsilon", "v", "flow"])
def test_a_sign_error_does_not(name: str, is_assigned: bool) -> None:
    case = CASES[name]
    network = train_network(build(case, is_faulty=True), 1000, is_assigned, steps=300)
    errors = measure(case, build(case), network, is_assigned)
    assert max(simulated for simulated, _ in errors) > 10 * TOLERANCE, errors


def test_pairing_by_rank_is_the_exact_assignment() -> None:
    images, noise = draw_pairs(16, True, torch.Generator().manual_seed(4))
    _, drawn = draw_pairs(16, False, torch.Generator().manual_seed(4))
    costs = (images.view(-1, 1) - drawn.view(1, -1)).numpy() ** 2
    rows, columns = linear_sum_assignment(costs)
    np.testing.assert_array_equal(noise.flatten().numpy(), drawn.flatten().numpy()[columns])
    assert costs[rows, columns].sum() == pytest.approx(float(((images - noise) ** 2).sum()))
