"""What is said though nothing failed: which samplers fit which training, and what imageScale does to the schedule."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from diffusers import CMStochasticIterativeScheduler, DDIMScheduler, FlowMatchEulerDiscreteScheduler

from example import make_config
from immiscible_worker.notice import describe_scale, list_notices
from immiscible_worker.objective import Inputs, build_objective

COUPLED: dict[str, Any] = {"kind": "quantized", "within": "pool", "startStep": 0, "tolerance": 0.001}


@pytest.mark.parametrize(
    ("sections", "codes"),
    [
        ({}, []),
        ({"sampling": {"eta": 1}}, []),
        ({"assignment": COUPLED}, []),
        ({"assignment": COUPLED, "sampling": {"eta": 0.1}}, ["SAMPLER_COUPLED"]),
        (
            {
                "assignment": {"kind": "custom", "within": "pool", "startStep": 0, "name": "mine"},
                "sampling": {"eta": 1},
            },
            ["SAMPLER_COUPLED"],
        ),
        ({"dataset": {"imageScale": 0.5}}, ["IMAGE_SCALE"]),
        (
            {"dataset": {"imageScale": 4}, "assignment": COUPLED, "sampling": {"eta": 1}},
            ["SAMPLER_COUPLED", "IMAGE_SCALE"],
        ),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_else(sections: dict[str, Any], codes: list[str]) -> None:
    config = make_config(**sections)
    scheduler = build_objective(config.objective, config.dataset.image_scale, (1, 8, 8)).scheduler
    assert [notice.code for notice in list_notices(config, scheduler)] == codes


@pytest.mark.parametrize("image_scale", [0.5, 2.0, 4.0])
def test_the_shift_that_is_said_is_the_shift_of_every_timestep(image_scale: float) -> None:
    objective = build_objective(make_config().objective, image_scale, (1, 8, 8))
    scheduler, expect = objective.scheduler, objective.expect
    assert expect is not None
    uniforms = (torch.arange(1000, dtype=torch.float32).view(-1, 1) + 0.5) / 1000
    shape = (1000, 1, 1, 1)
    signal = expect(Inputs(torch.full(shape, image_scale), torch.zeros(shape), uniforms, None, 0)).calls[0]["sample"]
    noise = expect(Inputs(torch.zeros(shape), torch.ones(shape), uniforms, None, 0)).calls[0]["sample"]
    kept = scheduler.alphas_cumprod.view(shape)
    shift = (signal**2 / noise**2).log() - (kept / (1 - kept)).log()
    torch.testing.assert_close(shift, torch.full_like(shift, 2 * math.log(image_scale)), rtol=0, atol=2e-3)
    text = describe_scale(image_scale, scheduler) or ""
    assert f"shifts the log-SNR by {2 * math.log(image_scale):+.2f} at every timestep" in text
    assert f"the SNR of the last one is {float(signal[-1] ** 2 / noise[-1] ** 2):.2g}, 4e-05 without it" in text


@pytest.mark.parametrize("image_scale", [0.5, 4.0])
def test_the_levels_that_are_said_have_the_same_signal_to_noise_ratio(image_scale: float) -> None:
    """Images times s at what was set are as images as they are at what is said."""
    consistency = describe_scale(image_scale, CMStochasticIterativeScheduler(sigma_min=0.004, sigma_max=80)) or ""
    assert f"by {2 * math.log(image_scale):+.2f} at every noise level" in consistency
    found = re.search(r"sigma (\S+)\.\.(\S+) is to the images what (\S+)\.\.(\S+) is", consistency)
    assert found is not None
    low, high, low_like, high_like = map(float, found.groups())
    assert (low, high) == (0.004, 80)
    assert (image_scale / low, image_scale / high) == pytest.approx((1 / low_like, 1 / high_like), rel=1e-5)
    flow = describe_scale(image_scale, FlowMatchEulerDiscreteScheduler()) or ""
    found = re.search(r"t = (\S+) is to the images what (\S+) is", flow)
    assert found is not None
    t, like = map(float, found.groups())
    assert image_scale * (1 - t) / t == pytest.approx((1 - like) / like, rel=0.05)


@pytest.mark.parametrize("scheduler", [CMStochasticIterativeScheduler(), FlowMatchEulerDiscreteScheduler()])
def test_a_sampler_without_eta_is_not_told_of_it(scheduler: Any) -> None:
    config = make_config(assignment=COUPLED, sampling={"eta": 1})
    assert [notice.code for notice in list_notices(config, scheduler)] == []
    assert [notice.code for notice in list_notices(config, DDIMScheduler())] == ["SAMPLER_COUPLED"]


def test_a_scale_of_one_says_nothing() -> None:
    assert describe_scale(1.0, build_objective(make_config().objective, 1.0, (1, 8, 8)).scheduler) is None
