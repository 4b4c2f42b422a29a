"""Ready functions for openPython(): pipelines that stay loaded between calls, metrics of folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from .device import resolve_device
from .errors import UsageError
from .images import read_images, read_real
from .measuring import open_measuring
from .metric import judge_pixels
from .sampler import refuse_full, write_files, write_grid
from .sampling import sampler_of
from .trained import Drawn, Trained, draw_images, open_trained

_loaded: dict[int, Trained] = {}
_ids = count(1)


def load_pipeline(pipeline: str, trust_remote_code: bool, device: str) -> dict[str, Any]:
    """Keeps a pipeline folder loaded, and answers its id and what it is. device: auto, cuda, mps or cpu."""
    trained = open_trained(pipeline, trust_remote_code)
    chosen = resolve_device(device)
    trained = replace(trained, network=trained.network.to(chosen))
    pipeline_id = next(_ids)
    _loaded[pipeline_id] = trained
    config: Any = trained.network.config
    size = config.sample_size
    return {
        "id": pipeline_id,
        "sampler": sampler_of(trained.scheduler),
        "device": chosen.type,
        "numClasses": trained.record.num_classes if trained.record else 0,
        "imageShape": [*((size, size) if isinstance(size, int) else size), config.out_channels],
    }


def unload_pipeline(pipeline_id: int) -> None:
    """Its memory is free for others."""
    _loaded.pop(pipeline_id, None)


def sample_to_array(pipeline_id: int, is_float: bool, **asked: Any) -> dict[str, Any]:
    """Images [N, H, W, C]: uint8, or float32 as the network made them, about [-1, 1] or latents. asked: as `_draw`."""
    drawn = _draw(pipeline_id, **asked)
    images = drawn.images.float() if is_float else _loaded[pipeline_id].to_pixels(drawn.images)
    return {"images": images.permute(0, 2, 3, 1).contiguous(), "warnings": drawn.warnings}


def sample_to_files(pipeline_id: int, output: str, **asked: Any) -> dict[str, Any]:
    """A grid where `output` ends with .png; else a folder of one PNG for each image, which must not hold any."""
    path = Path(output)
    is_grid = path.suffix.lower() == ".png"
    if not is_grid:
        refuse_full(path)
    drawn = _draw(pipeline_id, **asked)
    pixels = _loaded[pipeline_id].to_pixels(drawn.images)
    if is_grid:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_grid(pixels, path)
        return {"paths": [output], "warnings": drawn.warnings}
    return {"paths": [str(file) for file in write_files(pixels, path)], "warnings": drawn.warnings}


def _draw(
    pipeline_id: int, num_images: int, seed: int, class_labels: Sequence[int] | None, settings: dict[str, Any]
) -> Drawn:
    """settings: by the names of `sampling.Settings`; None: as the pipeline's record has it."""
    if pipeline_id not in _loaded:
        raise UsageError("the pipeline was unloaded")
    if num_images < 1:
        raise UsageError(f"number of images: expected 1 or more, got {num_images}")
    return draw_images(_loaded[pipeline_id], settings, num_images, seed, class_labels)


def judge_folder(
    folder: str, images: str, labels: str, image_shape: Sequence[int], num_classes: int, seed: int
) -> dict[str, float]:
    """How the images of a folder look to a classifier of a data set: `metric.judge_pixels`, `images.read_real`."""
    pixels = _read_folder(folder, image_shape)
    return judge_pixels(pixels, *read_real(images, labels, image_shape, num_classes), num_classes, seed)


def measure_folder(folder: str, image_shape: Sequence[int], **real: Any) -> dict[str, Any]:
    """How good the images of a folder are beside a data set. real: the other arguments of `measuring.open_measuring`,
    without the number of images.
    """
    pixels = _read_folder(folder, image_shape)
    return open_measuring(image_shape=image_shape, num_images=len(pixels), **real)(pixels)


def _read_folder(folder: str, image_shape: Sequence[int]) -> torch.Tensor:
    """uint8 [N, C, H, W]. image_shape: C, H, W, which is expected."""
    pixels = torch.from_numpy(read_images(folder)).permute(0, 3, 1, 2)
    if list(pixels.shape[1:]) != list(image_shape):
        expected, got = ("x".join(map(str, shape)) for shape in (image_shape, pixels.shape[1:]))
        raise UsageError(f"{folder}: expected images of {expected} (channels, height, width), got {got}")
    return pixels
