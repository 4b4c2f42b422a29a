"""The one-shot tools behind figures and tables: what they are asked, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from .plot_spec import PlotSpec


class PlotRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """svg, png: the files that are written."""

    spec: PlotSpec
    svg: str
    png: str


def _plot(request: PlotRequest) -> dict[str, Any]:
    from .plot import write_plot

    write_plot(request.spec, Path(request.svg), Path(request.png))
    return {}


FIGURE_TOOLS: dict[str, tuple[type[Any], Callable[[Any], dict[str, Any]]]] = {"plot": (PlotRequest, _plot)}
