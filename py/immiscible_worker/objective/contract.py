"""What an objective is: a loss, the sampler that it trains for, and the closed form that the gate holds the loss to.

An objective of your own is a Python file with `build(context: BuildContext) -> Objective`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch

Network = Callable[..., Any]
"""network(sample, timestep, class_labels).sample, as diffusers' UNet2DModel: float32 [B, C, H, W] like `sample`.

timestep: [B], integers or floats. class_labels: int64 [B], or None.
"""


class Networks(NamedTuple):
    """online: the network in training. target: its slow copy, where the objective has a target_decay, else itself."""

    online: Network
    target: Network


@dataclass(frozen=True)
class Inputs:
    """All that a loss may depend on, besides the weights. B images of C channels, H rows, W columns.

    images: float32 [B, C, H, W] in the model's scale. noise: float32, same shape, row i assigned to image i.
    uniforms: float32 [B, 3] in [0, 1), columns as `UNIFORM_COLUMNS`: the only random numbers of a sample.
    labels: int64 [B] after label dropout (dropped ones are num_classes), or None. step: optimiser updates before it.
    """

    images: torch.Tensor
    noise: torch.Tensor
    uniforms: torch.Tensor
    labels: torch.Tensor | None
    step: int


class LossResult(NamedTuple):
    """loss: float32 scalar, a mean over images. target: float32 [B, C, H, W], what the output was compared with."""

    loss: torch.Tensor
    target: torch.Tensor


class Expectation(NamedTuple):
    """What an honest loss shows to whoever watches the networks, for one batch as received.

    calls: one entry per call of a network, in order; its tensor arguments as `sample`, `timestep`, `class_labels`.
    target: None where it is a network's answer, which no closed form knows.
    """

    calls: list[dict[str, torch.Tensor]]
    target: torch.Tensor | None


Loss = Callable[[Networks, Inputs], LossResult]
"""Draws nothing, and writes to none of its arguments."""

Expect = Callable[[Inputs], Expectation]
"""For the same inputs as the loss.

Written from the paper's equations, in the order of operations of the code that it checks, so that the bits agree; but
it calls none of that code: a fault there must not be repeated here.
"""

SamplerKind = Literal["ddim", "consistency", "flow"]


@dataclass(frozen=True)
class Objective:
    """A loss with what samples the network that it trains.

    sampler: which of the samplers in sampling.py fits the network's output. scheduler: of diffusers, saved in the
    pipeline: DDIMScheduler, CMStochasticIterativeScheduler or FlowMatchEulerDiscreteScheduler. expect: None leaves the
    gate without anything to compare. target_decay: of the target network in the update of a step; None: there is none.
    """

    sampler: SamplerKind
    scheduler: Any
    loss: Loss
    expect: Expect | None = None
    target_decay: Callable[[int], float] | None = None


@dataclass(frozen=True)
class BuildContext:
    """What an objective is made for.

    config: its section of the run's config. image_scale: images are in [-image_scale, image_scale].
    image_shape: channels, height, width. options: of a module objective.
    is_latent: images are latents times image_scale instead, of any range: nothing may clip them.
    """

    config: Any
    image_scale: float
    image_shape: tuple[int, int, int]
    options: dict[str, Any] = field(default_factory=dict)
    is_latent: bool = False
