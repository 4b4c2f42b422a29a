"""Gaussianity: NumPy's own covariance, the closed expectation over many samples, and noise that is not Gaussian."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from immiscible_worker.errors import UsageError
from immiscible_worker.gaussianity import Gaussianity, expected_kl, measure_gaussianity

DIMS, NUM_NOISES = 12, 400


def _noises(seed: int, num_noises: int = NUM_NOISES, dims: int = DIMS) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num_noises, dims)).astype("<f4")


def _measure(folder: Path, noises: np.ndarray) -> Gaussianity:
    noises.tofile(folder / "noise")
    return measure_gaussianity(folder / "noise", noises.shape[1])


def test_the_divergence_is_that_of_numpys_mean_and_covariance(tmp_path: Path) -> None:
    """Of more rows than are read at once, neither centred nor white."""
    noises = (_noises(0, 5000) @ np.random.default_rng(1).normal(size=(DIMS, DIMS)) + 0.3).astype("<f4")
    mean, covariance = noises.astype(np.float64).mean(0), np.cov(noises.astype(np.float64).T)
    expected = (np.trace(covariance) + mean @ mean - DIMS - np.linalg.slogdet(covariance)[1]) / 2
    measured = _measure(tmp_path, noises)
    assert measured.kl == pytest.approx(expected, rel=1e-9)
    assert measured.mean_squared_norm == pytest.approx((noises.astype(np.float64) ** 2).sum(1).mean(), rel=1e-9)


@pytest.mark.parametrize(("num_noises", "dims"), [(60, 1), (60, 12), (40, 30)])
def test_mean_and_spread_over_true_gaussian_noise_are_as_expected(num_noises: int, dims: int, tmp_path: Path) -> None:
    values = [_measure(tmp_path, _noises(seed, num_noises, dims)).kl for seed in range(1000)]
    mean, deviation = expected_kl(num_noises, dims)
    assert np.mean(values) == pytest.approx(mean, abs=4 * deviation / np.sqrt(1000))
    assert np.std(values) == pytest.approx(deviation, rel=0.15)


def test_the_paper_s_sample_of_true_noise_is_one_of_those_expected() -> None:
    """Li et al. 2025, section 4.3: 48.25 from 50,000 noises of 3,072 numbers."""
    mean, deviation = expected_kl(50_000, 3072)
    assert mean == pytest.approx(48.25, abs=2 * deviation)
    assert mean > 3072 * 3075 / (4 * 50_000)


def test_control_noise_that_is_scaled_shifted_or_correlated_is_found(tmp_path: Path) -> None:
    mean, deviation = expected_kl(NUM_NOISES, DIMS)
    true = _noises(3)
    assert abs(_measure(tmp_path, true).kl - mean) < 4 * deviation
    correlated = true.copy()
    correlated[:, 0] = (0.6 * correlated[:, 1] + 0.8 * correlated[:, 0]).astype("<f4")
    for wrong in (0.85 * true, true + np.float32(0.2), correlated):
        assert _measure(tmp_path, wrong.astype("<f4")).kl > mean + 8 * deviation


def test_noises_of_too_few_dimensions_are_refused(tmp_path: Path) -> None:
    noises = _noises(0)
    noises[:, 1] = noises[:, 0]
    with pytest.raises(UsageError, match="expected 400 that span all 12 dimensions"):
        _measure(tmp_path, noises)
