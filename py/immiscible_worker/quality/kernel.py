"""The kernel distance between two sets of features: KID where those are Inception's."""

from __future__ import annotations

import torch

NUM_SUBSETS = 100
_SUBSET_SIZE = 1000


def kernel_distance(
    features: torch.Tensor, reference: torch.Tensor, num_subsets: int, generator: torch.Generator
) -> float:
    """The squared MMD under (x.y / D + 1)^3, unbiased (Binkowski et al. 2018): the mean over `num_subsets` subsets.

    features: [M, D]. reference: [N, D]. A subset is of as many rows of both as either has, at most 1,000. May be
    slightly negative.
    """
    size = subset_size(features, reference)
    chosen = (
        tuple(rows[torch.randperm(len(rows), generator=generator)[:size]] for rows in (features, reference))
        for _ in range(num_subsets)
    )
    return sum(_mmd(x, y) for x, y in chosen) / num_subsets


def subset_size(features: torch.Tensor, reference: torch.Tensor) -> int:
    """Rows in each subset."""
    return min(len(features), len(reference), _SUBSET_SIZE)


def _mmd(x: torch.Tensor, y: torch.Tensor) -> float:
    size = len(x)
    within = sum(float(kernel.sum() - kernel.trace()) for kernel in (_kernel(x, x), _kernel(y, y)))
    return within / (size * (size - 1)) - 2 * float(_kernel(x, y).mean())


def _kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
