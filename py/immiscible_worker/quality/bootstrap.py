"""Intervals: what a metric would have been of other samples of the same model."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .contract import Measure

_NORMAL_95 = 1.96


def estimate(
    name: str,
    value: float,
    resampled: Callable[[torch.Tensor], float],
    num_rows: int,
    num_bootstrap: int,
    seed: int,
) -> Measure:
    """`value` with its 95 % interval by the bootstrap: `value` plus and minus 1.96 standard deviations of `resampled`.

    resampled: the metric of rows drawn with replacement, int64 [num_rows]. num_bootstrap: how often; 0: no interval.
    The interval is centred on the value and not made of quantiles, since doubled rows shift a metric: they make a
    Fréchet distance larger, as fewer samples would.
    """
    if num_bootstrap == 0:
        return Measure(name, value, None, None, None)
    generator = torch.Generator().manual_seed(seed)
    draws = (torch.randint(num_rows, (num_rows,), generator=generator) for _ in range(num_bootstrap))
    deviation = float(torch.tensor([resampled(rows) for rows in draws], dtype=torch.float64).std())
    return Measure(name, value, value - _NORMAL_95 * deviation, value + _NORMAL_95 * deviation, None)
