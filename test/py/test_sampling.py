"""Each sampler draws what diffusers, a plain loop or the exact solution gives; options that do not fit are refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    ConsistencyModelPipeline,
    DDIMPipeline,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from networks import Known, random_unet

from immiscible_worker import sampling
from immiscible_worker.sampler import pipeline_class, sample
from immiscible_worker.sampling import Settings, choose, ddim_update, labels_of, quadratic_timesteps, sampler_of

DDIM = DDIMScheduler()
CONSISTENCY = CMStochasticIterativeScheduler()
FLOW = FlowMatchEulerDiscreteScheduler()
RGB = random_unet()


def ddim_scheduler(**config: Any) -> DDIMScheduler:
    """A scheduler with these fields."""
    return DDIMScheduler(**config)


def theirs(pipeline: Any, seed: int = 3, **options: Any) -> Any:
    """Four samples of a pipeline of diffusers, float [B, H, W, C] in [0, 1]."""
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(seed)
    return pipeline(batch_size=4, generator=generator, output_type="np", **options).images


def as_numpy(samples: torch.Tensor) -> Any:
    """Samples in [-1, 1] as a pipeline gives them."""
    return (samples / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("eta", "clipped"), [(0.0, False), (0.0, True), (0.7, False), (1.0, True)])
def test_ddim_draws_the_bits_of_the_ddim_pipeline(spacing: str, prediction: str, eta: float, clipped: bool) -> None:
    scheduler = ddim_scheduler(prediction_type=prediction, timestep_spacing=spacing)
    settings = Settings(7, eta=eta, timestep_spacing=spacing, use_clipped_model_output=clipped)
    ours = sample(RGB, ddim_scheduler(prediction_type=prediction), 4, settings, seed=3)
    options: dict[str, Any] = {"num_inference_steps": 7, "eta": eta, "use_clipped_model_output": clipped}
    np.testing.assert_array_equal(as_numpy(ours), theirs(DDIMPipeline(RGB, scheduler), **options))
    other = sample(RGB, ddim_scheduler(prediction_type=prediction), 4, replace(settings, eta=0.35), seed=3)
    assert not torch.equal(ours, other)


@pytest.mark.parametrize("num_steps", [20, 50, 100, 500, 1000])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_our_ddim_update_is_that_of_diffusers_at_equal_gaps(num_steps: int, prediction: str) -> None:
    steps = cast(Any, ddim_scheduler(prediction_type=prediction, clip_sample_range=1.5))
    steps.set_timesteps(num_steps)
    generator = torch.Generator().manual_seed(num_steps)
    images, output, noise = torch.randn(3, 2, 3, 8, 8, generator=generator)
    for t in (int(t) for t in steps.timesteps[:: max(1, num_steps // 20)]):
        for eta, clipped in itertools.product((0.0, 0.5, 1.0), (False, True)):
            added = {"variance_noise": noise} if eta else {}
            expected = steps.step(output, t, images, eta=eta, use_clipped_model_output=clipped, **added).prev_sample
            previous = max(t - 1000 // num_steps, -1)
            got = ddim_update(steps, output, t, previous, images, eta, clipped, noise if eta else None)
            assert torch.equal(got, expected)


def test_quadratic_timesteps_are_denser_near_the_image() -> None:
    # (i / 10)^2 * 800 for i = 10..0
    assert quadratic_timesteps(1000, 11) == [800, 648, 512, 392, 288, 200, 128, 72, 32, 8, 0]
    for num_steps in (20, 50, 100, 500, 1000):
        timesteps = quadratic_timesteps(1000, num_steps)
        exact = [0.8 * 1000 * (i / (num_steps - 1)) ** 2 for i in range(num_steps - 1, -1, -1)]
        assert len(timesteps) == num_steps
        assert all(t in (int(e), int(e + 1e-9), int(e - 1e-9)) for t, e in zip(timesteps, exact, strict=True))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(("num_steps", "eta", "clipped"), [(20, 0.0, True), (20, 0.6, False), (100, 1.0, True)])
def test_quadratic_spacing_is_a_plain_ddim_loop(prediction: str, num_steps: int, eta: float, clipped: bool) -> None:
    """Song et al. 2021, eq. 12 and 16, in float64 from the betas on."""
    network = Known(lambda x, t, _: torch.sin(3 * x) + t / 1000)
    settings = Settings(num_steps, eta=eta, timestep_spacing="quadratic", use_clipped_model_output=clipped)
    ours = sample(network, ddim_scheduler(prediction_type=prediction), 3, settings, seed=5)

    generator = torch.Generator("cpu").manual_seed(5)
    kept = np.concatenate([[1.0], np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))])  # kept[t + 1] is alpha of t
    subsequence = (np.linspace(0, np.sqrt(1000 * 0.8), num_steps) ** 2).astype(int)
    x = torch.randn(3, 1, 8, 8, generator=generator).double().numpy()
    for at in range(num_steps - 1, -1, -1):
        a, b = kept[subsequence[at] + 1], kept[subsequence[at - 1] + 1] if at > 0 else 1.0
        output = np.sin(3 * x) + subsequence[at] / 1000
        if prediction == "epsilon":
            epsilon, image = output, (x - np.sqrt(1 - a) * output) / np.sqrt(a)
        else:
            epsilon, image = np.sqrt(a) * output + np.sqrt(1 - a) * x, np.sqrt(a) * x - np.sqrt(1 - a) * output
        image = np.clip(image, -1, 1)
        if clipped:
            epsilon = (x - np.sqrt(a) * image) / np.sqrt(1 - a)
        sigma = eta * np.sqrt((1 - b) / (1 - a)) * np.sqrt(1 - a / b)
        x = np.sqrt(b) * image + np.sqrt(1 - b - sigma**2) * epsilon
        if eta > 0:
            x = x + sigma * torch.randn(3, 1, 8, 8, generator=generator).double().numpy()
    np.testing.assert_allclose(ours.numpy(), x, rtol=0, atol=2e-3)
    even = sample(network, DDIM, 3, replace(settings, timestep_spacing="leading"), seed=5)
    assert np.abs(even.numpy() - x).max() > 0.05


@pytest.mark.parametrize("num_steps", [1, 2, 4, 40])
def test_consistency_draws_the_bits_of_the_consistency_pipeline(num_steps: int) -> None:
    ours = sample(RGB, CONSISTENCY, 4, Settings(num_steps), seed=3)
    expected = theirs(ConsistencyModelPipeline(RGB, CONSISTENCY), num_inference_steps=num_steps)
    np.testing.assert_array_equal(as_numpy(ours), expected)
    other = CMStochasticIterativeScheduler(sigma_max=79)
    assert not torch.equal(sample(RGB, other, 4, Settings(num_steps), seed=3), ours)


def test_consistency_tells_the_network_250_ln_sigma_and_a_normalised_image() -> None:
    seen: list[torch.Tensor] = []
    network = Known(lambda x, t, _: seen.append(x) or torch.zeros_like(x))
    sample(network, CONSISTENCY, 256, Settings(1), seed=0)
    assert network.calls[0][0].unique().tolist() == pytest.approx([250 * np.log(80)])
    noise = torch.randn(256, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(seen[0], noise * 80 / (80**2 + 0.5**2) ** 0.5)


@pytest.mark.parametrize("num_steps", [1, 2])
@pytest.mark.parametrize("image_scale", [1.0, 3.0])
def test_a_perfect_consistency_model_gives_images_back_at_any_scale(num_steps: int, image_scale: float) -> None:
    """Its output solves f = c_skip x + c_out F (Song et al. 2023, eq. 5); a clip at 1 would cut images times 3."""
    image = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)

    def output(normalised: torch.Tensor, t: torch.Tensor, _: object) -> torch.Tensor:
        sigma = (t / 250).double().exp()
        x = normalised * (sigma**2 + 0.25) ** 0.5
        c_skip = 0.25 / ((sigma - 0.002) ** 2 + 0.25)
        c_out = 0.5 * (sigma - 0.002) / (sigma**2 + 0.25) ** 0.5
        return ((image_scale * image - c_skip * x) / c_out).float()

    samples = sample(Known(output), CONSISTENCY, 3, Settings(num_steps), seed=0, image_scale=image_scale)
    torch.testing.assert_close(samples, image.expand(3, 1, 8, 8), rtol=0, atol=1e-4)
    if image_scale != 1:
        assert sample(Known(output), CONSISTENCY, 3, Settings(num_steps), seed=0).abs().max() < 1.001


def test_where_diffusers_draws_nan_ours_does_not_and_is_what_is_saved() -> None:
    fine, broken = (CMStochasticIterativeScheduler(sigma_min=sigma_min) for sigma_min in (0.002, 0.0008))
    assert np.isnan(theirs(ConsistencyModelPipeline(RGB, broken), num_inference_steps=2)).all()
    assert torch.isfinite(sample(RGB, broken, 4, Settings(2), seed=3)).all()
    names = [pipeline_class(RGB, scheduler, Settings(1), 1.0).__name__ for scheduler in (fine, broken)]
    assert names == ["ConsistencyModelPipeline", "ImmisciblePipeline"]


@pytest.mark.parametrize("num_steps", [1, 2, 50])
def test_euler_is_a_plain_loop(num_steps: int) -> None:
    ours = sample(RGB, FLOW, 4, Settings(num_steps), seed=3)
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for step in range(num_steps, 0, -1):
            x = x - RGB(x, torch.tensor(1000 * step / num_steps)).sample / num_steps
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-5)
    assert not torch.allclose(sample(RGB, FLOW, 4, Settings(num_steps + 1), seed=3), x, atol=1e-5)


MEAN, DEVIATION = 0.3, 0.2


def gaussian_velocity(x: torch.Tensor, timestep: torch.Tensor, _: object) -> torch.Tensor:
    """E[noise - image | (1 - t) image + t noise] for images of N(MEAN, DEVIATION^2): linear in x."""
    t = timestep / 1000
    variance = (1 - t) ** 2 * DEVIATION**2 + t**2
    return (t - (1 - t) * DEVIATION**2) / variance * (x - (1 - t) * MEAN) - MEAN


def test_dopri5_is_the_exact_solution_and_euler_converges_to_it() -> None:
    """The flow between Gaussians keeps each point's quantile: noise n ends at MEAN + DEVIATION n."""
    noise = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    exact = MEAN + DEVIATION * noise

    def error(settings: Settings) -> float:
        return float((sample(Known(gaussian_velocity), FLOW, 16, settings, seed=1) - exact).abs().max())

    assert error(Settings(solver="dopri5")) < 1e-4
    errors = [error(Settings(num_steps)) for num_steps in (50, 100, 200, 400)]
    ratios = [coarse / fine for coarse, fine in itertools.pairwise(errors)]
    assert ratios == pytest.approx([2, 2, 2], abs=0.15)  # a method of the first order
    assert errors[-1] < 5e-3
    reversed_sign = Known(lambda x, t, labels: -gaussian_velocity(x, t, labels))
    wrong = sample(reversed_sign, FLOW, 16, Settings(solver="dopri5"), seed=1)
    assert float((wrong - exact).abs().max()) > 0.5


@pytest.mark.parametrize(("guidance_scale", "labels"), [(1.0, [[2, 0]]), (0.0, [[3, 3]]), (2.5, [[3, 3], [2, 0]])])
def test_guidance_is_none_plus_w_times_the_difference(guidance_scale: float, labels: list[list[int]]) -> None:
    """One Euler step from noise n with v = label's value is n - v; the last label is "none"."""
    values = torch.tensor([0.1, 0.2, 0.4, 0.8])

    def velocity(x: torch.Tensor, _: object, classes: torch.Tensor | None) -> torch.Tensor:
        assert classes is not None
        return values[classes].view(-1, 1, 1, 1).expand_as(x)

    network = Known(velocity, num_class_embeds=4)
    samples = sample(network, FLOW, 2, Settings(1, guidance_scale=guidance_scale), seed=0, class_labels=[2, 0])
    assert [call[1].tolist() for call in network.calls if call[1] is not None] == labels
    noise = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    guided = 0.8 + guidance_scale * (values[[2, 0]].view(-1, 1, 1, 1) - 0.8)
    torch.testing.assert_close(samples, noise - guided)


def test_guiding_the_output_of_a_consistency_model_is_guiding_the_model() -> None:
    """Where nothing is clipped: f is affine in the output."""
    network = random_unet(1, num_classes=3)
    scheduler = CMStochasticIterativeScheduler(sigma_max=0.5, clip_denoised=False)
    drawn = {
        w: sample(network, scheduler, 3, Settings(1, guidance_scale=w), seed=0, class_labels=[0, 1, 2])
        for w in (0.0, 1.0, 3.0)
    }
    torch.testing.assert_close(drawn[3.0], drawn[0.0] + 3 * (drawn[1.0] - drawn[0.0]))
    assert (drawn[1.0] - drawn[0.0]).abs().max() > 1e-3


def test_labels_cycle_over_the_images() -> None:
    network = random_unet(1, num_classes=3)
    assert labels_of(network, None, 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert labels_of(network, None, 2).tolist() == [0, 1]
    assert labels_of(network, [2, 0], 5).tolist() == [2, 0, 2, 0, 2]
    assert labels_of(network, 1, 2).tolist() == [1, 1]
    assert labels_of(network, torch.tensor([2]), 2).tolist() == [2, 2]
    assert labels_of(random_unet(1), None, 7) is None
    drawn = sample(network, FLOW, 4, Settings(2), seed=0)
    assert torch.equal(drawn, sample(network, FLOW, 4, Settings(2), seed=0, class_labels=[0, 1, 2, 0]))
    assert not torch.equal(drawn, sample(network, FLOW, 4, Settings(2), seed=0, class_labels=[1]))


@pytest.mark.parametrize("labels", [[3], [-1], [], [0, 1, 2], [0, 7]])
def test_labels_that_there_are_not_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"class labels: expected 1\.\.2 of them.* each in 0\.\.2, got \["):
        labels_of(random_unet(1, num_classes=3), labels, 2)
    with pytest.raises(ValueError, match="class labels: expected none, since the model is unconditional"):
        labels_of(random_unet(1), labels, 2)


def test_guidance_of_an_unconditional_model_is_refused() -> None:
    with pytest.raises(ValueError, match="guidance scale: expected 1, since the model is unconditional, got 2"):
        sample(RGB, FLOW, 1, Settings(1, guidance_scale=2), seed=0)


@pytest.mark.parametrize(
    ("scheduler", "given", "message"),
    [
        (CONSISTENCY, {"eta": 0.5}, "eta: only the ddim sampler has it, this model's is consistency; got 0.5"),
        (FLOW, {"eta": 1.0}, "eta: only the ddim sampler has it, this model's is flow; got 1.0"),
        (FLOW, {"timestep_spacing": "leading"}, "timestep spacing: only the ddim sampler has it"),
        (CONSISTENCY, {"use_clipped_model_output": True}, "use clipped model output: only the ddim sampler has it"),
        (DDIM, {"solver": "dopri5"}, "solver: only the flow sampler has it, this model's is ddim; got dopri5"),
        (FLOW, {"solver": "heun"}, "solver: expected one of euler, dopri5, got heun"),
        (DDIM, {"timestep_spacing": "cubic"}, "timestep spacing: expected one of leading, linspace"),
        (DDIM, {"eta": 1.5}, r"eta: expected 0\.\.1, got 1.5"),
        (DDIM, {"guidance_scale": -1}, "guidance scale: expected at least 0, got -1"),
        (DDIM, {"num_inference_steps": 1001}, r"number of inference steps: expected 1\.\.1000, got 1001"),
        (CONSISTENCY, {"num_inference_steps": 41}, r"number of inference steps: expected 1\.\.40, got 41"),
        (FLOW, {"num_inference_steps": 0}, r"number of inference steps: expected 1\.\.inf, got 0"),
        (DDIM, {"num_inference_steps": 1, "timestep_spacing": "quadratic"}, "expected 2 or more with 'quadratic'"),
        (FLOW, {"num_inference_steps": 9, "solver": "dopri5"}, "steps: expected none with dopri5"),
    ],
)
def test_options_that_do_not_fit_are_refused(scheduler: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(Settings(20), scheduler, **given)


def test_what_is_not_given_is_as_before() -> None:
    before = Settings(20, eta=0.5, timestep_spacing="quadratic")
    assert choose(before, DDIM, eta=None, num_inference_steps=30) == replace(before, num_inference_steps=30)
    assert choose(before, DDIM, eta=0) == replace(before, eta=0)
    assert choose(Settings(20), CONSISTENCY, eta=0, use_clipped_model_output=False) == Settings(20)


def test_a_scheduler_says_which_sampler_it_is_for() -> None:
    class Mine(DDIMScheduler):
        pass

    assert [sampler_of(scheduler) for scheduler in (DDIM, CONSISTENCY, FLOW, Mine())] == [
        *("ddim", "consistency", "flow", "ddim"),
    ]
    with pytest.raises(ValueError, match=r"scheduler: expected one of DDIMScheduler.*, got object"):
        sampler_of(object())


@pytest.mark.parametrize(
    ("scheduler", "settings"),
    [
        (DDIM, Settings(4)),
        (DDIM, Settings(4, eta=1.0)),
        (DDIM, Settings(4, eta=1.0, timestep_spacing="quadratic")),
        (CONSISTENCY, Settings(3)),
        (FLOW, Settings(4)),
    ],
)
def test_samples_do_not_depend_on_how_many_the_network_sees(
    monkeypatch: pytest.MonkeyPatch, scheduler: Any, settings: Settings
) -> None:
    network = random_unet(1, num_classes=3)

    def draw(seed: int = 3) -> torch.Tensor:
        torch.manual_seed(int(torch.seed()) % 1000)  # a global generator elsewhere each time
        return sample(network, scheduler, 7, replace(settings, guidance_scale=2.0), seed=seed)

    before = dict(scheduler.config)
    whole = draw()
    assert torch.equal(draw(), whole)
    for chunk in (1, 3):
        monkeypatch.setattr(sampling, "_CHUNK", chunk)
        # Convolutions of another batch size round otherwise; another noise would differ by far more.
        torch.testing.assert_close(draw(), whole, rtol=0, atol=2e-4)
    assert (draw(seed=4) - whole).abs().max() > 0.5
    assert dict(scheduler.config) == before


def test_dopri5_does_not_depend_on_how_many_the_network_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sample(Known(gaussian_velocity), FLOW, 7, Settings(solver="dopri5"), seed=3)
    monkeypatch.setattr(sampling, "_CHUNK", 3)
    torch.testing.assert_close(sample(Known(gaussian_velocity), FLOW, 7, Settings(solver="dopri5"), seed=3), whole)
