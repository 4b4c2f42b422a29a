"""Latents: taken as they come, gated as they were received, sampled without a clip, and shown by their autoencoder."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.utils import dynamic_modules_utils
from networks import Known
from PIL import Image
from training import CPU, make_trainer, write_pipeline

from example import SCALING_FACTOR, digits, latents, make_config, make_dataset
from immiscible_worker import trainer as trainer_module
from immiscible_worker.batches import AssignedBatches
from immiscible_worker.codec import check_contract, decode_batch, encode_batch, stage
from immiscible_worker.errors import ConfigError, PairingError, ProtocolError
from immiscible_worker.latents import Latents, load_vae, open_latents, show
from immiscible_worker.objective import build_objective
from immiscible_worker.pixels import to_model_scale, to_pixels
from immiscible_worker.protocol import TrainConfig
from immiscible_worker.record import read_record
from immiscible_worker.sampler import sample
from immiscible_worker.sampling import Settings, decode
from immiscible_worker.tool import run_tool
from immiscible_worker.trainer import Trainer
from orchestrator import RUN_ID, draw_batch

IMAGES = latents()
SHAPE = (4, 8, 8)
OBJECTIVES: dict[str, dict[str, Any]] = {
    "ddim": {"kind": "ddim"},
    "v": {"kind": "ddim", "predictionType": "v_prediction"},
    "consistency": {"kind": "consistency", "s0": 2, "s1": 16},
    "flow": {"kind": "flow"},
}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers copies a folder's pipeline.py to a cache before it imports it: not to the user's."""
    monkeypatch.setattr(dynamic_modules_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))


def receive(config: TrainConfig, images: np.ndarray[Any, Any] = IMAGES) -> Any:
    """The first batch of these images, through the codec."""
    batch = decode_batch(encode_batch(RUN_ID, 0, 0, 0, draw_batch(config, images, 0)), RUN_ID, 0)
    assert batch is not None
    return batch


def make_vae(folder: Path) -> Any:
    """A tiny autoencoder of 4 channels that doubles sides, saved there."""
    torch.manual_seed(2)
    fields: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D"),
        "up_block_types": ("UpDecoderBlock2D", "UpDecoderBlock2D"),
        "block_out_channels": (8, 8),
    }
    vae = AutoencoderKL(latent_channels=4, norm_num_groups=4, **fields)
    vae.save_pretrained(folder)
    return vae.eval().requires_grad_(False)


def labelled(**sections: Any) -> TrainConfig:
    """A class-conditional config of latents."""
    return make_config(conditioning={"classLabels": True, "labelDropout": 0.1}, **sections)


def test_floats_are_taken_where_the_data_set_has_latents_and_nowhere_else() -> None:
    config = make_config()
    staged = stage(receive(config), CPU)
    assert staged.images.dtype == torch.float32
    np.testing.assert_array_equal(staged.images.numpy(), dict(draw_batch(config, IMAGES, 0))["images"])
    check_contract(receive(config), 0, 16, make_dataset(IMAGES))
    check_contract(receive(config, digits()[0]), 0, 16, make_dataset(digits()[0]))
    as_pixels = make_dataset(IMAGES.astype(np.uint8))
    with pytest.raises(ProtocolError, match="images dtype: expected uint8, got float32"):
        check_contract(receive(config), 0, 16, as_pixels)
    for other in (np.uint8, np.float16):
        with pytest.raises(ProtocolError, match=f"images dtype: expected float32, got {np.dtype(other)}"):
            check_contract(receive(config, IMAGES.astype(other)), 0, 16, make_dataset(IMAGES))


@pytest.mark.parametrize("image_scale", [1.0, 2.0])
def test_latents_are_used_as_they_come_times_image_scale(image_scale: float) -> None:
    images = torch.from_numpy(IMAGES[:3])
    assert torch.equal(to_model_scale(images, image_scale), images * image_scale)
    pixels = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    assert to_model_scale(pixels, image_scale).flatten().tolist() == [-image_scale, image_scale]


def test_a_client_of_serve_gets_them_as_they_come() -> None:
    config = make_config(dataset={"imageScale": 2})
    batch = receive(config)
    client = cast(Any, SimpleNamespace(config=config))
    assigned = AssignedBatches._to_assigned(client, batch, stage(batch, CPU))  # pyright: ignore[reportPrivateUsage]
    np.testing.assert_array_equal(assigned.images.numpy(), 2 * dict(draw_batch(config, IMAGES, 0))["images"])


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("image_scale", [1.0, 1.7])
def test_an_honest_step_on_latents_passes_the_gate_and_a_rescaled_one_does_not(
    monkeypatch: pytest.MonkeyPatch, objective: str, image_scale: float
) -> None:
    config = labelled(objective=OBJECTIVES[objective], dataset={"imageScale": image_scale})
    trainer = make_trainer(config, IMAGES)
    batch = stage(receive(config), CPU)
    metrics = trainer.train_step(batch)
    assert (trainer.step, np.isfinite(metrics.loss)) == (1, True)

    def planted(change: Any) -> Trainer:
        monkeypatch.setattr(trainer_module, "to_model_scale", change)
        return make_trainer(config, IMAGES)

    for change in (
        lambda images, scale: (images / 127.5 - 1) * scale,
        lambda images, scale: images.clamp(-1, 1) * scale,
        lambda images, scale: images.flip(0) * scale,
        lambda images, scale: images.half().float() * scale,
    ):
        with pytest.raises(PairingError, match="sample is not made of what was received"):
            planted(change).train_step(batch)
    planted(to_model_scale).train_step(batch)


def test_the_schedulers_of_latents_clip_nothing() -> None:
    for name, field in (("ddim", "clip_sample"), ("consistency", "clip_denoised")):
        config = make_config(objective=OBJECTIVES[name]).objective
        clips = [
            build_objective(config, 1.0, SHAPE, is_latent=is_latent).scheduler.config[field]
            for is_latent in (True, False)
        ]
        assert clips == [False, True]


def perfect(objective: Any, kind: str, latent: torch.Tensor) -> Known:
    """A network that knows the one latent there is."""
    scheduler = objective.scheduler

    def answer(x: torch.Tensor, t: torch.Tensor, _: Any) -> torch.Tensor:
        if kind == "flow":
            return (x - latent) / (t / 1000)
        if kind == "consistency":
            sigma = torch.exp(t / 250)
            data, least = scheduler.config.sigma_data, scheduler.config.sigma_min
            scaled = x * (sigma**2 + data**2) ** 0.5
            skip = data**2 / ((sigma - least) ** 2 + data**2)
            return (latent - skip * scaled) * (sigma**2 + data**2) ** 0.5 / ((sigma - least) * data)
        a = scheduler.alphas_cumprod[t.long()]
        noise = (x - a**0.5 * latent) / (1 - a) ** 0.5
        return noise if kind == "ddim" else a**0.5 * noise - (1 - a) ** 0.5 * latent

    return Known(answer)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ddim", Settings(20)),
        ("ddim", Settings(20, eta=1, timestep_spacing="quadratic", use_clipped_model_output=True)),
        ("v", Settings(20, timestep_spacing="trailing")),
        ("consistency", Settings(1)),
        ("consistency", Settings(2)),
        ("flow", Settings(20)),
    ],
)
@pytest.mark.parametrize("image_scale", [1.0, 2.0])
def test_a_latent_beyond_one_survives_every_sampler_and_a_pixel_does_not(
    kind: str, settings: Settings, image_scale: float
) -> None:
    latent = torch.linspace(-4, 4, 64).view(1, 1, 8, 8)
    objective = build_objective(make_config(objective=OBJECTIVES[kind]).objective, image_scale, SHAPE, is_latent=True)
    network = perfect(objective, kind, latent * image_scale)

    def drawn(is_latent: bool, scheduler: Any = objective.scheduler) -> torch.Tensor:
        return sample(network, scheduler, 2, settings, seed=1, image_scale=image_scale, is_latent=is_latent)

    torch.testing.assert_close(drawn(True), latent.expand(2, 1, 8, 8), rtol=0, atol=0.02)
    if kind != "flow":
        pixels = build_objective(make_config(objective=OBJECTIVES[kind]).objective, image_scale, SHAPE).scheduler
        assert drawn(False, pixels).abs().max() < 2
        # Whatever a scheduler says that somebody else made.
        torch.testing.assert_close(drawn(True, pixels), drawn(True))


def test_without_an_autoencoder_the_first_channels_are_shown_in_their_own_range() -> None:
    samples = torch.from_numpy(IMAGES[:3]) * 10
    shown = show(samples, Latents(1.0))
    assert (shown.shape, shown.dtype) == ((3, 3, 8, 8), torch.uint8)
    assert shown.amin((1, 2, 3)).tolist() == [0, 0, 0]
    assert shown.amax((1, 2, 3)).tolist() == [255, 255, 255]
    assert torch.equal(show(samples[:1], Latents(1.0)), shown[:1])
    assert show(samples[:, :2], Latents(1.0)).shape == (3, 1, 8, 8)
    assert show(torch.full((1, 4, 2, 2), 7.0), Latents(1.0)).unique().tolist() == [0]
    assert torch.equal(show(samples, None), to_pixels(samples))


def test_an_autoencoder_decodes_them_divided_by_their_factor(tmp_path: Path) -> None:
    vae = make_vae(tmp_path)
    samples = torch.from_numpy(IMAGES[:6]) * SCALING_FACTOR
    expected = torch.cat([vae.decode(part / SCALING_FACTOR).sample for part in samples.split(4)])
    assert torch.equal(decode(load_vae(tmp_path), samples, SCALING_FACTOR), expected)
    assert torch.equal(show(samples, Latents(SCALING_FACTOR, vae)), to_pixels(expected))
    assert not torch.equal(show(samples, Latents(1.0, vae)), to_pixels(expected))


def test_an_autoencoder_that_is_none_is_refused(tmp_path: Path) -> None:
    arrays = {"kind": "arrays", "path": "/x.npz", "vae": str(tmp_path / "vae")}
    config, dataset = make_config(dataset=arrays), make_dataset(IMAGES)
    with pytest.raises(ConfigError, match=r"dataset\.vae: expected a local folder with config.json"):
        open_latents(config, dataset, CPU)
    vae = make_vae(tmp_path / "vae")
    opened = open_latents(config, dataset, CPU)
    assert opened is not None
    assert (opened.scaling_factor, opened.vae.config.latent_channels) == (SCALING_FACTOR, 4)
    assert open_latents(config, make_dataset(digits()[0]), CPU) is None
    assert open_latents(make_config(), dataset, CPU) == Latents(SCALING_FACTOR, None)
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(vae.state_dict(), tmp_path / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"dataset\.vae"):
        open_latents(config, dataset, CPU)


def ask_tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pipeline: Path, grid: Path) -> Any:
    """`immiscible sample`, as the orchestrator asks for it."""
    request: dict[str, Any] = dict.fromkeys(
        ("numInferenceSteps", "eta", "timestepSpacing", "useClippedModelOutput", "solver", "guidanceScale")
    )
    request |= {"pipeline": str(pipeline), "numImages": 4, "seed": 3, "trustRemoteCode": False, "classLabels": None}
    text = json.dumps({**request, "grid": str(grid), "files": str(grid.parent / "files")})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run_tool(["sample"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("has_vae", [False, True])
def test_the_pipeline_of_latents_loads_and_samples_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], has_vae: bool
) -> None:
    vae = make_vae(tmp_path / "vae") if has_vae else None
    dataset = {"kind": "arrays", "path": "/x.npz", "vae": str(tmp_path / "vae") if has_vae else None}
    trainer = make_trainer(labelled(dataset=dataset, sampling={"numInferenceSteps": 2}), IMAGES)
    space = Latents(SCALING_FACTOR, vae)
    write_pipeline(trainer, tmp_path / "pipeline", IMAGES, space)
    ours = sample(trainer.ema_network(), trainer.objective.scheduler, 4, Settings(2), 3, is_latent=True)
    assert ours.abs().max() > 1

    pipeline = cast(Any, DiffusionPipeline.from_pretrained(tmp_path / "pipeline", trust_remote_code=True))
    pipeline.set_progress_bar_config(disable=True)

    def call(**options: Any) -> Any:
        return pipeline(batch_size=4, generator=torch.Generator().manual_seed(3), **options).images

    assert torch.equal(call(output_type="latent"), ours)
    if vae is None:
        assert torch.equal(call(), ours)
        pipeline = type(pipeline)(
            pipeline.unet,
            pipeline.scheduler,
            make_vae(tmp_path / "later"),
            **{name: pipeline.config[name] for name in ("image_scale", "scaling_factor", "num_inference_steps")},
        )
        pipeline.set_progress_bar_config(disable=True)
    assert [(type(image), image.size) for image in call()] == [(Image.Image, (16, 16))] * 4

    record = read_record(tmp_path / "pipeline")
    assert record is not None
    assert record.scaling_factor == SCALING_FACTOR
    card = (tmp_path / "pipeline" / "README.md").read_text()
    assert "A class-conditional model of 4 x 8 x 8 latents" in card
    assert "multiplied by 0.18215" in card
    assert ("The autoencoder in `vae/` decodes them" in card) == has_vae

    answer = ask_tool(monkeypatch, capsys, tmp_path / "pipeline", tmp_path / "grid.png")
    with Image.open(answer["files"][0]) as image:
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels, show(ours, space)[0].permute(1, 2, 0).numpy())


def test_a_pipeline_of_pixels_says_nothing_of_latents(tmp_path: Path) -> None:
    write_pipeline(make_trainer(), tmp_path / "pipeline")
    record = read_record(tmp_path / "pipeline")
    assert record is not None
    assert record.scaling_factor is None
    assert "latents" not in (tmp_path / "pipeline" / "README.md").read_text()


def test_a_batch_of_latents_is_cut_into_parts_like_any_other() -> None:
    trainer = make_trainer(make_config(training={"gradientAccumulationSteps": 4}), IMAGES)
    staged = stage(receive(trainer.config), CPU)
    assert np.isfinite(trainer.train_step(staged).loss)
    assert np.isfinite(trainer.measure_loss([replace(staged, step=1)], is_ema=True))
