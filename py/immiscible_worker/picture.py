"""A picture of rows of images with a label each, for what has no range of its own: every image fills black to white."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from .files import replace_durably
from .latents import Latents, show

_LEAST_CELL_PIXELS = 64
_GAP_PIXELS = 3
_MARGIN_PIXELS = 10
_FONT_PIXELS = 15
_INK, _PAPER = "#202020", "white"
_CAPTION = "Each image from its least number to its largest."


def write_rows(rows: Sequence[tuple[str, torch.Tensor]], path: Path) -> None:
    """A PNG; its caption says how images are scaled. rows: label, and float32 [B, C, H, W], of one shape for all.

    Of more than three channels the first three are shown. Raises OSError.
    """
    images = [show(values, Latents(1.0)) for _, values in rows]
    num_images, _, height, width = images[0].shape
    scale = max(1, math.ceil(_LEAST_CELL_PIXELS / max(height, width)))
    cell_width, cell_height = width * scale + _GAP_PIXELS, height * scale + _GAP_PIXELS
    font = ImageFont.load_default(_FONT_PIXELS)
    left = 2 * _MARGIN_PIXELS + math.ceil(max(font.getlength(label) for label, _ in rows))
    line = _FONT_PIXELS + 2 * _MARGIN_PIXELS
    size = (
        max(left + num_images * cell_width, 2 * _MARGIN_PIXELS + math.ceil(font.getlength(_CAPTION))),
        _MARGIN_PIXELS + len(rows) * cell_height + line,
    )
    picture = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    for row, (label, _) in enumerate(rows):
        top = _MARGIN_PIXELS + row * cell_height
        draw.text((_MARGIN_PIXELS, top + height * scale / 2), label, _INK, font, anchor="lm")
        for column, image in enumerate(images[row]):
            array = image.permute(1, 2, 0).squeeze(-1).contiguous().numpy()
            tile = Image.fromarray(array).resize((width * scale, height * scale), Image.Resampling.NEAREST)
            picture.paste(tile, (left + column * cell_width, top))
    draw.text((_MARGIN_PIXELS, size[1] - line / 2), _CAPTION, _INK, font, anchor="lm")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    replace_durably(path, buffer.getvalue())
