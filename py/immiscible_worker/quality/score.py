"""The score of Salimans et al. 2016: samples are each of one class, and together of all."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch.special import xlogy


def class_score(probabilities: torch.Tensor, num_splits: int) -> float:
    """exp of the mean divergence of p(class | sample) from p(class), which is 1 to the number of classes.

    probabilities: [N, classes], rows summing to 1. The mean over `num_splits` parts of the rows, in their order.
    """
    bounds = [len(probabilities) * split // num_splits for split in range(num_splits + 1)]
    parts = [probabilities[start:end] for start, end in pairwise(bounds)]
    return sum(_score(part) for part in parts) / num_splits


def _score(probabilities: torch.Tensor) -> float:
    marginal = probabilities.mean(0, keepdim=True).expand_as(probabilities)
    divergence = (xlogy(probabilities, probabilities) - xlogy(probabilities, marginal)).sum(1)
    return float(divergence.mean().exp())
