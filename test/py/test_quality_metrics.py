"""Each metric of samples against its definition, written out or in another library."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

from immiscible_worker.pixels import to_model_scale
from immiscible_worker.quality import kernel, manifold, pixelwise
from immiscible_worker.quality.bootstrap import estimate
from immiscible_worker.quality.frechet import open_frechet
from immiscible_worker.quality.kernel import kernel_distance
from immiscible_worker.quality.manifold import ball_radii, is_within
from immiscible_worker.quality.pixelwise import nearest_distances, project, sliced_wasserstein
from immiscible_worker.quality.score import class_score

CPU = torch.device("cpu")


def features(
    num_rows: int, num_features: int, seed: int, *, shift: float = 0.0, rank: int | None = None
) -> torch.Tensor:
    """float64 [num_rows, num_features], correlated. rank: of their covariance."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(rank or num_features, num_features, generator=generator, dtype=torch.float64)
    return torch.randn(num_rows, len(mixing), generator=generator, dtype=torch.float64) @ mixing + shift


def images(num_images: int, seed: int, shape: tuple[int, int, int] = (3, 4, 5)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num_images, *shape), generator=generator, dtype=torch.uint8)


def frechet_by_definition(x: torch.Tensor, y: torch.Tensor) -> float:
    """With the matrix root of SciPy."""
    a, b = x.numpy(), y.numpy()
    covariances = [np.cov(side, rowvar=False) for side in (a, b)]
    root = np.real(scipy.linalg.sqrtm(covariances[0] @ covariances[1]))
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root))


@pytest.mark.parametrize(("num_features", "shift"), [(1, 0.0), (8, 0.0), (8, 3.0), (64, 0.1)])
def test_the_frechet_distance_is_its_formula(num_features: int, shift: float) -> None:
    x, y = features(300, max(2, num_features), 1), features(200, max(2, num_features), 2, shift=shift)
    assert open_frechet(y)(x) == pytest.approx(frechet_by_definition(x, y), rel=1e-6)


def test_the_frechet_distance_of_gaussians_in_one_direction_is_known() -> None:
    """Of diagonal covariances: the squared difference of means and of standard deviations."""
    x = features(500, 2, 3)
    centred = x - x.mean(0)
    white = centred @ torch.linalg.inv(torch.linalg.cholesky(centred.T @ centred / 499)).T
    distance = open_frechet(white)(white * torch.tensor([3.0, 1.0]) + torch.tensor([0.0, 2.0]))
    assert distance == pytest.approx((3 - 1) ** 2 + 2**2, rel=1e-9)


@pytest.mark.parametrize(("num_rows", "rank"), [(10, None), (200, 3), (10, 3)])
def test_the_frechet_distance_bears_singular_covariances(num_rows: int, rank: int | None) -> None:
    x, y = features(num_rows, 16, 4, rank=rank), features(num_rows, 16, 5, rank=rank, shift=1.0)
    a, b = ((side - side.mean(0)).numpy() / math.sqrt(num_rows - 1) for side in (x, y))
    # The trace of the root of A'A B'B is the sum of the singular values of AB', which needs no root of a matrix.
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + (a**2).sum() + (b**2).sum() - 2 * overlap
    assert open_frechet(y)(x) == pytest.approx(expected, rel=1e-6)
    assert open_frechet(x)(x) == pytest.approx(0, abs=1e-5)


def mmd_by_definition(x: torch.Tensor, y: torch.Tensor) -> float:
    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    def within(side: torch.Tensor) -> float:
        pairs = list(itertools.permutations(range(len(side)), 2))
        return sum(k(side[i], side[j]) for i, j in pairs) / len(pairs)

    between = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return within(x) + within(y) - 2 * between


def test_the_kernel_distance_is_the_unbiased_mmd(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(12, 5, 6), features(12, 5, 7, shift=0.5)
    assert kernel_distance(x, y, 1, torch.Generator()) == pytest.approx(mmd_by_definition(x, y), rel=1e-9)
    # Subsets of five: the mean over all of them is that of all rows, which is what unbiased means.
    monkeypatch.setattr(kernel, "_SUBSET_SIZE", 5)
    values = [kernel_distance(x, y, 1, torch.Generator().manual_seed(seed)) for seed in range(4000)]
    error = 4 * np.std(values) / math.sqrt(len(values))
    assert np.mean(values) == pytest.approx(mmd_by_definition(x, y), abs=float(error))
    mean = kernel_distance(x, y, 3, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    assert mean == pytest.approx(sum(kernel_distance(x, y, 1, generator) for _ in range(3)) / 3)


@pytest.mark.parametrize("num_held", [2**24, 50])
def test_precision_and_recall_count_balls(monkeypatch: pytest.MonkeyPatch, num_held: int) -> None:
    """num_held: the blocks in which distances are made change nothing."""
    monkeypatch.setattr(manifold, "_NUM_HELD", num_held)
    points, centres = features(40, 3, 8), features(60, 3, 9, shift=1.0)
    radii: list[float] = []
    for i, centre in enumerate(centres):
        others = sorted(float((centre - other).norm()) for j, other in enumerate(centres) if j != i)
        radii.append(others[2])
    torch.testing.assert_close(ball_radii(centres), torch.tensor(radii, dtype=torch.float64))
    expected = [
        any(float((point - centre).norm()) <= radius for centre, radius in zip(centres, radii, strict=True))
        for point in points
    ]
    assert is_within(points, centres, ball_radii(centres)).tolist() == expected
    assert 0 < sum(expected) < len(expected), "a case in which nothing is decided"


def test_the_score_is_between_one_and_the_number_of_classes() -> None:
    certain = torch.eye(4, dtype=torch.float64).repeat(5, 1)
    assert class_score(certain, 1) == pytest.approx(4)
    assert class_score(certain[:1].repeat(9, 1), 1) == pytest.approx(1)
    assert class_score(torch.full((9, 4), 0.25, dtype=torch.float64), 1) == pytest.approx(1)
    probabilities = features(30, 6, 10).softmax(1)

    def by_definition(part: torch.Tensor) -> float:
        marginal = part.mean(0).numpy()
        return math.exp(np.mean([scipy.stats.entropy(row.numpy(), marginal) for row in part]))

    assert class_score(probabilities, 1) == pytest.approx(by_definition(probabilities))
    thirds = [by_definition(probabilities[start : start + 10]) for start in (0, 10, 20)]
    assert class_score(probabilities, 3) == pytest.approx(np.mean(thirds))


@pytest.mark.parametrize("num_held", [2**23, 60 * 7])
def test_the_nearest_image_is_the_nearest(monkeypatch: pytest.MonkeyPatch, num_held: int) -> None:
    monkeypatch.setattr(pixelwise, "_NUM_HELD", num_held)
    samples, reference = images(20, 11), images(50, 12)
    samples[3] = reference[41]
    samples[4] = reference[7]
    samples[4, 0, 0, 0] ^= 1
    a, b = (to_model_scale(side).double() for side in (samples, reference))
    expected = torch.stack([(b - sample).flatten(1).norm(dim=1).min() for sample in a])
    distances = nearest_distances(samples, reference, CPU)
    torch.testing.assert_close(distances, expected, rtol=1e-6, atol=1e-6)
    assert float(distances[3]) == 0
    assert float(distances[4]) == pytest.approx(1 / 127.5)


@pytest.mark.parametrize("num_samples", [30, 41])
def test_sliced_wasserstein_is_the_mean_over_directions(monkeypatch: pytest.MonkeyPatch, num_samples: int) -> None:
    samples, reference = images(num_samples, 13), images(30, 14)
    projected, real = (project(side, 5, CPU) for side in (samples, reference))
    expected = np.mean(
        [scipy.stats.wasserstein_distance(a.numpy(), b.numpy()) for a, b in zip(projected, real, strict=True)]
    )
    assert sliced_wasserstein(projected, real) == pytest.approx(expected, rel=1e-9)
    assert sliced_wasserstein(real, real.flip(1)) == pytest.approx(0, abs=1e-12)
    # Directions have length 1, and are of the seed alone: a step of one level in all pixels is at most as long.
    brighter = project((reference // 2 + 1).to(torch.uint8), 5, CPU) - project(reference // 2, 5, CPU)
    assert float(brighter.abs().max()) <= math.sqrt(60) / 127.5 + 1e-9
    assert float(brighter.std(1).max()) < 1e-9
    assert not torch.equal(project(reference, 6, CPU), real)
    monkeypatch.setattr(pixelwise, "_NUM_HELD", 60 * 7)
    torch.testing.assert_close(project(reference, 5, CPU), real)


def test_the_bootstrap_has_the_standard_error_of_a_mean() -> None:
    values = features(400, 1, 15)[:, 0]
    measure = estimate("mean", float(values.mean()), lambda rows: float(values[rows].mean()), 400, 2000, seed=3)
    assert measure.low is not None
    assert measure.high is not None
    assert (measure.low + measure.high) / 2 == pytest.approx(measure.value)
    expected = 1.96 * float(values.std()) / math.sqrt(400)
    assert measure.high - measure.value == pytest.approx(expected, rel=0.08)
    assert estimate("mean", 1.0, lambda rows: 0.0, 400, 0, seed=3).low is None
