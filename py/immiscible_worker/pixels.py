"""The one place where images as received become the model's scale and samples become pixels again."""

from __future__ import annotations

import torch


def to_model_scale(images_BCHW: torch.Tensor, image_scale: float = 1.0) -> torch.Tensor:  # noqa: N803
    """uint8 [B, C, H, W] in 0..255 to float32 in [-image_scale, image_scale]: (x / 127.5 - 1) * image_scale.

    float32 are latents, which are in the model's scale: x * image_scale.

    image_scale above 1 is the image scaling of Improved Immiscible Diffusion: images grow, noise stays.
    """
    is_pixels = images_BCHW.dtype == torch.uint8
    return (images_BCHW.to(torch.float32) / 127.5 - 1.0 if is_pixels else images_BCHW) * image_scale


def to_pixels(samples_BCHW: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """float [B, C, H, W], clamped to [-1, 1], to the nearest uint8."""
    return ((samples_BCHW.clamp(-1, 1) + 1.0) * 127.5).round().to(torch.uint8)
