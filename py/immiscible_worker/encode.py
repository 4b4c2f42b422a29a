"""The latents of a data set, by an autoencoder of diffusers: a safetensors file that the orchestrator trains on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .autoencoder import WEIGHTS, load_autoencoder
from .errors import UsageError
from .files import TEMPORARY_PREFIX, sync_folder

FORMAT = "immiscible-latents/1"
_CHUNK_BYTES = 2**22

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Encoder:
    """vae: in eval mode, on its device. downscale: image pixels for one of the latent, along a side.

    scaling_factor: what latents are multiplied by before a network sees them. sha256: of config and weights.
    """

    vae: Any
    downscale: int
    latent_channels: int
    scaling_factor: float
    sha256: str


@dataclass(frozen=True)
class Encoded:
    """shape: N, C, h, w. sha256: of the file."""

    shape: tuple[int, int, int, int]
    scaling_factor: float
    sha256: str


def open_encoder(folder: Path, device: torch.device) -> Encoder:
    """Raises UsageError where `autoencoder.load_autoencoder` cannot take the folder."""
    try:
        vae = load_autoencoder(folder)
    except ValueError as error:
        raise UsageError(f"vae: {error}") from error
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    digest.update(_hash_file(folder / WEIGHTS).encode())
    return Encoder(
        vae=vae.to(device),
        downscale=2 ** (len(vae.config.block_out_channels) - 1),
        latent_channels=int(vae.config.latent_channels),
        scaling_factor=float(vae.config.scaling_factor),
        sha256=digest.hexdigest(),
    )


@torch.no_grad()
def encode_images(
    encoder: Encoder,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int32] | None,
    output: Path,
    *,
    batch_size: int,
    is_mirrored: bool,
    metadata: Mapping[str, str],
    on_progress: Progress,
) -> Encoded:
    """Writes mean and std of each image's posterior, float32 [N, C, h, w], not multiplied by the scaling factor.

    images: uint8 [N, C, H, W], read a batch at a time, so that they may be a memory map. labels: int32 [N].
    is_mirrored: the mirror images too, encoded for themselves. The file is written beside `output` and renamed when it
    is complete; what a killed run left is written over. on_progress: called with the number of images done.
    Raises UsageError where images do not fit the autoencoder, or numbers are not finite.
    """
    num_images = _check_images(encoder, images)
    height, width = (side // encoder.downscale for side in images.shape[2:])
    shape = (num_images, encoder.latent_channels, height, width)
    names = ["mean", "std", *(["mean_mirrored", "std_mirrored"] if is_mirrored else [])]
    header, offsets = _layout(names, shape, labels is not None, metadata, encoder)
    temporary = output.with_name(f"{TEMPORARY_PREFIX}{output.name}")
    output.parent.mkdir(parents=True, exist_ok=True)
    image_bytes = int(np.prod(shape[1:])) * 4
    try:
        with temporary.open("wb") as file:
            file.write(header)
            for first in range(0, num_images, batch_size):
                batch = images[first : first + batch_size]
                for name, values in _encode_batch(encoder, batch, is_mirrored):
                    if not np.isfinite(values).all():
                        raise UsageError(f"vae: expected finite latents, got others in images from {first} on")
                    file.seek(len(header) + offsets[name] + first * image_bytes)
                    file.write(np.ascontiguousarray(values, "<f4").tobytes())
                on_progress(first + len(batch))
            if labels is not None:
                file.seek(len(header) + offsets["labels"])
                file.write(labels.astype("<i4").tobytes())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(output)
        sync_folder(output.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return Encoded(shape, encoder.scaling_factor, _hash_file(output))


def _check_images(encoder: Encoder, images: npt.NDArray[np.uint8]) -> int:
    num_images, channels, height, width = images.shape
    wanted = int(encoder.vae.config.in_channels)
    if channels != wanted:
        raise UsageError(f"dataset: expected images of {wanted} channels, as the autoencoder takes, got {channels}")
    scale = encoder.downscale
    if height % scale or width % scale:
        raise UsageError(f"dataset: expected sides divisible by the autoencoder's {scale}, got {height} x {width}")
    return num_images


def _encode_batch(
    encoder: Encoder, batch: npt.NDArray[np.uint8], is_mirrored: bool
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    device = next(encoder.vae.parameters()).device
    pixels = torch.from_numpy(np.array(batch)).to(device=device, dtype=torch.float32) / 127.5 - 1.0
    for suffix, shown in (("", pixels), *([("_mirrored", pixels.flip(-1))] if is_mirrored else [])):
        posterior = encoder.vae.encode(shown).latent_dist
        yield f"mean{suffix}", posterior.mean.float().cpu().numpy()
        yield f"std{suffix}", posterior.std.float().cpu().numpy()


def _layout(
    names: list[str],
    shape: tuple[int, int, int, int],
    has_labels: bool,
    metadata: Mapping[str, str],
    encoder: Encoder,
) -> tuple[bytes, dict[str, int]]:
    """The header of a safetensors file, and where each tensor begins behind it."""
    size = int(np.prod(shape)) * 4
    own = {"format": FORMAT, "scaling_factor": repr(encoder.scaling_factor), "vae_sha256": encoder.sha256}
    entries: dict[str, Any] = {"__metadata__": {**metadata, **own}}
    offsets: dict[str, int] = {}
    end = 0
    tensors = [(name, "F32", list(shape), size) for name in names]
    for name, dtype, dims, length in [*tensors, *([("labels", "I32", [shape[0]], 4 * shape[0])] if has_labels else [])]:
        offsets[name] = end
        entries[name] = {"dtype": dtype, "shape": dims, "data_offsets": [end, end + length]}
        end += length
    text = json.dumps(entries).encode()
    # Tensors begin on 8 bytes, as safetensors' own writer has it.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, offsets


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
