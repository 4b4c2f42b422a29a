"""Latents as pictures: decoded by the autoencoder that a data set names, or their first channels as they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .autoencoder import load_autoencoder
from .errors import ConfigError
from .pixels import to_pixels
from .protocol import ArraysDataset, DatasetInfo, TrainConfig
from .sampling import decode


@dataclass(frozen=True)
class Latents:
    """What a model's samples are where they are no pixels. scaling_factor: what the autoencoder's latents were
    multiplied by. vae: the AutoencoderKL that decodes them, in eval mode; None where nobody named one."""

    scaling_factor: float
    vae: Any = None


def open_latents(config: TrainConfig, dataset: DatasetInfo, device: torch.device) -> Latents | None:
    """None for a data set of pixels. Raises ConfigError where the autoencoder cannot be loaded."""
    if dataset.scaling_factor is None:
        return None
    place = config.dataset.vae if isinstance(config.dataset, ArraysDataset) else None
    return Latents(dataset.scaling_factor, None if place is None else load_vae(Path(place)).to(device))


def load_vae(folder: Path) -> Any:
    """An AutoencoderKL from a local folder, on the CPU. Raises ConfigError."""
    try:
        return load_autoencoder(folder)
    except ValueError as error:
        raise ConfigError("VAE", f"dataset.vae: {error}") from error


def show(samples: torch.Tensor, latents: Latents | None) -> torch.Tensor:
    """uint8 [B, C, H, W] on the CPU, to look at. samples: float32 [B, C, H, W] as the sampler gives them.

    latents: None for a model of pixels. Without an autoencoder the first three channels, or the first of less than
    three, each image from its least to its largest number.
    """
    if latents is None:
        return to_pixels(samples)
    if latents.vae is not None:
        return to_pixels(decode(latents.vae, samples, latents.scaling_factor).cpu())
    shown = samples[:, : 3 if samples.shape[1] >= 3 else 1]
    least, most = shown.amin((1, 2, 3), keepdim=True), shown.amax((1, 2, 3), keepdim=True)
    return to_pixels(2 * (shown - least) / (most - least).clamp(min=1e-12) - 1)
