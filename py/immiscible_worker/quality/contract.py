"""What is said of samples beside real images, and what looks at them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True)
class Measure:
    """The value of one metric. low, high: its 95 % interval, or None without.

    floor: the same metric of real images that are not in the reference, or None where there are none.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    floor: float | None


@dataclass(frozen=True)
class Quality:
    """Metrics of samples, and what they are metrics of: they compare only where all but the measures is the same.

    features: of what network, "none" where there are only metrics in pixels. features_sha256: of its weights.
    num_images: samples. num_reference: real images that they are compared with. reference: those, in words.
    """

    features: str
    features_sha256: str | None
    num_images: int
    num_reference: int
    reference: str
    measures: tuple[Measure, ...]


Judge = Callable[[torch.Tensor], Quality]
"""samples: uint8 [M, C, H, W], on any device."""


@dataclass(frozen=True)
class InceptionFile:
    """The Inception network of FID, in a file. sha256: of the file, in hexadecimal; checked before it is loaded.

    mode: how images are resized to 299 x 299 and scaled, see `inception.open_inception`.
    """

    weights: str
    sha256: str
    backend: Literal["torchscript", "torch-fidelity"]
    mode: Literal["legacy-tensorflow", "pytorch-fid"]


@dataclass(frozen=True)
class Seen:
    """What a network made of N images. features: float64 [N, D]. probabilities: float64 [N, classes]. On the CPU."""

    features: torch.Tensor
    probabilities: torch.Tensor


@dataclass(frozen=True)
class Names:
    """Of the five metrics on features, as they are to be called."""

    frechet: str
    kernel: str
    precision: str
    recall: str
    score: str


@dataclass(frozen=True)
class Observer:
    """A network that looks at images, uint8 [N, C, H, W]. features, sha256: as in `Quality`.

    num_splits: of the score, which is the mean over as many parts of the samples.
    """

    features: str
    sha256: str
    names: Names
    num_splits: int
    look: Callable[[torch.Tensor], Seen]
