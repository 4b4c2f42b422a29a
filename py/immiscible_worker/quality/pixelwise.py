"""Metrics in pixels, which need no network: how far the nearest real image is, and sliced Wasserstein."""

from __future__ import annotations

from collections.abc import Iterator

import torch

_NUM_DIRECTIONS = 128
# Numbers of one block of images, in float64.
_NUM_HELD = 2**23
# Levels of 8 bits for 1 in the model's scale of [-1, 1].
_LEVELS = 127.5


def nearest_distances(samples: torch.Tensor, reference: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The L2 distance of each sample from the nearest image of the reference, in the model's scale of [-1, 1].

    samples, reference: uint8 [M or N, C, H, W]; result: float64 [M] on the CPU. Exact, so that a copy is at 0: levels
    are integers, and float64 holds every sum of their products.
    """
    squared = [
        torch.stack([_squared_distances(rows, others).amin(1) for others in _blocks(reference, device)]).amin(0)
        for rows in _blocks(samples, device)
    ]
    return torch.cat(squared).sqrt().cpu() / _LEVELS


def project(images: torch.Tensor, seed: int, device: torch.device) -> torch.Tensor:
    """Images, uint8 [N, C, H, W], along 128 random directions in the model's scale: float64 [128, N] on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(images[0].numel(), _NUM_DIRECTIONS, generator=generator, dtype=torch.float64)
    directions = (directions / directions.norm(dim=0)).to(device)
    return torch.cat([((rows / _LEVELS - 1) @ directions).cpu() for rows in _blocks(images, device)]).T.contiguous()


def sliced_wasserstein(projected: torch.Tensor, reference: torch.Tensor) -> float:
    """The mean over directions of the Wasserstein-1 distance of what `project` made: [P, M] from [P, N].

    In one dimension it is the area between the two distribution functions, whatever M and N are.
    """
    merged = torch.cat([projected, reference], 1).sort(1)
    is_sample = (merged.indices < projected.shape[1]).double()
    excess = is_sample / projected.shape[1] - (1 - is_sample) / reference.shape[1]
    return float((excess.cumsum(1)[:, :-1].abs() * merged.values.diff()).sum(1).mean())


def _squared_distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return rows.square().sum(1, keepdim=True) + others.square().sum(1) - 2 * rows @ others.T


def _blocks(images: torch.Tensor, device: torch.device) -> Iterator[torch.Tensor]:
    """float64 [rows, C * H * W], a part of the images at a time."""
    flat = images.flatten(1)
    for part in flat.split(max(1, _NUM_HELD // flat.shape[1])):
        yield part.to(device).to(torch.float64)
