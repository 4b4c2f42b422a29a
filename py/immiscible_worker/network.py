"""Config to network: a diffusers UNet2DModel, in its own words."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.models.unets.unet_2d import UNet2DModel

from .errors import ConfigError
from .protocol import NetworkConfig, UnetNetwork


def build_network(config: NetworkConfig, image_shape: Sequence[int], num_classes: int) -> UNet2DModel:
    """A fresh network for images of `image_shape` (channels, height, width), float32.

    num_classes: 0 for one without labels; else it takes labels 0..num_classes, the last of which is "none".
    Draws its weights from torch's global generator: seed it first. Raises ConfigError where the blocks do not fit.
    """
    if not isinstance(config, UnetNetwork):
        raise ConfigError("NETWORK", "network.kind: only unet is there")
    return build_unet(config, image_shape, num_classes)


def build_unet(config: UnetNetwork, image_shape: Sequence[int], num_classes: int) -> UNet2DModel:
    """As `build_network`, from the fields of the config."""
    channels, height, width = image_shape
    halvings = len(config.block_out_channels) - 1
    if height % 2**halvings or width % 2**halvings:
        message = f"expected image sides divisible by {2**halvings} for {halvings + 1} levels, got {height} x {width}"
        raise ConfigError("NETWORK", f"network.blockOutChannels: {message}")
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
        attn_norm_num_groups=config.attn_norm_num_groups,
        norm_eps=config.norm_eps,
        downsample_type=config.downsample_type,
        upsample_type=config.upsample_type,
        downsample_padding=config.downsample_padding,
        flip_sin_to_cos=config.flip_sin_to_cos,
        freq_shift=config.freq_shift,
        resnet_time_scale_shift=config.resnet_time_scale_shift,
        dropout=config.dropout,
        num_class_embeds=num_classes + 1 if num_classes else None,
    )
