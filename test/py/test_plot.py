"""Plots: every number is where it belongs, the legend hides none, and the bytes depend on nothing but the numbers."""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from immiscible_worker.plot_spec import Horizontal, PlotSpec, Series

matplotlib: Any = pytest.importorskip("matplotlib", reason="matplotlib, of the test extra, is not installed")

from immiscible_worker.plot import draw_plot, write_plot  # noqa: E402


def _spec(**options: Any) -> PlotSpec:
    x = [1.0, 2.0, 4.0, 8.0]
    series = [
        Series("plain", x, [8.0, 4.0, 2.0, 1.0]),
        Series("with a gap", x, [9.0, None, 3.0, 2.0], [8.0, None, 2.0, 1.5], [10.0, None, 4.0, 2.5]),
    ]
    return PlotSpec("$5 _title_", "steps", "cost", series, horizontals=[Horizontal("theirs", 6.63)], **options)


def _write(folder: Path, spec: PlotSpec) -> tuple[str, str]:
    paths = folder / "figure.svg", folder / "figure.png"
    write_plot(spec, *paths)
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return first, second


def test_lines_bands_and_horizontals_are_the_numbers_given() -> None:
    figure: Any = draw_plot(_spec())
    [axes] = figure.axes
    plain, gapped, horizontal = axes.lines
    assert plain.get_xydata().tolist() == [[1, 8], [2, 4], [4, 2], [8, 1]]
    assert math.isnan(gapped.get_ydata()[1])
    assert set(horizontal.get_ydata()) == {6.63}
    band, edges = axes.collections
    corners = {tuple(point) for path in band.get_paths() for point in path.vertices.tolist()}
    assert {(4, 2), (4, 4), (8, 1.5), (8, 2.5)} <= corners
    assert not any(x == 2 for x, _ in corners)
    assert [[4, 2], [4, 4]] in [segment.tolist() for segment in edges.get_segments()]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("steps", "cost", "$5 _title_")
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")


@pytest.mark.parametrize("num_series", [1, 3, 12])
def test_the_legend_names_all_and_lies_outside_the_data(num_series: int) -> None:
    series = [Series(f"series {at} of many", [1.0, 2.0], [1.0, float(at)]) for at in range(num_series)]
    figure = draw_plot(PlotSpec("t", "x", "y", series, is_log_x=True))
    figure.draw_without_rendering()
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [one.label for one in series]
    inside, outside = figure.axes[0].get_window_extent(), legend.get_window_extent()
    assert outside.y1 <= inside.y0
    assert inside.height > 250
    assert outside.x0 >= 0
    assert outside.x1 <= figure.bbox.x1


@pytest.mark.parametrize("is_log", [False, True])
def test_a_single_interval_and_a_series_of_nothing_leave_axes_of_some_width(is_log: bool) -> None:
    series = [Series("one", [5.0], [6.2], [6.1], [6.4]), Series("none", [], []), Series("gap", [5.0], [None])]
    [axes] = draw_plot(PlotSpec("t", "x", "y", series, is_log_x=is_log, is_log_y=is_log)).axes
    low, high = axes.get_xlim()
    assert low < 4.9 < 5.1 < high


def test_no_two_of_many_lines_look_alike() -> None:
    series = [Series(str(at), [1.0], [1.0]) for at in range(32)]
    lines = draw_plot(PlotSpec("t", "x", "y", series)).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}) == 32


def test_the_same_numbers_give_the_same_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    plain = _write(tmp_path, _spec(is_log_x=True, is_log_y=True))
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.hashsalt": "other"}):
        assert _write(tmp_path, _spec(is_log_x=True, is_log_y=True)) == plain
    other = _write(tmp_path, _spec(is_log_x=True))
    assert other[0] != plain[0]
    assert other[1] != plain[1]


def test_the_svg_needs_no_font_and_the_png_shows_the_same_curve(tmp_path: Path) -> None:
    _write(tmp_path, _spec())
    svg = (tmp_path / "figure.svg").read_text()
    assert "<text" not in svg
    assert "<dc:date>" not in svg
    image = Image.open(io.BytesIO((tmp_path / "figure.png").read_bytes()))
    assert image.width == 1400
    pixels = np.asarray(image.convert("RGB"), np.int32)
    color = np.round(255 * np.asarray(matplotlib.color_sequences["petroff8"][0]))
    # A line as wide as the axes, and no blot.
    share = float((np.abs(pixels - color).max(2) < 8).mean())
    assert 0.001 < share < 0.05
