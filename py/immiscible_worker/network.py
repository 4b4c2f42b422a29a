"""Config to network: a diffusers UNet2DModel, in its own words."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.models.unets.unet_2d import UNet2DModel

from .protocol import NetworkConfig


def build_network(config: NetworkConfig, image_shape: Sequence[int]) -> UNet2DModel:
    """A fresh network for images of `image_shape` (channels, height, width), float32.

    Draws its weights from torch's global generator: seed it first. Raises ValueError where the blocks do not fit.
    """
    channels, height, width = image_shape
    halvings = len(config.block_out_channels) - 1
    if height % 2**halvings or width % 2**halvings:
        raise ValueError(
            f"network.blockOutChannels: expected image sides divisible by {2**halvings} for {halvings + 1} levels, "
            f"got {height} x {width}"
        )
    return UNet2DModel(
        sample_size=height if height == width else (height, width),
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(config.block_out_channels),
        layers_per_block=config.layers_per_block,
        down_block_types=tuple(config.down_block_types),
        up_block_types=tuple(config.up_block_types),
        attention_head_dim=config.attention_head_dim,
        norm_num_groups=config.norm_num_groups,
        dropout=config.dropout,
    )
