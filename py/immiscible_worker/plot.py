"""Line plots as an SVG and a PNG: the same bytes for the same numbers, whatever the user's matplotlib settings are."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from .files import replace_durably
from .plot_spec import PlotSpec, Series

# At 700 pixels for the 7 inches a letter of 10 points is 14 pixels high.
_WIDTH_INCHES = 7.0
_HEIGHT_INCHES = 4.1
_LEGEND_ROW_INCHES = 0.2
_DOTS_PER_INCH = 200
# Eight colours that the colour-blind tell apart (Petroff 2021, arXiv 2107.02270). Markers and dashes say it again.
_COLORS: Sequence[Any] = matplotlib.color_sequences["petroff8"]
_MARKERS = "osD^vP*X"
_DASHES = ("-", "--", ":", "-.")
_MOST_MARKERS = 25
_LEGEND_LETTERS = 95
_STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    # A dollar sign is one.
    "text.parse_math": False,
    # Else the names of the SVG's parts are drawn by chance.
    "svg.hashsalt": "immiscible",
}


def write_plot(spec: PlotSpec, svg: Path, png: Path) -> None:
    """Draws the figure once and writes it as both files. Raises OSError."""
    with context(["default", _STYLE]):
        figure = draw_plot(spec)
        for path, metadata in ((svg, {"Date": None}), (png, {"Software": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=path.suffix[1:], dpi=_DOTS_PER_INCH, metadata=metadata)
            replace_durably(path, buffer.getvalue())


def draw_plot(spec: PlotSpec) -> Figure:
    """The figure: one axes, and below it the legend, where it hides nothing."""
    labels = [entry.label for entry in (*spec.series, *spec.horizontals)]
    num_columns = max(1, _LEGEND_LETTERS // (max(map(len, labels)) + 8))
    height = _HEIGHT_INCHES + _LEGEND_ROW_INCHES * math.ceil(len(labels) / num_columns)
    figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=spec.title, xlabel=spec.x_label, ylabel=spec.y_label)
    for index, series in enumerate(spec.series):
        _draw_series(axes, series, index)
    for index, (label, y) in enumerate((one.label, one.y) for one in spec.horizontals):
        axes.axhline(y, color="0.35", linestyle=_DASHES[1 + index % 3], linewidth=1.2, label=label)
    # Afterwards: before, matplotlib gives a single interval a logarithmic axis without width.
    for axis, is_log in ((axes.xaxis, spec.is_log_x), (axes.yaxis, spec.is_log_y)):
        if is_log:
            axes.set(**{f"{axis.axis_name}scale": "log"})
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(StrMethodFormatter("{x:,.6g}"))
    figure.legend(loc="outside lower center", ncols=num_columns)
    return figure


def _draw_series(axes: Axes, series: Series, index: int) -> None:
    color = _COLORS[index % len(_COLORS)]
    x, y = np.asarray(series.x, np.float64), _with_gaps(series.y)
    if series.low is not None and series.high is not None:
        low, high = _with_gaps(series.low), _with_gaps(series.high)
        axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
        # A band has no width where it has no neighbour.
        axes.vlines(x, low, high, color=color, alpha=0.45, linewidth=1)
    axes.plot(
        x,
        y,
        color=color,
        linestyle=_DASHES[index // len(_COLORS) % len(_DASHES)],
        marker=_MARKERS[index % len(_MARKERS)],
        markevery=max(1, len(x) // _MOST_MARKERS),
        label=series.label,
    )


def _with_gaps(values: Sequence[float | None]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """float64 [N], NaN where there is no value."""
    return np.asarray([np.nan if value is None else value for value in values], np.float64)
