"""The ddim loss is the formula on epsilon and v, weighted or not, draws nothing, and covers every timestep."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from example import make_config
from immiscible_worker.objective import Inputs, LossResult, Networks, build_objective
from immiscible_worker.pixels import to_model_scale, to_pixels
from immiscible_worker.uniforms import timesteps_of

OBJECTIVE = build_objective(make_config().objective, 1.0, (1, 8, 8))


def loss_of(network: Any, images: torch.Tensor, noise: torch.Tensor, uniforms: torch.Tensor) -> LossResult:
    """The loss of one network, without labels, at step 0."""
    return OBJECTIVE.loss(Networks(network, network), Inputs(images, noise, uniforms, None, 0))


def uniforms_of(*timesteps: float) -> torch.Tensor:
    """Rows whose timestep column is as given; the other columns must not matter."""
    return torch.tensor([[value, 0.9, 0.1] for value in timesteps], dtype=torch.float32)


def test_the_loss_is_the_formula_by_hand() -> None:
    images = np.array([[-1.0, 0.5], [0.25, 1.0]], np.float32).reshape(2, 1, 1, 2)
    noise = np.array([[0.3, -0.7], [1.1, 0.2]], np.float32).reshape(2, 1, 1, 2)
    seen: list[Any] = []

    def network(noisy_images: torch.Tensor, timesteps: torch.Tensor, _labels: None) -> SimpleNamespace:
        seen.append((noisy_images, timesteps))
        return SimpleNamespace(sample=0.5 * noisy_images)

    uniforms = uniforms_of(0.25, 0.5)
    loss, target = loss_of(network, torch.from_numpy(images), torch.from_numpy(noise), uniforms)
    kept = np.cumprod(1 - np.linspace(0.0001, 0.02, 1000))[[250, 500]].reshape(2, 1, 1, 1)
    noisy = np.sqrt(kept) * images + np.sqrt(1 - kept) * noise
    np.testing.assert_allclose(seen[0][0].numpy(), noisy, rtol=1e-5)
    assert seen[0][1].tolist() == [250, 500]
    np.testing.assert_allclose(float(loss), np.mean((0.5 * noisy - noise) ** 2), rtol=1e-5)
    assert torch.equal(target, torch.from_numpy(noise))


@pytest.mark.parametrize("snr_gamma", [None, 5.0, 0.5])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_every_prediction_schedule_and_weighting_is_its_paper_in_float64(
    schedule: str, prediction: str, snr_gamma: float | None
) -> None:
    """Salimans & Ho 2022: v = a noise - b image. Hang et al. 2023: min(SNR, gamma) on the error of the image.

    That error is (b / a)^2 of epsilon's and b^2 of v's, a^2 / b^2 = SNR. Nichol & Dhariwal 2021, eq. 17: cosine betas.
    """
    fields = {"kind": "ddim", "betaSchedule": schedule, "predictionType": prediction, "snrGamma": snr_gamma}
    objective = build_objective(make_config(objective=fields).objective, 1.0, (1, 8, 8))
    generator = torch.Generator().manual_seed(1)
    images, noise = torch.randn(2, 64, 1, 8, 8, generator=generator)
    uniforms = torch.rand(64, 3, generator=generator)
    networks = Networks(lambda x, *_: SimpleNamespace(sample=torch.sin(x)), lambda *_: None)
    loss, target = objective.loss(networks, Inputs(images, noise, uniforms, None, 0))

    betas = {
        "linear": np.linspace(1e-4, 0.02, 1000),
        "scaled_linear": np.linspace(1e-4**0.5, 0.02**0.5, 1000) ** 2,
        "squaredcos_cap_v2": np.minimum(1 - cosine(np.arange(1, 1001)) / cosine(np.arange(1000)), 0.999),
    }[schedule]
    kept = np.cumprod(1 - betas)[(uniforms[:, 0].numpy().astype(float) * 1000).astype(int)].reshape(-1, 1, 1, 1)
    x, n, a, b = images.double().numpy(), noise.double().numpy(), np.sqrt(kept), np.sqrt(1 - kept)
    wanted = n if prediction == "epsilon" else a * n - b * x
    errors = ((np.sin(a * x + b * n) - wanted) ** 2).mean((1, 2, 3))
    if snr_gamma is not None:
        of_image = (b**2 / a**2 if prediction == "epsilon" else b**2).flatten() * errors
        errors = np.minimum((a**2 / b**2).flatten(), snr_gamma) * of_image
    np.testing.assert_allclose(target.numpy(), wanted, rtol=1e-4, atol=1e-5)
    assert float(loss) == pytest.approx(errors.mean(), rel=1e-4)


def cosine(steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """alpha-bar at t = step / 1000, s = 0.008."""
    return np.cos((steps / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2


def test_timesteps_cover_0_to_the_last_and_no_more() -> None:
    largest = float(np.nextafter(np.float32(1), np.float32(0)))
    assert timesteps_of(uniforms_of(0.0, largest, 0.0009, 0.5), 1000).tolist() == [0, 999, 0, 500]
    for num_timesteps in (1, 2, 10, 999, 1000, 1025, 4097):
        centres = (np.arange(num_timesteps) + 0.5) / num_timesteps
        expected = list(range(num_timesteps))
        assert timesteps_of(uniforms_of(*centres), num_timesteps).tolist() == expected
        assert timesteps_of(uniforms_of(largest), num_timesteps).tolist() == [num_timesteps - 1]


def test_the_loss_draws_nothing_and_changes_nothing() -> None:
    images, noise = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    before = torch.get_rng_state()
    loss_of(lambda x, *_: SimpleNamespace(sample=x), images, noise, uniforms_of(0.1, 0.9))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(images, torch.zeros_like(images))
    assert torch.equal(noise, torch.ones_like(noise))


def test_pixels_become_minus_one_to_one_and_come_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    scaled = to_model_scale(pixels)
    assert scaled.dtype == torch.float32
    assert (float(scaled.min()), float(scaled.max())) == (-1.0, 1.0)
    assert torch.equal(to_pixels(scaled), pixels)
    assert to_pixels(torch.full((1, 1, 1, 1), 7.0)).item() == 255
