"""Consistency training against the papers' numbers, diffusers' scheduler and NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_consistency_models import CMStochasticIterativeScheduler
from gaussian import SHAPE, plant
from training import make_batch, make_trainer, train

from example import make_config
from immiscible_worker.errors import PairingError
from immiscible_worker.objective import BuildContext, Inputs, LossResult, Networks, Objective, consistency
from immiscible_worker.objective.consistency import (
    boundary_scalings,
    count_levels,
    denoise,
    make_levels,
    target_decay,
)
from immiscible_worker.protocol import ConsistencyObjective


def config_of(**fields: Any) -> ConsistencyObjective:
    """A section of the config; the preset is the improved one unless given."""
    config = make_config(objective={"kind": "consistency", **fields}).objective
    assert isinstance(config, ConsistencyObjective)
    return config


def build(shape: tuple[int, int, int] = SHAPE, image_scale: float = 1, **fields: Any) -> Objective:
    """The objective of such a section."""
    return consistency.build(BuildContext(config_of(**fields), image_scale, shape))


ORIGINAL = config_of(preset="original", discretizationSteps=800_000)
IMPROVED = config_of(discretizationSteps=400_000)


@pytest.mark.parametrize(
    ("step", "expected"),
    # N = ceil(sqrt(k / K (151^2 - 4) + 4) - 1) + 1; those of 20k to 150k are what the CIFAR-10 recipe has there.
    [
        (0, 2),
        (1, 3),
        (20_000, 24),
        (50_000, 38),
        (100_000, 54),
        (150_000, 66),
        (799_999, 151),
        (800_000, 151),
        (10**9, 151),
    ],
)
def test_levels_of_the_original_grow_with_the_root(step: int, expected: int) -> None:
    assert count_levels(ORIGINAL, step) == expected


@pytest.mark.parametrize(
    ("step", "expected"),
    # K' = floor(400,000 / (log2(128) + 1)) = 50,000, as the paper has it: 10, 20, ... 1280, and one more.
    [(0, 11), (49_999, 11), (50_000, 21), (99_999, 21), (100_000, 41), (349_999, 641), (350_000, 1281), (10**12, 1281)],
)
def test_levels_of_the_improved_double(step: int, expected: int) -> None:
    assert count_levels(IMPROVED, step) == expected


def test_whole_roots_stay_whole_and_the_gate_counts_alike() -> None:
    """Rounding must not add a level where the root is whole; both ways of counting agree at every step."""
    for config in (
        config_of(preset="original", s0=2, s1=150, discretizationSteps=997),
        config_of(preset="original", s0=10, s1=40, discretizationSteps=7),
        config_of(preset="original", s0=3, s1=3, discretizationSteps=50),
        config_of(s0=10, s1=125, discretizationSteps=99),
        config_of(s0=5, s1=5, discretizationSteps=3),
    ):
        counts = [count_levels(config, step) for step in range(config.discretization_steps + 3)]
        assert counts == [consistency._num_levels_again(config, step) for step in range(len(counts))]  # pyright: ignore[reportPrivateUsage]
        assert counts == sorted(counts)
        assert counts[-1] == config.s1 + 1
    for step in range(1, 200):
        exact = next(n for n in range(400) if n**2 * 199 >= step * (151**2 - 4) + 4 * 199)
        assert count_levels(config_of(preset="original", discretizationSteps=199), step) == exact


def test_the_target_moves_by_mu_of_k() -> None:
    assert target_decay(ORIGINAL, 0) == pytest.approx(0.9)  # exp(2 ln 0.9 / 2)
    assert target_decay(ORIGINAL, 50_000) == pytest.approx(0.9 ** (2 / 38))
    assert target_decay(ORIGINAL, 800_000) == pytest.approx(0.998605, abs=1e-6)  # exp(2 ln 0.9 / 151)
    assert build(preset="original").target_decay is not None
    assert build().target_decay is None


def test_the_target_network_is_moved_exactly_so() -> None:
    """And not by one update more, or by the mu of the step before."""
    objective = {"kind": "consistency", "preset": "original", "discretizationSteps": 4, "s1": 40}
    trainer = make_trainer(make_config(objective=objective))
    slow = {name: value.clone() for name, value in trainer.state().target.items()}
    for step in range(4):
        trainer.train_step(make_batch(trainer))
        decay = math.exp(2 * math.log(0.9) / count_levels(config_of(**{**objective, "kind": "consistency"}), step))
        for name, value in trainer.state().network.items():
            slow[name] = slow[name] + (1 - decay) * (value - slow[name])
            torch.testing.assert_close(trainer.state().target[name], slow[name])
    assert any(not torch.equal(slow[name], value) for name, value in trainer.state().network.items())


@pytest.mark.parametrize("num_levels", [2, 11, 40, 151])
def test_levels_are_those_of_karras(num_levels: int) -> None:
    sigmas = make_levels(ORIGINAL, num_levels).sigmas
    scheduler = CMStochasticIterativeScheduler(num_train_timesteps=num_levels)
    # rising here; there falling from the timestep 0 on
    theirs = scheduler._convert_to_karras(np.linspace(0, 1, num_levels))  # pyright: ignore[reportPrivateUsage]
    np.testing.assert_allclose(sigmas.numpy()[::-1], theirs, rtol=1e-5)
    assert sigmas[0] == torch.tensor(0.002)
    assert sigmas[-1] == 80


def test_pairs_are_drawn_as_the_paper_weighs_them() -> None:
    """Lognormal over bins: Phi((ln sigma_{i+1} + 1.1) / 2) - Phi((ln sigma_i + 1.1) / 2), normalised."""
    levels = make_levels(IMPROVED, 11)
    logs = np.log(levels.sigmas.double().numpy())
    normal = np.array([math.erfc(-(value + 1.1) / 2 / math.sqrt(2)) / 2 for value in logs])
    expected = np.diff(normal) / np.diff(normal).sum()
    np.testing.assert_allclose(np.diff(levels.cumulative.numpy(), prepend=0), expected, atol=1e-6)
    assert drawn_sigmas(config_of(s0=10, s1=10), np.linspace(0, 1, 20_000, endpoint=False)) == pytest.approx(
        expected.tolist(), abs=1e-3
    )
    assert drawn_sigmas(config_of(preset="original", s0=11, s1=11), np.linspace(0, 1, 20_000, endpoint=False)) == (
        pytest.approx([0.1] * 10, abs=1e-3)
    )


def drawn_sigmas(config: ConsistencyObjective, uniforms: Any) -> list[float]:
    """How often each of ten lower levels is called for, smallest first."""
    seen: list[torch.Tensor] = []

    def network(sample: torch.Tensor, timestep: torch.Tensor, _: None) -> SimpleNamespace:
        seen.append(timestep)
        return SimpleNamespace(sample=sample)

    columns = torch.zeros(len(uniforms), 3)
    columns[:, 0] = torch.from_numpy(uniforms)
    flat = torch.zeros(len(uniforms), *SHAPE)
    loss = consistency.build(BuildContext(config, 1, SHAPE)).loss
    loss(Networks(network, network), Inputs(flat, flat, columns, None, 0))
    upper, lower = seen
    assert bool((upper > lower).all())
    _, counts = lower.unique(return_counts=True)
    return (counts / len(lower)).tolist()


@pytest.mark.parametrize("largest", [0.0, float(np.nextafter(np.float32(1), np.float32(0)))])
@pytest.mark.parametrize("preset", ["improved", "original"])
def test_the_first_and_the_last_uniform_have_levels(largest: float, preset: str) -> None:
    assert drawn_sigmas(config_of(preset=preset), np.array([largest])) == [1.0]


def test_scalings_are_those_of_the_scheduler_that_samples() -> None:
    sigmas = make_levels(ORIGINAL, 40).sigmas
    scheduler = CMStochasticIterativeScheduler()
    theirs = [scheduler.get_scalings_for_boundary_condition(sigma) for sigma in sigmas]
    ours = boundary_scalings(ORIGINAL, sigmas)
    torch.testing.assert_close(torch.stack(ours, 1), torch.tensor([[float(a), float(b)] for a, b in theirs]))
    assert build().scheduler.config.sigma_max == 80


@pytest.mark.parametrize("sigma_min", [0.002, 0.0017, 0.01, 0.3])
@pytest.mark.parametrize("sigma_data", [0.5, 0.7, 0.33])
def test_at_the_least_level_the_image_is_left_as_it_is(sigma_min: float, sigma_data: float) -> None:
    """f(x, sigma_min) = x, every bit, whatever the network says."""
    config = config_of(sigmaMin=sigma_min, sigmaData=sigma_data)
    sigmas = make_levels(config, 5).sigmas[:1]
    inputs = Inputs(torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4), torch.zeros(1, 3), None, 0)
    noisy = inputs.images + sigmas * inputs.noise
    network = lambda sample, *_: SimpleNamespace(sample=1e6 * torch.ones_like(sample))  # noqa: E731
    assert torch.equal(denoise(network, config, inputs, sigmas), noisy)
    above = make_levels(config, 5).sigmas[1:2]
    assert not torch.equal(denoise(network, config, inputs, above), inputs.images + above * inputs.noise), "control"


def numpy_loss(config: ConsistencyObjective, images: Any, noise: Any, lows: Sequence[int], sigmas: Any) -> float:
    """The paper's equations in float64, for the network F(x, t) = tanh(x) + t / 1000."""

    def f(level: Any) -> Any:
        s = level.reshape(-1, 1, 1, 1)
        x = images + s * noise
        c_skip = config.sigma_data**2 / ((s - config.sigma_min) ** 2 + config.sigma_data**2)
        c_out = config.sigma_data * (s - config.sigma_min) / np.sqrt(config.sigma_data**2 + s**2)
        c_in = 1 / np.sqrt(s**2 + config.sigma_data**2)
        return c_skip * x + c_out * (np.tanh(c_in * x) + 250 * np.log(s) / 1000)

    high, low = sigmas[[at + 1 for at in lows]], sigmas[list(lows)]
    squares = ((f(high) - f(low)) ** 2).reshape(len(images), -1)
    if config.loss == "l2":
        return float(squares.mean())
    c = 0.00054 * math.sqrt(squares.shape[1])
    return float(((np.sqrt(squares.sum(1) + c**2) - c) / (high - low)).mean())


@pytest.mark.parametrize("preset", ["improved", "original"])
def test_the_loss_is_the_papers_in_numpy(preset: str) -> None:
    fields: dict[str, Any] = {"preset": preset, "discretization": "doubling", "s0": 10, "s1": 10}
    config = config_of(**fields)
    rng = np.random.default_rng(0)
    images, noise = rng.normal(size=(2, 6, 3, 4, 4))
    lows = [0, 1, 4, 6, 8, 9]
    levels = make_levels(config, 11)
    edges = np.concatenate([[0], levels.cumulative.double().numpy()])
    uniforms = torch.zeros(6, 3)
    uniforms[:, 0] = torch.from_numpy((edges[lows] + edges[[low + 1 for low in lows]]) / 2)
    inputs = Inputs(torch.from_numpy(images).float(), torch.from_numpy(noise).float(), uniforms, None, 0)
    network = lambda x, t, _: SimpleNamespace(sample=x.tanh() + t.view(-1, 1, 1, 1) / 1000)  # noqa: E731
    ours = build((3, 4, 4), **fields).loss(Networks(network, network), inputs)
    rho = 1 / 7
    ramp = np.arange(11) / 10
    sigmas = (0.002**rho + ramp * (80**rho - 0.002**rho)) ** 7
    assert float(ours.loss) == pytest.approx(numpy_loss(config, images, noise, lows, sigmas), rel=1e-4)


class Dropping(torch.nn.Module):
    """A network that is nothing but dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[torch.Tensor] = []

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: None = None) -> SimpleNamespace:
        self.masks.append(torch.nn.functional.dropout(torch.ones_like(sample), 0.5))
        return SimpleNamespace(sample=sample * self.masks[-1])


def test_both_calls_draw_the_same_dropout_and_another_step_another() -> None:
    network, target = Dropping(), Dropping()
    inputs = Inputs(torch.zeros(4, 1, 8, 8), torch.ones(4, 1, 8, 8), torch.rand(4, 3), None, 0)
    for _ in range(2):
        build((1, 8, 8), preset="original").loss(Networks(network, target), inputs)
    assert torch.equal(network.masks[0], target.masks[0])
    assert not torch.equal(network.masks[0], network.masks[1]), "control: the second step draws anew"


def test_no_gradient_flows_through_the_target() -> None:
    weight = torch.ones((), requires_grad=True)
    slow = torch.ones((), requires_grad=True)
    online, target = ((lambda x, *_, by=by: SimpleNamespace(sample=by * x.tanh())) for by in (weight, slow))
    inputs = Inputs(torch.rand(4, 1, 2, 2), torch.randn(4, 1, 2, 2), torch.rand(4, 3), None, 0)
    result = build((1, 2, 2)).loss(Networks(online, target), inputs)
    result.loss.backward()
    assert weight.grad is not None
    assert slow.grad is None
    assert not result.target.requires_grad


FAULTS = {
    "noise of another image at the upper level": (
        "inputs.images + sigma * inputs.noise",
        "inputs.images + sigma * inputs.noise.roll(int(sigmas[0] > 0), 0)",
    ),
    "no square root in the input's scale": (
        "scaled = noisy_images / (sigma**2 + config.sigma_data**2) ** 0.5",
        "scaled = noisy_images / (sigma**2 + config.sigma_data**2)",
    ),
    "the same level twice": (
        "upper, lower = sigmas[index + 1], sigmas[index]",
        "upper, lower = sigmas[index], sigmas[index]",
    ),
    "one call too many": (
        "        errors = distance(denoised, target)",
        "        denoise(networks.online, config, inputs, upper)\n        errors = distance(denoised, target)",
    ),
}


@pytest.mark.parametrize("preset", ["improved", "original"])
def test_the_gate_holds(preset: str) -> None:
    train(make_trainer(make_config(objective={"kind": "consistency", "preset": preset}, gate={"everySteps": 1})), 6)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_gate_finds_a_planted_fault(fault: str) -> None:
    config = make_config(objective={"kind": "consistency"}, gate={"everySteps": 1})
    trainer = make_trainer(config)
    trainer.objective = plant(consistency, *FAULTS[fault])(BuildContext(config.objective, 1, (1, 8, 8)))
    with pytest.raises(PairingError):
        trainer.train_step(make_batch(trainer))


def test_images_of_another_scale_are_not_clipped_to_one() -> None:
    assert build().scheduler.config.clip_denoised
    assert not build(image_scale=2).scheduler.config.clip_denoised


def test_the_result_is_a_loss_result() -> None:
    inputs = Inputs(torch.zeros(2, *SHAPE), torch.ones(2, *SHAPE), torch.rand(2, 3), None, 0)
    network = lambda x, *_: SimpleNamespace(sample=x)  # noqa: E731
    result = build().loss(Networks(network, network), inputs)
    assert isinstance(result, LossResult)
    assert result.target.shape == inputs.images.shape
