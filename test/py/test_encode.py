"""Which autoencoders and images are refused before anything is written, each beside one that is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from immiscible_worker.encode import encode_images, open_encoder
from immiscible_worker.errors import UsageError

_CPU = torch.device("cpu")
_WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vae")
    AutoencoderKL(
        latent_channels=4,
        block_out_channels=(4, 4),  # pyright: ignore[reportArgumentType]
        down_block_types=("DownEncoderBlock2D",) * 2,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 2,  # pyright: ignore[reportArgumentType]
        norm_num_groups=2,
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def vae(saved: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return shutil.copytree(saved, tmp_path / "vae")


def _images(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _encode(vae: Path, images: np.ndarray[Any, np.dtype[np.uint8]], output: Path, batch_size: int = 4) -> None:
    options: dict[str, Any] = {"batch_size": batch_size, "is_mirrored": False, "metadata": {}, "on_progress": print}
    encode_images(open_encoder(vae, _CPU), images, None, output, **options)


def test_the_control_is_encoded_and_the_batch_size_changes_nothing_much(vae: Path, tmp_path: Path) -> None:
    images = _images(6, 3, 8, 10)
    files = [tmp_path / f"{size}.safetensors" for size in (1, 4)]
    for size, file in zip((1, 4), files, strict=True):
        _encode(vae, images, file, size)
    one, four = (load_file(file) for file in files)
    assert one["mean"].shape == (6, 4, 4, 5)
    assert set(one) == {"mean", "std"}
    for name in one:
        torch.testing.assert_close(one[name], four[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 8, 8), "dataset: expected images of 3 channels, as the autoencoder takes, got 1"),
        ((2, 3, 8, 9), "dataset: expected sides divisible by the autoencoder's 2, got 8 x 9"),
    ],
)
def test_images_that_do_not_fit_are_refused(vae: Path, tmp_path: Path, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _encode(vae, _images(*shape), tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vae"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_class_name": "VQModel"}, "expected an AutoencoderKL, got VQModel"),
        ({"shift_factor": 0.1}, "expected latents with a scaling factor alone, got shift_factor as well"),
        ({"latents_mean": [0.0] * 4}, "expected latents with a scaling factor alone, got latents_mean as well"),
    ],
)
def test_an_autoencoder_of_another_kind_is_refused(vae: Path, changes: dict[str, Any], message: str) -> None:
    config = vae / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    with pytest.raises(UsageError, match=message):
        open_encoder(vae, _CPU)


def test_a_pickle_is_not_opened_and_a_name_of_the_hub_not_looked_up(vae: Path) -> None:
    (vae / _WEIGHTS).rename(vae / "diffusion_pytorch_model.bin")
    for folder in (vae, Path("stabilityai/sd-vae-ft-mse")):
        with pytest.raises(UsageError, match=f"vae: expected a local folder with config.json and {_WEIGHTS}, got"):
            open_encoder(folder, _CPU)


def test_latents_that_are_no_numbers_are_refused_and_nothing_stays(vae: Path, tmp_path: Path) -> None:
    weights = load_file(vae / _WEIGHTS)
    save_file({name: torch.full_like(values, torch.nan) for name, values in weights.items()}, vae / _WEIGHTS)
    with pytest.raises(UsageError, match="vae: expected finite latents, got others in images from 0 on"):
        _encode(vae, _images(2, 3, 8, 8), tmp_path / "out.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vae"]
