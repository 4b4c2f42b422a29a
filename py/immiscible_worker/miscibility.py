"""Miscibility of a trained model: how far apart the noises lie that it turns into images of different kinds.

Li et al. 2025 (arXiv 2505.18521, sections 4.2 and 6) report the mean L2 distance between the clusters of noise that
images are mapped to. How they make clusters is not known. Ours, and so the numbers, are our own: noises are drawn, each
is sampled without fresh noise, and its cluster is the class that a small classifier sees in the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .errors import UsageError
from .metric import classify, confident_share, train_judge
from .pixels import to_model_scale
from .sampling import sampler_of

_LEAST_CLUSTER = 10
_NUM_GROUPS = 20
# The 0.975 quantile of Student's t with one degree of freedom less than there are groups.
_T_QUANTILE = 2.0930


@dataclass(frozen=True)
class Seen:
    """classes: int64 [N], the likeliest of each sample, however unlikely. held_out_accuracy: on real images."""

    classes: torch.Tensor
    confident_share: float
    held_out_accuracy: float


@dataclass(frozen=True)
class Interval:
    """A value, and an interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClusterDistance:
    """distance: mean over pairs of clusters of the L2 distance of their means.

    floor: the same where the clusters' labels are permuted over the noises, mean and the middle 95 % of permutations:
    what as many noises give by chance. p_value: share of permutations with at least `distance`. corrected: root of the
    mean squared distance less what finite clusters add to it, which is 0 where noises are mixed however many there are;
    its interval by a jackknife. sizes: of each class; those in `left_out` were too small to count.
    """

    distance: float
    floor: Interval
    p_value: float
    corrected: Interval
    sizes: list[int]
    left_out: list[int]


def deterministic_settings(network: Any, scheduler: Any, num_inference_steps: int | None) -> dict[str, Any]:
    """What to ask of the model's sampler so that a sample is a function of its starting noise, for `choose_settings`.

    num_inference_steps: None is as the model's record has it; a consistency model takes one. Raises UsageError.
    """
    if getattr(network.config, "num_class_embeds", None) is not None:
        raise UsageError(
            "pipeline: expected an unconditional model, since others are told the class, got one of classes"
        )
    sampler = sampler_of(scheduler)
    if sampler == "consistency":
        if num_inference_steps not in (None, 1):
            reason = "since more of a consistency model's draw fresh noise"
            raise UsageError(f"numInferenceSteps: expected 1, {reason}, got {num_inference_steps}")
        num_inference_steps = 1
    return {"num_inference_steps": num_inference_steps, "eta": 0.0 if sampler == "ddim" else None}


def see(pixels: torch.Tensor, images: torch.Tensor, labels: torch.Tensor, num_classes: int, seed: int) -> Seen:
    """What a classifier, trained on images (uint8 [B, C, H, W]) and labels as `metric.evaluate` does, takes pixels
    (uint8 [N, C, H, W]) for."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        classifier, real, real_labels = train_judge(images, labels, num_classes, generator)
    probabilities = torch.cat([classify(classifier, to_model_scale(part)) for part in pixels.split(1024)])
    accuracy = float((classify(classifier, real).argmax(1) == real_labels).float().mean())
    return Seen(probabilities.argmax(1), confident_share(probabilities), accuracy)


def measure_clusters(
    noises: torch.Tensor, classes: torch.Tensor, num_classes: int, *, num_permutations: int, seed: int
) -> ClusterDistance:
    """noises: float32 [N, D]. classes: int64 [N]. Raises UsageError where less than two classes have enough noises."""
    sizes = torch.bincount(classes, minlength=num_classes)
    kept = torch.nonzero(sizes >= _LEAST_CLUSTER).flatten()
    if len(kept) < 2:
        expected = f"expected samples of two classes or more, at least {_LEAST_CLUSTER} of each"
        raise UsageError(f"numImages: {expected}, got {sizes.tolist()} of {len(classes)}")
    is_kept = torch.isin(classes, kept)
    values, clusters = noises[is_kept], torch.searchsorted(kept, classes[is_kept])
    generator = torch.Generator().manual_seed(seed)
    orders = (torch.randperm(len(clusters), generator=generator) for _ in range(num_permutations))
    permuted = torch.tensor([_mean_distance(values, clusters[order], len(kept)) for order in orders])
    distance = _mean_distance(values, clusters, len(kept))
    low, high = permuted.quantile(torch.tensor([0.025, 0.975])).tolist()
    return ClusterDistance(
        distance=distance,
        floor=Interval(float(permuted.mean()), low, high),
        p_value=(1 + int((permuted >= distance).sum())) / (1 + num_permutations),
        corrected=_corrected_distance(values.double(), clusters, len(kept)),
        sizes=sizes.tolist(),
        left_out=[label for label, size in enumerate(sizes.tolist()) if size < _LEAST_CLUSTER],
    )


def _mean_distance(values: torch.Tensor, clusters: torch.Tensor, num_clusters: int) -> float:
    sums = torch.nn.functional.one_hot(clusters, num_clusters).T.to(values.dtype) @ values
    means = sums / torch.bincount(clusters, minlength=num_clusters)[:, None]
    return float(torch.nn.functional.pdist(means).mean())


def _corrected_distance(values: torch.Tensor, clusters: torch.Tensor, num_clusters: int) -> Interval:
    """By a delete-a-group jackknife; each cluster is spread over all groups. values: float64 [N, D]."""
    places = torch.empty_like(clusters)
    for cluster in range(num_clusters):
        of_cluster = clusters == cluster
        places[of_cluster] = torch.arange(int(of_cluster.sum())) % _NUM_GROUPS
    cells = clusters * _NUM_GROUPS + places
    shape = (num_clusters, _NUM_GROUPS)
    counts = torch.bincount(cells, minlength=num_clusters * _NUM_GROUPS).view(shape).double()
    sums = values.new_zeros(num_clusters * _NUM_GROUPS, values.shape[1]).index_add_(0, cells, values).view(*shape, -1)
    squares = values.new_zeros(num_clusters * _NUM_GROUPS).index_add_(0, cells, values.square().sum(1)).view(shape)

    def without(group: int | None) -> float:
        left = [part.sum(1) - (0 if group is None else part[:, group]) for part in (counts, sums, squares)]
        return _squared_distance(*left)

    whole = without(None)
    parts = torch.tensor([without(group) for group in range(_NUM_GROUPS)], dtype=torch.float64)
    spread = (parts - parts.mean()).square().sum() * (_NUM_GROUPS - 1) / _NUM_GROUPS
    half_width = _T_QUANTILE * float(spread) ** 0.5
    value, low, high = (max(0.0, square) ** 0.5 for square in (whole, whole - half_width, whole + half_width))
    return Interval(value, low, high)


def _squared_distance(counts: torch.Tensor, sums: torch.Tensor, squares: torch.Tensor) -> float:
    """Mean over pairs of the squared distance of the clusters' expectations, unbiased; it may be negative.

    counts, squares (of norms): float64 [C]. sums: float64 [C, D].
    """
    means = sums / counts[:, None]
    traces = (squares - counts * means.square().sum(1)) / (counts - 1)
    first, second = torch.triu_indices(len(counts), len(counts), 1)
    by_chance = traces / counts
    return float(((means[first] - means[second]).square().sum(1) - by_chance[first] - by_chance[second]).mean())
