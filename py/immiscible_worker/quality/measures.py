"""The metrics of samples beside a reference, each with its interval: on a network's features, and in pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .bootstrap import estimate
from .contract import Measure, Observer
from .frechet import open_frechet
from .kernel import NUM_SUBSETS, kernel_distance, subset_size
from .manifold import ball_radii, is_within
from .pixelwise import nearest_distances, project, sliced_wasserstein
from .score import class_score

Measures = Callable[[torch.Tensor, int], list[Measure]]
"""samples: uint8 [M, C, H, W]. The number: resamples behind each interval."""


def open_on_features(observer: Observer, reference: torch.Tensor, seed: int) -> Measures:
    """The five metrics of what the observer sees. reference: uint8 [N, C, H, W].

    Intervals are over samples; that of the recall, which is a share of the reference, over that.
    """
    names, real = observer.names, observer.look(reference).features
    frechet, real_radii = open_frechet(real), ball_radii(real)

    def measure(samples: torch.Tensor, num_bootstrap: int) -> list[Measure]:
        seen = observer.look(samples)
        features, probabilities = seen.features, seen.probabilities
        is_real = is_within(features, real, real_radii).double()
        is_covered = is_within(real, features, ball_radii(features)).double()
        generator = torch.Generator().manual_seed(seed)

        def kernel(rows: torch.Tensor) -> float:
            # As many subsets as hold each sample about once: they then vary as the samples do.
            num_subsets = -(-len(features) // subset_size(features, real))
            return kernel_distance(features[rows], real, num_subsets, generator)

        def estimated(name: str, value: float, resampled: Callable[[torch.Tensor], float], num_rows: int) -> Measure:
            return estimate(name, value, resampled, num_rows, num_bootstrap, seed)

        count = len(features)
        return [
            estimated(names.frechet, frechet(features), lambda rows: frechet(features[rows]), count),
            estimated(names.kernel, kernel_distance(features, real, NUM_SUBSETS, generator), kernel, count),
            estimated(names.precision, float(is_real.mean()), lambda rows: float(is_real[rows].mean()), count),
            estimated(names.recall, float(is_covered.mean()), lambda rows: float(is_covered[rows].mean()), len(real)),
            estimated(
                names.score,
                class_score(probabilities, observer.num_splits),
                lambda rows: class_score(probabilities[rows], observer.num_splits),
                count,
            ),
        ]

    return measure


def open_pixelwise(reference: torch.Tensor, seed: int, device: torch.device) -> Measures:
    """slicedWasserstein and nearestTrain, in pixels of [-1, 1]. reference: uint8 [N, C, H, W]."""
    # Both need float64, which MPS has not.
    exact = device if device.type == "cuda" else torch.device("cpu")
    real = project(reference, seed, exact)

    def measure(samples: torch.Tensor, num_bootstrap: int) -> list[Measure]:
        projected = project(samples, seed, exact)
        distances = nearest_distances(samples, reference, exact)
        sliced = sliced_wasserstein(projected, real)
        count = len(samples)
        return [
            estimate(
                "slicedWasserstein",
                sliced,
                lambda rows: sliced_wasserstein(projected[:, rows], real),
                count,
                num_bootstrap,
                seed,
            ),
            estimate(
                "nearestTrain",
                float(distances.mean()),
                lambda rows: float(distances[rows].mean()),
                count,
                num_bootstrap,
                seed,
            ),
        ]

    return measure
