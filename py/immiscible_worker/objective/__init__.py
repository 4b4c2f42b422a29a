"""The objectives: one file each, one row in the table each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from ..protocol import DdimObjective
from . import ddim
from .ddim import LossResult

Loss = Callable[[Callable[..., Any], torch.Tensor, torch.Tensor, torch.Tensor, DDIMScheduler], LossResult]


@dataclass(frozen=True)
class Objective:
    """A loss with the schedule that it trains for and is sampled with."""

    loss: Loss
    scheduler: DDIMScheduler


def build_objective(config: DdimObjective) -> Objective:
    """The objective that a config names."""
    build_scheduler, loss = _OBJECTIVES[type(config)]
    return Objective(loss, build_scheduler(config))


_OBJECTIVES: dict[type, tuple[Callable[[Any], DDIMScheduler], Loss]] = {
    DdimObjective: (ddim.build_scheduler, ddim.loss),
}
