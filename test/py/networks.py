"""Small networks for sampling: a random UNet, and functions that are known exactly."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from diffusers import UNet2DModel

Answer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]


def random_unet(channels: int = 3, num_classes: int = 0, seed: int = 0) -> UNet2DModel:
    """A tiny UNet for 8 x 8 images with weights of its seed, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet2DModel(
            sample_size=8,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
            norm_num_groups=4,
            num_class_embeds=num_classes + 1 if num_classes else None,
        )
    return network.eval().requires_grad_(False)


class Known(torch.nn.Module):
    """A network whose answer is a function of (sample, timestep, labels). `calls` keeps the last two of each call."""

    def __init__(self, answer: Answer, num_class_embeds: int | None = None) -> None:
        super().__init__()
        self.answer = answer
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.config = SimpleNamespace(sample_size=8, in_channels=1, num_class_embeds=num_class_embeds)
        self.calls: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        self.eval()

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor | None = None) -> Any:
        """The answer, as diffusers' networks wrap it."""
        self.calls.append((timestep, class_labels))
        return SimpleNamespace(sample=self.answer(sample, timestep.view(-1, 1, 1, 1), class_labels))
