"""The one-shot tools behind figures and tables: what they are asked, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from .plot_spec import PlotSpec
from .protocol import TrainConfig

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class PlotRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """svg, png: the files that are written."""

    spec: PlotSpec
    svg: str
    png: str


class DescribeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """As `cost.describe_training`."""

    config: TrainConfig
    image_shape: tuple[_Positive, _Positive, _Positive]
    num_classes: Annotated[int, msgspec.Meta(ge=0)]
    is_latent: bool


def _plot(request: PlotRequest) -> dict[str, Any]:
    from .plot import write_plot

    write_plot(request.spec, Path(request.svg), Path(request.png))
    return {}


def _describe(request: DescribeRequest) -> dict[str, Any]:
    from .cost import describe_training

    cost = describe_training(request.config, request.image_shape, request.num_classes, is_latent=request.is_latent)
    return {
        "numParameters": cost.num_parameters,
        "forwardFlops": cost.forward_flops,
        "stateBytes": {**cost.state, "total": sum(cost.state.values())},
        "activationBytes": cost.activation_bytes,
    }


FIGURE_TOOLS: dict[str, tuple[type[Any], Callable[[Any], dict[str, Any]]]] = {
    "plot": (PlotRequest, _plot),
    "describe": (DescribeRequest, _describe),
}
