"""DDIM sampling (Song et al. 2021, eta = 0), sample grids, and the pipeline folder that diffusers loads."""

from __future__ import annotations

import io
import math
import shutil
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from PIL import Image

from .files import TEMPORARY_PREFIX, remove_tree, replace_durably, replace_folder, sync_tree, write_durably

_CHUNK = 256
_GRID_CELL_PIXELS = 48
_GRID_GAP_PIXELS = 2


@torch.no_grad()
def sample(
    network: UNet2DModel, scheduler: DDIMScheduler, num_images: int, num_inference_steps: int, seed: int
) -> torch.Tensor:
    """Images from noise: float32 [B, C, H, W] on the CPU, about [-1, 1].

    Equal to `DDIMPipeline(num_inference_steps=...)` with a CPU generator of the same seed. Draws from a generator of
    its own and steps a scheduler of its own, so that sampling cannot change training. `network` must be in eval mode.
    """
    assert not network.training, "sample from a network in eval mode"
    generator = torch.Generator("cpu").manual_seed(seed)
    size = network.config.sample_size  # pyright: ignore[reportAttributeAccessIssue]
    height, width = (size, size) if isinstance(size, int) else size
    channels = network.config.in_channels  # pyright: ignore[reportAttributeAccessIssue]
    noise = torch.randn((num_images, channels, height, width), generator=generator)
    steps = cast(Any, DDIMScheduler.from_config(scheduler.config))
    steps.set_timesteps(num_inference_steps)
    chunks: list[torch.Tensor] = []
    for chunk in noise.split(_CHUNK):
        images = chunk.to(network.device)
        for timestep in steps.timesteps:
            images = steps.step(network(images, timestep).sample, timestep, images, eta=0.0).prev_sample
        chunks.append(images.cpu())
    return torch.cat(chunks)


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


def save_pipeline(network: UNet2DModel, scheduler: DDIMScheduler, folder: Path, card: str) -> None:
    """Writes `folder` so that `DDIMPipeline.from_pretrained` loads it. card: README.md in it. Raises OSError."""
    temporary = folder.with_name(f"{TEMPORARY_PREFIX}{folder.name}")
    try:
        remove_tree(temporary)
        temporary.mkdir(parents=True)
        DDIMPipeline(unet=network, scheduler=scheduler).save_pretrained(temporary)
        write_durably(temporary / "README.md", card.encode())
        sync_tree(temporary)
        replace_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_pipeline(folder: Path) -> tuple[UNet2DModel, DDIMScheduler]:
    """Network (eval mode, CPU) and scheduler of a folder that `save_pipeline` wrote. Raises OSError."""
    network = UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)
    scheduler = cast(DDIMScheduler, DDIMScheduler.from_pretrained(folder / "scheduler"))
    return network.eval().requires_grad_(False), scheduler
