"""Optimisers and learning rates: torch's and diffusers', the rate as a pure function of the step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers.optimization import get_scheduler

from .errors import ConfigError
from .protocol import OptimizerConfig


def build_optimizer(config: OptimizerConfig, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Adam, AdamW or RAdam over `parameters`; the first two in torch's fused form where the device has one."""
    group: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (config.adam_beta1, config.adam_beta2),
        "eps": config.adam_epsilon,
        "weight_decay": config.adam_weight_decay,
    }
    if config.kind == "radam":
        return torch.optim.RAdam(parameters, **group)
    kind = torch.optim.AdamW if config.kind == "adamw" else torch.optim.Adam
    return kind(parameters, **group, fused=parameters[0].device.type in ("cpu", "cuda"))


def build_learning_rate(config: OptimizerConfig) -> Callable[[int], float]:
    """rate(step) by diffusers' schedule of that name, after `step` batches. Raises ConfigError."""
    # The schedule wants an optimiser to write to; all that is needed of it is its factor of the step.
    unused = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=config.learning_rate)
    try:
        schedule = get_scheduler(
            config.lr_scheduler,
            unused,
            num_warmup_steps=config.lr_warmup_steps,
            num_training_steps=config.lr_decay_steps or 1,
            num_cycles=config.lr_num_cycles,
            power=config.lr_power,
        )
    except ValueError as error:
        message = f"expected one that {config.lr_scheduler} can lower, got {config.learning_rate}: {error}"
        raise ConfigError("SCHEDULE", f"optimizer.learningRate: {message}") from error
    [factor] = schedule.lr_lambdas
    # A run that goes on beyond its plan stays where the schedule ended; diffusers' cosine would rise again.
    last = config.lr_decay_steps or sys.maxsize
    return lambda step: config.learning_rate * float(factor(min(step, last)))
