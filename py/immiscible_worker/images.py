"""Images on the disk as arrays: of a folder, for metrics; of a data set, as the orchestrator writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from .errors import UsageError

if TYPE_CHECKING:
    import torch

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def read_images(path: str | Path) -> np.ndarray:
    """uint8 [N, H, W, C], C 1 for grey and else 3: the images of a folder in the order of their names, or one image.

    Raises UsageError where there are none, or of several sizes.
    """
    path = Path(path)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _ENDINGS) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"{path}: expected images ({', '.join(sorted(_ENDINGS))}), got none")
    arrays = [_read(file) for file in files]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise UsageError(f"{path}: expected images of one size, got {', '.join(map(str, sorted(shapes)))}")
    return np.stack(arrays)


def _read(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        array = np.asarray(image.convert("L" if image.mode in ("1", "L", "I", "I;16", "F", "LA") else "RGB"))
    return array if array.ndim == 3 else array[:, :, None]


def read_real(
    images: str, labels: str, image_shape: Sequence[int], num_classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `read_pixels`, with labels."""
    pixels, classes = read_pixels(images, labels, image_shape, num_classes)
    assert classes is not None
    return pixels, classes


def read_pixels(
    images: str, labels: str | None, image_shape: Sequence[int], num_classes: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A data set: uint8 [N, C, H, W], and int64 [N] or None. Raises UsageError where the two do not fit.

    images: file of raw uint8. labels: file of raw little-endian int32, or None. image_shape: C, H, W.
    """
    import torch  # here, since a metric may do without it

    pixels = np.fromfile(images, np.uint8)
    size = int(np.prod(image_shape))
    classes = None if labels is None else np.fromfile(labels, "<i4")
    num_images = pixels.size // size if classes is None else len(classes)
    if num_images == 0 or pixels.size != num_images * size:
        raise UsageError(f"images: expected {num_images} of shape {list(image_shape)}, got {pixels.size} bytes")
    shaped = torch.from_numpy(pixels.reshape(-1, *image_shape))
    if classes is None:
        return shaped, None
    if classes.min() < 0 or classes.max() >= num_classes:
        raise UsageError(f"labels: expected 0..{num_classes - 1}, got {classes.min()}..{classes.max()}")
    return shaped, torch.from_numpy(classes.astype(np.int64))
