"""A network of your own: a small residual convolutional net without down-sampling, for images of any shape.

    network: { module: 'py/examples/own_network.py', options: { channels: 32, blocks: 4 } }

Its class is saved in the pipeline as unet/network.py, so this file imports nothing but installed packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.modeling_utils import ModelMixin
from diffusers.models.unets.unet_2d import UNet2DOutput
from torch import nn

if TYPE_CHECKING:
    from immiscible_worker.network import NetworkContext


def build(context: NetworkContext) -> ModelMixin:
    """options: channels (32), blocks (4), dropout (0)."""
    channels, height, width = context.image_shape
    return ResidualNet(
        sample_size=(height, width),
        in_channels=channels,
        num_class_embeds=context.num_classes + 1 if context.num_classes else None,
        channels=context.options.get("channels", 32),
        blocks=context.options.get("blocks", 4),
        dropout=context.options.get("dropout", 0.0),
    )


class ResidualNet(ModelMixin, ConfigMixin):
    """Convolutions of growing dilation around a running sum, each scaled and shifted by timestep and class."""

    @register_to_config
    def __init__(
        self,
        sample_size: int | tuple[int, int],
        in_channels: int,
        num_class_embeds: int | None = None,
        channels: int = 32,
        blocks: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = channels
        self.into = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.condition = nn.Sequential(nn.Linear(channels, 4 * channels), nn.SiLU())
        self.classes = nn.Embedding(num_class_embeds, 4 * channels) if num_class_embeds else None
        self.norms = nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(blocks))
        self.scales = nn.ModuleList(nn.Linear(4 * channels, 2 * channels) for _ in range(blocks))
        dilations = [2 ** (block % 3) for block in range(blocks)]
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=d, dilation=d) for d in dilations)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Conv2d(channels, in_channels, 3, padding=1)

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor | None = None
    ) -> UNet2DOutput:
        """sample: [B, C, H, W]. timestep: [B], or one for all. class_labels: int64 [B], where the net has classes."""
        timesteps = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        condition = self.condition(get_timestep_embedding(timesteps, self.width).to(sample.dtype))
        if self.classes is not None:
            condition = condition + self.classes(class_labels)
        hidden = self.into(sample)
        for norm, scale, convolution in zip(self.norms, self.scales, self.convolutions, strict=True):
            factor, shift = scale(condition)[:, :, None, None].chunk(2, dim=1)
            changed = torch.nn.functional.silu(norm(hidden) * (1 + factor) + shift)
            hidden = hidden + convolution(self.drop(changed))
        return UNet2DOutput(sample=self.out(hidden))
