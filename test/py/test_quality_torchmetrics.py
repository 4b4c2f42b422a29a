"""The Fréchet distance, the kernel distance and the score against torchmetrics, on the same features."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from immiscible_worker.quality.frechet import open_frechet
from immiscible_worker.quality.kernel import kernel_distance
from immiscible_worker.quality.score import class_score

NUM_FEATURES = 48
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torchmetrics")


class Given(nn.Module):
    """What torchmetrics takes for a network: its images are features already."""

    num_features = NUM_FEATURES

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def features(num_rows: int, seed: int, *, shift: float, scale: float) -> torch.Tensor:
    """float64 [num_rows, NUM_FEATURES], correlated, of lengths as Inception's have."""
    mixing = torch.randn(NUM_FEATURES, NUM_FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(num_rows, NUM_FEATURES, generator=generator, dtype=torch.float64)
    return (scale * rows @ mixing / NUM_FEATURES**0.5).relu() + shift


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.0, 1.1), (0.3, 1.0), (2.0, 0.2)])
@pytest.mark.parametrize("num_samples", [1000, 300])
def test_the_frechet_distance(num_samples: int, shift: float, scale: float) -> None:
    real, samples = features(800, 1, shift=0, scale=1), features(num_samples, 2, shift=shift, scale=scale)
    metric = FrechetInceptionDistance(feature=Given()).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(samples, real=False)
    assert open_frechet(real)(samples) == pytest.approx(float(metric.compute()), rel=1e-3)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_kernel_distance_of_all_rows(shift: float) -> None:
    real, samples = features(500, 1, shift=0, scale=1), features(500, 2, shift=shift, scale=1.1)
    metric = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=500).set_dtype(torch.float64)
    metric.update(real, real=True)
    metric.update(samples, real=False)
    assert kernel_distance(samples, real, 1, torch.Generator()) == pytest.approx(float(metric.compute()[0]), rel=1e-3)


def test_the_score() -> None:
    logits = features(400, 3, shift=0, scale=4)
    metric = InceptionScore(feature=Given(), splits=1)
    metric.update(logits)
    score, _ = metric.compute()
    assert class_score(logits.softmax(1), 1) == pytest.approx(float(score), rel=1e-3)
    assert score > 1.5, "a case in which it says something"
