"""Features where there is no Inception network: of a small classifier that is trained on the real images."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

from ..metric import fit_classifier
from ..pixels import to_model_scale
from .contract import Names, Observer, Seen

NUM_FEATURES = 64
NAMES = Names("fdClassifier", "kdClassifier", "precisionClassifier", "recallClassifier", "classifierScore")
# Larger images are shrunk to it: the metrics are cheap, or they would not be there.
_MAX_SIDE = 32
# Of the maps that the features are made of.
_LAST_SIDE = 4
_BATCH = 512
_SMALLEST_DEVIATION = 1e-6


def train_observer(
    images: torch.Tensor, labels: torch.Tensor, num_classes: int, seed: int, device: torch.device
) -> Observer:
    """Trains on one thread of the CPU (seconds) and looks on `device`. images: uint8 [N, C, H, W]. labels: int64 [N].

    Classes are the labels, and "none of them": what noise is, see `metric`. Features are what its last layer but one
    makes, before the nonlinearity, each divided by its standard deviation over `images`. Torch's random state is left
    as it was.
    """
    with _one_thread(), torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed(), which seeds every GPU as well.
        torch.default_generator.manual_seed(seed)
        small = torch.cat(list(_shrink(images)))
        body = _make_body(small.shape[1], min(small.shape[2:]))
        head = nn.Sequential(nn.ReLU(), nn.Dropout(0.2), nn.Linear(NUM_FEATURES, num_classes + 1))
        classifier = nn.Sequential(body, head)
        fit_classifier(classifier, small, labels, num_classes, torch.Generator().manual_seed(seed))
        deviation = _run(body, small).std(0).clamp(min=_SMALLEST_DEVIATION)
    sha256 = _hash({**classifier.state_dict(), "deviation": deviation})
    classifier.to(device)

    @torch.no_grad()
    def look(pixels: torch.Tensor) -> Seen:
        features = torch.cat([body(part.to(device)) for part in _shrink(pixels)])
        probabilities = head(features).double().softmax(1)
        return Seen(features.cpu().double() / deviation.double(), probabilities.cpu())

    return Observer("classifier", sha256, NAMES, 1, look)


@contextmanager
def _one_thread() -> Generator[None]:
    """The weights are then the same whatever the number of threads is; on networks this small more gain little."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _make_body(num_channels: int, side: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_channels, 24, 3, padding=1, stride=2 if side >= 4 * _LAST_SIDE else 1),
        nn.ReLU(),
        nn.Conv2d(24, 48, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(48, 64, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(_LAST_SIDE),
        nn.Flatten(),
        nn.Linear(64 * _LAST_SIDE**2, NUM_FEATURES),
    )


def _shrink(images: torch.Tensor) -> Iterator[torch.Tensor]:
    """float32 [rows, C, at most 32, at most 32] in [-1, 1], a part of the images at a time, on their device."""
    height, width = (min(side, _MAX_SIDE) for side in images.shape[2:])
    for part in images.split(_BATCH):
        yield functional.adaptive_avg_pool2d(to_model_scale(part), (height, width))


@torch.no_grad()
def _run(body: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([body(part) for part in images.split(_BATCH)])


def _hash(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
