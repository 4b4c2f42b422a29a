"""The objectives: one file each, one row in the table each."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol import ConsistencyObjective, DdimObjective, FlowObjective, ModuleObjective, ObjectiveConfig
from . import consistency, ddim, flow, module
from .contract import (
    BuildContext,
    Expectation,
    Inputs,
    LossResult,
    Network,
    Networks,
    Objective,
    SamplerKind,
)

__all__ = [
    "BuildContext",
    "Expectation",
    "Inputs",
    "LossResult",
    "Network",
    "Networks",
    "Objective",
    "SamplerKind",
    "build_objective",
]

_OBJECTIVES: dict[type, Callable[[BuildContext], Objective]] = {
    DdimObjective: ddim.build,
    ConsistencyObjective: consistency.build,
    FlowObjective: flow.build,
    ModuleObjective: module.build,
}


def build_objective(
    config: ObjectiveConfig, image_scale: float, image_shape: tuple[int, int, int], *, is_latent: bool = False
) -> Objective:
    """The objective that a config names, for images [C, H, W] as `BuildContext` has them. Raises ConfigError."""
    return _OBJECTIVES[type(config)](BuildContext(config, image_scale, image_shape, is_latent=is_latent))
