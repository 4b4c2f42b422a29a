"""The quality of images beside a data set in files, as the orchestrator asks for it and is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from .device import resolve_device
from .images import read_pixels
from .quality import InceptionFile, Quality, open_judge


def open_measuring(
    *,
    images: str,
    labels: str | None,
    image_shape: Sequence[int],
    num_classes: int,
    name: str,
    inception: Mapping[str, Any] | None,
    num_images: int,
    seed: int,
    num_bootstrap: int,
    device: str,
) -> Callable[[torch.Tensor], dict[str, Any]]:
    """What answers, of `num_images` images (uint8 [N, C, H, W]), a `quality.Quality` with its names as JSON has them.

    images, labels, image_shape: as `images.read_pixels`. inception: the fields of `quality.InceptionFile`. The rest: as
    `quality.open_judge`. Raises UsageError as that does, and ConfigError for a device that is not there.
    """
    real, classes = read_pixels(images, labels, image_shape, num_classes)
    judge = open_judge(
        real,
        classes,
        num_classes,
        name=name,
        inception=None if inception is None else InceptionFile(**inception),
        num_images=num_images,
        seed=seed,
        num_bootstrap=num_bootstrap,
        device=resolve_device(device),
    )
    return lambda pixels: _to_json(judge(pixels))


def _to_json(quality: Quality) -> dict[str, Any]:
    return {
        "features": quality.features,
        "featuresSha256": quality.features_sha256,
        "numImages": quality.num_images,
        "numReference": quality.num_reference,
        "reference": quality.reference,
        "measures": [asdict(measure) for measure in quality.measures],
    }
