"""What an objective is: a schedule, a loss, and the closed form that the gate holds the loss to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler


class LossResult(NamedTuple):
    """loss: float32 scalar. target: float32 [B, C, H, W], what the network's output was compared with."""

    loss: torch.Tensor
    target: torch.Tensor


class Expectation(NamedTuple):
    """What an honest loss shows to whoever watches the network, for one batch as received.

    calls: one entry per call of the network in training, in order; its tensor arguments under the names that the
    network's `forward` gives them. target: None where it is a network's answer, which no closed form knows.
    """

    calls: list[dict[str, torch.Tensor]]
    target: torch.Tensor | None


Loss = Callable[[Callable[..., Any], torch.Tensor, torch.Tensor, torch.Tensor, DDIMScheduler], LossResult]
"""loss(network, images, noise, uniforms, scheduler). Draws nothing, and writes to none of its arguments."""

Expect = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, DDIMScheduler], Expectation]
"""expect(images, noise, uniforms, scheduler), for the same arguments as the loss.

Written from the paper's equations, in the order of operations of the code that it checks, so that the bits agree; but
it calls none of that code: a fault there must not be repeated here.
"""


@dataclass(frozen=True)
class Objective:
    """A loss with the schedule that it trains for and is sampled with."""

    scheduler: DDIMScheduler
    loss: Loss
    expect: Expect
