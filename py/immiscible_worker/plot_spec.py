"""What is in a plot, as the other side says it; plot.py draws it."""

from __future__ import annotations

import msgspec


class Series(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One line. y: None is a gap. low, high: bounds of an interval, drawn as a band; both or neither."""

    label: str
    x: list[float]
    y: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None


class Horizontal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A dashed line at one y, over the whole width."""

    label: str
    y: float


class PlotSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One axes with at least one point in its series."""

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    is_log_x: bool = False
    is_log_y: bool = False
    horizontals: list[Horizontal] = []
