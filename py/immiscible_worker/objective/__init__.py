"""The objectives: one file each, one row in the table each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocol import DdimObjective
from . import ddim
from .contract import Expectation, LossResult, Objective

__all__ = ["Expectation", "LossResult", "Objective", "build_objective"]


def build_objective(config: DdimObjective, image_scale: float) -> Objective:
    """The objective that a config names, for images in [-image_scale, image_scale]."""
    return _OBJECTIVES[type(config)](config, image_scale)


_OBJECTIVES: dict[type, Callable[[Any, float], Objective]] = {DdimObjective: ddim.build}
