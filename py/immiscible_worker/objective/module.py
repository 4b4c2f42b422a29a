"""An objective of the user's own: what their build() answers, held to the contract."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from diffusers.schedulers.scheduling_consistency_models import CMStochasticIterativeScheduler
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

from ..protocol import ModuleObjective
from ..user_module import build as build_users
from ..user_module import check_that, guard
from .contract import BuildContext, Inputs, LossResult, Networks, Objective

_SECTION = "objective"
_SCHEDULERS = {
    "ddim": DDIMScheduler,
    "consistency": CMStochasticIterativeScheduler,
    "flow": FlowMatchEulerDiscreteScheduler,
}


def build(context: BuildContext) -> Objective:
    """The objective of a ModuleObjective. Raises ConfigError, also later, where one of its functions fails."""
    config: ModuleObjective = context.config
    module = config.module
    made = build_users(_SECTION, module, config.sha256, replace(context, options=config.options))

    def expect_that(holds: bool, what: str, wanted: str, got: object) -> None:
        check_that(holds, _SECTION, module, what, wanted, got)

    expect_that(isinstance(made, Objective), "build()", "an Objective of immiscible_worker.objective", made)
    expect_that(made.sampler in _SCHEDULERS, "sampler", f"one of {', '.join(_SCHEDULERS)}", repr(made.sampler))
    scheduler = _SCHEDULERS[made.sampler]
    expect_that(isinstance(made.scheduler, scheduler), "scheduler", f"a {scheduler.__name__}", made.scheduler)
    expect_that(callable(made.loss), "loss", "a function of networks and inputs", made.loss)
    for name in ("expect", "target_decay"):
        function = getattr(made, name)
        expect_that(function is None or callable(function), name, "a function or None", function)
    users_loss = guard(_SECTION, module, "loss", made.loss)

    def loss(networks: Networks, inputs: Inputs) -> LossResult:
        result: Any = users_loss(networks, inputs)
        expect_that(isinstance(result, LossResult), "loss()", "a LossResult", result)
        is_scalar = isinstance(result.loss, torch.Tensor) and result.loss.shape == ()
        expect_that(is_scalar, "loss().loss", "a scalar tensor", _shape_of(result.loss))
        is_image = isinstance(result.target, torch.Tensor) and result.target.shape == inputs.images.shape
        wanted = f"a tensor of shape {list(inputs.images.shape)}"
        expect_that(is_image, "loss().target", wanted, _shape_of(result.target))
        return result

    return replace(
        made,
        loss=loss,
        expect=made.expect and guard(_SECTION, module, "expect", made.expect),
        target_decay=made.target_decay and guard(_SECTION, module, "target_decay", made.target_decay),
    )


def _shape_of(value: object) -> object:
    return f"shape {list(value.shape)}" if isinstance(value, torch.Tensor) else value
