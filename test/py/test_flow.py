"""The flow objective against torchcfm, whose time runs the other way, and its times against SciPy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from reference import torchcfm
from scipy import stats

from example import make_config
from immiscible_worker.objective import BuildContext, Inputs, LossResult, Networks, flow
from immiscible_worker.objective.flow import sample_times
from immiscible_worker.protocol import FlowObjective

SHAPE = (3, 4, 4)


def config_of(**fields: Any) -> FlowObjective:
    """A section of the config."""
    config = make_config(objective={"kind": "flow", **fields}).objective
    assert isinstance(config, FlowObjective)
    return config


def draw(num_images: int = 64) -> Inputs:
    """Images, noise and uniforms."""
    generator = torch.Generator().manual_seed(0)
    images, noise = torch.randn(2, num_images, *SHAPE, generator=generator)
    return Inputs(images, noise, torch.rand(num_images, 3, generator=generator), None, 0)


def run(inputs: Inputs, config: FlowObjective) -> tuple[torch.Tensor, torch.Tensor, LossResult]:
    """What the network is given, sample and time, and the loss where it answers sin(sample)."""
    seen: list[torch.Tensor] = []

    def network(sample: torch.Tensor, timestep: torch.Tensor, _: None) -> SimpleNamespace:
        seen.extend([sample, timestep])
        return SimpleNamespace(sample=torch.sin(sample))

    result = flow.build(BuildContext(config, 1.0, SHAPE)).loss(Networks(network, network), inputs)
    return seen[0], seen[1], result


@pytest.mark.parametrize("sampling", ["uniform", "logit_normal"])
def test_location_velocity_and_loss_are_those_of_torchcfm(sampling: str) -> None:
    """There x0 is the source, at time 0: noise. Its time is 1 - t and its velocity the negative of ours."""
    inputs = draw()
    sample, timestep, (loss, target) = run(inputs, config_of(timeSampling=sampling))
    matcher = torchcfm().ConditionalFlowMatcher(sigma=0.0)
    t, location, velocity = matcher.sample_location_and_conditional_flow(
        inputs.noise, inputs.images, t=1 - timestep / 1000
    )
    torch.testing.assert_close(sample, location)
    torch.testing.assert_close(target, -velocity)
    torch.testing.assert_close(loss, torch.mean((torch.sin(location) - -velocity) ** 2))
    assert not torch.allclose(sample, t.view(-1, 1, 1, 1) * inputs.noise + (1 - t).view(-1, 1, 1, 1) * inputs.images), (
        "control: the other direction of time"
    )


def test_the_ends_of_time_are_the_image_and_nearly_the_noise() -> None:
    inputs = draw(2)
    uniforms = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, float(np.nextafter(np.float32(1), np.float32(0)))]])
    sample, timestep, _ = run(Inputs(inputs.images, inputs.noise, uniforms, None, 0), config_of(numTrainTimesteps=250))
    assert torch.equal(sample[0], inputs.images[0])
    torch.testing.assert_close(sample[1], inputs.noise[1])
    assert timestep.tolist() == pytest.approx([0, 250])


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.5, 2.0)])
def test_times_follow_the_distribution_that_was_asked_for(mean: float, std: float) -> None:
    uniforms = (torch.arange(20_000) + 0.5) / 20_000
    config = config_of(timeSampling="logit_normal", logitMean=mean, logitStd=std)
    times = sample_times(uniforms, config).double().numpy()
    expected = 1 / (1 + np.exp(-stats.norm.ppf(uniforms.double().numpy(), mean, std)))
    np.testing.assert_allclose(times, expected, atol=1e-6)
    logits = np.log(times / (1 - times))
    assert (logits.mean(), logits.std()) == (pytest.approx(mean, abs=1e-3), pytest.approx(std, rel=1e-3))
    assert torch.equal(sample_times(uniforms, config_of()), uniforms)
    assert 0 <= float(sample_times(torch.zeros(1), config)) < 1e-6
