"""The noise layer: models whose answers are known, from one that sees no image in noise to one that sees two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import CMStochasticIterativeScheduler, DDIMScheduler, FlowMatchEulerDiscreteScheduler
from networks import Known, random_unet
from PIL import Image

from immiscible_worker.denoising import Answer, answer_noise, explain
from immiscible_worker.picture import write_rows
from immiscible_worker.sampler import sample, starting_noise
from immiscible_worker.sampling import Settings, draw

SHAPE = (1, 8, 8)
SIGMA_MAX = 80.0


def _noise(num_noises: int = 200) -> torch.Tensor:
    return torch.randn(num_noises, *SHAPE, generator=torch.Generator().manual_seed(0))


def _images(seed: int) -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _knowing(chosen: torch.Tensor, scheduler: Any) -> Known:
    """The exact answer of a model to whom the noise in row i means the image chosen[i]."""

    def epsilon(sample: torch.Tensor, timestep: torch.Tensor, _: Any) -> torch.Tensor:
        a = scheduler.alphas_cumprod[timestep.flatten()[0]]
        return (sample - a**0.5 * chosen) / (1 - a) ** 0.5

    return Known(epsilon)


def test_a_model_that_sees_no_image_answers_the_mean_and_the_noise() -> None:
    """Li et al. 2024, eq. 3: nothing but a x0 + b x_T, whatever the noise."""
    scheduler, noise = DDIMScheduler(), _noise()
    network = _knowing(_images(1).expand(len(noise), -1, -1, -1), scheduler)
    answer = answer_noise(network, scheduler, noise, Settings(num_inference_steps=20))
    assert (answer.what, answer.level) == ("predicted noise", "t = 950 of 1000")
    torch.testing.assert_close(answer.denoised, _images(1).expand_as(noise), atol=1e-3, rtol=0)
    explained = explain(noise, answer)
    assert explained.noise_r2 == pytest.approx(1, abs=1e-9)
    assert explained.mean_share == pytest.approx(1, abs=1e-4)


def test_a_model_that_sees_one_of_two_images_in_each_noise_is_told_from_it() -> None:
    scheduler, noise = DDIMScheduler(), _noise(256)
    is_first = (noise.sum((1, 2, 3)) > 0).view(-1, 1, 1, 1)
    images = torch.stack([_images(1), _images(2)])
    chosen = torch.where(is_first, images[0], images[1])
    explained = explain(noise, answer_noise(_knowing(chosen, scheduler), scheduler, noise, Settings(20)))
    difference, mean = (images[0] - images[1]) / 2, images.mean(0)
    varied, common = float(difference.square().sum()), float((mean - mean.mean()).square().sum())
    assert explained.image_share == pytest.approx(varied / (varied + common), abs=0.03)
    assert explained.mean_share == pytest.approx(common / (varied + common), abs=0.03)
    assert explained.noise_share < 0.01
    assert explained.noise_r2 < 1 - 1e-7


def test_noise_that_is_left_in_the_answer_is_no_image() -> None:
    noise = _noise()
    explained = explain(noise, Answer(noise, 3 * noise, "", ""))
    assert explained.noise_share == pytest.approx(1, abs=0.01)
    assert explained.mean_share < 0.01
    # And an answer that has nothing to do with the noise is neither.
    other = torch.randn(noise.shape, generator=torch.Generator().manual_seed(9))
    assert explain(noise, Answer(other, other, "", "")).image_share == pytest.approx(1, abs=0.02)
    assert explain(noise, Answer(other, other, "", "")).noise_r2 < 0.01


@pytest.mark.parametrize("spacing", ["leading", "trailing", "quadratic"])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_ddims_first_answer_is_the_sampler_s_own(spacing: str, prediction_type: str) -> None:
    """The first step of 20 of `draw` sees the same timestep, and one that ends there gives the denoised image."""
    options: dict[str, Any] = {"prediction_type": prediction_type}
    scheduler = DDIMScheduler(clip_sample=False, **options)
    noise = starting_noise(random_unet(channels=1), 3, seed=5)
    network = random_unet(channels=1)
    seen: list[int] = []
    network.register_forward_pre_hook(lambda _, arguments: seen.append(int(arguments[1].flatten()[0])))
    settings = Settings(num_inference_steps=20, timestep_spacing=spacing)
    answer = answer_noise(network, scheduler, noise, settings)
    draw(network, scheduler, settings, 3, generator=torch.Generator().manual_seed(5))
    assert seen[0] == seen[1]
    assert answer.level == f"t = {seen[0]} of 1000"
    steps: Any = DDIMScheduler.from_config(scheduler.config)
    steps.set_timesteps(1)
    output = network(noise, torch.tensor(seen[0])).sample
    one_step = steps.step(output, seen[0], noise, eta=0).pred_original_sample
    torch.testing.assert_close(answer.denoised, one_step)


def test_consistency_and_flow_answer_what_one_step_of_their_samplers_draws() -> None:
    network = random_unet(channels=1)
    noise = starting_noise(network, 4, seed=3)
    consistency = CMStochasticIterativeScheduler(clip_denoised=False)
    answer = answer_noise(network, consistency, noise, Settings())
    drawn = sample(network, consistency, 4, Settings(num_inference_steps=1), seed=3, is_latent=True)
    torch.testing.assert_close(answer.denoised, drawn)
    torch.testing.assert_close(SIGMA_MAX * noise - SIGMA_MAX * answer.predicted, drawn, atol=1e-4, rtol=1e-4)
    assert answer.level == "sigma = 80"

    flow = FlowMatchEulerDiscreteScheduler()
    answer = answer_noise(network, flow, noise, Settings())
    torch.testing.assert_close(answer.denoised, sample(network, flow, 4, Settings(num_inference_steps=1), seed=3))
    assert answer.what == "velocity"


def test_a_class_conditional_model_is_asked_for_one_class() -> None:
    def class_asked_for(sample: torch.Tensor, _: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        assert labels is not None
        return sample * 0 + labels.view(-1, 1, 1, 1)

    network = Known(class_asked_for, num_class_embeds=11)
    assert float(answer_noise(network, DDIMScheduler(), _noise(5), Settings(20)).predicted.abs().max()) == 0


def test_every_image_of_the_picture_fills_its_range_in_its_place(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    shown = torch.cat([ramp, 1e6 * ramp - 5, -ramp, ramp])
    rows = [("first: predicted noise", shown), ("denoised", -shown)]
    write_rows(rows, tmp_path / "new" / "rows.png")
    first = (tmp_path / "new" / "rows.png").read_bytes()
    write_rows(rows, tmp_path / "new" / "rows.png")
    assert (tmp_path / "new" / "rows.png").read_bytes() == first
    pixels = np.asarray(Image.open(tmp_path / "new" / "rows.png").convert("L"), np.int32)
    corners = [[(64 * row + 3 * row + 10, 67 * (column - 4)) for column in range(4)] for row in range(2)]
    rising = [[pixels[y, x] < pixels[y + 63, x + 63] for y, x in row] for row in corners]
    assert rising == [[True, True, False, True], [False, False, True, False]]
    assert {int(pixels[y, x]) for row in corners for y, x in row} == {0, 255}
    # Both labels, and the caption, are there.
    for band in (pixels[10:74, :150], pixels[77:141, :150], pixels[150:]):
        assert band.min() < 100
