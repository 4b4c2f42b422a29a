"""Miscibility: clusters of known means are found at their distance, mixed ones at none, and the floor is chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers import CMStochasticIterativeScheduler, DDIMScheduler, FlowMatchEulerDiscreteScheduler
from networks import random_unet

from example import digits
from immiscible_worker.errors import UsageError
from immiscible_worker.miscibility import ClusterDistance, deterministic_settings, measure_clusters, see

DIMS = 48
NUM_NOISES = 800


def _measure(distance: float, seed: int, num_noises: int = NUM_NOISES, num_classes: int = 3) -> ClusterDistance:
    """Standard normal noises whose clusters' expectations are pairwise at `distance`."""
    generator = torch.Generator().manual_seed(seed)
    noises = torch.randn(num_noises, DIMS, generator=generator)
    classes = torch.randint(num_classes, (num_noises,), generator=generator)
    noises[torch.arange(num_noises), classes] += distance / math.sqrt(2)
    return measure_clusters(noises, classes, num_classes, num_permutations=20, seed=seed)


def test_the_distance_is_numpys_and_the_floor_what_chance_gives() -> None:
    generator = np.random.default_rng(0)
    noises, classes = generator.normal(size=(300, DIMS)).astype(np.float32), generator.integers(0, 3, 300)
    measured = measure_clusters(torch.from_numpy(noises), torch.from_numpy(classes), 3, num_permutations=100, seed=0)
    means = [noises[classes == label].mean(0) for label in range(3)]
    pairs = [float(np.linalg.norm(means[a] - means[b])) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert measured.distance == pytest.approx(np.mean(pairs), rel=1e-5)
    assert measured.sizes == np.bincount(classes).tolist()
    # The difference of two means of n normal vectors is normal with variance 2 / n.
    counts = np.bincount(classes)
    chance = np.mean([math.sqrt(DIMS * (1 / counts[a] + 1 / counts[b])) for a, b in ((0, 1), (0, 2), (1, 2))])
    assert measured.floor.value == pytest.approx(chance, rel=0.02)
    assert measured.floor.low < measured.distance < measured.floor.high


@pytest.mark.parametrize("distance", [0.5, 2.0])
def test_clusters_apart_are_found_at_their_distance_by_nearly_all_intervals(distance: float) -> None:
    measured = [_measure(distance, seed) for seed in range(20)]
    assert np.mean([one.corrected.value for one in measured]) == pytest.approx(distance, rel=0.05)
    covered = sum(one.corrected.low <= distance <= one.corrected.high for one in measured)
    assert covered >= 17
    assert all(one.p_value < 0.05 for one in measured)


def test_control_mixed_noises_have_no_distance_beyond_chance() -> None:
    measured = [_measure(0, seed) for seed in range(20)]
    assert sum(one.corrected.low == 0 for one in measured) >= 17
    assert np.mean([one.p_value for one in measured]) == pytest.approx(0.5, abs=0.2)
    # While the plain distance is far from 0, and shrinks only with the number of noises.
    assert measured[0].distance > 0.2
    assert _measure(0, 0, num_noises=4 * NUM_NOISES).distance == pytest.approx(measured[0].distance / 2, rel=0.15)


def test_classes_with_hardly_a_sample_are_left_out_and_one_alone_is_refused() -> None:
    generator = torch.Generator().manual_seed(0)
    noises = torch.randn(40, 4, generator=generator)
    classes = torch.tensor([0] * 20 + [3] * 17 + [2] * 3)
    measured = measure_clusters(noises, classes, 4, num_permutations=5, seed=0)
    assert (measured.sizes, measured.left_out) == ([20, 0, 3, 17], [1, 2])
    alone = measure_clusters(noises[:37], classes[:37], 4, num_permutations=5, seed=0)
    assert alone.distance == measured.distance
    with pytest.raises(UsageError, match=r"two classes or more, at least 10 of each, got \[0, 40, 0\] of 40"):
        measure_clusters(noises, torch.ones(40, dtype=torch.int64), 3, num_permutations=5, seed=0)


def test_sampling_is_made_a_function_of_the_noise_or_refused() -> None:
    network = random_unet()
    assert deterministic_settings(network, DDIMScheduler(), 5) == {"num_inference_steps": 5, "eta": 0.0}
    flow, consistency = FlowMatchEulerDiscreteScheduler(), CMStochasticIterativeScheduler()
    assert deterministic_settings(network, flow, None) == {"num_inference_steps": None, "eta": None}
    assert deterministic_settings(network, consistency, None)["num_inference_steps"] == 1
    with pytest.raises(UsageError, match=r"numInferenceSteps: expected 1, .* got 2"):
        deterministic_settings(network, consistency, 2)
    with pytest.raises(UsageError, match="expected an unconditional model"):
        deterministic_settings(random_unet(num_classes=3), DDIMScheduler(), None)


def test_samples_that_are_real_images_are_seen_as_their_classes() -> None:
    images, labels = (torch.from_numpy(array) for array in digits())
    seen = see(images[:300], images, labels.long(), 10, seed=0)
    assert float((seen.classes == labels[:300]).float().mean()) > 0.95
    assert seen.held_out_accuracy > 0.9
    assert seen.confident_share > 0.8
