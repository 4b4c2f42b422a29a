"""DDIM sampling (Song et al. 2021), sample grids, and the pipeline folder that diffusers loads."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from PIL import Image

from . import scaled_pipeline
from .files import TEMPORARY_PREFIX, remove_tree, replace_durably, replace_folder, sync_tree, write_durably
from .scaled_pipeline import ScaledDDIMPipeline

_CHUNK = 256
_GRID_CELL_PIXELS = 48
_GRID_GAP_PIXELS = 2


@torch.no_grad()
def sample(
    network: UNet2DModel,
    scheduler: DDIMScheduler,
    num_images: int,
    num_inference_steps: int,
    seed: int,
    *,
    eta: float = 0.0,
    image_scale: float = 1.0,
) -> torch.Tensor:
    """Images from noise: float32 [B, C, H, W] on the CPU, about [-1, 1].

    Equal to `DDIMPipeline(num_inference_steps=..., eta=...)` with a CPU generator of the same seed. Draws from a
    generator of its own and steps a scheduler of its own, so that sampling cannot change training. `network` must be
    in eval mode. eta: 0 is DDIM; above, each step adds noise (eq. 16), drawn for all images at once, so that it does
    not depend on how many the network sees at a time. image_scale: what the training multiplied images by.
    """
    assert not network.training, "sample from a network in eval mode"
    generator = torch.Generator("cpu").manual_seed(seed)
    size = network.config.sample_size  # pyright: ignore[reportAttributeAccessIssue]
    height, width = (size, size) if isinstance(size, int) else size
    channels = network.config.in_channels  # pyright: ignore[reportAttributeAccessIssue]
    shape = (num_images, channels, height, width)
    chunks = [chunk.to(network.device) for chunk in torch.randn(shape, generator=generator).split(_CHUNK)]
    steps = cast(Any, DDIMScheduler.from_config(scheduler.config))
    steps.set_timesteps(num_inference_steps)
    for timestep in steps.timesteps:
        fresh = torch.randn(shape, generator=generator).split(_CHUNK) if eta > 0 else [None] * len(chunks)
        for at, (images, noise) in enumerate(zip(chunks, fresh, strict=True)):
            predicted = network(images, timestep).sample
            added = {} if noise is None else {"variance_noise": noise.to(network.device)}
            chunks[at] = steps.step(predicted, timestep, images, eta=eta, **added).prev_sample
    return torch.cat([chunk.cpu() for chunk in chunks]) / image_scale


def write_grid(pixels: torch.Tensor, path: Path) -> None:
    """A PNG of all images in a square, small ones enlarged without smoothing. pixels: uint8 [B, C, H, W]."""
    num_images, channels, height, width = pixels.shape
    columns = math.ceil(math.sqrt(num_images))
    rows = math.ceil(num_images / columns)
    scale = max(1, math.ceil(_GRID_CELL_PIXELS / max(height, width)))
    cell_height, cell_width = height * scale + _GRID_GAP_PIXELS, width * scale + _GRID_GAP_PIXELS
    mode = "RGB" if channels == 3 else "L"
    grid = Image.new(mode, (columns * cell_width + _GRID_GAP_PIXELS, rows * cell_height + _GRID_GAP_PIXELS), "#404040")
    for index, image in enumerate(pixels[:, :3] if channels == 3 else pixels[:, :1]):
        array = image.permute(1, 2, 0).squeeze(-1).contiguous().numpy()
        tile = Image.fromarray(array).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        row, column = divmod(index, columns)
        grid.paste(tile, (column * cell_width + _GRID_GAP_PIXELS, row * cell_height + _GRID_GAP_PIXELS))
    buffer = io.BytesIO()
    grid.save(buffer, format="PNG")
    replace_durably(path, buffer.getvalue())


def save_pipeline(
    network: UNet2DModel, scheduler: DDIMScheduler, folder: Path, image_scale: float, files: Mapping[str, bytes]
) -> None:
    """Writes `folder` so that diffusers loads it, with `files` (name to contents) beside the weights. Raises OSError.

    A `DDIMPipeline`; where image_scale is not 1, a `ScaledDDIMPipeline` with its source, since a plain one would make
    pixels of the wrong contrast.
    """
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    try:
        remove_tree(temporary)
        temporary.mkdir(parents=True)
        if image_scale == 1:
            DDIMPipeline(unet=network, scheduler=scheduler).save_pretrained(temporary)
        else:
            _save_scaled(network, scheduler, temporary, image_scale)
        for name, contents in files.items():
            write_durably(temporary / name, contents)
        sync_tree(temporary)
        replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _save_scaled(network: UNet2DModel, scheduler: DDIMScheduler, folder: Path, image_scale: float) -> None:
    """By the convention of diffusers: `_class_name` is [module, class], and the module's source is in the folder."""
    ScaledDDIMPipeline(network, scheduler, image_scale).save_pretrained(folder)
    index = folder / "model_index.json"
    entries = json.loads(index.read_text())
    entries["_class_name"] = ["pipeline", ScaledDDIMPipeline.__name__]
    write_durably(index, (json.dumps(entries, indent=2, sort_keys=True) + "\n").encode())
    write_durably(folder / "pipeline.py", Path(scaled_pipeline.__file__).read_bytes())


def load_pipeline(folder: Path) -> tuple[UNet2DModel, DDIMScheduler]:
    """Network (eval mode, CPU) and scheduler of a folder that `save_pipeline` wrote. Raises OSError."""
    network = UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)
    scheduler = cast(DDIMScheduler, DDIMScheduler.from_pretrained(folder / "scheduler"))
    return network.eval().requires_grad_(False), scheduler
