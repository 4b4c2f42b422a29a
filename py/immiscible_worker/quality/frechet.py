"""The Fréchet distance between Gaussians fitted to two sets of features: FID where those are Inception's."""

from __future__ import annotations

from collections.abc import Callable

import torch


def open_frechet(reference: torch.Tensor) -> Callable[[torch.Tensor], float]:
    """The distance of features [M, D] from `reference` [N, D], both float64.

    |m - m'|^2 + tr(C + C' - 2 (C C')^1/2) (Heusel et al. 2017, eq. 6), with unbiased covariances. The trace of the root
    is the sum of the roots of the eigenvalues of C^1/2 C' C^1/2, which is symmetric: so a singular covariance, as every
    one of fewer samples than features is, needs no special care. Biased: the fewer the samples, the larger.
    """
    mean, covariance = _fit(reference)
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T

    def distance(features: torch.Tensor) -> float:
        other_mean, other_covariance = _fit(features)
        overlap = torch.linalg.eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
        spread = covariance.trace() + other_covariance.trace() - 2 * overlap
        return float((mean - other_mean).square().sum() + spread)

    return distance


def _fit(features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)
